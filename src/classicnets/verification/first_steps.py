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

from classicnets import data, networks, recipe
from classicnets.data import Splits
from classicnets.runs import checkpoint
from classicnets.tasks import TASKS
from classicnets.verification import drawing

BATCH = 4
RATE = 1e-3
LABELS = 3
SGD: dict[str, Any] = {"optimizer": "sgd", "weight_decay": 5e-4}
ADAM: dict[str, Any] = {"optimizer": "adam"}

# One network of each function: how it learns. Others differ in depth alone.
MEMBERS: dict[str, dict[str, Any]] = {
    "vgg11": {"network_options": {"hidden_units": [32, 16], "dropout": 0.0}},
    "vgg11_bn": {"network_options": {"hidden_units": [32, 16], "dropout": 0.0}},
    "resnet18": {},
    "resnet50": {},
    "resnet20": {},
    "lstm": {"network_options": {"units": [16, 8]}},
    "autoencoder": {"network_options": {"hidden_units": [32], "latent_size": 4}},
    "conv_autoencoder": {"network_options": {"hidden_units": [32], "latent_size": 4}},
    "vae": {"network_options": {"hidden_units": [32], "latent_size": 4}},
    "conv_vae": {"network_options": {"hidden_units": [32], "latent_size": 4}},
    "gan": {
        "objective": "gan",
        "network_options": {
            "generator_units": [32, 16],
            "discriminator_units": [32, 16],
            "dropout": 0.0,
        },
    },
    "dcgan": {
        "objective": "wgan_gp",
        "critic_steps": 2,
        "ema": 0.9,
        "network_options": {
            "filters": 4,
            "latent_size": 6,
            "normalization": "layer",
        },
    },
    # Not Adam: its first step is little but the gradients' signs, which rounding turns
    # in some of its millions: 0.033 of the update's length.
    "wgan_gp": {
        "objective": "wgan_gp",
        "optimizer": "sgd",
        "network_options": {"latent_size": 6},
    },
    "wgan_gp_resnet": {
        "objective": "wgan_gp",
        "network_options": {"filters": 4, "latent_size": 6},
    },
}
SHAPES = {
    **dict.fromkeys(("autoencoder", "conv_autoencoder", "vae", "conv_vae"), (8, 12, 1)),
    **dict.fromkeys(("lstm", "gan"), (8, 12, 1)),
    **dict.fromkeys(("resnet20", "dcgan"), (16, 16, 1)),
    **dict.fromkeys(("vgg11", "vgg11_bn", "wgan_gp_resnet"), (32, 32, 3)),
    **dict.fromkeys(("resnet18", "resnet50"), (48, 48, 3)),
    "wgan_gp": (64, 64, 3),
}


def member_of(network: str) -> str:
    """Return the network of `MEMBERS` that is built by the same code."""
    if network in MEMBERS:
        return network
    family, fixed = networks.find(network)
    if family == "vgg":
        return "vgg11_bn" if fixed["batch_norm"] else "vgg11"
    if family == "resnet_cifar":
        return "resnet20"
    return "resnet18" if fixed["depth"] < 50 else "resnet50"


def write_images(folder: Path, *members: str) -> None:
    """Write the images that `take` learns from: blurry ones, the same everywhere."""
    for member in members:
        draw = np.random.default_rng(0)
        height, width, channels = SHAPES[member]
        coarse = draw.integers(256, size=(48, height // 4, width // 4, channels))
        fine = coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)
        labels = np.arange(48) % LABELS
        arrays: dict[str, Any] = {"x_train": fine, "y_train": labels}
        arrays |= {"x_test": fine[:9], "y_test": labels[:9]}
        np.savez(_images(folder, member), **arrays)


def recipe_of(member: str, folder: Path) -> recipe.Recipe:
    """Return how a member learns."""
    kind = networks.kind(member).task
    return recipe.build(
        {
            "task": kind,
            "network": member,
            "data": str(_images(folder, member)),
            "epochs": 1,
            "batch_size": BATCH,
            "learning_rate": RATE,
            **(SGD if kind == "classify" else ADAM),
            **MEMBERS[member],
        }
    )


def prepare(member: str, folder: Path) -> tuple[recipe.Recipe, Splits, drawing.Parts]:
    """Return how a member learns, from which images, and its networks, whose weights
    NumPy draws."""
    chosen = recipe_of(member, folder)
    splits = data.load(chosen.data, labelled=chosen.task == "classify")
    parts = drawing.create(member, splits.input_shape, LABELS, chosen.network_options)
    drawing.fill(*parts)
    return chosen, splits, parts


def make_task(chosen: recipe.Recipe, parts: drawing.Parts, splits: Splits) -> Any:
    """Make the task that trains them."""
    return TASKS[chosen.task](parts if len(parts) > 1 else parts[0], chosen, splits)


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
    chosen, splits, parts = prepare(member, folder)
    task = make_task(chosen, parts, splits)
    path = folder / f"{member}.safetensors"
    if first:
        checkpoint.restore(path, task.state)
    found: dict[str, Any] = {
        f"output{place}": outputs(part) for place, part in enumerate(parts)
    }
    sums = task.train(batches_of(task, first, last), last - first, first=first)
    if keep:
        checkpoint.write(path, task.state, {"step": last})
    weights = [weight for part in parts for weight in part.get_weights()]
    found |= {f"weight{place}": weight for place, weight in enumerate(weights)}
    np.savez(folder / f"{member}.npz", **found, **sums)


def outputs(part: keras.Model) -> np.ndarray:
    """Return a network's outputs, side by side, on inputs drawn by NumPy."""
    shape = (2, *part.input_shape[1:])
    inputs = np.random.default_rng(1).normal(size=shape).astype("float32")
    found = keras.tree.flatten(part(inputs, training=False))
    rows = [ops.convert_to_numpy(output).reshape(2, -1) for output in found]
    return np.concatenate(rows, axis=1)


def _images(folder: Path, member: str) -> Path:
    return folder / f"images-{'x'.join(map(str, SHAPES[member]))}.npz"


def main() -> None:
    """Read the command line and take the steps."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("networks", nargs="+", choices=MEMBERS)
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    for network in given.networks:
        take(given.folder, given.first, given.last, network, keep=given.keep)


if __name__ == "__main__":
    main()
