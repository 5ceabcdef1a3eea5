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


def write(found: CrossValidation) -> Path:
    """Writes report.html into the folder of a cross-validation, finished or not.

    Returns:
        The path of the page.

    Raises:
        UserError: a file of a fold is there but cannot be read.
    """
    path = found.path / "report.html"
    with report.readable(found.path):
        text = report.page("crossval.html.j2").render(_content(found))
    files.write(path, text.encode())
    return path


def _content(found: CrossValidation) -> dict[str, Any]:
    rows, recipe = found.rows, found.recipe
    judged = [run for row in rows if (run := found.fold(row["fold"]))]
    means, deviations = summary(rows)
    kind = recipe.kind
    first = kind.scores[0] if kind.scores[0] in means else next(iter(means), "")
    folder = f"{found.path.parent.name}/{found.path.name}"
    return {
        "name": found.path.name,
        "recipe": dataclasses.asdict(recipe),
        "recipe_text": recipes.to_toml(recipe).strip(),
        "environment": _environment(judged),
        "folds": found.folds,
        "splitter": found.content.get("splitter"),
        "groups": found.groups,
        "rows": rows,
        "scores": list(means),
        "first": first,
        "mean": means,
        "std": deviations,
        "shares": kinds.SHARES,
        "seconds": sum(row["seconds"] or 0 for row in rows) or None,
        "charts": _charts(judged, *kind.curve) if kind.curve else [],
        "resume_command": shlex.join(["classicnets", "resume", folder]),
        **_pooled(judged),
    }


def _environment(judged: list[Run]) -> dict[str, Any]:
    """Where the first fold was trained; what differs from fold to fold is left out."""
    left_out = ("class_names", "train_examples", "validation_examples", "resumed")
    if not judged:
        return {}
    return {k: v for k, v in judged[0].environment.items() if k not in left_out}


def _charts(judged: list[Run], title: str, curve: str) -> list[dict[str, Any]]:
    lines = []
    for run in judged[:_CHARTS]:
        points = [(row["epoch"], row[curve]) for row in run.history if curve in row]
        if points:
            label = f"fold {run.recipe.fold}"
            lines.append(figures.Line(label, points))
    if not lines:
        return []
    percent = curve.removeprefix("validation_") in kinds.SHARES
    # Safe: figures.chart escapes every text it is given.
    svg = markupsafe.Markup(figures.chart(title, lines, percent=percent))
    return [{"title": title, "svg": svg}]


def _pooled(judged: list[Run]) -> dict[str, Any]:
    """The confusion matrices of all folds in one: every example counts once."""
    counts = [run.metrics["test"].get("confusion") for run in judged]
    if not counts or not all(counts):
        return {"pooled": None}
    total = np.sum([np.asarray(part, np.int64) for part in counts], axis=0)
    examples, right = int(total.sum()), int(total.trace())
    return {
        "pooled": {"examples": examples, "right": right, "share": right / examples},
        **classify.confusions(total, judged[0].class_names),
    }
