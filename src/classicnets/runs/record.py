"""Results as data: one row per metric of a run, in docs/results.csv.

docs/results.md is made of it by tools/results.py.
"""

import csv
import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from classicnets import files
from classicnets import recipe as recipes
from classicnets.errors import UserError
from classicnets.recipe import Recipe
from classicnets.runs import identity
from classicnets.runs.earlier import FOLDER
from classicnets.runs.run import Run

COLUMNS = (
    "recipe",
    "seed",
    "differs",  # how the run differs from the recipe as it is shipped
    "backend",
    "precision",
    "machine",
    "seconds",  # of training
    "commit",
    "split",
    "metric",
    "examples",  # counted
    "value",  # accuracies are shares, nats are per image
    "seeds",  # of a mean whose runs are not listed one by one; else empty
    "std",  # over those seeds (n - 1)
    "anchor",
    "anchor_source",
    "model",  # the first digits of its SHA-256
    "data",  # and of the fingerprint of what it learned from
)
_LATER = ("model", "data")  # tables of earlier versions lack them
# What distinguishes one measurement from another.
KEY = (
    *("recipe", "seed", "differs", "backend", "precision", "machine", "commit"),
    *("split", "metric", "seeds"),
)
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}

_CIFAR_100 = "github.com/weiaicunzai/pytorch-cifar100, 200 epochs, best epoch on test"
_RESNET_20 = "github.com/chenyaofo/pytorch-cifar-models"
_FAST_TEXT = "keras-team/keras 2, examples/imdb_fasttext.py, with bigrams"
_CNN_LSTM = "keras-team/keras 2, examples/imdb_cnn_lstm.py"
# By recipe and metric of the test split: what others publish, and where.
ANCHORS: dict[tuple[str, str], tuple[float, str]] = {
    ("resnet18-cifar100", "top1"): (0.7561, _CIFAR_100),
    ("resnet18-cifar100", "top5"): (0.9305, _CIFAR_100),
    ("resnet18-cifar100-cpu", "top1"): (0.7561, _CIFAR_100),
    ("resnet18-cifar100-cpu", "top5"): (0.9305, _CIFAR_100),
    ("vgg19-cifar100", "top1"): (0.7223, _CIFAR_100),
    ("vgg19-cifar100", "top5"): (0.9116, _CIFAR_100),
    ("vgg19-cifar100-cpu", "top1"): (0.7223, _CIFAR_100),
    ("vgg19-cifar100-cpu", "top5"): (0.9116, _CIFAR_100),
    ("resnet20-cifar100", "top1"): (0.6883, _RESNET_20),
    ("resnet20-cifar100", "top5"): (0.9101, _RESNET_20),
    ("resnet20-cifar100-cpu", "top1"): (0.6883, _RESNET_20),
    ("resnet20-cifar100-cpu", "top5"): (0.9101, _RESNET_20),
    ("resnet56-cifar10", "top1"): (0.9303, "arXiv:1512.03385, table 6"),
    ("lstm-imdb", "top1"): (0.8498, _CNN_LSTM),
    ("lstm-imdb-400", "top1"): (0.9056, _FAST_TEXT),
    ("vae-mnist", "elbo"): (105.59, "github.com/pytorch/examples, vae, 10 epochs"),
}
# Keys of a recipe that decide nothing of what a run can score, or have a column.
_NOT_DIFFERENT = ("seed", "precision", *identity.WITHOUT_EFFECT)

Row = dict[str, str]


def record(run: Run, to: Path, *, shared: bool = False) -> list[Row]:
    """Append the results of a finished run, judged on its test split, to a CSV file.

    Args:
        run: The run.
        to: The file; made if it is not there.
        shared: Whether other programs used the machine at the same time.

    Returns:
        The rows that were added, one per metric of the test and the validation split.

    Raises:
        UserError: If the run is not finished, not judged on its test split, a fold of
            a cross-validation, of a commit with changes, or recorded already; if its
            network, recipe or data are no longer those that it was judged with; if the
            file is not such a table.
    """
    from filelock import FileLock

    _check(run)
    if not to.absolute().parent.is_dir():
        raise UserError(f"--to must name a file in a folder that exists, got {to}.")
    with FileLock(to.with_name(f".{to.name}.lock")):
        earlier = read(to) if to.exists() else []
        results = rows(run, shared=shared)
        keys = {_key(row) for row in earlier}
        if any(_key(row) in keys for row in results):
            raise UserError(
                f"{run.name} is in {to} already: {results[0]['recipe']}, seed"
                f" {results[0]['seed']}, commit {results[0]['commit']}."
            )
        files.write_csv(to, COLUMNS, [*earlier, *results])
    return results


def rows(run: Run, *, shared: bool = False) -> list[Row]:
    """Return the rows of a run, whatever its state: one per metric."""
    recipe, places = run.recipe, _places(run)
    folder = run.path.parent.parent if run.path.parent.name == FOLDER else run.path
    name = re.sub(rf"-{recipe.seed}(-\d+)?$", "", folder.name)
    common = {
        "recipe": name,
        "seed": str(recipe.seed),
        "differs": _differences(name, recipe, run.environment.get("train_examples", 0)),
        "backend": _joined(_backend(place) for place in places),
        "precision": recipe.precision.removeprefix("mixed_"),
        "machine": _joined(_machine(place) for place in places) + ", shared" * shared,
        "seconds": _cell(run.status.get("seconds"), digits=1),
        "commit": _joined(_commit(place)[:7] for place in places),
    }
    results = []
    for split in ("test", "validation"):
        metrics = run.metrics.get(split, {})
        for metric in recipe.kind.scores:
            if not isinstance(metrics.get(metric), int | float):
                continue
            anchor, source = ANCHORS.get((name, metric), (None, ""))
            if split != "test":
                anchor, source = None, ""
            own = {
                "split": split,
                "metric": metric,
                "examples": str(metrics["examples"]),
                "value": _cell(metrics[metric]),
                "anchor": _cell(anchor),
                "anchor_source": source,
                "model": str(metrics.get("model", ""))[: identity.SHOWN],
                "data": str(metrics.get("data", ""))[: identity.SHOWN],
            }
            results.append(dict.fromkeys(COLUMNS, "") | common | own)
    return results


