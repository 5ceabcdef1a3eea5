"""A cross-validation's folder: what is in it, how it is made and opened.

    runs/NAME-5folds-SEED/
        crossval.json       the recipe, the folds, what each of them scored, the means
        crossval.csv        one row per fold, then the mean and the standard deviation
        fold-1-SEED/ ...    an ordinary run each, which holds one fold out as its test
        report.html         all of it as a page

The folds' own folders are the truth: crossval.json is made anew from them after each.
"""

import contextlib
import dataclasses
import glob
import json
import math
import os
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from classicnets import files
from classicnets import recipe as recipes
from classicnets.errors import UserError
from classicnets.runs import identity
from classicnets.runs.run import Run

FILE = "crossval.json"
# What values of another kind than expected raise.
_ODD = (AttributeError, LookupError, TypeError, ValueError, RecursionError)


class CrossValidation:
    """A cross-validation's folder, opened.

    Args:
        path: The folder.

    Raises:
        UserError: If it is none, or crossval.json is not as it was written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).resolve()
        file = self.path / FILE
        try:
            self.content = json.loads(file.read_text(encoding="utf-8"))
            self.recipe = recipes.rebuild(self.content["recipe"])
            self.folds = int(self.content["folds"])
            self.groups, self.backend = self.content["groups"], self.content["backend"]
        except OSError as error:
            raise UserError(f"{file} cannot be read: {error.strerror}.") from None
        except _ODD as error:
            raise UserError(
                f"{file} must be as classicnets writes it: {type(error).__name__},"
                f" {' '.join(str(error).split())[:80]}"
            ) from None

    @property
    def typed_path(self) -> str:
        """The folder as a person would type it."""
        return files.as_typed(self.path)

    def fold_recipe(self, number: int) -> recipes.Recipe:
        """Return the recipe of a fold, counted from 1."""
        fold = {"folds": self.folds, "fold": number, "groups": self.groups}
        return dataclasses.replace(self.recipe, **fold)

    def fold_path(self, number: int) -> Path:
        """Return where a fold's run is, or will be."""
        return self.path / f"fold-{number}-{self.recipe.seed}"

    def fold(self, number: int) -> Run | None:
        """Return a fold's run; None as long as it has not begun."""
        path = self.fold_path(number)
        return Run(path) if (path / "recipe.toml").is_file() else None

    @property
    def fingerprint(self) -> str:
        """That of the data of its folds; "" as long as none has begun.

        Raises:
            UserError: If they are not all of the same data.
        """
        by_run = {
            run.name: str(identity.of_data(run.environment).get("data_fingerprint", ""))
            for number in range(1, self.folds + 1)
            if (run := self.fold(number))
        }
        if len(set(by_run.values())) > 1:
            lines = [f"{name} {value:.12}" for name, value in by_run.items()]
            raise UserError(
                f"the folds must be of the same data, got {', '.join(lines)}."
            )
        return next(iter(by_run.values()), "")

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Counts, seconds and scores of each fold that was judged."""
        rows = []
        for number in range(1, self.folds + 1):
            run = self.fold(number)
            metrics = run.metrics.get("test") if run else None
            if run and metrics:
                rows.append(_row(number, run, metrics=metrics))
        return rows

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process from going on with this cross-validation."""
        with files.lock(self.path, lambda: "another process"):
            # Only its own files: somebody may be at work in a fold's folder.
            files.remove_half_written(self.path.glob(".*"))
            yield

    def save(self, state: str) -> None:
        """Write crossval.json and crossval.csv from what the folds left.

        Raises:
            UserError: If the folds are of different data.
        """
        rows = self.rows
        means, deviations = summary(rows)
        self.content |= {
            "state": state,
            "data_fingerprint": self.fingerprint,
            "results": rows,
            "mean": means,
            "std": deviations,
        }
        files.write_json(self.path / FILE, self.content)
        if rows:
            columns = [*(key for key in rows[0] if key != "scores"), *means]
            lines = [row | row["scores"] for row in rows]
            lines += [{"fold": "mean", **means}, {"fold": "std", **deviations}]
            cells = [{key: line.get(key) for key in columns} for line in lines]
            files.write_csv(self.path / "crossval.csv", columns, cells)


def is_one(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is the folder of a cross-validation."""
    return (Path(path) / FILE).is_file()


def find_or_create(
    runs_folder: str | os.PathLike[str], name: str, content: Mapping[str, Any]
) -> CrossValidation:
    """Open the unfinished cross-validation of this name and content, or make one.

    Args:
        runs_folder: Where runs are kept.
        name: Of the cross-validation. The folder is NAME-5folds-SEED, or with -2, -3,
            ... at its end where that is taken by others.
        content: `recipe`, `folds`, `groups`, `backend`, and whatever else goes into
            crossval.json.
    """
    seed = content["recipe"]["seed"]
    stem = f"{name}-{content['folds']}folds-{seed}"
    for folder in sorted(Path(runs_folder).glob(f"{glob.escape(stem)}*")):
        # One that was damaged is no reason not to begin another.
        with contextlib.suppress(UserError):
            earlier = CrossValidation(folder)
            is_same = all(earlier.content.get(key) == content[key] for key in content)
            if is_same and earlier.content.get("state") != "finished":
                return earlier
    files.check_name(name)
    folder = files.take_folder(Path(runs_folder), stem)
    files.write_json(folder / FILE, {**content, "state": "running"})
    return CrossValidation(folder)


def summary(
    rows: list[dict[str, Any]],
) -> tuple[dict[str, float], dict[str, float | None]]:
    """Return each score's mean over the folds, and its standard deviation (n - 1)."""
    means: dict[str, float] = {}
    deviations: dict[str, float | None] = {}
    for key in rows[0]["scores"] if rows else ():
        values = [row["scores"][key] for row in rows if key in row["scores"]]
        if len(values) == len(rows):
            means[key] = statistics.fmean(values)
            deviations[key] = statistics.stdev(values) if len(values) > 1 else None
    return means, deviations


def _row(number: int, run: Run, *, metrics: Mapping[str, Any]) -> dict[str, Any]:
    environment, status, kind = run.environment, run.status, run.recipe.kind
    return {
        "fold": number,
        "run": run.name,
        "train_examples": environment.get("train_examples"),
        "validation_examples": environment.get("validation_examples"),
        "examples": metrics.get("examples"),
        "best_epoch": (status.get("best") or {}).get("epoch"),
        "seconds": status.get("seconds"),
        "scores": {
            key: value
            for key, value in metrics.items()
            if key in (*kind.scores, *kind.further_scores)
            and isinstance(value, int | float)
            and math.isfinite(value)
        }
        | ({"rival": metrics["rival"][kind.scores[0]]} if "rival" in metrics else {}),
    }
