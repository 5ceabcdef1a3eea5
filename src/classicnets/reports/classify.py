"""What the page of a classifier shows: accuracy, confusions, examples."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from classicnets.reports import figures
from classicnets.runs.run import Run

# Up to here a confusion matrix is a table with counts; beyond, it is a picture.
_TABLE_CLASSES = 20
_CONFUSIONS = 15  # the most frequent ones, listed
_WORST_CLASSES = 15  # shown before the reader asks for all


def content(run: Run, common: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names that classify.html.j2 uses beside those of every page.

    Args:
        run: Of a classifier.
        common: Those names, of which `split` and `metrics` are used.
    """
    split, metrics = common["split"], common["metrics"]
    confusion = np.asarray(metrics.get("confusion") or [], dtype=np.int64)
    classes = _class_names(run, len(confusion))
    return {
        "interval": interval(metrics),
        **confusions(confusion, classes),
        "worst": _worst_first(metrics.get("per_class") or []),
        "worst_count": _WORST_CLASSES,
        "samples": _samples(run, split, classes) if split else {},
        **use(run),
    }


def use(run: Run) -> dict[str, Any]:
    """Return the names that again.html.j2 uses: how to use a network on new inputs."""
    return {
        "input_shape": _input_shape(run),
        "is_text": (run.path / "tokenizer.json").is_file(),
        "model_path": f"{run.path.parent.name}/{run.name}/model.keras",
        "has_model": (run.path / "model.keras").is_file(),
    }


def confusions(counts: np.ndarray, classes: list[str]) -> dict[str, Any]:
    """Return the names that confusion.html.j2 uses.

    Args:
        counts: (classes, classes), rows are true classes; or (0,) if unknown.
        classes: Their names.
    """
    if len(counts) <= _TABLE_CLASSES:
        return {"classes": classes, "confusion": _cells(counts) if len(counts) else []}
    return {
        "classes": classes,
        "confusion_picture": figures.confusion_picture(counts),
        "confusions": _most_frequent(counts, classes),
    }


def _class_names(run: Run, count: int) -> list[str]:
    if names := run.environment.get("class_names"):
        return [str(name) for name in names]
    for metrics in run.metrics.values():
        names = [str(row["name"]) for row in metrics.get("per_class") or []]
        if names:
            return names
    return [str(index) for index in range(count)]


def interval(metrics: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return Wilson's 95 % interval of the accuracy: what so few examples can say."""
    examples, share = metrics.get("examples"), metrics.get("top1")
    if not examples or share is None:
        return None
    z = 1.96
    middle = (share + z * z / (2 * examples)) / (1 + z * z / examples)
    spread = math.sqrt(share * (1 - share) / examples + (z / (2 * examples)) ** 2) / (
        1 + z * z / examples
    )
    return middle - z * spread, middle + z * spread


def _cells(confusion: np.ndarray) -> list[list[dict[str, Any]]]:
    """Return the cells of a small matrix; `strength` is the root of a row's share."""
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


def _most_frequent(confusion: np.ndarray, names: list[str]) -> list[dict[str, Any]]:
    """Return the confusions of a matrix too large to be read cell by cell."""
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
    """Sort by recall; classes without an example, which have none, come last."""

    def rank(row: dict[str, Any]) -> tuple[bool, float]:
        recall = row.get("recall") if row.get("examples") else None
        return recall is None, recall or 0.0

    return sorted(per_class, key=rank)


def _samples(run: Run, split: str, names: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the wrong and the right examples of samples/SPLIT.npz."""
    arrays = run.samples(split)
    inputs = "texts" if "texts" in arrays else "images"
    if not {inputs, "labels", "predicted", "probability"} <= arrays.keys():
        return {}

    def name(label: int) -> str:
        return names[label] if 0 <= label < len(names) else str(label)

    samples: dict[str, list[dict[str, Any]]] = {"wrong": [], "right": []}
    names_of = arrays.get("names")
    rows = zip(
        arrays[inputs],
        [""] * len(arrays[inputs]) if names_of is None else names_of.tolist(),
        arrays["labels"].tolist(),
        arrays["predicted"].tolist(),
        arrays["probability"].tolist(),
        strict=True,
    )
    for example, file, label, predicted, probability in rows:
        words = {"label": name(label), "predicted": name(predicted), "file": file}
        samples["right" if label == predicted else "wrong"].append(
            {**example_of(example), **words, "probability": probability}
        )
    return samples


def example_of(example: Any) -> dict[str, Any]:
    """Return a text, or a picture (height, width, channels), for the page."""
    if isinstance(example, str):
        return {"text": str(example)}
    uri, width, height = figures.picture(example)
    return {"uri": uri, "width": width, "height": height}


def _input_shape(run: Run) -> str:
    """Return the (n, height, width, channels) of its pictures, in digits if it can."""
    for split in ("test", "validation"):
        images = run.samples(split).get("images")
        if images is not None and len(images):
            return f"(n, {', '.join(map(str, images.shape[1:]))})"
    return "(n, height, width, channels)"
