"""Tables: which columns are read, and how their labels become classes."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from classicnets.data.folder_layout import part_of
from classicnets.data.table_files import NO_SPLIT, READERS, Columns, shortened
from classicnets.errors import UserError, nearest

TEXT_COLUMNS = (
    *("text", "review", "sentence", "content", "comment", "body", "message"),
    *("document", "tweet", "文本", "内容", "评论", "句子"),
)
LABEL_COLUMNS = (
    *("label", "class", "sentiment", "category", "target", "labels", "topic"),
    *("intent", "emotion", "标签", "类别", "分类"),
)
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


def number_labels(labels: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names of the classes, sorted, and the number of each label, int32.

    Names sort as numbers where all are integers.
    """
    names = sorted(set(labels))
    if all(_INTEGER.fullmatch(name) for name in names):
        names.sort(key=int)
    numbers = {name: number for number, name in enumerate(names)}
    return tuple(names), np.array([numbers[label] for label in labels], np.int32)


def read_table(
    path: Path, text_column: str = "", label_column: str = ""
) -> tuple[list[str], list[str], list[str], list[str]]:
    """Read the texts, the labels and the parts of all rows; and notes on the columns.

    A part is "train", "validation" or "test", or "" where the table has none.
    """
    texts: list[str] = []
    labels: list[str] = []
    parts: list[str] = []
    notes: list[str] = []

    def choose(columns: Sequence[str]) -> Columns:
        choice = _choose(path, columns, text_column, label_column)
        if not (text_column and label_column):
            notes.append(
                f"{path.name}: texts from the column {choice.text!r}, labels from "
                f"{choice.label!r}"
            )
        return choice

    for place, text, label, part in READERS[path.suffix.lower()](path, choose):
        if not isinstance(text, str):
            raise UserError(
                f"every text of {path} must be a string, {place} has {shortened(text)}"
            )
        texts.append(text)
        labels.append(_label(path, place, label))
        parts.append("" if part is NO_SPLIT else _part(path, place, part))
    if not texts:
        raise UserError(f"{path} must have rows, it has only the names of its columns")
    if "" not in parts and "train" not in parts:
        there = " and ".join(repr(part) for part in sorted(set(parts)))
        raise UserError(
            f"{path} must have training rows, its column 'split' has only {there}"
        )
    return texts, labels, parts, notes


def read_groups_column(path: Path, text_column: str, column: str) -> list[str]:
    """Read what a column has in the training rows; of a table without parts, in all."""
    _, groups, parts, _ = read_table(path, text_column, column)
    return [group for group, part in zip(groups, parts) if part in ("", "train")]


def _choose(
    path: Path, columns: Sequence[str], text_column: str, label_column: str
) -> Columns:
    for column in (text_column, label_column):
        if column and column not in columns:
            raise UserError(
                f"{path} has no column {column!r}. {nearest(column, columns)}"
            )
    text = text_column or first_column(TEXT_COLUMNS, columns)
    label = label_column or first_column(LABEL_COLUMNS, columns)
    if not text or not label:
        option = "text_column" if not text else "label_column"
        usual = TEXT_COLUMNS if not text else LABEL_COLUMNS
        raise UserError(
            f"{option} must name a column of {path} where none is called "
            f"{', '.join(usual[:5])} or alike; its columns: "
            f"{', '.join(shortened(column) for column in columns)}"
        )
    if text == label:
        raise UserError(f"text_column and label_column must differ, both are {text!r}")
    split = first_column(("split",), columns)
    return Columns(text, label, "" if split in (text, label) else split)


def first_column(names: Sequence[str], columns: Sequence[str]) -> str:
    """Return the column that is called like the first of the names that one has."""
    by_name = {column.strip().casefold(): column for column in reversed(columns)}
    return next((by_name[name] for name in names if name in by_name), "")


def _label(path: Path, place: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int):
        return str(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        value = ""
    if not isinstance(value, str):
        raise UserError(
            f"labels of {path} must be names or integers, {place} has "
            f"{shortened(value)}"
        )
    if not value.strip():
        raise UserError(f"every row of {path} must have a label, {place} has none")
    return value.strip()


def _part(path: Path, place: str, value: Any) -> str:
    part = part_of(str(value))
    if not part:
        raise UserError(
            f"the column 'split' of {path} must have train, val or test, {place} has "
            f"{shortened(value)}"
        )
    return part
