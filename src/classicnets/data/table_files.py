"""The rows of CSV, JSONL and Parquet files."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classicnets.data.reading import decode_text
from classicnets.data.texts.words import well_formed
from classicnets.errors import UserError
from classicnets.networks import memory

NO_SPLIT: Any = object()  # the split of a row of a table without such a column
_LONGEST = 40  # characters of a value in a message
_DENSEST = 8  # rows in a byte: a label takes a bit, its text more
_LONGEST_FIELD = 2**31 - 1  # csv's own limit is 131,072 characters


@dataclass(frozen=True)
class Columns:
    """The names of the columns that are read; `split` is "" where there is none."""

    text: str
    label: str
    split: str


# A reader is given the choice of columns from all their names; it yields the place of a
# row ("line 7") and the row's text, label and split.
Choice = Callable[[Sequence[str]], Columns]
Row = tuple[str, Any, Any, Any]


def _read_csv(path: Path, choose: Choice) -> Iterator[Row]:
    content = _text(path)
    first = content.partition("\n")[0]
    if path.suffix.lower() == ".tsv":
        delimiter = "\t"
    else:  # spreadsheets write semicolons where the comma is the decimal point
        delimiter = ";" if first.count(";") > first.count(",") else ","
    rows = csv.reader(
        io.StringIO(content, newline=""), delimiter=delimiter, strict=True
    )
    limit = csv.field_size_limit(_LONGEST_FIELD)
    start = 1
    try:
        header = next((row for row in rows if row), [])
        columns = choose(header)
        text, label = header.index(columns.text), header.index(columns.label)
        split = header.index(columns.split) if columns.split else None
        start = rows.line_num + 1
        for row in rows:
            if row and len(row) != len(header):
                raise UserError(
                    f"every row of {path} must have {len(header)} fields as its first "
                    f"line has, line {start} has {len(row)}; put quotes around a text "
                    f"that has {delimiter!r} in it"
                )
            if row:
                part = NO_SPLIT if split is None else row[split]
                yield f"line {start}", row[text], row[label], part
            start = rows.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{path} must be {path.suffix[1:].upper()}, line {start} is broken: "
            f"{error}; a quote in a quoted text is written twice"
        ) from None
    finally:
        csv.field_size_limit(limit)


def _read_jsonl(path: Path, choose: Choice) -> Iterator[Row]:
    columns = None
    # Not splitlines: a text may hold other separators of lines, such as U+2028.
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            # JSON's own message calls every line of ours its line 1.
            reason = getattr(error, "msg", str(error))
            raise UserError(
                f"every line of {path} must be a JSON object, {place} is broken: "
                f"{reason}"
            ) from None
        if not isinstance(row, dict):
            raise UserError(
                f"every line of {path} must be a JSON object such as "
                f'{{"text": "good", "label": 1}}, {place} has {shortened(row)}'
            )
        columns = columns or choose(list(row))
        for column in (columns.text, columns.split):
            if column and column not in row:
                raise UserError(f"{place} of {path} has no {column!r}")
        text, label = row[columns.text], row.get(columns.label)
        if "\\u" in line:  # may be half a surrogate pair
            text, label = (
                well_formed(value) if isinstance(value, str) else value
                for value in (text, label)
            )
        part = row[columns.split] if columns.split else NO_SPLIT
        yield place, text, label, part


def _read_parquet(path: Path, choose: Choice) -> Iterator[Row]:
    _bytes(path, 1)  # whether it is there and not empty
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            rows, most = file.metadata.num_rows, _DENSEST * path.stat().st_size
            if rows > most:  # the same value again and again takes no room
                raise ValueError(f"{rows:,} rows cannot be in it")
            columns = choose(file.schema_arrow.names)
            names = {columns.text, columns.label, columns.split} - {""}
            table = file.read(columns=sorted(names))
            values = {name: table.column(name).to_pylist() for name in names}
    except UserError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} must be Parquet, it is broken: {reason}") from None
    splits = values.get(columns.split, [NO_SPLIT] * table.num_rows)
    cells = zip(values[columns.text], values[columns.label], splits, strict=True)
    for number, row in enumerate(cells, 1):
        yield f"row {number}", *row


READERS: dict[str, Callable[[Path, Choice], Iterator[Row]]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".parquet": _read_parquet,
}


def _text(path: Path) -> str:
    content = _bytes(path)
    try:
        text = decode_text(content)
    except UserError as error:
        raise UserError(
            f"{path} must be text in UTF-8, but {error}; convert it, for example by "
            f"iconv -f GB18030 -t UTF-8 {path.name} > utf8{path.suffix}"
        ) from None
    if not text.strip():
        raise _empty(path)
    return text


def _bytes(path: Path, most: int = -1) -> bytes:
    try:
        memory.check(path.stat().st_size, f"{path}, read completely,")
        with open(path, "rb") as stream:
            content = stream.read(most)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    if not content:
        raise _empty(path)
    return content


def _empty(path: Path) -> UserError:
    return UserError(f"{path} must hold texts, it is empty")


def shortened(value: Any) -> str:
    """Return a value as Python writes it, cut for a message."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
