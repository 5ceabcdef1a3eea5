"""The rows of CSV, TSV, JSONL and Parquet files, with all of their columns."""

import collections
import contextlib
import csv
import io
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from classicnets.data.reading import decode_text
from classicnets.data.texts.words import well_formed
from classicnets.errors import UserError, shortened
from classicnets.networks import memory

_DENSEST = 8  # rows in a byte: a label takes a bit, its text more
_LONGEST_FIELD = 2**31 - 1  # csv's own limit is 131,072 characters
_BATCH = 10_000  # rows of a Parquet file in memory
_DELIMITERS = ",;\t|"
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


class Row(NamedTuple):
    """A row of a table.

    Args:
        place: "line 7" or "row 7".
        values: By the name of the column.
        error: What is wrong with it; None if it could be read.
    """

    place: str
    values: dict[str, Any]
    error: UserError | None = None


class Table(NamedTuple):
    """A table that is read row by row.

    Args:
        columns: Their names; of JSONL those of the first row.
        read: From the columns that are needed, None for all, to the rows; those of CSV
            and JSONL have all. Once.
        notes: Lines that the user should see.
    """

    columns: Sequence[str]
    read: Callable[[Sequence[str] | None], Iterator[Row]]
    notes: Sequence[str] = ()


def open_table_file(path: Path) -> Table:
    """Open a table by its ending, which is one of `READERS`.

    Raises:
        UserError: If it cannot be read at all. A row that cannot has its error, unless
            nobody can tell where the next one begins: then reading the rows raises it.
    """
    return READERS[path.suffix.lower()](path)


def _read_csv(path: Path) -> Table:
    content = _text(path)
    first = content.lstrip("\r\n").partition("\n")[0]
    delimiter = _delimiter(path, first)
    is_quoted, notes = True, []
    if '"' not in content or (
        path.suffix.lower() == ".tsv" and not _has_quoted_fields(content, delimiter)
    ):
        is_quoted = False
    elif several := _lines_swallowed(content, delimiter):
        notes.append(
            f"{path.name}: quotes hold {several:,} lines together, which are rows of"
            " their own without them: a quote in a text is written twice"
        )
    rows = csv.reader(
        io.StringIO(content, newline=""),
        delimiter=delimiter,
        strict=is_quoted,
        quoting=csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE,
    )
    limit = csv.field_size_limit(_LONGEST_FIELD)
    try:
        header = _distinct(next((row for row in rows if row), []))
    except csv.Error as error:
        raise _broken(path, 1, error) from None
    finally:
        csv.field_size_limit(limit)
    return Table(header, lambda _: _csv_rows(path, rows, header, delimiter), notes)


def _csv_rows(
    path: Path, rows: Any, header: Sequence[str], delimiter: str
) -> Iterator[Row]:
    start = rows.line_num + 1
    limit = csv.field_size_limit(_LONGEST_FIELD)
    try:
        for row in rows:
            place = f"line {start}"
            start = rows.line_num + 1
            if not row:
                continue
            error = None
            if len(row) != len(header):
                error = UserError(
                    f"every row of {path} must have {len(header)} fields as its first "
                    f"line has, {place} has {len(row)}; put quotes around a text "
                    f"that has {delimiter!r} in it"
                )
            yield Row(place, dict(zip(header, row)), error)
    except csv.Error as error:
        raise _broken(path, start, error) from None
    finally:
        csv.field_size_limit(limit)


def _broken(path: Path, line: int, error: Exception) -> UserError:
    return UserError(
        f"{path} must be {path.suffix[1:].upper()}, line {line} is broken: "
        f"{error}; a quote in a quoted text is written twice"
    )


def _delimiter(path: Path, first: str) -> str:
    """Return what separates fields: spreadsheets write semicolons where the comma is
    the decimal point."""
    usual = "\t" if path.suffix.lower() == ".tsv" else ","
    counts = {each: first.count(each) for each in _DELIMITERS}
    most = max(counts, key=lambda each: (counts[each], each == usual))
    return usual if counts[usual] and usual == "\t" else most


def _has_quoted_fields(content: str, delimiter: str) -> bool:
    """Return whether a TSV file quotes fields, as few do: else a quote is a quote.

    It does where its lines alone are no rows, or all fields that begin with a quote are
    quoted to their ends.
    """
    rows = [line.split(delimiter) for line in _lines(content)]
    if len({len(row) for row in rows}) > 1:
        return True
    begun = [field for row in rows for field in row if field.startswith('"')]
    return bool(begun) and all(_QUOTED.fullmatch(field) for field in begun)


def _lines_swallowed(content: str, delimiter: str) -> int:
    """Return how many lines lie within quotes, where each could be a row as well."""
    lines = _lines(content)
    counts = {line.count(delimiter) for line in lines}
    if len(counts) > 1 or counts == {0}:
        return 0
    return sum(line.count('"') % 2 for line in lines)


