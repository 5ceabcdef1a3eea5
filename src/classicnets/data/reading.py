"""Texts as they stand in files."""

import codecs
import os
from pathlib import Path
from typing import BinaryIO

from classicnets.errors import UserError


def read_text(source: str | os.PathLike[str] | BinaryIO) -> str:
    """Read a text from a file, by its path or open.

    Raises:
        UserError: With the reason alone.
    """
    if not isinstance(source, str | os.PathLike):
        return decode_text(source.read())
    try:
        content = Path(source).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {source}: {error.strerror}") from None
    return decode_text(content)


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
