"""The networks, by name. Each is a function that returns a plain `keras.Model`.

The dict that a network stands in says which kinds it can be of.
"""

import importlib
import inspect
import random
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from classicnets import kinds
from classicnets.errors import UserError, nearest
from classicnets.networks import memory, private
from classicnets.networks import options as option_values

if TYPE_CHECKING:
    import keras

_MOST_PARAMETERS = 2 * 10**9
_MOST_AT_ONCE = 2 * 10**8  # more are counted before they take memory

# A network's name, its file and its options. The function in the file has the network's
# name or else the file's. Files are imported when a network is built: a list of names
# needs no backend.
CLASSIFIERS: dict[str, tuple[str, dict[str, Any]]] = {
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
AUTOENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "autoencoder": ("autoencoder", {}),
    "conv_autoencoder": ("autoencoder", {}),
}
VAES: dict[str, tuple[str, dict[str, Any]]] = {
    "vae": ("vae", {}),
    "conv_vae": ("vae", {}),
}
NETWORKS = CLASSIFIERS | AUTOENCODERS | VAES

# A pair's name, its file, and the functions in it that build the generator and its
# opponent, which each paper names its own way.
PAIRS: dict[str, tuple[str, str, str]] = {
    "gan": ("gan", "generator", "discriminator"),
    "dcgan": ("dcgan", "generator", "discriminator"),
    "wgan_gp": ("wgan_gp", "generator", "critic"),
    "wgan_gp_resnet": ("wgan_gp_resnet", "generator", "critic"),
}

# The first is a network's kind where a recipe's task says no other.
KINDS: tuple[tuple[Mapping[str, Any], tuple[kinds.Kind, ...]], ...] = (
    (CLASSIFIERS, (kinds.CLASSIFIER, kinds.REGRESSOR, kinds.TAGGER)),
    (AUTOENCODERS, (kinds.AUTOENCODER,)),
    (VAES, (kinds.VAE,)),
    (PAIRS, (kinds.GAN,)),
)

# The files of networks that take texts and other sequences too.
SEQUENCES = {"lstm"}


def create(
    network: str,
    input_shape: tuple[int | None, ...],
    classes: int | None = None,
    **options: Any,
) -> "keras.Model":
    """Build a network by its name.

    Args:
        network: A key of `NETWORKS`.
        input_shape: (height, width, channels); for an LSTM also (length,) of tokens,
            where None is any length, or (steps, features).
        classes: Number of classes, or None for the features without the head. An
            autoencoder or a VAE has none.
        **options: Passed to the network's function, which documents them.

    Returns:
        A model from inputs (batch, *input_shape) to logits (batch, classes), or what an
        autoencoder or a VAE returns.

    Raises:
        UserError: For a network, or an option, that does not exist.
        ValueError: From the network's function, for a value that it refuses.
    """
    family, fixed = find(network)
    if network in PAIRS:
        raise UserError(f"{network} is two networks: create_pair builds them.")
    if len(input_shape) != 3 and family not in SEQUENCES:
        raise _takes_images(network, input_shape)
    check_options(network, options)
    (build,) = _functions(network)
    shape = tuple(input_shape)
    if "classes" in inspect.signature(build).parameters:
        return _build(network, lambda: build(shape, classes, **fixed, **options))
    return _build(network, lambda: build(shape, **fixed, **options))


def create_pair(
    network: str, image_shape: tuple[int, ...], **options: Any
) -> "tuple[keras.Model, keras.Model]":
    """Build a generator and the network that judges its images.

    Args:
        network: A key of `PAIRS`.
        image_shape: (height, width, channels).
        **options: Each is passed to the functions that take it: `generator`, and
            `discriminator` or `critic`, of the pair's file, which document them.

    Returns:
        (generator, critic): from noise (batch, latent_size) to images (batch,
        *image_shape) in [-1, 1], and from such images to scores (batch, 1).

    Raises:
        UserError: For a pair, or an option, that does not exist, or for two networks
            that do not fit.
        ValueError: From the pair's functions, for a value that they refuse.
    """
    find(network)
    if network in NETWORKS:
        raise UserError(f"{network} is one network: create builds it.")
    if len(image_shape) != 3:
        raise _takes_images(network, image_shape)
    check_options(network, options)

    def parts() -> "list[keras.Model]":
        return [
            build(
                tuple(image_shape),
                **{name: options[name] for name in options if name in _options(build)},
            )
            for build in _functions(network)
        ]

    generator, critic = _build(network, parts)
    if generator.output_shape != critic.input_shape:
        raise UserError(
            f"{network}: the generator makes images of {generator.output_shape[1:]},"
            f" the critic takes {critic.input_shape[1:]}."
        )
    return generator, critic


