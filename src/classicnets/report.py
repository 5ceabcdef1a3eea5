"""One page about a run: what it learned, how, and how to do it again.

Everything comes from the files of the run's folder, so a report needs no backend
and works for a run that was made elsewhere, is still going, or was broken off:
what is not there, the page says is not there. The page is one file that loads
nothing, follows the reader's light or dark mode, and fits a phone.
"""

import contextlib
import math
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
import numpy as np

from classicnets import figures, report_generative
from classicnets.errors import UserError
from classicnets.run import Run

# Up to here a confusion matrix is a table with counts; beyond, it is a picture.
_TABLE_CLASSES = 20
_CONFUSIONS = 15  # the most frequent ones, listed
_WORST_CLASSES = 15  # shown before the reader asks for all
# What values of another kind than the page expects raise, in files that can be read.
_ODD = (
    *(ArithmeticError, AttributeError, LookupError, RecursionError),
    *(TypeError, ValueError, jinja2.TemplateError),
)
_CHARTS = {
    "Loss": {"training": "loss", "validation": "validation_loss"},
    "Accuracy": {"training": "accuracy", "validation": "validation_top1"},
    "Learning rate": {"learning rate": "learning_rate"},
}


def write(run: Run) -> Path:
    """Writes report.html into the run's folder.

    Args:
        run: of any state. Only its files are read.

    Returns:
        The path of the page.

    Raises:
        UserError: a file of the run is there but cannot be read.
    """
    with readable(run.path):
        run.save_text("report.html", page().render(_content(run)))
    return run.path / "report.html"


