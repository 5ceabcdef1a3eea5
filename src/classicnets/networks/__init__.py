"""The networks, by name. Each is a function that returns a plain `keras.Model`."""

import functools
import sys
from inspect import getdoc, signature  # `inspect` here is a module of ours
from typing import Any

import keras

from classicnets.errors import UserError, nearest
from classicnets.networks.resnet import resnet
from classicnets.networks.resnet_cifar import resnet_cifar
from classicnets.networks.vgg import vgg

__all__ = [
    "NETWORKS",
    "create",
    "network_options",
    "paper",
    "resnet",
    "resnet_cifar",
    "vgg",
]

NETWORKS: dict[str, functools.partial[keras.Model]] = {
    "vgg11": functools.partial(vgg, depth=11, batch_norm=False),
    "vgg13": functools.partial(vgg, depth=13, batch_norm=False),
    "vgg16": functools.partial(vgg, depth=16, batch_norm=False),
    "vgg19": functools.partial(vgg, depth=19, batch_norm=False),
    "vgg11_bn": functools.partial(vgg, depth=11, batch_norm=True),
    "vgg13_bn": functools.partial(vgg, depth=13, batch_norm=True),
    "vgg16_bn": functools.partial(vgg, depth=16, batch_norm=True),
    "vgg19_bn": functools.partial(vgg, depth=19, batch_norm=True),
    "resnet18": functools.partial(resnet, depth=18),
    "resnet34": functools.partial(resnet, depth=34),
    "resnet50": functools.partial(resnet, depth=50),
    "resnet101": functools.partial(resnet, depth=101),
    "resnet152": functools.partial(resnet, depth=152),
    "resnet20": functools.partial(resnet_cifar, depth=20),
    "resnet32": functools.partial(resnet_cifar, depth=32),
    "resnet44": functools.partial(resnet_cifar, depth=44),
    "resnet56": functools.partial(resnet_cifar, depth=56),
    "resnet110": functools.partial(resnet_cifar, depth=110),
}


def create(
    network: str,
    input_shape: tuple[int, int, int],
    classes: int | None,
    **options: Any,
) -> keras.Model:
    """Build a network by its name.

    Args:
        network: A key of `NETWORKS`.
        input_shape: (height, width, channels).
        classes: Number of classes, or None for the features without the head.
        **options: Passed to the network's function, which documents them: `vgg`,
            `resnet` or `resnet_cifar`.

    Returns:
        A model from images (batch, *input_shape) to logits (batch, classes).

    Raises:
        UserError: For a network, or an option, that does not exist.
        ValueError: From the network's function, for a value that it refuses.
    """
    known = network_options(network)
    for option in options:
        if option not in known:
            raise UserError(
                f"{network} has no option {option!r}. "
                + (nearest(option, known) if known else "It has no options.")
            )
    if len(input_shape) != 3:
        raise UserError(
            f"input_shape must be (height, width, channels), got {input_shape}."
        )
    return NETWORKS[network](tuple(input_shape), classes, **options)


def network_options(network: str) -> dict[str, Any]:
    """Return the options that `create` takes for `network`, with their defaults."""
    partial = _find(network)
    return {
        name: parameter.default
        for name, parameter in signature(partial.func).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in partial.keywords
    }


def paper(network: str) -> str:
    """Return the line that names the network's paper: its file's first."""
    module = sys.modules[_find(network).func.__module__]
    return str(getdoc(module)).splitlines()[0]


def _find(network: str) -> functools.partial[keras.Model]:
    if network not in NETWORKS:
        raise UserError(
            f"network must be one that exists, got {network!r}. "
            + nearest(network, NETWORKS)
        )
    return NETWORKS[network]
