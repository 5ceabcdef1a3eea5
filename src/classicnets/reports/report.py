"""One page about a run: what it learned, how, and how to do it again.

Everything comes from the files of the run's folder, so a report needs no backend and
works for a run that was made elsewhere, is still going, or was broken off: what is not
there, the page says is not there. The page is one file that loads nothing, follows the
reader's light or dark mode, and fits a phone.
"""

import contextlib
import math
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import markupsafe

from classicnets import kinds, networks
from classicnets.errors import UserError
from classicnets.kinds import Chart, Kind
from classicnets.reports import classify, figures, generative, regress, tag
from classicnets.reports.stands_out import stands_out
from classicnets.runs.run import Run

# What values of another kind than the page expects raise, in files that can be read.
_ODD = (
    *(ArithmeticError, AttributeError, LookupError, RecursionError),
    *(TypeError, ValueError, jinja2.TemplateError),
)
# By `Kind.page`: what its template shows beside what every page shows.
_CONTENTS = {
    "classify": classify.content,
    "regress": regress.content,
    "tag": tag.content,
    "generative": generative.content,
}


def write(run: Run) -> Path:
    """Write report.html into the run's folder.

    Args:
        run: Of any state. Only its files are read.

    Returns:
        The path of the page.

    Raises:
        UserError: If a file of the run is there but cannot be read.
    """
    with readable(run.path):
        run.save_text("report.html", page().render(_content(run)))
    return run.path / "report.html"


def is_current(run: Run) -> bool:
    """Return whether report.html was written after the run's last change of state."""
    updated = str(run.status.get("updated", ""))
    try:
        text = (run.path / "report.html").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    mark = '<meta name="updated"'  # pages of earlier versions have none
    return mark not in text or f'{mark} content="{markupsafe.escape(updated)}">' in text


@contextlib.contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Refuse odd values in a folder's files in one line.

    Raises:
        UserError: If a file is there, but not as classicnets writes it.
    """
    try:
        yield
    except UserError:
        raise
    except _ODD as error:
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise UserError(
            f"{folder} must have files as classicnets writes them to be shown: "
            f"{type(error).__name__}, {reason}"
        ) from None


def page(template: str = "report.html.j2") -> jinja2.Template:
    """Return a page of this package, which shows a stranger's texts as texts."""
    # autoescape: class names and folder names are a stranger's text. Chainable: a
    # key that a run's file lacks is empty, which the page then says in words.
    pages = jinja2.Environment(
        loader=jinja2.PackageLoader("classicnets.reports", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.ChainableUndefined,
    )
    pages.filters["percent"] = _percent
    pages.filters["duration"] = _duration
    pages.filters["python"] = repr
    pages.filters["fixed"] = generative.fixed
    pages.filters["deviation"] = generative.with_deviation
    return pages.get_template(template)


def _content(run: Run) -> dict[str, Any]:
    """Return everything the page shows, by the names that the templates use."""
    evaluations, history = run.metrics, run.history
    recipe_text = (run.path / "recipe.toml").read_text(encoding="utf-8")
    recipe = _values(recipe_text)
    kind = _kind(recipe)
    split = next((s for s in ("test", "validation") if s in evaluations), None)
    folder = f"{run.path.parent.name}/{run.name}"
    common = {
        "kind": kind,
        "body": f"{kind.page}.html.j2",
        "name": run.name,
        "recipe": recipe,
        "recipe_text": recipe_text.strip(),
        "environment": {
            key: value
            for key, value in run.environment.items()
            if key != "class_names"  # the page shows them class by class
        },
        "status": run.status,
        "epochs_done": len(history),
        "seconds": _training_seconds(run),
        "split": split,
        "metrics": evaluations[split] if split else {},
        "evaluations": evaluations,
        "charts": _charts(history, kind.charts),
        "findings": stands_out(run),
        "folder": shlex.quote(folder),
        "run_path": folder,
        "train_command": _train_command(run.name, recipe, folder=folder),
    }
    return common | _CONTENTS[kind.page](run, common)


def _kind(recipe: Mapping[str, Any]) -> Kind:
    """Return the kind of its network; a damaged recipe gets a classifier's page."""
    with contextlib.suppress(UserError):
        return networks.kind(str(recipe.get("network")), str(recipe.get("task")))
    return kinds.CLASSIFIER


def _values(recipe_text: str) -> dict[str, Any]:
    """Return the recipe's values; one of another version is no reason to fail."""
    try:
        return tomllib.loads(recipe_text)
    except tomllib.TOMLDecodeError:
        return {}


def _training_seconds(run: Run) -> float | None:
    """Return the seconds of the run; before its end, of the epochs so far."""
    total = run.status.get("seconds")
    epochs = [row["seconds"] for row in run.history if "seconds" in row]
    return total if isinstance(total, int | float) else sum(epochs) or None


def _charts(
    history: list[dict[str, float]], charts: Sequence[Chart]
) -> list[dict[str, Any]]:
    """Return the charts of a kind, as far as history.csv has their columns."""
    contents = []
    for chart in charts:
        lines = [
            figures.Line(label, points)
            for label, name in chart.lines.items()
            if (points := finite_points(history, name))
        ]
        if lines:
            svg = figures.chart(chart.title, lines, percent=chart.percent)
            contents.append(
                {
                    "title": chart.title,
                    "labels": [line.label for line in lines],
                    "note": _best(lines, chart),
                    # Safe: figures.chart escapes every text it is given.
                    "svg": markupsafe.Markup(svg),
                }
            )
    return contents


def finite_points(
    history: list[dict[str, float]], name: str
) -> list[tuple[float, float]]:
    """Return (epoch, value) where the column has a finite value."""
    return [
        (row.get("epoch", place), row[name])
        for place, row in enumerate(history, start=1)
        if math.isfinite(row.get(name, math.nan))
    ]


def _best(lines: list[figures.Line], chart: Chart) -> str:
    """Return what a reader would look for in the chart with a ruler."""
    if chart.best is None:
        return ""
    validation = [line for line in lines if line.label == "validation"]
    if not validation:
        # A loss of the training examples says nothing; a learning rate does.
        highest = max(value for _, value in lines[0].points)
        return f"highest {highest:.4g}" if chart.best is max else ""
    points = validation[0].points
    epoch, value = chart.best(points, key=lambda point: point[1])
    text = _percent(value) if chart.percent else f"{value:.4g}"
    first = "first in " if sum(point[1] == value for point in points) > 1 else ""
    return f"best validation {text}, {first}epoch {epoch:g}"


def _train_command(name: str, recipe: Mapping[str, Any], *, folder: str) -> str:
    """Return the command that trains the recipe again; the seed is in the recipe."""
    ending = rf"-{re.escape(str(recipe.get('seed', 0)))}(-\d+)?$"
    name = re.sub(ending, "", name)
    return shlex.join(["classicnets", "train", f"{folder}/recipe.toml", "--name", name])


def _percent(share: object, digits: int = 1) -> str:
    if not isinstance(share, int | float):  # null, or not in the file
        return "–"
    return f"{100 * share:.{digits}f}\N{NARROW NO-BREAK SPACE}%"


def _duration(seconds: float | None) -> str:
    """Return the two units that matter: 45 s, 12 min 5 s, 3 h 20 min."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
