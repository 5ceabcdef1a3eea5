"""The networks, by name. Each is a function that returns a plain `keras.Model`."""

import importlib
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from classicnets.errors import UserError, nearest

if TYPE_CHECKING:
    import keras

# A network's name, its file (the function in it has the same name) and its options.
# Files are imported when a network is built: a list of names needs no backend.
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "vgg11": ("vgg", {"depth": 11, "batch_norm": False}),
    "vgg13": ("vgg", {"depth": 13, "batch_norm": False}),
    "vgg16": ("vgg", {"depth": 16, "batch_norm": False}),
    "vgg19": ("vgg", {"depth": 19, "batch_norm": False}),
    "vgg11_bn": ("vgg", {"depth": 11, "batch_norm": True}),
    "vgg13_bn": ("vgg", {"depth": 13, "batch_norm": True}),
    "vgg16_bn": ("vgg", {"depth": 16, "batch_norm": True}),
    "vgg19_bn": ("vgg", {"depth": 19, "batch_norm": True}),
    "resnet18": ("resnet", {"depth": 18}),
    "resnet34": ("resnet", {"depth": 34}),
    "resnet50": ("resnet", {"depth": 50}),
    "resnet101": ("resnet", {"depth": 101}),
    "resnet152": ("resnet", {"depth": 152}),
    "resnet20": ("resnet_cifar", {"depth": 20}),
    "resnet32": ("resnet_cifar", {"depth": 32}),
    "resnet44": ("resnet_cifar", {"depth": 44}),
    "resnet56": ("resnet_cifar", {"depth": 56}),
    "resnet110": ("resnet_cifar", {"depth": 110}),
    "lstm": ("lstm", {}),
}

# The files of networks that take texts and other sequences too.
SEQUENCES = {"lstm"}


def create(
    network: str,
    input_shape: tuple[int | None, ...],
    classes: int | None,
    **options: Any,
) -> "keras.Model":
    """Build a network by its name.

    Args:
        network: A key of `NETWORKS`.
        input_shape: (height, width, channels); for an LSTM also (length,) of tokens,
            where None is any length, or (steps, features).
        classes: Number of classes, or None for the features without the head.
        **options: Passed to the network's function, which documents them: `vgg`,
            `resnet`, `resnet_cifar` or `lstm`.

    Returns:
        A model from inputs (batch, *input_shape) to logits (batch, classes).

    Raises:
        UserError: For a network, or an option, that does not exist.
        ValueError: From the network's function, for a value that it refuses.
    """
    family, fixed = find(network)
    if len(input_shape) != 3 and family not in SEQUENCES:
        raise UserError(
            f"{network} takes images: input_shape must be (height, width, channels),"
            f" got {input_shape}."
        )
    known = network_options(network)
    for option in options:
        if option not in known:
            raise UserError(
                f"{network} has no option {option!r}. "
                + (nearest(option, known) if known else "It has no options.")
            )
    build = _function(family)
    return build(tuple(input_shape), classes, **fixed, **options)


def network_options(network: str) -> dict[str, Any]:
    """Return the options that `create` takes for `network`, with their defaults."""
    family, fixed = find(network)
    return {
        name: parameter.default
        for name, parameter in inspect.signature(_function(family)).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in fixed
    }


def paper(network: str) -> str:
    """Return the line that names the network's paper: its file's first."""
    family, _ = find(network)
    return str(inspect.getdoc(_module(family))).splitlines()[0]


def find(network: str) -> tuple[str, dict[str, Any]]:
    """Return a network's file and fixed options, or raise a UserError."""
    if network not in NETWORKS:
        raise UserError(
            f"network must be one that exists, got {network!r}. "
            + nearest(network, NETWORKS)
        )
    return NETWORKS[network]


def _module(family: str):
    return importlib.import_module(f"classicnets.networks.{family}")


def _function(family: str) -> "Callable[..., keras.Model]":
    return getattr(_module(family), family)
