"""One small member per network: the sizes at which proofs and tests build it."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

from classicnets import networks
from classicnets import recipe as recipes
from classicnets.errors import UserError
from classicnets.verification import drawing

CLASSES = 7
GREY, RGB, LARGE = (8, 12, 1), (32, 32, 3), (64, 64, 3)


Variant = tuple[tuple[int | None, ...], Mapping[str, Any]]  # an input and options


class Small(NamedTuple):
    """A network made small.

    Args:
        shape: Of its images, (height, width, channels), sides of multiples of 4.
        options: Its own.
        learning: Keys of a recipe: how it takes its first steps.
        others: Further inputs and options with which it is proven.
    """

    shape: tuple[int, int, int]
    options: Mapping[str, Any] = {}
    learning: Mapping[str, Any] = {}
    others: tuple[Variant, ...] = ()

    @property
    def variants(self) -> list[Variant]:
        """All its inputs and options."""
        return [(self.shape, self.options), *self.others]


_CODES = Small(
    GREY, {"hidden_units": (32,), "latent_size": 5}, {"optimizer": "adam"}
)  # with or without convolutions

# By family. What has no entry needs none; see `of`.
SMALL = {
    "vgg": Small(
        RGB,
        {"hidden_units": (32, 16), "dropout": 0.0},
        others=(((64, 32, 3), {"hidden_units": (64, 48), "dropout": 0.0}),),
    ),
    "resnet": Small((48, 40, 3)),
    "resnet_cifar": Small((20, 16, 3)),
    "lstm": Small(
        (8, 4, 3), {"units": (16, 12)}, others=(((None,), {"vocabulary_size": 50}),)
    ),
    "autoencoder": _CODES,
    "vae": _CODES,
    "gan": Small(
        GREY,
        {"generator_units": (16, 24), "discriminator_units": (16, 8), "dropout": 0.0},
        {"optimizer": "adam", "objective": "gan"},
    ),
    "dcgan": Small(
        (16, 16, 1),
        {"filters": 4, "latent_size": 6, "normalization": "layer"},
        {"optimizer": "adam", "critic_steps": 2, "ema": 0.9},
        others=(
            (RGB, {"filters": 4}),
            (RGB, {"filters": 4, "normalization": "layer"}),
        ),
    ),
    # Not Adam: its first step is little but the gradients' signs, which rounding turns
    # in some of its millions: 0.033 of the update's length.
    "wgan_gp": Small(LARGE, {"latent_size": 6}),
    "wgan_gp_resnet": Small(
        RGB,
        {"filters": 4, "latent_size": 6},
        {"optimizer": "adam"},
        others=((LARGE, {"filters": 4}),),
    ),
}
# What is tried for a network without an entry.
SHAPES = ((16, 16, 3), RGB, LARGE, (224, 224, 3))

# What stands for the deeper networks of its file where a proof takes long.
SHALLOW = ("vgg11", "vgg11_bn", "resnet18", "resnet50", "resnet20")


def member_of(network: str) -> str:
    """Return the shallowest network that is built by the same code."""
    family, fixed = networks.find(network)
    member = network
    for name in SHALLOW:
        other, options = networks.find(name)
        depth = options["depth"]
        if (other, options) == (family, fixed | {"depth": depth}):
            member = name if depth <= fixed["depth"] else member
    return member


def of(network: str) -> Small:
    """Return what a network is when it is small.

    One that has no entry in `SMALL` has the options and the objective of its first
    recipe, none of the dropout that its options can leave out, and the first of
    `SHAPES` that it takes.

    Raises:
        UserError: If it takes none of them.
    """
    family, _ = networks.find(network)
    return SMALL.get(family) or _without_entry(network)


@functools.cache
def _without_entry(network: str) -> Small:
    shipped = map(recipes.load, recipes.names())
    recipe = next((each for each in shipped if each.network == network), None)
    options: dict[str, Any] = dict(recipe.network_options) if recipe else {}
    learning = {"objective": recipe.objective} if recipe else {}
    names = networks.network_options(network)
    options |= {name: 0.0 for name in names if "dropout" in name}
    for shape in SHAPES:
        try:
            drawing.create(network, shape, CLASSES, options)
        except ValueError as error:
            reason = error
        else:
            return Small(shape, options, learning)
    raise UserError(
        f"{network} must have an entry in verification/small.py, it takes none of"
        f" {SHAPES}: {reason}"
    )


def size(shape: tuple[int | None, ...], options: Mapping[str, Any]) -> str:
    """Return in words how a variant differs from others of its network."""
    norm = f", {options['normalization']} norm" if "normalization" in options else ""
    return "x".join(str(side or "any") for side in shape) + norm
