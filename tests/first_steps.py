"""Takes a few steps of a VAE and of a WGAN-GP; run as a process of its own.

    python first_steps.py DATA.npz FIRST LAST STATE_FOLDER

It starts from weights made by NumPy, or where FIRST is not 0 from STATE_FOLDER, and
leaves there the state of both tasks, and losses and weights as .npz for a test to read.
"""

import sys
from pathlib import Path

import numpy as np

from classicnets import checkpoint, data, networks, recipe
from classicnets.tasks import TASKS

BATCH = 8
RECIPES = {
    "vae": {
        "task": "reconstruct",
        "network": "vae",
        "network_options": {"hidden_units": [32], "latent_size": 4},
    },
    "wgan_gp": {
        "task": "generate",
        "network": "dcgan",
        "objective": "wgan_gp",
        "critic_steps": 2,
        "ema": 0.9,
        "network_options": {
            "filters": 4,
            "latent_size": 6,
            "normalization": "layer",
        },
    },
}


def main(source: str, first: int, last: int, folder: Path) -> None:
    """Learn from step `first` up to step `last`."""
    splits = data.load(source, labelled=False)
    for name, values in RECIPES.items():
        chosen = recipe.build(
            values
            | {
                "data": source,
                "epochs": 1,
                "batch_size": BATCH,
                "optimizer": "adam",
                "learning_rate": 1e-3,
            }
        )
        task = TASKS[chosen.task](build(chosen, splits), chosen, splits)
        path = folder / f"{name}.safetensors"
        if first:
            checkpoint.restore(path, task.state)
        rows = last - first
        index = np.arange(first * 16, first * 16 + rows * 16).reshape(rows, -1)
        index = index[:, : np.prod(task.batch_shape)].reshape(rows, *task.batch_shape)
        batches = {
            "index": (index % len(splits.train)).astype("int32"),
            "learning_rate": np.full(rows, 1e-3, "float32"),
        }
        sums = task.train(batches, rows, first=first)
        losses = {key: total / rows for key, total in sums.items()}
        checkpoint.write(path, task.state, {"step": last})
        weights = {
            f"weight{number}": weight for number, weight in enumerate(weights_of(task))
        }
        np.savez(folder / f"{name}.npz", **losses, **weights)


def build(chosen, splits):
    """Build the network or the pair, its weights drawn by NumPy."""
    options = chosen.network_options
    if chosen.task == "generate":
        built = networks.create_pair(chosen.network, splits.input_shape, **options)
    else:
        built = networks.create(chosen.network, splits.input_shape, **options)
    random = np.random.default_rng(0)
    for part in built if isinstance(built, tuple) else (built,):
        for variable in part.trainable_variables:
            spread = 1.0 if "gamma" in variable.name else 0.0
            drawn = spread + 0.1 * random.normal(size=variable.shape)
            variable.assign(drawn.astype("float32"))
    return built


def weights_of(task):
    """Return the weights of a task's networks."""
    parts = [task.network] + ([task.critic] if hasattr(task, "critic") else [])
    return [weight for part in parts for weight in part.get_weights()]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
