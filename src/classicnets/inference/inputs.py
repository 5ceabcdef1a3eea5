"""What is given to `predict`: files, folders, tables, standard input, arrays, texts."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from classicnets import data
from classicnets.data.folder_files import IMAGES, TEXTS, FileKind, files_below
from classicnets.data.images.decoding import resize_image
from classicnets.data.images.tables import IMAGE_COLUMNS, Index
from classicnets.data.table_files import READERS, Table, open_table_file
from classicnets.data.tables import TEXT_COLUMNS, check_column, first_column
from classicnets.errors import UserError

Source = str | os.PathLike[str] | BinaryIO | np.ndarray | Image.Image


class Input(NamedTuple):
    """One input of many.

    Args:
        name: The path as it was given, the text, or the place in a table.
        value: A text, what `read_picture` takes, or the error of getting there.
        row: The columns of a table's row; None for what is no table.
    """

    name: str
    value: Any
    row: dict[str, Any] | None = None


def images_of(sources: Iterable[Source], column: str = "") -> Iterator[Input]:
    """Yield the images of files, folders, tables of paths, open files and arrays.

    Args:
        sources: What is given.
        column: Of a table, that of the paths; "" guesses by its name.
    """
    for source in sources:
        if not isinstance(source, str | os.PathLike):
            yield Input(_name_of(source), source)
        elif _is_table(path := Path(source)):
            yield from _rows(path, column, IMAGE_COLUMNS, _PathsOf(path.parent))
        else:
            yield from (Input(file, file) for file in _files(path, source, IMAGES))


def texts_of(sources: Iterable[Source], column: str = "") -> Iterator[Input]:
    """Yield the texts of files, folders of them, tables, and the lines of open files.

    Args:
        sources: A file is one text, a line of an open file is, and a row of a table.
        column: Of a table, that of the texts; "" guesses by its name.
    """
    for source in sources:
        if not isinstance(source, str | os.PathLike):
            yield from _lines(source)
        elif _is_table(path := Path(source)):
            yield from _rows(path, column, TEXT_COLUMNS, _text_of)
        else:
            for file in _files(path, source, TEXTS):
                try:
                    yield Input(file, data.read_text(file))
                except UserError as error:
                    yield Input(file, UserError(f"{file} is not a text: {error}"))


def read_picture(
    source: Source, *, image_size: tuple[int, int], channels: int, resize: str
) -> np.ndarray:
    """Return (height, width, channels) uint8 of a file, an array or a PIL image.

    Raises:
        UserError: For what is no image.
    """
    if isinstance(source, Image.Image):
        return resize_image(source, image_size, channels, resize)
    if isinstance(source, np.ndarray):
        return resize_image(_from_array(source), image_size, channels, resize)
    return data.read_image(
        source, image_size=image_size, channels=channels, resize=resize
    )


def is_one(inputs: Any) -> bool:
    """Return whether this is one source, and no list of them."""
    if isinstance(inputs, np.ndarray):
        return inputs.ndim < 3 or _has_channels(inputs)
    return isinstance(inputs, str | os.PathLike | Image.Image) or hasattr(
        inputs, "read"
    )


def has_several(source: Any, *, reads_texts: bool) -> bool:
    """Return whether one source has any number of inputs."""
    if isinstance(source, os.PathLike) or (isinstance(source, str) and not reads_texts):
        return Path(source).is_dir() or _is_table(Path(source))
    return reads_texts and hasattr(source, "read")


def _has_channels(pixels: np.ndarray) -> bool:
    """Return whether an array is one image (height, width, channels)."""
    return pixels.ndim == 3 and pixels.shape[2] in (1, 3, 4)


def _from_array(pixels: np.ndarray) -> Image.Image:
    if not (pixels.ndim == 2 or _has_channels(pixels)) or not pixels.size:
        raise UserError(
            "an array must be (height, width), or with 1, 3 or 4 channels behind, got"
            f" {pixels.shape}."
        )
    whole = np.issubdtype(pixels.dtype, np.integer)
    if not whole or pixels.min() < 0 or pixels.max() > 255:
        raise UserError(
            "the pixels of an array must be integers in 0..255, got"
            f" {pixels.dtype} in {pixels.min():g}..{pixels.max():g}."
        )
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    return Image.fromarray(pixels.astype(np.uint8))


def _name_of(source: Any) -> str:
    if isinstance(source, np.ndarray):
        return f"array {'x'.join(map(str, source.shape))}"
    if isinstance(source, Image.Image):
        size = f"image {source.width}x{source.height}"
        return str(getattr(source, "filename", "")) or size
    if not hasattr(source, "read"):
        raise UserError(f"an input must be a path or an image, got {source!r:.60}.")
    return str(getattr(source, "name", "the stream"))


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in READERS and path.is_file()


def _lines(source: Any) -> Iterator[Input]:
    """Yield the lines of an open file; what else may part lines belongs to a text."""
    if not hasattr(source, "read"):
        raise UserError(f"an input must be a text or a path, got {source!r:.60}.")
    lines = data.read_text(source).split("\n")
    if lines[-1] == "":
        lines.pop()
    for number, line in enumerate(lines, 1):
        text = line.removesuffix("\r")
        error = UserError(f"line {number} is blank")
        yield Input(text, text if text.strip() else error)


def _rows(
    path: Path, column: str, usual: Sequence[str], value_of: Any
) -> Iterator[Input]:
    """Yield the rows of a table, those that cannot be read as errors."""
    table = open_table_file(path)
    name = _column(path, table, column, usual)
    for row in table.read(None):
        where = f"{path} {row.place}"
        if row.error:
            yield Input(where, row.error, row.values)
            continue
        try:
            yield Input(where, value_of(row.values.get(name), where), row.values)
        except UserError as error:
            yield Input(where, error, row.values)


def _column(path: Path, table: Table, column: str, usual: Sequence[str]) -> str:
    check_column(path, column, table.columns)
    name = column or first_column(usual, table.columns)
    if not name:
        raise UserError(
            f"--column must name a column of {path}, where none is called"
            f" {', '.join(usual[:5])} or alike: it has"
            f" {', '.join(map(str, table.columns))[:200]}"
        )
    return name


def _text_of(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{where} has no text")
    return value


class _PathsOf:
    """Finds the images that a table names, from its own folder on."""

    def __init__(self, folder: Path) -> None:
        self.index = Index(folder)

    def __call__(self, value: Any, where: str) -> str:
        """Return the path of the image that a cell names."""
        for path in (self.index.root / str(value), Path(str(value))):
            if path.is_file():
                return str(path)
        if (file := self.index.find(str(value))) is None:
            raise UserError(f"{where} names {value!r}, which is not there")
        return str(self.index.root / file)


def _files(path: Path, typed: Any, kind: FileKind) -> Iterator[str]:
    """Yield the files of a kind below a folder, or the path as it was typed."""
    if not path.is_dir():
        yield os.fspath(typed)
        return
    files = sorted(Path(entry.path) for entry in files_below(path, kind, Counter()))
    if not files:
        raise UserError(f"{path} must hold {', '.join(kind.endings)} files.")
    yield from map(str, files)
