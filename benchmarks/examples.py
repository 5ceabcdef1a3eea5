"""The examples that all contenders of a row read, as a file."""

import os
from pathlib import Path

import numpy as np

from benchmarks.shapes import (
    CLASSES,
    DIGITS,
    FACES,
    LONG_TOKENS,
    TEXT_CLASSES,
    TOKENS,
    VOCABULARY,
)
from classicnets import data

EXAMPLES = 10_000

# By kind: the set's name, its file in $CLASSICNETS_DATA, and the shape of an example.
SOURCES: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "photos": ("cifar100", "cifar100.npz", (32, 32, 3)),
    "texts": ("imdb", "imdb.parquet", (TOKENS,)),
    "long texts": ("imdb", "imdb.parquet", (LONG_TOKENS,)),
    "digits": ("mnist", "mnist.npz", (28, 28, 1)),
    "faces": ("anime_faces", "anime_faces", (64, 64, 3)),
}


def kind_of(network: str) -> str:
    """Return the kind of examples that a network trains on."""
    kinds = {"lstm": "texts", "lstm400": "long texts"}
    kinds |= dict.fromkeys(DIGITS, "digits") | dict.fromkeys(FACES, "faces")
    return kinds.get(network, "photos")


def save_examples(folder: str, kind: str) -> tuple[str, str]:
    """Write the examples of a kind; return the path and what they are.

    Real ones where they are at hand, without a download; noise takes as long.
    """
    name, file, shape = SOURCES[kind]
    place = os.environ.get("CLASSICNETS_DATA", "")
    if place and (Path(place) / file).exists():
        inputs, labels = _real(name, shape)
        source = f"the first {len(inputs):,} training examples of {name}"
        if len(shape) == 1:
            source += f" that have {shape[0]} words at least"
    else:
        inputs, labels = _random(shape)
        what = f"texts of {shape[0]} tokens"
        if len(shape) == 3:
            what = f"images of {'x'.join(map(str, shape))}"
        source = f"{EXAMPLES:,} random {what}, since {name} is not at hand"
    path = str(Path(folder) / f"{kind.replace(' ', '-')}.npz")
    np.savez(path, inputs=inputs, labels=labels)
    return path, source


def _real(name: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    on_texts = len(shape) == 1
    train = data.load(
        name,
        max_tokens=shape[0] if on_texts else 400,
        vocabulary_size=VOCABULARY,
        image_size=0 if on_texts else shape[0],
        labelled=name in ("cifar100", "imdb"),
    ).train
    if not on_texts:
        return np.asarray(train.inputs[:EXAMPLES]), train.labels[:EXAMPLES]
    # None is padded: ours cuts padding off, the others compute it.
    rows = np.flatnonzero(np.asarray(train.inputs)[:, -1])[:EXAMPLES]
    return train.inputs[rows], train.labels[rows]


def _random(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    on_texts = len(shape) == 1
    classes = TEXT_CLASSES if on_texts else CLASSES
    labels = random.integers(classes, size=EXAMPLES, dtype=np.int32)
    size = (EXAMPLES, *shape)
    if on_texts:
        return random.integers(1, VOCABULARY, size=size, dtype=np.int32), labels
    return random.integers(256, size=size, dtype=np.uint8), labels