def build(
    network: str,
    input_shape: tuple[int | None, ...],
    classes: int | None,
    **options: Any,
) -> "keras.Model | tuple[keras.Model, keras.Model]":
    """Build a network or a pair, whichever the name is of; see both above.

    Args:
        network: A key of `NETWORKS` or `PAIRS`.
        input_shape: Of an example, without the batch.
        classes: Number of outputs, for a network that learns from labels.
        **options: The network's own.
    """
    if network in PAIRS:
        return create_pair(network, input_shape, **options)  # type: ignore[arg-type]
    return create(network, input_shape, classes, **options)


def network_options(network: str) -> dict[str, Any]:
    """Return the options that a network or a pair takes, with their defaults."""
    _, fixed = find(network)
    return {
        name: default
        for build in _functions(network)
        for name, default in _options(build).items()
        if name not in fixed
    }


def paper(network: str) -> str:
    """Return the line that names the network's paper: its file's first."""
    family, _ = find(network)
    return str(inspect.getdoc(_module(family))).splitlines()[0]


def find(network: str) -> tuple[str, dict[str, Any]]:
    """Return a network's or a pair's file and fixed options, or raise a UserError."""
    if network in PAIRS:
        return PAIRS[network][0], {}
    if network not in NETWORKS:
        raise UserError(
            f"network must be one that exists, got {network!r}. "
            + nearest(network, [*NETWORKS, *PAIRS])
        )
    return NETWORKS[network]


def kinds_of(network: str) -> tuple[kinds.Kind, ...]:
    """Return what kinds a network can be of, or raise a UserError."""
    find(network)
    return next(own for members, own in KINDS if network in members)


def kind(network: str, task: str = "") -> kinds.Kind:
    """Return what kind of network it is, or raise a UserError.

    Args:
        network: A key of `NETWORKS` or `PAIRS`.
        task: What it learns; "", or one that it is not for: what it learns by itself.
    """
    own = kinds_of(network)
    return next((kind for kind in own if kind.task == task), own[0])


def reads_texts(network: str) -> bool:
    """Return whether a network takes tokens too."""
    family, _ = find(network)
    return family in SEQUENCES


def has_batch_norm(model: "keras.Model") -> bool:
    """Return whether a batch norm is anywhere in a model, in the models within it too.

    A critic under a gradient penalty must have none: the penalty is about the score of
    one image, which must not depend on the others (arXiv:1704.00028, section 4).
    """
    from keras import layers

    every = private.every_layer(model)
    return any(isinstance(layer, layers.BatchNormalization) for layer in every)


def _takes_images(network: str, shape: tuple[int | None, ...]) -> UserError:
    return UserError(
        f"{network} takes images: input_shape must be (height, width, channels), got"
        f" {shape}."
    )


def check_options(network: str, options: Mapping[str, Any]) -> None:
    """Refuse options that the network does not have, or not with such values."""
    _, fixed = find(network)
    kinds_of = {
        name: kind
        for build in _functions(network)
        for name, kind in option_values.types_of(build).items()
        if name not in fixed
    }
    for option, value in options.items():
        if option not in kinds_of:
            raise UserError(
                f"{network} has no option {option!r}. "
                + (nearest(option, kinds_of) if kinds_of else "It has no options.")
            )
        option_values.check(option, value, kinds_of[option])


def _build(network: str, make: Callable[[], Any]) -> Any:
    """Call `make`; refuse a network that is too large before it takes the memory."""
    import keras

    state = random.getstate()  # the seeds of initializers come from there
    try:
        with memory.at_most_variables(_MOST_AT_ONCE, network):
            return make()
    except memory.TooLargeError:
        random.setstate(state)
    most = min(_MOST_PARAMETERS, memory.free() / 4)  # bytes of a float32
    try:
        with (
            keras.StatelessScope(initialize_variables=False),  # shapes alone
            memory.at_most_variables(most, network),
        ):
            make()
    finally:
        private.forget_variables()
    random.setstate(state)
    return make()


def _options(build: Callable[..., Any]) -> dict[str, Any]:
    """Return the keyword-only arguments of a network's function and their defaults."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(build).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }


def _module(family: str) -> ModuleType:
    return importlib.import_module(f"classicnets.networks.{family}")


def _functions(network: str) -> "list[Callable[..., keras.Model]]":
    """Return the function of a network, or the two of a pair."""
    if network in PAIRS:
        family, *names = PAIRS[network]
        return [getattr(_module(family), name) for name in names]
    family, _ = find(network)
    module = _module(family)
    return [getattr(module, network, None) or getattr(module, family)]
