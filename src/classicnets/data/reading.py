"""Texts as they stand in files."""

import codecs
import os
import stat
from typing import BinaryIO

from classicnets.errors import UserError

MOST_BYTES = 2**28  # bytes of an image, or of a text


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Read a file. What is none, such as a pipe or a device, may have no end.

    Raises:
        UserError: With the path and the reason.
    """
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise UserError(f"cannot read {path}: it is no file but {_kind(mode)}")
        with open(path, "rb") as stream:
            if os.fstat(stream.fileno()).st_size > MOST_BYTES:
                raise _too_large()
            return read_stream(stream)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def read_stream(stream: BinaryIO) -> bytes:
    """Read an open file to its end, which must be near.

    Raises:
        UserError: With the reason alone.
    """
    content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise _too_large()
    return content


def _too_large() -> UserError:
    return UserError(f"it has more than {MOST_BYTES / 1e6:,.0f} MB")


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def read_text(source: str | os.PathLike[str] | BinaryIO) -> str:
    """Read a text from a file, by its path or open.

    Raises:
        UserError: With the reason alone.
    """
    if not isinstance(source, str | os.PathLike):
        return decode_text(read_stream(source))
    return decode_text(read_file(source))


def decode_text(content: bytes) -> str:
    """Decode UTF-8, or what the mark at the beginning says.

    Raises:
        UserError: With the reason alone.
    """
    try:
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text = content.decode("utf-16")
        else:
            text = content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        kind = error.encoding.upper()
        raise UserError(f"it is not {kind} at byte {error.start:,}") from None
    if "\0" in text:
        raise UserError("it has NUL bytes: it is binary, or UTF-16 without its mark")
    return text
