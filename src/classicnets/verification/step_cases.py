"""Tiny networks, examples, and the ways to learn that `steps` proves."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers

from classicnets import recipe as recipes
from classicnets.data import Examples, Splits
from classicnets.kinds import NUMBERS, SETS
from classicnets.recipe import Recipe
from classicnets.verification import by_hand, by_hand_pairs, drawing
from classicnets.verification.by_hand import ByHand, flat, relu

STEPS, EPOCH = 3, 1  # an epoch's, and which
BATCH, CLASSES = 4, 3
SHAPE = (4, 6, 3)  # of a classifier's images
GREY = (4, 4, 1)  # of the others'


class Case(NamedTuple):
    """One way to learn.

    Args:
        title: How, in a few words.
        network: By name; the classifier of images is a tiny one of ours.
        options: The network's.
        keys: Of a recipe.
    """

    title: str
    network: str
    options: Mapping[str, Any]
    keys: Mapping[str, Any]


DENSE = {"hidden_units": (4,), "latent_size": 2}
DENSE_PAIR = {
    "latent_size": 2,
    "generator_units": (4,),
    "discriminator_units": (4, 3),
    "dropout": 0.0,
}
CASES: dict[str, tuple[Case, ...]] = {
    "classify": (
        Case(
            "SGD, CutMix, smoothing, clipping, class weights",
            *("resnet20", {}),
            {
                "learning_rate": 0.3,
                "warmup_epochs": 5 / STEPS,
                "cutmix": 1.0,
                "label_smoothing": 0.2,
                "balance": "weights",
                "weight_decay": 0.1,
                "decay_all": False,
                "gradient_clip": 0.5,
                "ema": 0.25,
                "seed": 3,
            },
        ),
        Case(
            "SGD, mixup, crop, flip, cutout",
            *("resnet20", {}),
            {
                "learning_rate": 0.5,
                "nesterov": False,
                "schedule": "step",
                "milestones": [EPOCH],
                "step_factor": 0.4,
                "crop_padding": 1,
                "flip": True,
                "cutout": 3,
                "mixup": 1.0,
                "weight_decay": 0.1,
            },
        ),
        Case(
            "AdamW of texts, one cycle",
            *("lstm", {"units": (2,), "vocabulary_size": 6, "embedding_size": 2}),
            {"optimizer": "adamw", "learning_rate": 0.1, "weight_decay": 0.5}
            | {"schedule": "one_cycle", "warmup_epochs": 1 / STEPS},
        ),
    ),
    "regress": (
        Case(
            "SGD of numbers, mixup, flip",
            *("resnet20", {}),
            {"task": "regress", "learning_rate": 0.5, "mixup": 1.0, "flip": True}
            | {"weight_decay": 0.1, "ema": 0.25, "seed": 3},
        ),
        Case(
            "Adam of numbers and texts",
            *("lstm", {"units": (2,), "vocabulary_size": 6, "embedding_size": 2}),
            {"task": "regress", "optimizer": "adam", "learning_rate": 0.1},
        ),
    ),
    "tag": (
        Case(
            "SGD of several labels, CutMix",
            *("resnet20", {}),
            {"task": "tag", "learning_rate": 0.5, "cutmix": 1.0, "ema": 0.25}
            | {"weight_decay": 0.1, "seed": 3},
        ),
        Case(
            "Adam of several labels and texts",
            *("lstm", {"units": (2,), "vocabulary_size": 6, "embedding_size": 2}),
            {"task": "tag", "optimizer": "adam", "learning_rate": 0.1},
        ),
    ),
    "reconstruct": (
        Case(
            "VAE, beta's warm-up, cosine",
            *("vae", DENSE),
            {"optimizer": "adam", "beta": 4.0, "beta_warmup_epochs": 5 / STEPS}
            | {"learning_rate": 0.1, "ema": 0.25},
        ),
        Case(
            "VAE of binary pixels, Adam with L2",
            *("vae", DENSE),
            {"optimizer": "adam", "learning_rate": 0.1, "binarize": True}
            | {"weight_decay": 0.5},
        ),
        Case(
            "autoencoder of normal pixels, flip",
            *("autoencoder", DENSE),
            {"learning_rate": 0.1, "objective": "gaussian", "flip": True},
        ),
    ),
    "generate": (
        Case(
            "GAN, Adam, batch norm",
            *("dcgan", {"latent_size": 2, "filters": 2}),
            {"objective": "gan", "optimizer": "adam", "beta_1": 0.5}
            | {"learning_rate": 0.1, "ema": 0.25},
        ),
        Case(
            "WGAN, RMSprop, clipped weights",
            *("gan", DENSE_PAIR),
            {"objective": "wgan", "optimizer": "rmsprop", "critic_steps": 2}
            | {"learning_rate": 0.05, "clip": 0.3, "flip": True},
        ),
        Case(
            "WGAN-GP, critic of its own rate",
            *("gan", DENSE_PAIR),
            {"objective": "wgan_gp", "optimizer": "adam", "critic_steps": 2}
            | {"beta_1": 0.5, "beta_2": 0.9, "learning_rate": 0.1}
            | {"critic_learning_rate": 0.03, "penalty": 5.0},
        ),
    ),
}


def recipe_of(case: Case) -> Recipe:
    """Return how a case learns."""
    return recipes.build(
        {
            "network": case.network,
            "data": "drawn",
            "epochs": 2,
            "batch_size": BATCH,
            "evaluation_batch_size": BATCH,
            "network_options": dict(case.options),
            **case.keys,
        }
    )


def splits_of(recipe: Recipe) -> Splits:
    """Return examples drawn by NumPy: an epoch of them, and one that is left over."""
    source = np.random.default_rng(1)
    count = STEPS * BATCH * recipe.critic_steps + 1
    inputs: Any = source.integers(256, size=(count, *_shape(recipe)), dtype=np.uint8)
    if recipe.network == "lstm":
        inputs = source.integers(1, 6, size=(count, 5), dtype=np.int32)
        inputs[np.arange(5) > source.integers(5, size=(count, 1))] = 0
    labels, names = _labels(recipe, count)
    examples = Examples(inputs, labels)
    return Splits("drawn", names, examples, examples, lambda: examples, "", ())


def _labels(recipe: Recipe, count: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return labels, and the names of their classes."""
    kind = recipe.kind
    classes = np.arange(count, dtype="int32") % 4 % CLASSES  # half are 0
    if kind.labels == NUMBERS:
        return 40.0 + 3.0 * classes + np.arange(count) / count, ()
    names = ("a", "b", "c")[: CLASSES * kind.labelled]
    if kind.labels == SETS:  # one, two, and none
        sets = np.eye(CLASSES, dtype=np.uint8) + np.eye(CLASSES, k=1, dtype=np.uint8)
        return np.append(sets, np.zeros((1, CLASSES), np.uint8), axis=0)[
            np.arange(count) % (CLASSES + 1)
        ], names
    return classes * kind.labelled, names


