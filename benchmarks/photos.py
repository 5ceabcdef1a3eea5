"""Compare the accuracy on photos of your own: ours and the usual script in Keras.

Ours trains by its recipe; the script then trains on the same splits, at the same size,
for the seconds that ours took from its first step to its last validation. Each is a
process of its own, keeps its best epoch on the validation split, and is judged on the
test split once.
"""

import argparse
import statistics
import tempfile
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.worker import ask_a_process, choose_backend

OURS, SCRIPT = "ours", "script"


def main() -> None:
    """Read the command line, let both train seed by seed, print the accuracies."""
    options = _options()
    results: dict[str, list[dict[str, Any]]] = {OURS: [], SCRIPT: []}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        with tempfile.TemporaryDirectory() as runs:
            how = (runs, options.recipe, options.folder, seed, options.set)
            ours = ask_a_process(OURS, train_ours, *how)
            script = ask_a_process(
                *(SCRIPT, train_script, ours["run"], ours["seconds"], seed),
                options.rotation,
            )
        for name, result in ((OURS, ours), (SCRIPT, script)):
            results[name].append(result)
            print(f"seed {seed}: {in_words(name, result)}", flush=True)
    print(summary(results))


def train_ours(
    pipe: Connection, runs: str, recipe: str, folder: str, seed: int, changes: list[str]
) -> None:
    """Train and judge ours in this process, on TensorFlow, and send the result."""
    choose_backend("tensorflow")
    import classicnets
    from classicnets import recipe as recipes

    given = recipes.load(recipe, changes)
    run = classicnets.train(given, runs=runs, data=folder, seed=seed)
    validation, test = (run.evaluate(split) for split in ("validation", "test"))
    pipe.send(
        {
            "run": str(run.path),
            "seconds": run.history[-1]["total_seconds"],
            "epochs": run.recipe.epochs,
            "validation": validation["top1"],
            "test": test["top1"],
            "examples": test["examples"],
        }
    )


def train_script(
    pipe: Connection, path: str, seconds: float, seed: int, rotation: float
) -> None:
    """Train and judge the script on a run's splits, and send the result.

    Args:
        pipe: Takes the result.
        path: Of the run of ours.
        seconds: To train for.
        seed: Of weights, order, flips and dropout.
        rotation: At random, in turns to either side.
    """
    choose_backend("tensorflow")
    from benchmarks.peers import keras_photos
    from classicnets import Run, data

    recipe = Run(path).recipe
    splits = data.load(recipe.data, data.from_recipe(recipe))
    result = keras_photos.train(splits, seconds, seed, rotation)
    examples = len(splits.open_test())
    pipe.send(result | {"seconds": seconds, "examples": examples})


def in_words(name: str, result: Mapping[str, Any]) -> str:
    """Return the line of one training run."""
    return (
        f"{name} {result['test']:.2%} of {result['examples']:,} test photos "
        f"(validation {result['validation']:.2%}) in {result['epochs']} epochs, "
        f"{result['seconds']:.0f} s"
    )


def summary(results: Mapping[str, list[dict[str, Any]]]) -> str:
    """Return a line for each of both: mean and standard deviation over the seeds."""
    lines = []
    for name, runs in results.items():
        accuracies = [100 * run["test"] for run in runs]
        line = f"{name}: {statistics.mean(accuracies):.2f} %"
        if len(runs) > 1:
            line += f" +- {statistics.stdev(accuracies):.2f}"
        lines.append(f"{line} of {runs[0]['examples']:,}, seeds: {len(runs)}")
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.photos",
        description=(__doc__ or "").partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("folder", help="of photos, one subfolder per class")
    parser.add_argument("--recipe", default="photos", help="of ours")
    parser.add_argument("--seeds", type=int, default=1, help="training runs of each")
    parser.add_argument("--first-seed", type=int, default=0, help="and the next ones")
    parser.add_argument(
        "--set", action="append", default=[], help="KEY=VALUE of the recipe"
    )
    parser.add_argument(
        "--rotation",
        type=float,
        default=0.0,
        help="of the script's photos at random, in turns to either side",
    )
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error(f"seeds must be at least 1, got {options.seeds}.")
    return options


if __name__ == "__main__":
    main()
