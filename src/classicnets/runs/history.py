"""history.csv: one row per epoch, all of them numbers."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from classicnets import files
from classicnets.errors import UserError


def read(path: Path) -> list[dict[str, float]]:
    """Return the rows of the file; a value that was not measured has no key."""
    return _read(path)[1]


def append(path: Path, row: Mapping[str, Any]) -> tuple[int, bool]:
    """Add a row; return its step, and whether it took the place of others."""
    columns, rows = _read(path)
    columns = columns or list(row)
    if unknown := set(row) - set(columns):
        raise UserError(
            f"{path}: the first row fixed the columns {', '.join(columns)}, got also"
            f" {', '.join(sorted(unknown))}."
        )
    end = row.get("epoch", math.inf)
    earlier = [old for old in rows if old.get("epoch", 0) < end]
    cells = [{k: _cell(v) for k, v in each.items()} for each in (*earlier, row)]
    files.write_csv(path, columns, cells)
    return int(row.get("epoch") or len(earlier) + 1), len(earlier) < len(rows)


def _read(path: Path) -> tuple[list[str], list[dict[str, float]]]:
    if not path.exists():
        return [], []
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            table = csv.DictReader(lines)
            rows = [{k: float(cell) for k, cell in row.items() if cell} for row in table]
            return list(table.fieldnames or ()), rows
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except (TypeError, ValueError, csv.Error) as error:
        raise UserError(f"every cell of {path} must be a number: {error}.") from None


def _cell(value: float | None) -> str:
    """Return the shortest text that reads back as the same number; "" for None."""
    if value is None:
        return ""
    number = float(value)
    return str(int(number)) if number.is_integer() else repr(number)
