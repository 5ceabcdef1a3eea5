"""Runs beside one another: what differs, what they score, and what that can tell.

Everything comes from the runs' files, as in `report`. Of two networks that answered the
same examples each example is a pair: McNemar's test (Psychometrika 12:153, 1947) of
right and wrong answers, a bootstrap of the difference of nats or of squared errors. A
test of two networks says nothing of their recipes: another seed makes other networks.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import markupsafe
import numpy as np

from classicnets import files, kinds
from classicnets.errors import UserError
from classicnets.reports import figures, paired, report
from classicnets.reports.classify import interval
from classicnets.runs import identity
from classicnets.runs.run import Run

MOST = 8  # runs, beyond which lines cannot be told apart
LEVEL = 0.05  # of the tests, all together
# By what samples/SPLIT.npz says of every example, the test of two networks.
_PER_EXAMPLE: dict[str, Callable[..., tuple[str, float, bool]]] = {
    "right": paired.mcnemar,
    "nats": functools.partial(paired.bootstrap, what="nats per image"),
    "losses": functools.partial(paired.bootstrap, what="nats per example"),
    "squared_errors": functools.partial(paired.bootstrap, what="squared error"),
}
# What may differ without making another recipe.
_NO_RECIPE = ("seed", "data", *identity.WITHOUT_EFFECT)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the first of two runs' scores says of the second's.

    Args:
        other: The name of the second run.
        words: The finding, a sentence or two.
        better: The name of the run that is better; "" where nobody can tell.
        p_value: Of the test, None without one.
    """

    other: str
    words: str
    better: str = ""
    p_value: float | None = None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Runs of one kind, judged on one split.

    Args:
        runs: The runs, in the order given.
        split: "test" if all were judged on it, else "validation".
        differences: By recipe key or fact, the value of each run.
        scores: By name of the score, for each run its value and 95 % interval, None
            where there is none.
        verdicts: Of the first run and each other one.
    """

    runs: Sequence[Run]
    split: str
    differences: Mapping[str, Sequence[Any]]
    scores: Mapping[str, Sequence[tuple[float | None, tuple[float, float] | None]]]
    verdicts: Sequence[Verdict]


def compare(runs: Sequence[Run]) -> Comparison:
    """Compare runs of one kind.

    Args:
        runs: 2 to 8 of them.

    Raises:
        UserError: For other numbers, for one run twice, for runs of several kinds, or
            where one has not been judged.
    """
    if not 2 <= len(runs) <= MOST:
        raise UserError(f"compare needs 2 to {MOST} runs, got {len(runs)}.")
    if len({run.path for run in runs}) < len(runs):
        raise UserError("compare needs different runs, one was named twice.")
    found = list(dict.fromkeys(run.recipe.kind for run in runs))
    if len(found) > 1:
        names = " and ".join(kind.name for kind in found)
        raise UserError(f"compare needs runs of one kind, got {names}.")
    split = _common_split(runs)
    return Comparison(
        runs,
        split,
        _differences(runs, split),
        {key: [_score(run, split, key) for run in runs] for key in _scored(runs)},
        _verdicts(runs, split),
    )


def write(comparison: Comparison, path: Path) -> None:
    """Write the page of a comparison: one file that loads nothing."""
    with report.readable(path):
        text = report.page("comparison.html.j2").render(_content(comparison))
    files.write(path, text.encode())


def table(comparison: Comparison) -> list[str]:
    """Return the scores, the differences and the findings as lines of a terminal."""
    names = [label(run, comparison.runs) for run in comparison.runs]
    rows = [[comparison.split, *names]]
    for key, cells in comparison.scores.items():
        if any(value is not None for value, _ in cells):
            rows.append([key, *(_in_words(*cell) for cell in cells)])
    rows += [[key, *map(str, v)] for key, v in comparison.differences.items()]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
        for row in rows
    ]
    return [*lines, *(verdict.words for verdict in comparison.verdicts)]


def _in_words(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return "–"
    text = f"{value:.4f}"
    return f"{text} ({interval[0]:.4f} to {interval[1]:.4f})" if interval else text


def label(run: Run, among: Sequence[Run]) -> str:
    """Return a run's name, with its folder's where another one has the same."""
    same = [other for other in among if other.name == run.name]
    return run.name if len(same) == 1 else f"{run.path.parent.name}/{run.name}"


# -- what differs -----------------------------------------------------------------


def _common_split(runs: Sequence[Run]) -> str:
    """Return the split on which every run was judged."""
    for split in ("test", "validation"):
        if all(split in run.metrics for run in runs):
            return split
    bare = next(run for run in runs if not run.metrics)
    raise UserError(
        f"{bare.typed_path} has not been judged:"
        f" classicnets evaluate {bare.typed_path} does that."
    )


def _differences(runs: Sequence[Run], split: str) -> dict[str, list[Any]]:
    """Return recipe keys and facts whose values are not the same for all."""
    recipe = [dataclasses.asdict(run.recipe) for run in runs]
    rows = {key: [values[key] for values in recipe] for key in recipe[0]}
    rows |= {
        "data": [_data(run, split) for run in runs],
        "training examples": [run.environment.get("train_examples") for run in runs],
        "backend": [run.environment.get("backend") for run in runs],
        "device": [run.environment.get("device") for run in runs],
        "epochs not trained": [run.recipe.epochs - len(run.history) for run in runs],
    }
    return {
        key: values
        for key, values in rows.items()
        if any(value != values[0] for value in values)
    }


def _data(run: Run, split: str) -> str:
    """Return the name of a run's data, and the first digits of what they were."""
    digits = str(run.metrics[split].get("data") or "")[: identity.SHOWN]
    return f"{run.recipe.data} ({digits})" if digits else run.recipe.data


