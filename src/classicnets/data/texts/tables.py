"""Tables of texts: which columns are read, and how their labels become classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from classicnets.data import labels as label_kinds
from classicnets.data.folder_layout import PARTS
from classicnets.data.labels import Label
from classicnets.data.options import Options
from classicnets.data.splitting import Source
from classicnets.data.texts.splits import text_source
from classicnets.data.texts.table_files import NO_SPLIT, READERS, Columns, shortened
from classicnets.errors import UserError, nearest
from classicnets.kinds import CLASSES

TEXT_COLUMNS = (
    *("text", "review", "sentence", "content", "comment", "body", "message"),
    *("document", "tweet", "文本", "内容", "评论", "句子"),
)
LABEL_COLUMNS = (
    *("label", "class", "sentiment", "category", "target", "labels", "topic"),
    *("intent", "emotion", "标签", "类别", "分类"),
)
_PARTS = PARTS | {"dev": "validation"}


def open_table(
    path: Path, options: Options, *, name: str, class_names: Sequence[str] = ()
) -> Source:
    """Read a table of texts and labels; see `data.load`.

    Args:
        path: The file.
        options: Which columns are read.
        name: How messages call it.
        class_names: What the labels 0, 1, ... are called where the file does not say.
    """
    texts, labels, parts, notes = read_table(
        path, options.text_column, options.label_column, options.labels
    )
    names, numbers = label_kinds.encode(labels, options.labels, notes)
    if class_names and names == tuple(str(i) for i in range(len(class_names))):
        names = tuple(class_names)
    return text_source(
        name, names, texts=texts, labels=numbers, parts=parts, notes=notes
    )


def read_table(
    path: Path, text_column: str = "", label_column: str = "", kind: str = CLASSES
) -> tuple[list[str], list[Label], list[str], list[str]]:
    """Read the texts, the labels and the parts of all rows; and notes on the columns.

    Labels are of a `kind`, as `labels.read` returns them. A part is "train",
    "validation" or "test", or "" where the table has none.
    """
    texts: list[str] = []
    labels: list[Label] = []
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
        labels.append(label_kinds.read(label, kind, where=str(path), place=place))
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
    return [str(group) for group, part in zip(groups, parts) if part in ("", "train")]


def _choose(
    path: Path, columns: Sequence[str], text_column: str, label_column: str
) -> Columns:
    for column in (text_column, label_column):
        if column and column not in columns:
            raise UserError(
                f"{path} has no column {column!r}. {nearest(column, columns)}"
            )
    text = text_column or _first(TEXT_COLUMNS, columns)
    label = label_column or _first(LABEL_COLUMNS, columns)
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
    split = _first(("split",), columns)
    return Columns(text, label, "" if split in (text, label) else split)


def _first(names: Sequence[str], columns: Sequence[str]) -> str:
    """Return the column that is called like the first of the names that one has."""
    by_name = {column.strip().casefold(): column for column in reversed(columns)}
    return next((by_name[name] for name in names if name in by_name), "")


def _part(path: Path, place: str, value: Any) -> str:
    part = _PARTS.get(str(value).strip().lower())
    if part is None:
        raise UserError(
            f"the column 'split' of {path} must have train, val or test, {place} has "
            f"{shortened(value)}"
        )
    return part
