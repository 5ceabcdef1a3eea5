"""Counts of parameters, and outputs against NumPy and keras.applications."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from classicnets import networks
from classicnets.networks.summary import multiply_adds
from classicnets.verification import anchors, by_hand, by_hand_pairs, drawing
from classicnets.verification.by_hand import ByHand
from classicnets.verification.proof import Proof, below, equal
from classicnets.weights import from_keras

CLOSE = 1e-4  # of the greatest output
CLASSES = 7
SMALL_VARIANCE = 1e-4  # of batch statistics: an epsilon of 1e-5 shows beside it
GREY, RGB, LARGE = (8, 12, 1), (32, 32, 3), (64, 64, 3)

# The networks' outputs by hand: (inputs, options) of small ones, by family; the option
# that is a number of layers is told to the function by its name there.
SMALL: dict[str, list[tuple[tuple[int | None, ...], dict[str, Any]]]] = {
    "vgg": [((64, 32, 3), {"hidden_units": (64, 48)})],
    "resnet": [((64, 32, 3), {})],
    "resnet_cifar": [((20, 16, 3), {})],
    "lstm": [((6, 4, 3), {}), ((None,), {"vocabulary_size": 50})],
    "autoencoder": [(GREY, {"hidden_units": (32,), "latent_size": 5})],
    "vae": [(GREY, {"hidden_units": (32,), "latent_size": 5})],
    "gan": [(GREY, {"generator_units": (16, 24), "discriminator_units": (16, 8)})],
    "dcgan": [
        (RGB, {"filters": 4}),
        (RGB, {"filters": 4, "normalization": "layer"}),
    ],
    "wgan_gp": [(LARGE, {})],
    "wgan_gp_resnet": [(RGB, {"filters": 4}), (LARGE, {"filters": 4})],
}
KERAS_MODELS = {
    "vgg16": "VGG16",
    "vgg19": "VGG19",
    "resnet50": "ResNet50",
    "resnet101": "ResNet101",
    "resnet152": "ResNet152",
}


def counts(network: str) -> Iterator[Proof]:
    """Parameters and multiply-adds against papers and others' programs."""
    for count in anchors.COUNTS[network]:
        size = "x".join(map(str, count.shape))
        parts = drawing.create(network, count.shape, count.classes, count.options)
        for place, part in enumerate(parts):
            what = ("generator, ", "critic, ")[place] if len(parts) > 1 else ""
            yield equal(
                network,
                f"{what}parameters at {size}: {count.source}",
                count.parameters[place],
                sum(math.prod(v.shape) for v in part.trainable_variables),
            )
            if count.millions:
                yield equal(
                    network,
                    f"{what}multiply-adds at {size}, millions: {count.source}",
                    count.millions,
                    round(multiply_adds(part) / 1e6),
                )
            elif count.multiply_adds:
                yield equal(
                    network,
                    f"{what}multiply-adds at {size}: {count.source}",
                    count.multiply_adds[place],
                    multiply_adds(part),
                )
    if network in anchors.DEPTHS:
        parts = drawing.create(network, RGB, CLASSES, {})
        kernels = [layer.name for layer in parts[0].layers if hasattr(layer, "kernel")]
        found = sum("shortcut" not in name for name in kernels)
        yield equal(network, "layers with weights", anchors.DEPTHS[network], found)


def by_numpy(network: str) -> Iterator[Proof]:
    """The outputs are those of the paper's equations, written out in NumPy."""
    family, fixed = networks.find(network)
    for shape, options in SMALL[family]:
        parts = drawing.create(network, shape, CLASSES, options)
        drawing.fill(*parts, variance=SMALL_VARIANCE)
        functions = functions_of(network, shape, fixed.get("depth", 0))
        size = "x".join(str(side or "any") for side in shape)
        kind = (
            f", {options['normalization']} norm" if "normalization" in options else ""
        )
        for place, (part, function) in enumerate(zip(parts, functions)):
            what = ("generator", "critic")[place] if len(parts) > 1 else "network"
            inputs = inputs_of(part)
            found = part(inputs, training=False)
            if isinstance(found, dict):
                found = found["log_odds"]
            expected = function(ByHand(part), inputs)
            if isinstance(expected, tuple):  # of a VAE, with the posterior
                expected = expected[0]
            yield below(
                network,
                f"the {what} at {size}{kind} is NumPy's",
                CLOSE,
                difference(keras.ops.convert_to_numpy(found), expected),
            )


def by_keras_applications(network: str) -> Iterator[Proof]:
    """The same weights give the same outputs as in keras.applications."""
    if network not in KERAS_MODELS:
        return
    side, options = 64, {}
    if network.startswith("resnet"):
        options = anchors.KERAS_OPTIONS
        count = drawing.create(network, anchors.IMAGENET, 1000, options)[0]
        yield equal(
            network,
            "all parameters: keras.applications",
            anchors.KERAS_APPLICATIONS[network],
            count.count_params(),
        )
    else:
        side = 32  # 512 numbers go into the first of the great dense layers
    source = drawing.without_values(
        lambda: getattr(keras.applications, KERAS_MODELS[network])(
            weights=None,
            input_shape=(side, side, 3),
            classes=10,
            classifier_activation=None,
        )
    )
    drawing.fill(source)
    (ours,) = drawing.create(network, (side, side, 3), 10, options)
    drawing.fill(ours, seed=1)
    from_keras.from_keras_applications(ours, source)
    inputs = inputs_of(ours)
    found, expected = (
        keras.ops.convert_to_numpy(model(inputs, training=False))
        for model in (ours, source)
    )
    yield below(
        network, "outputs: keras.applications", CLOSE, difference(found, expected)
    )


def functions_of(
    network: str, shape: tuple[int | None, ...], depth: int
) -> list[Callable[..., Any]]:
    """Return the functions in NumPy of a network, or of the two of a pair.

    Each takes a `ByHand` and inputs, and returns outputs; of a VAE also the posterior.
    """
    family, fixed = networks.find(network)
    if network in networks.PAIRS:
        make = getattr(by_hand_pairs, f"{family}_generator")
        judge = getattr(by_hand_pairs, f"{family}_critic")
        return [lambda of, x: make(of, x, shape), judge]
    function = getattr(by_hand, family)
    if family == "vgg":
        return [lambda of, x: function(of, x, depth, fixed["batch_norm"])]
    if family in ("resnet", "resnet_cifar"):
        return [lambda of, x: function(of, x, depth)]
    if family in ("autoencoder", "vae"):
        layers = 2 if network.startswith("conv") else 0
        return [lambda of, x, **more: function(of, x, layers, **more)]
    return [function]


def inputs_of(part: keras.Model, count: int = 2) -> np.ndarray:
    """Return inputs drawn by NumPy: vectors or images, or texts with padding."""
    draw = np.random.default_rng(1)
    shape = part.input_shape[1:]
    if shape == (None,):
        return np.array([[3, 14, 15, 9, 2], [6, 5, 0, 0, 0]], "int32")
    return draw.normal(size=(count, *shape)).astype("float32")


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the greatest difference, as a share of the greatest number expected."""
    if found.shape != expected.shape:
        raise ValueError(f"outputs must be {expected.shape}, got {found.shape}.")
    return float(np.abs(found - expected).max() / np.abs(expected).max())