def _lines(content: str) -> list[str]:
    lines = (line.removesuffix("\r") for line in content.split("\n"))
    return [line for line in lines if line]


def _distinct(names: Sequence[str]) -> list[str]:
    """Return names of columns of which none stands twice."""
    seen: collections.Counter[str] = collections.Counter()
    distinct = []
    for name in names:
        distinct.append(f"{name}.{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return distinct


def _read_jsonl(path: Path) -> Table:
    rows = _jsonl_rows(path, _text(path))
    first = next(rows)
    if first.error:
        raise first.error

    return Table(list(first.values), lambda _: itertools.chain([first], rows))


def _jsonl_rows(path: Path, text: str) -> Iterator[Row]:
    # Not splitlines: a text may hold other separators of lines, such as U+2028.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place, row, wrong = f"line {number}", None, ""
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            # JSON's own message calls every line of ours its line 1.
            wrong = f"{place} is broken: {getattr(error, 'msg', str(error))}"
        if not wrong and not isinstance(row, dict):
            wrong = f"{place} has {shortened(row)}"
            example = ' such as {"text": "good", "label": 1}'
        else:
            example = ""
        if wrong:
            message = f"every line of {path} must be a JSON object{example}, {wrong}"
            yield Row(place, {}, UserError(message))
            continue
        assert isinstance(row, dict)
        if "\\u" in line:  # may be half a surrogate pair
            row = {
                key: well_formed(value) if isinstance(value, str) else value
                for key, value in row.items()
            }
        yield Row(place, row)


def _read_parquet(path: Path) -> Table:
    _bytes(path, 1)  # whether it is there and not empty
    import pyarrow
    from pyarrow import parquet

    def broken(error: Exception) -> UserError:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return UserError(f"{path} must be Parquet, it is broken: {reason}")

    wrong = (pyarrow.ArrowException, OSError, ValueError, KeyError)
    try:
        with parquet.ParquetFile(path) as file:
            rows, most = file.metadata.num_rows, _DENSEST * path.stat().st_size
            if rows > most:  # the same value again and again takes no room
                raise ValueError(f"{rows:,} rows cannot be in it")
            columns = list(file.schema_arrow.names)
    except wrong as error:
        raise broken(error) from None

    def read(names: Sequence[str] | None) -> Iterator[Row]:
        number = 0
        try:
            with parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(_BATCH, columns=names):
                    for values in batch.to_pylist():
                        number += 1
                        yield Row(f"row {number}", values)
        except wrong as error:
            raise broken(error) from None

    return Table(columns, read)


READERS: dict[str, Callable[[Path], Table]] = {
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
            f"iconv -f {_encoding(content)} -t UTF-8 {path.name} > utf8{path.suffix}"
        ) from None
    if not text.strip():
        raise _empty(path)
    return text


def _encoding(content: bytes) -> str:
    """Return the name, as iconv knows it, of the encoding that a text seems to have."""
    from charset_normalizer import from_bytes

    names = [match.encoding for match in from_bytes(content[:200_000])]
    # Of those that fit equally the ones of old Macintoshes are the least probable.
    names.sort(key=lambda name: name.startswith("mac_"))
    name = names[0] if names else "cp1252"
    if name.startswith("utf_16"):
        return name.upper().replace("UTF_16_", "UTF-16")
    if name in ("gb18030", "gbk", "gb2312", "hz") or (
        name == "big5" and _decodes(content, "gb2312")  # few bytes fit both
    ):
        return "GB18030"
    if _is_western(content):
        return "CP1252"  # which has Latin-1 in it
    return {"cp949": "CP949", "big5": "BIG5"}.get(name, name.replace("_", "-").upper())


def _decodes(content: bytes, encoding: str) -> bool:
    with contextlib.suppress(UnicodeDecodeError):
        return bool(content.decode(encoding))
    return False


def _is_western(content: bytes) -> bool:
    """Return whether the bytes above ASCII are letters and signs of Western Europe,
    most of them between others: those of Chinese or Russian stand side by side."""
    runs = re.findall(rb"[\x80-\xff]+", content)
    high = b"".join(runs)
    alone = sum(len(run) <= 2 for run in runs)
    usual = sum(high.count(letter) for letter in _WESTERN)
    return alone >= 0.8 * len(runs) and usual >= 0.9 * len(high)


_WESTERN = {
    letter.encode("cp1252")
    for letter in "àâäáãåæçéèêëíìîïñóòôöõøœúùûüÿßÀÂÄÁÅÆÇÉÈÊËÍÎÏÑÓÔÖØÚÛÜ"
    "’‘“”–—…«»€£°§©®·¿¡"
}


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
