"""The answers of `predict` as a file: CSV or JSONL, a row per input, in order."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from classicnets import files
from classicnets.errors import UserError

ENDINGS = (".csv", ".jsonl")
ANSWER = ("prediction", "probability", "error")


def check(path: Path) -> None:
    """Refuse a file that `write` cannot write.

    Raises:
        UserError: For another ending, or a folder that is not there.
    """
    if path.suffix.lower() not in ENDINGS:
        raise UserError(f"-o must name a .csv or .jsonl file, got {str(path)!r}.")
    if not path.absolute().parent.is_dir():
        raise UserError(
            f"-o must name a file in a folder that exists, got {str(path)!r}."
        )


def write(results: Iterable[Mapping[str, Any]], path: Path) -> Iterator[str]:
    """Write results as they come; the file is there when all are in it.

    A row has the columns of its table, or `input`, then `prediction`, `probability`
    (none of a number) and `error`. Of a JSONL file it also has `classes`.

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