@contextlib.contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Tell of odd values in a folder's files in one line.

    Raises:
        UserError: a file is there, but not as classicnets writes it.
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
    """A page of this package, which shows a stranger's texts as texts."""
    # autoescape: class names and folder names are a stranger's text. Chainable: a
    # key that a run's file lacks is empty, which the page then says in words.
    pages = jinja2.Environment(
        loader=jinja2.PackageLoader("classicnets", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.ChainableUndefined,
    )
    pages.filters["percent"] = _percent
    pages.filters["duration"] = _duration
    pages.filters["python"] = repr
    pages.filters["fixed"] = report_generative.fixed
    pages.filters["deviation"] = report_generative.with_deviation
    return pages.get_template(template)


def _content(run: Run) -> dict[str, Any]:
    """Everything the page shows, by the names that the templates use."""
    metrics, history = run.metrics, run.history
    recipe_text = (run.path / "recipe.toml").read_text(encoding="utf-8")
    recipe = _values(recipe_text)
    task = recipe.get("task", "classify")
    split = next((s for s in ("test", "validation") if s in metrics), None)
    measured = metrics[split] if split else {}
    folder = f"{run.path.parent.name}/{run.name}"
    common = {
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
        "measured": measured,
        "evaluations": metrics,
        "charts": _charts(history, report_generative.CHARTS.get(task, _CHARTS)),
        "folder": shlex.quote(folder),
        "run_path": folder,
        "train_command": _train_command(run.name, recipe, folder),
    }
    if task in report_generative.CHARTS:
        return common | report_generative.content(run, recipe)
    return common | _classification(run, split, measured)


def _classification(
    run: Run, split: str | None, measured: dict[str, Any]
) -> dict[str, Any]:
    """What only the page of a classifier shows."""
    confusion = np.asarray(measured.get("confusion") or [], dtype=np.int64)
    classes = _class_names(run.metrics, run, len(confusion))
    return {
        "body": "report_classify.html.j2",
        "interval": _interval(measured),
        **confusions(confusion, classes),
        "worst": _worst_first(measured.get("per_class") or []),
        "worst_shown": _WORST_CLASSES,
        "samples": _samples(run, split, classes) if split else {},
        "input_shape": _input_shape(run),
        "is_text": (run.path / "tokenizer.json").is_file(),
        "model_path": f"{run.path.parent.name}/{run.name}/model.keras",
        "has_model": (run.path / "model.keras").is_file(),
    }


def confusions(counts: np.ndarray, classes: list[str]) -> dict[str, Any]:
    """The names that report_confusion.html.j2 uses.

    Args:
        counts: (classes, classes), rows are true classes; or (0,) if unknown.
        classes: their names.
    """
    return {
        "classes": classes,
        "confusion": _confusion_rows(counts),
        "confusion_picture": _confusion_picture(counts),
        "confusions": _most_frequent(counts, classes),
    }


def _values(recipe_text: str) -> dict[str, Any]:
    """The recipe's plain values; a recipe of another version is no reason to fail."""
    try:
        return tomllib.loads(recipe_text)
    except tomllib.TOMLDecodeError:
        return {}


def _class_names(metrics: dict[str, Any], run: Run, count: int) -> list[str]:
    if names := run.environment.get("class_names"):
        return [str(name) for name in names]
    for measured in metrics.values():
        names = [str(row["name"]) for row in measured.get("per_class") or []]
        if names:
            return names
    return [str(index) for index in range(count)]


def _training_seconds(run: Run) -> float | None:
    """Seconds of the whole run; before its end, of the epochs so far."""
    total = run.status.get("seconds")
    epochs = [row["seconds"] for row in run.history if "seconds" in row]
    return total if isinstance(total, int | float) else sum(epochs) or None


def _interval(measured: dict[str, Any]) -> tuple[float, float] | None:
    """Wilson's 95 % interval of the accuracy: what so few examples can tell."""
    examples, share = measured.get("examples"), measured.get("top1")
    if not examples or share is None:
        return None
    z = 1.96
    middle = (share + z * z / (2 * examples)) / (1 + z * z / examples)
    spread = math.sqrt(share * (1 - share) / examples + (z / (2 * examples)) ** 2) / (
        1 + z * z / examples
    )
    return middle - z * spread, middle + z * spread


def _charts(
    history: list[dict[str, float]], wanted: dict[str, dict[str, str]]
) -> list[dict[str, Any]]:
    """Lines over epochs, as far as they were recorded.

    Args:
        history: the rows of history.csv.
        wanted: by title, the column of each line by its label.
    """
    charts = []
    for title, columns in wanted.items():
        percent = title == "Accuracy"
        lines = [
            figures.Line(label, points)
            for label, name in columns.items()
            if (points := _points(history, name))
        ]
        if lines:
            charts.append(
                {
                    "title": title,
                    "labels": [line.label for line in lines],
                    "note": _best(lines, title),
                    # Safe: figures.chart escapes every text it is given.
                    "svg": markupsafe.Markup(
                        figures.chart(title, lines, percent=percent)
                    ),
                }
            )
    return charts


def _points(history: list[dict[str, float]], name: str) -> list[tuple[float, float]]:
    """(epoch, value) where the column has a finite value."""
    return [
        (row.get("epoch", place), row[name])
        for place, row in enumerate(history, start=1)
        if math.isfinite(row.get(name, math.nan))
    ]


def _best(lines: list[figures.Line], title: str) -> str:
    """What a reader would look for in the chart with a ruler."""
    for line in lines:
        if line.label == "validation" and not title.startswith("KL"):
            choose = max if title == "Accuracy" else min
            epoch, value = choose(line.points, key=lambda point: point[1])
            says = _percent(value) if title == "Accuracy" else f"{value:.4g}"
            return f"best validation {says}, epoch {epoch:g}"
    highest = max(value for _, value in lines[0].points)
    return f"highest {highest:.4g}" if title == "Learning rate" else ""


def _confusion_rows(confusion: np.ndarray) -> list[list[dict[str, Any]]]:
    """The cells of a small matrix; `strength` is the root of a row's share."""
    if not 0 < len(confusion) <= _TABLE_CLASSES:
        return []
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    return [
        [
            {
                "count": int(count),
                "right": row == column,
                "share": float(share[row, column]),
                "strength": round(float(share[row, column]) ** 0.5, 3),
            }
            for column, count in enumerate(counts)
        ]
        for row, counts in enumerate(confusion)
    ]


def _confusion_picture(confusion: np.ndarray) -> tuple[str, int] | None:
    if len(confusion) <= _TABLE_CLASSES:
        return None
    return figures.confusion_picture(confusion)


def _most_frequent(confusion: np.ndarray, names: list[str]) -> list[dict[str, Any]]:
    """The confusions of a matrix too large to be read cell by cell."""
    if len(confusion) <= _TABLE_CLASSES:
        return []
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    # stable: of equal counts the one of the earlier class comes first
    order = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSIONS]
    cells = [(int(cell) // len(wrong), int(cell) % len(wrong)) for cell in order]
    return [
        {
            "label": names[row],
            "predicted": names[column],
            "count": int(wrong[row, column]),
            "of": int(confusion[row].sum()),
        }
        for row, column in cells
        if wrong[row, column]
    ]


def _worst_first(per_class: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By recall; classes without an example, which have none, at the end."""

    def rank(row: dict[str, Any]) -> tuple[bool, float]:
        recall = row.get("recall") if row.get("examples") else None
        return recall is None, recall or 0.0

    return sorted(per_class, key=rank)


def _samples(run: Run, split: str, names: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The examples of samples/SPLIT.npz, pictures or texts: wrong and right ones."""
    arrays = run.samples(split)
    kind = "texts" if "texts" in arrays else "images"
    if not {kind, "labels", "predicted", "probability"} <= arrays.keys():
        return {}

    def name(label: int) -> str:
        return names[label] if 0 <= label < len(names) else str(label)

    found: dict[str, list[dict[str, Any]]] = {"wrong": [], "right": []}
    rows = zip(
        arrays[kind],
        arrays["labels"].tolist(),
        arrays["predicted"].tolist(),
        arrays["probability"].tolist(),
        strict=True,
    )
    for shown, label, predicted, probability in rows:
        if kind == "texts":
            content: dict[str, Any] = {"text": str(shown)}
        else:
            uri, width, height = figures.picture(shown)
            content = {"uri": uri, "width": width, "height": height}
        found["right" if label == predicted else "wrong"].append(
            content
            | {
                "label": name(label),
                "predicted": name(predicted),
                "probability": probability,
            }
        )
    return found


def _input_shape(run: Run) -> str:
    """(n, height, width, channels) of the pictures the network takes, if known."""
    for split in ("test", "validation"):
        images = run.samples(split).get("images")
        if images is not None and len(images):
            return f"(n, {', '.join(map(str, images.shape[1:]))})"
    return "(n, height, width, channels)"


def _train_command(name: str, recipe: dict[str, Any], folder: str) -> str:
    """Trains the same recipe under the same name; the seed is in the recipe."""
    ending = rf"-{re.escape(str(recipe.get('seed', 0)))}(-\d+)?$"
    return shlex.join(
        [
            *("classicnets", "train", f"{folder}/recipe.toml"),
            *("--name", re.sub(ending, "", name)),
        ]
    )


def _percent(share: object, digits: int = 1) -> str:
    if not isinstance(share, int | float):  # null, or not in the file
        return "–"
    return f"{100 * share:.{digits}f}\N{NARROW NO-BREAK SPACE}%"


def _duration(seconds: float | None) -> str:
    """The two units that matter: 45 s, 12 min 5 s, 3 h 20 min."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