def _shape(recipe: Recipe) -> tuple[int, ...]:
    if recipe.kind.labelled:
        return SHAPE
    return (8, 8, 1) if recipe.network == "dcgan" else GREY


def parts_of(recipe: Recipe, splits: Splits) -> drawing.Parts:
    """Return the networks, with weights drawn by NumPy."""
    shape, options = splits.input_shape, recipe.network_options
    parts: drawing.Parts
    outputs = len(splits.class_names) or 1
    if recipe.network == "resnet20":
        parts = (drawing.without_values(lambda: _tiny(shape, outputs)),)
    else:
        parts = drawing.create(recipe.network, shape, outputs, options)
    drawing.fill(*parts)
    return parts


def _tiny(shape: tuple[int | None, ...], outputs: int) -> keras.Model:
    images = keras.Input(shape)
    x = layers.Conv2D(2, 3, padding="same", use_bias=False, name="conv")(images)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="norm")(x)
    x = layers.Flatten()(layers.ReLU()(x))
    return keras.Model(images, layers.Dense(outputs, name="logits")(x))


def _tiny_by_hand(of: ByHand, x: Any) -> Any:
    x = relu(of.norm("norm", of.conv("conv", x, padding=1)))
    return of.dense("logits", flat(x))


FORWARD: dict[str, tuple[Callable[..., Any], ...]] = {
    "resnet20": (_tiny_by_hand,),
    "lstm": (by_hand.lstm,),
    "vae": (by_hand.vae,),
    "autoencoder": (by_hand.autoencoder,),
    "gan": (by_hand_pairs.gan_generator, by_hand_pairs.gan_critic),
    "dcgan": (by_hand_pairs.dcgan_generator, by_hand_pairs.dcgan_critic),
}
