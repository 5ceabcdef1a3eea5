"""The way from a source, whatever it is, to its splits."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np

from classicnets.data.catalogue import DATASETS
from classicnets.data.examples import Examples, Splits
from classicnets.data.folds import Fold, read_groups
from classicnets.data.images.arrays import open_npz
from classicnets.data.images.folders import open_image_folder
from classicnets.data.images.tables import (
    Index,
    image_columns,
    open_image_tables,
    tables_of_images,
)
from classicnets.data.labels import of_classes
from classicnets.data.named import find, open_digits
from classicnets.data.options import Options
from classicnets.data.splitting import Source, split
from classicnets.data.table_files import READERS, open_table_file
from classicnets.data.tables import read_groups_column
from classicnets.data.texts.folders import holds_texts, open_text_folder
from classicnets.data.texts.imdb import open_numbered
from classicnets.data.texts.splits import encode_splits
from classicnets.data.texts.tables import open_table
from classicnets.errors import UserError, nearest
from classicnets.kinds import CLASSES
from classicnets.recipe import TEXTS


def load(
    source: str | os.PathLike[str], options: Options | None = None, **changes: Any
) -> Splits:
    """Load a data set and split it.

    Args:
        source: A name of `DATASETS`; a `.npz` file of images; a table of texts (`.csv`,
            `.tsv`, `.jsonl`, `.ndjson`, `.parquet`); or a folder of images or `.txt`
            files with one subfolder per class. A path that is not there is looked for
            below `$CLASSICNETS_DATA` too.
        options: How it is read and split.
        **changes: Options to change, such as `image_size=32`.

    Raises:
        UserError: In one line, what the source must be and is not.
    """
    options = dataclasses.replace(options or Options(), **changes)
    name = os.fspath(source)
    fold = _fold(name, options)
    if name == "digits":
        # Its classes are large enough to be split, whether they are learned or not.
        options = dataclasses.replace(options, labelled=True)
    splits = split(_relabelled(_open(name, options), options), options, fold=fold)
    return encode_splits(splits, options) if splits.inputs == TEXTS else splits


def _relabelled(source: Source, options: Options) -> Source:
    """Return a source with labels as the options ask for, where it has classes."""
    if options.labels == CLASSES or source.examples.labels.dtype != np.int32:
        return source
    names, table = of_classes(source.class_names, options.labels, where=source.name)

    def changed(examples: Examples) -> Examples:
        return dataclasses.replace(examples, labels=table[examples.labels])

    validation, open_test = source.validation, source.open_test
    return dataclasses.replace(
        source,
        class_names=names,
        examples=changed(source.examples),
        validation=None if validation is None else changed(validation),
        open_test=None if open_test is None else lambda: changed(open_test()),
    )


def _open(name: str, options: Options) -> Source:
    """Open what has this name, by what it is."""
    if not name:
        raise UserError("the recipe is for data of your own: --data FOLDER, or a file.")
    if name in DATASETS:
        return _open_named(name, options)
    path = _place(name)
    if path.is_dir():
        # Images may have texts beside them that describe them: more, even.
        index = Index(path)
        if options.labelled and (tables := tables_of_images(index, options)):
            return open_image_tables(index, tables, options)
        if options.labelled and holds_texts(path):
            return open_text_folder(path, options)
        return open_image_folder(path, options)
    if not path.exists():
        hint = nearest(name.lower(), DATASETS)
        raise UserError(f"no file, folder or data set is called {name!r}. {hint}")
    if not path.is_file():
        raise UserError(
            f"data must be a file or a folder, {name} is a pipe or a device"
        )
    suffix = path.suffix.lower()
    if suffix in READERS:
        _refuse_texts(name, options)
        table = open_table_file(path)
        if image_columns(table.columns, options):
            return open_image_tables(Index(path.parent), [path], options)
        return open_table(path, options, name=path.name, table=table)
    if suffix != ".npz":
        raise UserError(
            f"data must be a set's name ({', '.join(DATASETS)}), a file "
            f"(.npz, {', '.join(READERS)}) or a folder of images or texts, got the "
            f"file {name}"
        )
    return open_npz(path, options, name=path.name)


def _open_named(name: str, options: Options) -> Source:
    if name == "digits":
        return open_digits(options)
    class_names = DATASETS[name].class_names
    if name == "imdb":
        _refuse_texts(name, options)
    path = find(name)
    if name != "imdb":
        return open_npz(path, options, name=name, class_names=class_names)
    if path.suffix == ".npz":
        return open_numbered(path, options, class_names=class_names)
    return open_table(path, options, name=name, class_names=class_names)


def _place(name: str) -> Path:
    """Return the path of a file or folder: here, else below `$CLASSICNETS_DATA`."""
    path = Path(name).expanduser()
    folder = os.environ.get("CLASSICNETS_DATA")
    if folder and not path.exists():
        below = Path(folder).expanduser() / path
        return below if below.exists() else path
    return path


def prepare(
    folder: str | os.PathLike[str], options: Options | None = None, **changes: Any
) -> Splits:
    """Decode a folder of images into the cache, and load it; see `load`."""
    options = dataclasses.replace(options or Options(), **changes)
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise UserError(f"prepare needs a folder of images, {folder} is none")
    if options.labelled and holds_texts(path):
        raise UserError(
            f"prepare needs a folder of images, {folder} is one of texts: they need no "
            "preparation"
        )
    return load(path, options)


def _fold(name: str, options: Options) -> Fold | None:
    """Return the fold of the options, with the groups of the examples."""
    number, of, groups = options.fold, options.folds, options.groups
    if not groups or not of:
        return Fold(number, of) if of else None
    path = find(name) if name == "imdb" else _place(name)
    if name not in DATASETS and path.is_dir():
        raise UserError(f"groups are for files and named sets, {name} is a folder.")
    file = _place(groups)
    if file.is_file():
        return Fold(number, of, read_groups(file))
    if path.suffix.lower() in READERS:
        names = read_groups_column(path, groups)
        return Fold(number, of, names)
    raise UserError(
        f"groups must be a text file with one line per example, got {groups}."
    )


def _refuse_texts(name: str, options: Options) -> None:
    if not options.labelled:
        raise UserError(f"tasks without labels learn from images, {name} has texts")