def _scored(runs: Sequence[Run]) -> list[str]:
    kind = runs[0].recipe.kind
    return [*kind.scores, *kind.further_scores]


def _score(
    run: Run, split: str, key: str
) -> tuple[float | None, tuple[float, float] | None]:
    """Return a score and the interval that so few examples leave open."""
    metrics = run.metrics[split]
    value = metrics.get(key)
    if not isinstance(value, int | float):
        return None, None
    if key == "top1":
        return float(value), interval(metrics)
    per_example = run.samples(split).get("nats")
    if per_example is not None and key == _headline(run):
        spread = 1.96 * float(np.std(per_example, ddof=1)) / math.sqrt(len(per_example))
        return float(value), (value - spread, value + spread)
    return float(value), None


def _headline(run: Run) -> str:
    return run.recipe.kind.scores[0]


# -- what that can tell -----------------------------------------------------------


def _verdicts(runs: Sequence[Run], split: str) -> list[Verdict]:
    first, *others = runs
    tested = [_verdict(first, other, split, runs) for other in others]
    return _corrected(tested)


def _verdict(first: Run, other: Run, split: str, among: Sequence[Run]) -> Verdict:
    names = label(first, among), label(other, among)
    if reason := _not_comparable(first, other, split):
        return Verdict(names[1], reason)
    answers = [run.samples(split) for run in (first, other)]
    key = next((k for k in _PER_EXAMPLE if all(k in a for a in answers)), None)
    if key is None:
        return Verdict(names[1], _without_pairs(first, other, split))
    left, right = (arrays[key] for arrays in answers)
    words, p_value, is_first = _PER_EXAMPLE[key](left, right, names)
    if _same_recipe(first, other):
        words += " They differ in the seed alone: neither is the better recipe."
        return Verdict(names[1], words, "", p_value)
    return Verdict(names[1], words, names[0 if is_first else 1], p_value)


def _corrected(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Call nobody better whose difference chance can make."""
    tested = [v.p_value for v in verdicts if v.p_value is not None]
    limit = paired.holm(tested, LEVEL)
    corrected = []
    for verdict in verdicts:
        words = verdict.words
        if verdict.better and verdict.p_value is not None:
            if verdict.p_value <= limit:
                words = f"{words} {verdict.better} is better."
            else:
                words = f"{words} Chance can make that: neither is better."
                verdict = dataclasses.replace(verdict, better="")
        corrected.append(dataclasses.replace(verdict, words=words))
    return corrected


def _not_comparable(first: Run, other: Run, split: str) -> str:
    """Return why two runs' scores are not of the same examples; "" if they are."""
    data = {run.metrics[split].get("data") for run in (first, other)}
    facts = [identity.of_data(run.environment) for run in (first, other)]
    tests = {str(fact.get("test_fingerprint") or "") for fact in facts}
    carved = {
        (run.recipe.validation_fraction, run.recipe.split_seed, run.recipe.fold)
        for run in (first, other)
    }
    if len(data) > 1:
        return "Their data differ: the scores cannot be compared."
    if len(tests) > 1 or (split == "validation" and len(carved) > 1):
        return f"Their {split} splits differ: the scores cannot be compared."
    return ""


def _without_pairs(first: Run, other: Run, split: str) -> str:
    """Return what can be said of runs whose answers are not known one by one."""
    (left, _), (right, _) = (
        _score(run, split, _headline(run)) for run in (first, other)
    )
    if "kid" in first.recipe.kind.scores and left is not None and right is not None:
        deviations = [
            run.metrics[split].get("kid_deviation") or 0.0 for run in (first, other)
        ]
        apart = abs(left - right) / max(math.hypot(*deviations), 1e-12)
        return (
            f"Their KIDs are {apart:.1f} of their deviations apart; images of one more"
            " seed each would say more."
        )
    return (
        "Which examples were right is not on record:"
        " classicnets evaluate RUN judges each of them again."
    )


def _same_recipe(first: Run, other: Run) -> bool:
    left, right = (dataclasses.asdict(run.recipe) for run in (first, other))
    return all(left[key] == right[key] for key in left if key not in _NO_RECIPE)


# -- the page ---------------------------------------------------------------------


def _content(found: Comparison) -> dict[str, Any]:
    names = [label(run, found.runs) for run in found.runs]
    return {
        "name": f"{names[0]} and {len(names) - 1} more"
        if len(names) > 2
        else " and ".join(names),
        "names": names,
        "runs": found.runs,
        "recipe": dataclasses.asdict(found.runs[0].recipe),
        "split": found.split,
        "examples": found.runs[0].metrics[found.split].get("examples"),
        "differences": found.differences,
        "scores": found.scores,
        "shares": kinds.SHARES,
        "verdicts": found.verdicts,
        "seconds": [run.status.get("seconds") for run in found.runs],
        "charts": _charts(found.runs, names),
        "status": {},
        "environment": {},
    }


def _charts(runs: Sequence[Run], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return each chart of the kind with one line per run: of validation if it can."""
    contents = []
    for chart in runs[0].recipe.kind.charts:
        column = chart.lines.get("validation") or next(iter(chart.lines.values()))
        lines = [
            figures.Line(f"run {place}", points)
            for place, run in enumerate(runs, start=1)
            if (points := report.finite_points(run.history, column))
        ]
        if lines:
            svg = figures.chart(chart.title, lines, percent=chart.percent)
            of = "validation" if "validation" in chart.lines else "training"
            contents.append(
                # Safe: figures.chart escapes every text it is given.
                {"title": chart.title, "of": of, "svg": markupsafe.Markup(svg)}
            )
    return contents
