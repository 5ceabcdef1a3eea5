"""history.csv: one row per epoch, all of them numbers.

A row is appended. A line counts once its end is there: what a killed process left of a
row is not read, and is gone when the next one is written.
"""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from classicnets import files
from classicnets.errors import UserError

_TAIL = 4096  # bytes that have the last row in them


def read(path: Path) -> list[dict[str, float]]:
    """Return the rows of the file; a value that was not measured has no key."""
    return _read(path)[1]


def append(path: Path, row: Mapping[str, Any]) -> tuple[int, bool]:
    """Add a row; return its step, and whether it took the place of others."""
    columns, newest = _ends(path)
    epoch = row.get("epoch", math.inf)
    rows: list[dict[str, float]] = []
    is_next = newest is not None and newest < epoch < math.inf
    if not is_next:  # the first one, one that replaces others, or after half a row
        columns, rows = _read(path)
    columns = columns or list(row)
    if unknown := set(row) - set(columns):
        raise UserError(
            f"{path}: the first row fixed the columns {', '.join(columns)}, got also"
            f" {', '.join(sorted(unknown))}."
        )
    if is_next:
        files.append_csv(path, columns, _cells(row))
        return int(epoch), False
    earlier = [old for old in rows if old.get("epoch", 0) < epoch]
    files.write_csv(path, columns, [_cells(each) for each in (*earlier, row)])
    return int(row.get("epoch") or len(earlier) + 1), len(earlier) < len(rows)


def _ends(path: Path) -> tuple[list[str], float | None]:
    """Return the columns, and the epoch of the last row where that can be told.

    A training run of 3,000 epochs that read every row for each spent 50 s on it.
    """
    try:
        with path.open("rb") as file:
            columns = file.readline().decode().strip().split(",")
            start = max(file.tell(), file.seek(0, 2) - _TAIL)
            file.seek(start)
            lines = file.read().decode().split("\n")
        cells = lines[-2].split(",") if len(lines) > 1 and not lines[-1] else []
        row = dict(zip(columns, cells, strict=True))
        return columns, float(row["epoch"])
    except (OSError, ValueError, KeyError):
        return [], None


def _read(path: Path) -> tuple[list[str], list[dict[str, float]]]:
    if not path.exists():
        return [], []
    try:
        text = path.read_bytes().decode()
        whole = io.StringIO(text[: text.rfind("\n") + 1], newline="")
        table = csv.DictReader(whole)
        rows = [{k: float(cell) for k, cell in row.items() if cell} for row in table]
        return list(table.fieldnames or ()), rows
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except (TypeError, ValueError, csv.Error) as error:
        raise UserError(f"every cell of {path} must be a number: {error}.") from None


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    return {key: _cell(value) for key, value in row.items()}


def _cell(value: float | None) -> str:
    """Return the shortest text that reads back as the same number; "" for None."""
    if value is None:
        return ""
    number = float(value)
    return str(int(number)) if number.is_integer() else repr(number)
