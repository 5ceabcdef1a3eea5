"""Files written completely or not at all, locks, and folders of one's own.

Every file that the package writes is written here, but for TensorBoard's, which grows;
history.csv grows too, by `append_csv`.
"""

import contextlib
import csv
import io
import json
import math
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from classicnets.errors import UserError

_TEMPORARY = r"\..+\.[0-9a-f]{8}(\.\w+)?"  # names of files that are being written


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; the file written there takes the place of `path`.

    It does so completely or not at all, and for good. The temporary file lies beside
    the target: a rename is atomic only within one file system. Without the two fsyncs a
    power cut could leave the new name with no content.

    Raises:
        UserError: If `path` is a folder.
    """
    if path.is_dir():
        raise UserError(f"{path} must be a file, it is a folder.")
    # Not tempfile's: its files are private, and a run is to be read by others. With the
    # same ending, since Keras and NumPy write by it.
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # a write on a full disk names none
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write(path: Path, content: bytes) -> None:
    """Write a file, see `replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file as JSON; NumPy's numbers are understood."""
    text = json.dumps(plain(content), indent=2, ensure_ascii=False)
    # Half a character, such as a byte of a file's name that is no UTF-8, is written as
    # JSON's escape.
    write(path, f"{text}\n".encode(errors="backslashreplace"))


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; an empty one where there is no file.

    Raises:
        UserError: If the file holds something else, or cannot be read.
    """
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} must be JSON: {error}.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} must be a JSON object, got {content!r:.60}.")
    return content


def write_csv(
    path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]
) -> None:
    """Write a file as CSV; a cell that its row lacks stays empty."""
    write(path, _csv([dict(zip(columns, columns)), *rows], columns))


def append_csv(path: Path, columns: Sequence[str], row: Mapping[str, Any]) -> None:
    """Add a row to a CSV file, for good.

    What was there stays as it is, also where the disk is full. A process that is killed
    may leave the beginning of the row, without the end of its line.
    """
    content = memoryview(_csv([row], columns))
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        try:
            while content:
                content = content[file.write(content) :]
            os.fsync(file.fileno())
        except BaseException as error:
            file.truncate(size)
            if isinstance(error, OSError):
                error.filename = str(path)  # a write on a full disk names none
            raise


def _csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> bytes:
    text = io.StringIO()
    table = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    table.writerows(rows)
    return text.getvalue().encode()


@contextlib.contextmanager
def lock(folder: Path, holder: Callable[[], str]) -> Iterator[None]:
    """Keep every other process out of a folder, until this one ends or lets it go.

    Args:
        folder: What is locked.
        holder: Says who holds it, where somebody does.

    Raises:
        UserError: If another process holds it, or nobody may write there.
    """
    from filelock import FileLock, Timeout

    file_lock = FileLock(folder / ".lock", timeout=0)
    try:
        file_lock.acquire()
    except Timeout:
        raise UserError(
            f"{folder.name} must not be trained twice at a time: {holder()} does."
        ) from None
    except OSError as error:
        raise UserError(
            f"{folder} must be a folder to write to, .lock in it cannot be locked:"
            f" {error.strerror}."
        ) from None
    try:
        yield
    finally:
        file_lock.release()


def remove_half_written(files: Iterable[Path]) -> None:
    """Remove those of the files that a killed process was writing."""
    for path in files:
        if re.fullmatch(_TEMPORARY, path.name):
            path.unlink(missing_ok=True)


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a run's folder."""
    if not re.fullmatch(
        r"[^\s/\\:*?\"<>|.-][^/\\:*?\"<>|\x00-\x1f\x7f-\x9f\ud800-\udfff]*", name
    ):
        raise UserError(
            f"a run's name must be a plain folder name, got {name!r}; "
            f"where runs go is the runs folder's to say (--runs)."
        )


def take_folder(parent: Path, name: str) -> Path:
    """Make the first free folder of name, name-2, name-3, … and return it."""
    attempt = 1
    while True:
        folder = parent / (name if attempt == 1 else f"{name}-{attempt}")
        try:
            parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()  # fails when taken: two training runs cannot share one
            return folder
        except FileExistsError:
            if not parent.is_dir():
                raise UserError(
                    f"the runs folder must be a folder, {parent} is a file."
                ) from None
            attempt += 1
        except OSError as error:
            raise UserError(
                f"the run's folder {folder} cannot be made: {error.strerror}."
            ) from None


def as_typed(path: Path) -> str:
    """Return the path as a person would type it here."""
    inside = path.is_relative_to(Path.cwd())
    return os.path.relpath(path) if inside else str(path)


def plain(value: Any) -> Any:
    """Return the value in JSON's own types; what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON knows no NaN: other readers would refuse the file
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value
