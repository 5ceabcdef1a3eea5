"""The page of a cross-validation: what its folds scored, together and one by one.

Everything comes from the files of the folder and of the folds' runs, as in `report`.
"""

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import markupsafe
import numpy as np

from classicnets import files, kinds
from classicnets import recipe as recipes
from classicnets.reports import classify, figures, report
from classicnets.runs.folds import CrossValidation, summary
from classicnets.runs.run import Run

_CHARTS = 12  # folds, beyond which lines cannot be told apart


def write(folder: CrossValidation) -> Path:
    """Write report.html into the folder of a cross-validation, finished or not.

    Returns:
        The path of the page.

    Raises:
        UserError: If a file of a fold is there but cannot be read.
    """
    path = folder.path / "report.html"
    with report.readable(folder.path):
        text = report.page("crossval.html.j2").render(_content(folder))
    files.write(path, text.encode())
    return path


def _content(folder: CrossValidation) -> dict[str, Any]:
    rows, recipe = folder.rows, folder.recipe
    runs = [run for row in rows if (run := folder.fold(row["fold"]))]
    means, deviations = summary(rows)
    headline = recipe.kind.scores[0]
    first = headline if headline in means else next(iter(means), "")
    path = f"{folder.path.parent.name}/{folder.path.name}"
    return {
        "name": folder.path.name,
        "recipe": dataclasses.asdict(recipe),
        "recipe_text": recipes.to_toml(recipe).strip(),
        "environment": _environment(runs),
        "folds": folder.folds,
        "splitter": folder.content.get("splitter"),
        "groups": folder.groups,
        "rows": rows,
        "scores": list(means),
        "first": first,
        "mean": means,
        "std": deviations,
        "shares": kinds.SHARES,
        "seconds": sum(row["seconds"] or 0 for row in rows) or None,
        "charts": _charts(runs, recipe.kind),
        "resume_command": shlex.join(["classicnets", "resume", path]),
        **_pooled(runs),
    }


def _environment(runs: list[Run]) -> dict[str, Any]:
    """Return where the first fold was trained, without what differs between folds."""
    left_out = ("class_names", "train_examples", "validation_examples", "resumed")
    if not runs:
        return {}
    return {k: v for k, v in runs[0].environment.items() if k not in left_out}


def _charts(runs: list[Run], kind: kinds.Kind) -> list[dict[str, Any]]:
    if kind.curve is None:
        return []
    (title, curve), lines = kind.curve, []
    for run in runs[:_CHARTS]:
        if points := report.finite_points(run.history, curve):
            lines.append(figures.Line(f"fold {run.recipe.fold}", points))
    if not lines:
        return []
    percent = curve.removeprefix("validation_") in kinds.SHARES
    # Safe: figures.chart escapes every text it is given.
    svg = markupsafe.Markup(figures.chart(title, lines, percent=percent))
    return [{"title": title, "svg": svg}]


def _pooled(runs: list[Run]) -> dict[str, Any]:
    """Return the confusion matrices of all folds in one: an example counts once."""
    counts = [run.metrics["test"].get("confusion") for run in runs]
    if not counts or not all(counts):
        return {"pooled": None}
    total = np.sum([np.asarray(part, np.int64) for part in counts], axis=0)
    examples, right = int(total.sum()), int(total.trace())
    return {
        "pooled": {"examples": examples, "right": right, "share": right / examples},
        **classify.confusions(total, runs[0].class_names),
    }
