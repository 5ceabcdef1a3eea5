"""Takes the first steps of learning of small networks; run as a process of its own.

    python -m classicnets.verification.first_steps FOLDER FIRST LAST NETWORK... [--keep]

It starts from weights made by NumPy, or where FIRST is not 0 from the states that an
earlier call kept in FOLDER. There it leaves, for each network, NETWORK.npz: outputs
before the steps, sums of the logs, and the weights after; with --keep also the state.
"""

import argparse
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from classicnets import data
from classicnets import recipe as recipes
from classicnets.data import Splits
from classicnets.networks import kind
from classicnets.recipe import Recipe
from classicnets.runs import checkpoint
from classicnets.tasks import TASKS
from classicnets.verification import drawing, small

BATCH = 4
RATE = 1e-3
# With 7, the splits have other images: on them one of dcgan's gradients is so near 0
# that Adam moves its weight by 0.002 one way on TensorFlow and the other way elsewhere.
LABELS = 3


def write_images(folder: Path, *members: str) -> None:
    """Write the images that `take` learns from: blurry ones, the same everywhere."""
    for member in members:
        source = np.random.default_rng(0)
        height, width, channels = small.of(member).shape
        coarse = source.integers(256, size=(48, height // 4, width // 4, channels))
        fine = coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)
        labels = np.arange(48) % LABELS
        arrays: dict[str, Any] = {"x_train": fine, "y_train": labels}
        arrays |= {"x_test": fine[:9], "y_test": labels[:9]}
        np.savez(_images(folder, member), **arrays)


def recipe_of(member: str, folder: Path) -> Recipe:
    """Return how a member learns."""
    _, options, learning, _ = small.of(member)
    return recipes.build(
        {
            "network": member,
            "data": str(_images(folder, member)),
            "epochs": 1,
            "batch_size": BATCH,
            "learning_rate": RATE,
            "weight_decay": 5e-4 if kind(member).labelled else 0.0,
            "network_options": dict(options),
            **learning,
        }
    )


def prepare(member: str, folder: Path) -> tuple[Recipe, Splits, drawing.Parts]:
    """Return how a member learns, from which images, and its networks, whose weights
    NumPy draws."""
    recipe = recipe_of(member, folder)
    splits = data.load(recipe.data, labelled=recipe.kind.labelled)
    options = recipe.network_options
    parts = drawing.create(member, splits.input_shape, LABELS, options)
    drawing.fill(*parts)
    return recipe, splits, parts


def make_task(recipe: Recipe, parts: drawing.Parts, splits: Splits) -> Any:
    """Make the task that trains them."""
    return TASKS[recipe.task](parts if len(parts) > 1 else parts[0], recipe, splits)


def batches_of(task: Any, first: int, last: int) -> dict[str, np.ndarray]:
    """Return the batches of the steps from `first` up to `last`."""
    rows, size = last - first, int(np.prod(task.batch_shape))
    index = np.arange(first * size, last * size) % len(task.splits.train)
    return {
        "index": index.reshape(rows, *task.batch_shape).astype("int32"),
        "learning_rate": np.full(rows, RATE, "float32"),
    }


def take(
    folder: Path, first: int, last: int, member: str, *, keep: bool = False
) -> None:
    """Learn from step `first` up to step `last`, and write what came of it."""
    recipe, splits, parts = prepare(member, folder)
    task = make_task(recipe, parts, splits)
    path = folder / f"{member}.safetensors"
    if first:
        checkpoint.restore(path, task.state)
    arrays: dict[str, Any] = {
        f"output{place}": outputs(part) for place, part in enumerate(parts)
    }
    sums = task.train(batches_of(task, first, last), last - first, first=first)
    if keep:
        checkpoint.write(path, task.state, {"step": last})
    weights = [weight for part in parts for weight in part.get_weights()]
    arrays |= {f"weight{place}": weight for place, weight in enumerate(weights)}
    np.savez(folder / f"{member}.npz", **arrays, **sums)


def outputs(part: keras.Model) -> np.ndarray:
    """Return a network's outputs, side by side, on inputs drawn by NumPy."""
    shape = (2, *part.input_shape[1:])
    inputs = np.random.default_rng(1).normal(size=shape).astype("float32")
    tensors = keras.tree.flatten(part(inputs, training=False))
    rows = [ops.convert_to_numpy(output).reshape(2, -1) for output in tensors]
    return np.concatenate(rows, axis=1)


def _images(folder: Path, member: str) -> Path:
    return folder / f"images-{small.size(small.of(member).shape, {})}.npz"


def main() -> None:
    """Read the command line and take the steps."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    for network in options.networks:
        take(options.folder, options.first, options.last, network, keep=options.keep)


if __name__ == "__main__":
    main()
