"""Counts of parameters, and outputs against NumPy and keras.applications."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from classicnets import networks
from classicnets.networks.summary import multiply_adds
from classicnets.verification import anchors, by_hand, by_hand_pairs, drawing, small
from classicnets.verification.by_hand import ByHand
from classicnets.verification.proof import Proof, below, equal, missing
from classicnets.weights import from_keras

CLOSE = 1e-4  # of the largest output
SMALL_VARIANCE = 1e-4  # of batch statistics: an epsilon of 1e-5 shows beside it

# By family, the function in NumPy of a network, or the two of a pair. Each takes a
# `ByHand`, inputs and the options that the network's name fixes, and returns outputs;
# of a VAE also the posterior.
FUNCTIONS: dict[str, tuple[Callable[..., Any], ...]] = {
    "vgg": (by_hand.vgg,),
    "resnet": (by_hand.resnet,),
    "resnet_cifar": (by_hand.resnet_cifar,),
    "lstm": (by_hand.lstm,),
    "autoencoder": (by_hand.autoencoder,),
    "vae": (by_hand.vae,),
    "gan": (by_hand_pairs.gan_generator, by_hand_pairs.gan_critic),
    "dcgan": (by_hand_pairs.dcgan_generator, by_hand_pairs.dcgan_critic),
    "wgan_gp": (by_hand_pairs.wgan_gp_generator, by_hand_pairs.wgan_gp_critic),
    "wgan_gp_resnet": (
        by_hand_pairs.wgan_gp_resnet_generator,
        by_hand_pairs.wgan_gp_resnet_critic,
    ),
}
KERAS_MODELS = {
    "vgg16": "VGG16",
    "vgg19": "VGG19",
    "resnet50": "ResNet50",
    "resnet101": "ResNet101",
    "resnet152": "ResNet152",
}


def counts(network: str) -> Iterator[Proof]:
    """Compare parameters and multiply-adds with papers and others' programs."""
    if network not in anchors.COUNTS:
        yield missing(network, "counts", "anchors.COUNTS")
    for count in anchors.COUNTS.get(network, ()):
        parts = drawing.create(network, count.shape, count.classes, count.options)
        of = f"at {small.size(count.shape, {})}: {count.source}"
        for place, part in enumerate(parts):
            what = ("generator, ", "critic, ")[place] if len(parts) > 1 else ""
            yield equal(
                network,
                f"{what}parameters {of}",
                count.parameters[place],
                sum(math.prod(v.shape) for v in part.trainable_variables),
            )
            if count.millions:
                yield equal(
                    network,
                    f"{what}multiply-adds {of.replace(':', ', millions:')}",
                    count.millions,
                    round(multiply_adds(part) / 1e6),
                )
            elif count.multiply_adds:
                yield equal(
                    network,
                    f"{what}multiply-adds {of}",
                    count.multiply_adds[place],
                    multiply_adds(part),
                )
    if network in anchors.DEPTHS:
        (part,) = drawing.create(network, small.RGB, small.CLASSES, {})
        kernels = [layer.name for layer in part.layers if hasattr(layer, "kernel")]
        depth = sum("shortcut" not in name for name in kernels)
        yield equal(network, "layers with weights", anchors.DEPTHS[network], depth)


def by_numpy(network: str) -> Iterator[Proof]:
    """Compare the outputs with those of the paper's equations, written in NumPy."""
    family, fixed = networks.find(network)
    if family not in FUNCTIONS:
        yield missing(network, "outputs by NumPy", "outputs.FUNCTIONS")
        return
    for shape, options in small.of(network).variants:
        parts = drawing.create(network, shape, small.CLASSES, options)
        drawing.fill(*parts, variance=SMALL_VARIANCE)
        for place, (part, function) in enumerate(zip(parts, FUNCTIONS[family])):
            what = ("generator", "critic")[place] if len(parts) > 1 else "network"
            inputs = inputs_of(part)
            outputs = part(inputs, training=False)
            if isinstance(outputs, dict):
                outputs = outputs["log_odds"]
            expected = function(ByHand(part, shape=shape), inputs, **fixed)
            if isinstance(expected, tuple):  # of a VAE, with the posterior
                expected = expected[0]
            yield below(
                network,
                f"the {what} at {small.size(shape, options)} is NumPy's",
                CLOSE,
                difference(keras.ops.convert_to_numpy(outputs), expected),
            )


def by_keras_applications(network: str) -> Iterator[Proof]:
    """Compare with outputs of the same weights in keras.applications."""
    if network not in KERAS_MODELS:
        return
    side, options = 64, anchors.KERAS_OPTIONS
    if network in anchors.KERAS_APPLICATIONS:
        full = drawing.create(network, anchors.IMAGENET, 1000, options)[0]
        yield equal(
            network,
            "all parameters: keras.applications",
            anchors.KERAS_APPLICATIONS[network],
            full.count_params(),
        )
    else:
        # 512 numbers go into the first of the large dense layers.
        side, options = 32, {}
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
    value, expected = (
        keras.ops.convert_to_numpy(model(inputs, training=False))
        for model in (ours, source)
    )
    yield below(
        network, "outputs: keras.applications", CLOSE, difference(value, expected)
    )


def inputs_of(part: keras.Model, count: int = 2) -> np.ndarray:
    """Return inputs drawn by NumPy: vectors or images, or texts with padding."""
    source = np.random.default_rng(1)
    shape = part.input_shape[1:]
    if shape == (None,):
        return np.array([[3, 14, 15, 9, 2], [6, 5, 0, 0, 0]], "int32")
    return source.normal(size=(count, *shape)).astype("float32")


def difference(values: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference, as a share of the largest number expected."""
    if values.shape != expected.shape:
        raise ValueError(f"outputs must be {expected.shape}, got {values.shape}.")
    return float(np.abs(values - expected).max() / np.abs(expected).max())
