"""Labels: from the cells of a table, or the classes of a source, to arrays.

A label is one class, a number, or every class that is there: `kinds.CLASSES`, `NUMBERS`
and `SETS`. Whatever reads a column of labels calls `read` for each cell, then `encode`.
"""

import ast
import contextlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from classicnets.errors import UserError, shortened
from classicnets.kinds import CLASSES, NUMBERS, SETS

Label = str | float | tuple[str, ...]

SEPARATORS = ("|", ";", ",")  # between the names of several labels in a cell
_MANY = 20  # classes that are all numbers: a note asks whether they are measured
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


def read(value: Any, labels: str, *, where: str, place: str) -> Label:
    """Read one cell of a column of labels.

    Args:
        value: As the table has it: a text, a number, a list.
        labels: What a label is.
        where: How messages call the table.
        place: And the row.

    Returns:
        The name of a class; a number; or the names of several labels, which are a text
        still where `encode` has to find what stands between them.

    Raises:
        UserError: For what is no such label, and for an empty cell where a label is
            one class or a number.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        value = ""
    if labels != SETS and isinstance(value, str) and not value.strip():
        raise UserError(f"every row of {where} must have a label, {place} has none")
    label = _READERS[labels](value)
    if label is None:
        raise UserError(
            f"labels of {where} must be {_MUST_BE[labels]}, {place} has"
            f" {shortened(value)}{_hint(value, labels)}"
        )
    return label


def encode(
    cells: Sequence[Any], labels: str, notes: list[str]
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names of the classes, and the labels of all examples.

    Args:
        cells: What `read` returned.
        labels: What a label is.
        notes: Lines for the user, which are added to.

    Returns:
        Of one class per example its number, (n,) int32; of numbers no names, and (n,)
        float64; of several labels (n, classes) uint8, 1 for those that are there. Names
        sort as numbers where all are integers.
    """
    if labels == NUMBERS:
        return (), np.array(cells, np.float64)
    if labels == SETS:
        return _encode_sets(cells, notes)
    names, numbers = number_labels(cells)
    notes += _numbers_note(names)
    return names, numbers


def number_labels(names: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names of the classes, sorted, and the number of each label, int32.

    Names sort as numbers where all are integers.
    """
    classes = _sorted(set(names))
    numbers = {name: number for number, name in enumerate(classes)}
    return classes, np.array([numbers[name] for name in names], np.int32)


def of_classes(
    class_names: Sequence[str], labels: str, *, where: str
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return what labels become whose source has one class per example.

    Args:
        class_names: Those of the source.
        labels: What a label is to be: `NUMBERS` or `SETS`.
        where: How messages call the source.

    Returns:
        The names of the classes, none of numbers; and a table whose row k has the label
        of class k: the number that it is called, as folders `21/`, `22/` are, or the
        class alone of several.

    Raises:
        UserError: If the names of the classes are no numbers.
    """
    if labels == SETS:
        return tuple(class_names), np.eye(len(class_names), dtype=np.uint8)
    values = [_number(name) for name in class_names]
    for name, value in zip(class_names, values):
        if value is None:
            raise UserError(
                f"{where} must have numbers as labels, or as names of its classes and"
                f" folders, got the class {name!r}"
            )
    return (), np.array(values, np.float64)


def advice(class_names: Iterable[str]) -> str:
    """Return a hint where what should be classes may be other labels; or ""."""
    names = list(class_names)
    if len(names) > 2 and all(_number(name) is not None for name in names):
        return f"; {ADVICE[NUMBERS]}"
    if len(names) > 2 and any("|" in name or ";" in name for name in names):
        return f"; {ADVICE[SETS]}"
    return ""


ADVICE = {
    NUMBERS: "where labels are measured numbers --set task=regress learns them",
    SETS: "where an example has several labels --set task=tag learns them",
}
_MUST_BE = {
    CLASSES: "names or integers",
    NUMBERS: "finite numbers such as 3.75",
    SETS: "names such as 'a|b', or lists of them",
}


def _hint(value: Any, labels: str) -> str:
    if labels != CLASSES:
        return ""
    return f"; {ADVICE[SETS if isinstance(value, list | tuple) else NUMBERS]}"


def _name(value: Any) -> str | None:
    """Return the name of a class."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int):
        return str(value)
    return value.strip() if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    with contextlib.suppress(ValueError, OverflowError):
        number = float(value)
        return number if math.isfinite(number) else None
    return None


def _names(value: Any) -> Label | None:
    """Return the names of several labels, or the text that has them."""
    if isinstance(value, str):
        text = value.strip()
        if not (text.startswith("[") and text.endswith("]")):
            return text
        value = _list_of(text)
    if not isinstance(value, list | tuple):
        value = [value]
    names = [_name(item) for item in value]
    if None in names:
        return None
    return tuple(str(name) for name in names if name)


def _list_of(text: str) -> Any:
    """Read a list as JSON, or as Python and so pandas write it."""
    for reader in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return reader(text)
    return text


_READERS: Mapping[str, Callable[[Any], Label | None]] = {
    CLASSES: _name,
    NUMBERS: _number,
    SETS: _names,
}


def _encode_sets(
    cells: Sequence[Any], notes: list[str]
) -> tuple[tuple[str, ...], np.ndarray]:
    texts = [cell for cell in cells if isinstance(cell, str)]
    # One for the whole column: a name may hold the others.
    separator = next((s for s in SEPARATORS if any(s in text for text in texts)), "")

    def cut(cell: Any) -> set[str]:
        if not isinstance(cell, str):
            return set(cell)
        parts = cell.split(separator) if separator else [cell]
        return {part.strip() for part in parts} - {""}

    sets = [cut(cell) for cell in cells]
    names = _sorted(set().union(*sets))
    numbers = {name: number for number, name in enumerate(names)}
    labels = np.zeros((len(sets), len(names)), np.uint8)
    for row, own in enumerate(sets):
        labels[row, [numbers[name] for name in own]] = 1
    how = f"cut at {separator!r}, " if separator else ""
    mean = labels.sum() / max(len(sets), 1)
    notes.append(f"labels: {how}{len(names):,} different ones, {mean:.2g} per example")
    if empty := sum(not own for own in sets):
        notes.append(f"examples without any label: {empty:,}")
    return names, labels


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    ordered = sorted(names)
    if all(_INTEGER.fullmatch(name) for name in ordered):
        ordered.sort(key=int)
    return tuple(ordered)


def _numbers_note(names: Sequence[str]) -> list[str]:
    numbers = [_number(name) for name in names]
    if None in numbers or len(names) <= _MANY:
        return []
    return [f"{len(names):,} classes, all called by numbers: {ADVICE[NUMBERS]}"]
