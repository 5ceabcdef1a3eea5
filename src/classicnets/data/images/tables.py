"""Tables of images: a column of their paths or names, and one of their labels."""

import functools
import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from classicnets.data.folder_files import (
    IMAGES,
    file_state,
    files_below,
    path_below,
    printable,
    visible,
)
from classicnets.data.folder_layout import Listing, part_of, skipped_note
from classicnets.data.images.folders import open_listing
from classicnets.data.labels import number_labels
from classicnets.data.options import Options
from classicnets.data.splitting import Source
from classicnets.data.table_files import READERS, open_table_file
from classicnets.data.tables import (
    LABEL_COLUMNS,
    TEXT_COLUMNS,
    first_column,
    read_table,
)
from classicnets.errors import UserError

IMAGE_COLUMNS = (
    *("image", "image_path", "image_name", "image_id", "image_file", "img"),
    *("img_path", "img_name", "filename", "file_name", "filepath", "file_path"),
    *("file", "path", "photo", "picture", "name", "id", "图像", "图片", "文件名"),
)
_LOOKED_AT = 20  # rows of a table that nobody named
_ORDER = ("", "train", "validation", "test")


def image_columns(columns: Sequence[str], options: Options) -> tuple[str, str] | None:
    """Return those of images and of labels of a table's columns; None if it has texts.

    A column that is called like images have them too: `id` beside `text` counts rows.
    """
    if options.text_column or first_column(TEXT_COLUMNS, columns):
        return None
    image = first_column(IMAGE_COLUMNS, columns)
    label = options.label_column or first_column(LABEL_COLUMNS, columns)
    if not image or label not in columns or image == label:
        return None
    return image, label


def tables_of_images(index: "Index", options: Options) -> list[Path]:
    """Return the tables in a folder that name its images, each with labels."""
    paths = [
        Path(entry)
        for entry in visible(index.root)
        if entry.is_file() and Path(entry).suffix.lower() in READERS
    ]
    return [path for path in paths if _names_images(path, index, options)]


def open_image_tables(
    index: "Index", tables: Sequence[Path], options: Options
) -> Source:
    """Open the images that tables name; see `data.load`.

    Args:
        index: Of the folder that has the images, in whatever folders below it.
        tables: One, or those of the splits, such as train.csv and test.csv.
        options: How they are read.
    """
    root = index.root
    by_part = _by_part(root, tables)
    rows: dict[str, tuple[str, str]] = {}  # by file its label and part
    missing: list[tuple[str, str]] = []
    notes: list[str] = []
    for part, path in by_part.items():
        table = open_table_file(path)
        columns = image_columns(table.columns, options)
        assert columns is not None
        image, label = columns
        notes.append(f"{path.name}: images from {image!r}, labels from {label!r}")
        names, labels, parts, _ = read_table(
            path, image, label, options.labels, table=table
        )
        for name, cell, own in zip(names, labels, parts, strict=True):
            of = str(cell)
            file = index.find(name)
            if file is None:
                missing.append((name, "it is not there"))
            elif rows.setdefault(file, (of, part or own)) != (of, part or own):
                raise UserError(
                    f"every image of {path} must have one label and split, {name} has"
                    " two"
                )
    notes += skipped_note(
        root,
        missing,
        files=len(rows) + len(missing),
        allow_corrupt=options.allow_corrupt,
        kind=IMAGES,
    )
    if unnamed := len(index.files) - len(rows):
        notes.append(f"{unnamed:,} images in {root} are left out: no table names them")
    others = {e.name for e in visible(root) if Path(e).suffix.lower() in READERS}
    if others := others - {path.name for path in tables}:
        notes.append(f"{', '.join(sorted(others))}: left out, without labels of images")
    return open_listing(_listing(index, rows, notes), options)


def _listing(
    index: "Index", rows: Mapping[str, tuple[str, str]], notes: Sequence[str]
) -> Listing:
    root = index.root
    files = sorted(rows, key=lambda file: (_ORDER.index(rows[file][1]), file))
    class_names, labels = number_labels([rows[file][0] for file in files])
    parts = [rows[file][1] for file in files]
    state = hashlib.sha256(os.fsencode(root.resolve()))
    for file in files:
        seen = (file, rows[file], *file_state(index.files[file]))
        state.update(repr(seen).encode())
    said = repr([(file, rows[file]) for file in files])
    return Listing(
        root=root,
        class_names=tuple(printable(name) for name in class_names),
        files=files,
        labels=labels,
        parts=np.array(parts),
        state=state.hexdigest(),
        notes=tuple(notes),
        table=hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest(),
    )


class Index:
    """The images below a folder, found by path, by name or by name without ending."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @functools.cached_property
    def files(self) -> dict[str, os.DirEntry[str]]:
        """The images by their paths; the folder is walked when they are needed."""
        relative = path_below(self.root)
        found = files_below(self.root, IMAGES, Counter())
        return {relative(entry): entry for entry in found}

    @functools.cached_property
    def _by_name(self) -> dict[str, list[str]]:
        by_name: dict[str, list[str]] = {}
        for file in self.files:
            name = file.rpartition("/")[2]
            for each in {name, os.path.splitext(name)[0]}:
                by_name.setdefault(each, []).append(file)
        return by_name

    def find(self, name: str) -> str | None:
        """Return the file that a cell names: a path from here, or of elsewhere."""
        path = name.strip().replace("\\", "/").removeprefix("./")
        if path in self.files:
            return path
        there = self._by_name.get(path.rpartition("/")[2], [])
        if len(there) > 1:  # the same name in several folders: by the end of the path
            ends = [
                f
                for f in there
                if f"/{os.path.splitext(f)[0]}".endswith(
                    f"/{os.path.splitext(path)[0]}"
                )
            ]
            there = ends or there
        if len(there) > 1:
            raise UserError(
                f"{name} must name one image, it may be {there[0]} or {there[1]}"
            )
        return there[0] if there else None


def _by_part(root: Path, tables: Sequence[Path]) -> dict[str, Path]:
    """Return the tables by the split that their names say; "" where they are one."""
    if len(tables) == 1:
        return {"": tables[0]}
    by_part: dict[str, Path] = {}
    for path in tables:
        part = part_of(path.stem)
        if not part or part in by_part:
            raise UserError(
                f"{root} must have one table of images, or one per split, it has"
                f" {', '.join(t.name for t in tables)}: --data {path} takes one of them"
            )
        by_part[part] = path
    if "train" not in by_part:
        raise UserError(f"{root} must have a table of training images, train.csv")
    return {part: by_part[part] for part in _ORDER if part in by_part}


def _names_images(path: Path, index: Index, options: Options) -> bool:
    """Return whether a table names images: one of classes has an `id`, too."""
    try:
        table = open_table_file(path)
        columns = image_columns(table.columns, options)
        if not columns or not index.files:
            return False
        rows = islice(table.read(columns), _LOOKED_AT)
        return any(index.find(str(row.values.get(columns[0]))) for row in rows)
    except UserError:
        return False