def read(path: Path) -> list[Row]:
    """Read a file that `record` writes.

    Raises:
        UserError: If it is none: other columns, or a cell that is not a number.
    """
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            table = csv.DictReader(lines, strict=True)
            columns = tuple(table.fieldnames or ())
            if columns not in (COLUMNS, COLUMNS[: -len(_LATER)]):
                raise UserError(f"{path} must have the columns {', '.join(COLUMNS)}.")
            records = [
                dict.fromkeys(COLUMNS[len(columns) :], "") | row for row in table
            ]
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path} must be CSV: {error}.") from None
    for line, row in enumerate(records, 2):
        if None in row or None in row.values():
            raise UserError(f"{path} must have {len(COLUMNS)} cells in line {line}.")
        for column in ("seed", "examples", "value", "seeds", "std", "anchor"):
            if not _is_number(row[column]) or (column == "value" and not row[column]):
                raise UserError(
                    f"{column} in line {line} of {path} must be a number, got"
                    f" {row[column]!r}."
                )
    return records


def _check(run: Run) -> None:
    """Refuse what is no result yet, or none that can be made again."""
    state = run.status.get("state", "in an unknown state")
    if state != "finished":
        raise UserError(f"a recorded run must be finished, {run.name} is {state}.")
    if "test" not in run.metrics:
        raise UserError(
            f"a recorded run must be judged on its test split: classicnets evaluate"
            f" {run.typed_path}"
        )
    if run.recipe.folds:
        raise UserError(f"{run.name} is a fold of a cross-validation, no result.")
    if changed := run.metrics["test"].get("data_changed"):
        raise UserError(f"{run.name} was judged on data that had changed: {changed}.")
    run.digest(run.recipe.kind.judged)  # is what the metrics are of
    if lines := run.recipe_differences():
        raise UserError(
            f"{run.name} was finished with another recipe.toml: {'; '.join(lines)}."
        )
    for place in _places(run):
        if _commit(place).endswith("-dirty"):
            raise UserError(
                f"{run.name} was trained with changes that are in no commit, on top of"
                f" {_commit(place)[:7]}: nobody could do it again."
            )


def _places(run: Run) -> list[dict[str, Any]]:
    """Return where the run was trained: its start, and each time it went on."""
    environment = run.environment
    resumed = environment.get("resumed", [])
    if not environment.get("backend") or not isinstance(resumed, list):
        path = run.path / "environment.json"
        raise UserError(f"{path} must say where the run was trained.")
    return [environment, *(place for place in resumed if isinstance(place, dict))]


def _differences(name: str, recipe: Recipe, examples: int) -> str:
    """Return what is not as in the shipped recipe, as `--set` takes it."""
    if name not in recipes.names():
        return ""
    shipped = recipes.load(name)
    if examples:  # what follows from them is no difference
        shipped, _ = recipes.fit(shipped, examples)
    same_length = recipes.adapt(shipped, {"epochs": recipe.epochs})
    was, now = _flat(same_length) | {"epochs": shipped.epochs}, _flat(recipe)
    changed = [key for key in {**was, **now} if was.get(key) != now.get(key)]
    return " ".join(f"{key}={_typed(now.get(key))}" for key in changed)


def _flat(recipe: Recipe) -> dict[str, Any]:
    """Return what decides a score, a key per option of the network."""
    values = dataclasses.asdict(recipe)
    options = values.pop("network_options")
    # A path says nothing to others but its last part.
    values["data"] = Path(values["data"]).name
    decisive = {
        key: value for key, value in values.items() if key not in _NOT_DIFFERENT
    }
    return decisive | {
        f"network_options.{key}": value for key, value in options.items()
    }


def _typed(value: Any) -> str:
    return "default" if value is None else str(value).replace(" ", "")


def _backend(place: Mapping[str, Any]) -> str:
    version = str(place.get("backend_version") or "")
    name = BACKENDS.get(place["backend"], place["backend"])
    return f"{name} {'.'.join(version.split('.')[:2])}".strip()


def _machine(place: Mapping[str, Any]) -> str:
    processor, cores = place.get("processor"), place.get("cpu_count")
    device = place.get("device")
    if device and not str(device).startswith("CPU"):
        return str(device)
    return f"{processor or 'CPU'}, {cores} core{'s' * (cores != 1)}"


def _commit(place: Mapping[str, Any]) -> str:
    """Return the commit, or the version where there was no checkout."""
    return str(place.get("commit") or place.get("classicnets") or "")


def _joined(parts: Iterable[str]) -> str:
    return " + ".join(dict.fromkeys(part for part in parts if part))


def _cell(value: float | None, digits: int = 6) -> str:
    return "" if value is None else f"{round(float(value), digits):g}"


def _is_number(cell: str) -> bool:
    try:
        return not cell or math.isfinite(float(cell))
    except ValueError:
        return False


def _key(row: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(row[column] for column in KEY)
