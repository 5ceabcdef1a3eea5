"""Answers as files: those of `predict`, and predictions.csv of a run's test."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from classicnets import files
from classicnets.data import Examples
from classicnets.errors import UserError
from classicnets.kinds import NUMBERS, SETS
from classicnets.runs.run import Run

_BETWEEN = "|"  # the names of several labels
_SHORT = 200  # characters of a text in predictions.csv
ANSWER = ("prediction", "probability", "error")


def write(results: Iterable[Mapping[str, Any]], path: Path) -> Iterator[str]:
    """Write results as they come; the file is there when all are in it.

    A row has the columns of its table, or `input`, then `prediction`, `probability`
    (of one class) and `error`. Of a JSONL file it also has `classes`.

    Args:
        results: What `predictions` yields.
        path: A .csv or .jsonl file; one that is there is replaced.

    Yields:
        The error of each input that has no answer.
    """
    write_row = _write_csv if path.suffix.lower() == ".csv" else _write_jsonl
    with (
        files.replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="replace") as file,
    ):
        writer: Any = None
        for result in results:
            writer = write_row(file, writer, result)
            if "error" in result:
                yield str(result["error"])


def _row(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result as columns; those of ours that a table has get a number."""
    own = dict(result.get("row", {"input": result["input"]}))
    best = result["classes"][0] if result.get("classes") else {}
    name_or_value = result.get("value", best.get("name"))
    if "labels" in result:
        name_or_value, best = _BETWEEN.join(result["labels"]), {}
    answer = (name_or_value, best.get("probability"), result.get("error"))
    for name, value in zip(ANSWER, answer, strict=True):
        free = name
        number = 1
        while free in own:
            number += 1
            free = f"{name}_{number}"
        own[free] = value
    return own


def _write_jsonl(file: Any, writer: Any, result: Mapping[str, Any]) -> Any:
    row = _row(result) | {"classes": result.get("classes", [])}
    file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
    return writer


def _write_csv(file: Any, writer: Any, result: Mapping[str, Any]) -> Any:
    row = _row(result)
    if writer is None:
        writer = csv.DictWriter(file, list(row), restval="")
        writer.writeheader()
    if more := [name for name in row if name not in writer.fieldnames]:
        raise UserError(
            f"every input of one CSV file must have the same columns, {result['input']}"
            f" has {more[0]!r} too: -o FILE.jsonl takes them."
        )
    writer.writerow({k: "" if v is None else v for k, v in row.items()})
    return writer


def save_predictions(
    run: Run, answers: np.ndarray, examples: Examples, names: Sequence[str]
) -> None:
    """Write predictions.csv: a row per example of the test, by its file or its row.

    Args:
        run: A finished run that learns from labels.
        answers: (n, outputs), what its network says.
        examples: The n examples.
        names: Their files; empty where they are none.
    """
    stream = io.StringIO(newline="")
    rows = csv.writer(stream)
    texts = examples.texts
    columns = ["file" if names else "row", *(["text"] if texts else [])]
    titles, cells = _cells(run, answers, examples.labels)
    rows.writerow([*columns, *titles])
    for row, answer in enumerate(cells):
        about: list[Any] = [names[row] if names else row]
        about += [texts[row][:_SHORT]] if texts else []
        rows.writerow(about + answer)
    run.save_text("predictions.csv", stream.getvalue())


def _cells(
    run: Run, answers: np.ndarray, labels: np.ndarray
) -> tuple[list[str], list[list[Any]]]:
    """Return the columns of predictions.csv, and their cells of every example."""
    kind = run.recipe.kind.labels
    if kind == NUMBERS:
        pairs = zip(labels.tolist(), answers[:, 0].tolist(), strict=True)
        return ["label", "value"], [list(pair) for pair in pairs]
    classes = run.class_names
    if kind == SETS:

        def joined(row: np.ndarray) -> str:
            return _BETWEEN.join(c for c, there in zip(classes, row) if there)

        pairs_of = zip(labels, answers >= 0, strict=True)
        return ["labels", "prediction"], [[joined(a), joined(b)] for a, b in pairs_of]
    best, shares = answers.argmax(axis=1), softmax(answers, axis=1).max(axis=1)
    return ["label", "prediction", "probability"], [
        [classes[label], classes[k], f"{share:.6f}"]
        for label, k, share in zip(labels, best, shares, strict=True)
    ]
