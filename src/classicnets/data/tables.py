"""Tables: which columns are read, and how their labels become classes."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from classicnets.data import labels as label_kinds
from classicnets.data.folder_layout import part_of
from classicnets.data.labels import Label
from classicnets.data.table_files import Table, open_table_file
from classicnets.errors import UserError, nearest, shortened
from classicnets.kinds import CLASSES

TEXT_COLUMNS = (
    *("text", "review", "sentence", "content", "comment", "body", "message"),
    *("document", "tweet", "文本", "内容", "评论", "句子"),
)
LABEL_COLUMNS = (
    *("label", "class", "sentiment", "category", "target", "labels", "topic"),
    *("intent", "emotion", "标签", "类别", "分类"),
)


class Columns(NamedTuple):
    """The names of the columns that are read; `split` is "" where there is none."""

    text: str
    label: str
    split: str


def read_table(
    path: Path,
    text_column: str = "",
    label_column: str = "",
    kind: str = CLASSES,
    *,
    table: Table | None = None,
) -> tuple[list[str], list[Label], list[str], list[str]]:
    """Read the texts, the labels and the parts of all rows; and notes on the columns.

    Labels are of a `kind`, as `labels.read` returns them. A part is "train",
    "validation" or "test", or "" where the table has none. `table` is the file where
    it is open already.
    """
    table = table or open_table_file(path)
    columns = _choose(path, table.columns, text_column, label_column)
    notes = list(table.notes)
    if not (text_column and label_column):
        notes.append(
            f"{path.name}: texts from the column {columns.text!r}, labels from "
            f"{columns.label!r}"
        )
    texts: list[str] = []
    labels: list[Label] = []
    parts: list[str] = []
    for place, values in _rows(path, table, columns):
        text = values[columns.text]
        if not isinstance(text, str):
            raise UserError(
                f"every text of {path} must be a string, {place} has {shortened(text)}"
            )
        texts.append(text)
        cell = values.get(columns.label)
        labels.append(label_kinds.read(cell, kind, where=str(path), place=place))
        parts.append(_part(path, place, values[columns.split]) if columns.split else "")
    if not texts:
        raise UserError(f"{path} must have rows, it has only the names of its columns")
    if "" not in parts and "train" not in parts:
        there = " and ".join(repr(part) for part in sorted(set(parts)))
        raise UserError(
            f"{path} must have training rows, its column 'split' has only {there}"
        )
    return texts, labels, parts, notes


def read_groups_column(path: Path, column: str) -> list[str]:
    """Read what a column has in the training rows; of a table without parts, in all."""
    table = open_table_file(path)
    if column not in table.columns:
        hint = nearest(column, table.columns)
        raise UserError(f"groups: {path} has no column {column!r}. {hint}")
    split = first_column(("split",), table.columns)
    groups = []
    for place, values in _rows(path, table, Columns(column, "", split)):
        group = values[column]
        if group is None or not str(group).strip():
            raise UserError(
                f"every row of {path} must name a group in {column!r}, {place} has none"
            )
        if not split or _part(path, place, values[split]) == "train":
            groups.append(str(group).strip())
    return groups


def _rows(
    path: Path, table: Table, columns: Columns
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place and the values of every row.

    Raises:
        UserError: If a row cannot be read, or has no text or split.
    """
    names = [name for name in dict.fromkeys(columns) if name]
    for row in table.read(names):
        if row.error:
            raise row.error
        for column in (columns.text, columns.split):
            if column and column not in row.values:
                raise UserError(f"{row.place} of {path} has no {column!r}")
        yield row.place, row.values


def _choose(
    path: Path, columns: Sequence[str], text_column: str, label_column: str
) -> Columns:
    check_column(path, text_column, columns)
    check_column(path, label_column, columns)
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


def check_column(path: Path, column: str, columns: Sequence[str]) -> None:
    """Refuse a column that a table does not have; "" is none."""
    if column and column not in columns:
        raise UserError(f"{path} has no column {column!r}. {nearest(column, columns)}")


def first_column(names: Sequence[str], columns: Sequence[str]) -> str:
    """Return the column that is called like the first of the names that one has."""
    by_name = {column.strip().casefold(): column for column in reversed(columns)}
    return next((by_name[name] for name in names if name in by_name), "")


def _part(path: Path, place: str, value: Any) -> str:
    part = part_of(str(value))
    if not part:
        raise UserError(
            f"the column 'split' of {path} must have train, val or test, {place} has "
            f"{shortened(value)}"
        )
    return part
