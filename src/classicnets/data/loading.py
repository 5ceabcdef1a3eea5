"""The way from a source, whatever it is, to its splits."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classicnets.data.arrays import load_npz
from classicnets.data.catalogue import DATASETS
from classicnets.data.examples import Splits, check_split_options
from classicnets.data.folders import load_folder
from classicnets.data.folds import Fold, check_fold, read_groups
from classicnets.data.images import check_image_options
from classicnets.data.imdb import load_numbered
from classicnets.data.named import find, load_digits
from classicnets.data.table_files import READERS
from classicnets.data.tables import load_table, read_groups_column
from classicnets.data.text_folders import holds_texts, load_text_folder
from classicnets.data.texts import TextOptions
from classicnets.data.vocabulary import check_text_options
from classicnets.errors import UserError, nearest

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def load(
    source: str | os.PathLike[str],
    *,
    labelled: bool = True,
    validation_fraction: float = 0.1,
    split_seed: int = 0,
    image_size: int = 0,
    channels: int = 0,
    resize: str = "crop",
    vocabulary_size: int = 20_000,
    skip_top: int = 0,
    max_tokens: int = 400,
    keep_tokens: str = "last",
    text_column: str = "",
    label_column: str = "",
    tokenizer: "Tokenizer | None" = None,
    allow_corrupt: bool = False,
    folds: int = 0,
    fold: int = 0,
    groups: str = "",
    progress: bool = True,
) -> Splits:
    """Load a data set and split it.

    Args:
        source: a name of `DATASETS`; a `.npz` file of images; a table of texts (`.csv`,
            `.tsv`, `.jsonl`, `.ndjson`, `.parquet`); or a folder of images or `.txt`
            files with a subfolder a class. A path that is not there is looked for below
            `$CLASSICNETS_DATA` too.
        labelled: whether labels are needed. If not, a folder of images is one heap,
            with subfolders or without, a `.npz` needs none, and texts are refused; what
            has no classes has `class_names` () and the label 0 for all.
        validation_fraction: in (0, 1): how much of what is not test becomes
            validation, where the source has no validation split.
        split_seed: which examples those are, 0 or more. It never changes the test.
        image_size: height and width in pixels; 0 keeps the data's own, and for a folder
            takes the median short side, a multiple of 8 from 32 to 64.
        channels: 1 (grey), 3 (RGB), or 0: the data's own.
        resize: "crop", "fit" or "stretch"; see `read_image`.
        vocabulary_size: how many words are known at most, 3 or more; the padding and
            the unknown word count.
        skip_top: so many of the most frequent words are left out of every text.
        max_tokens: the length of a row of tokens, 1 or more.
        keep_tokens: "first", "last" or "ends"; see `encode`.
        text_column, label_column: the columns of a table; "" guesses by their names.
        tokenizer: encodes the texts, such as that of a run; None learns a vocabulary
            from the training texts.
        allow_corrupt: go on although more than 1 % of a folder's files are broken.
        folds: of a cross-validation, 2 or more; 0: none.
        fold: which of them is held out of the training split, from 1 on: it takes the
            place of the test, which stays closed.
        groups: whose examples stay together in one fold: the column of a table, or a
            text file with a line an example; "" for none. The examples are those of
            the training split; of data that bring no test, all.
        progress: show the progress of decoding a folder on stderr.

    Raises:
        UserError: in one line, what the source must be and is not.
    """
    check_split_options(validation_fraction, split_seed)
    check_image_options(image_size, channels, resize)
    check_text_options(vocabulary_size, skip_top, max_tokens, keep_tokens)
    check_fold(folds, fold)
    options: dict[str, Any] = {
        "validation_fraction": validation_fraction,
        "split_seed": split_seed,
        "image_size": image_size,
        "channels": channels,
        "resize": resize,
        "fold": _fold(source, folds, fold, groups, text_column),
    }
    texts = TextOptions(
        validation_fraction=validation_fraction,
        split_seed=split_seed,
        vocabulary_size=vocabulary_size,
        skip_top=skip_top,
        max_tokens=max_tokens,
        keep_tokens=keep_tokens,
        tokenizer=tokenizer,
        fold=options["fold"],
    )
    columns = {"text_column": text_column, "label_column": label_column}
    name = os.fspath(source)
    if name == "digits":
        return load_digits(**options)
    if name in DATASETS:
        if name == "imdb" and not labelled:
            raise _texts_without_labels(name)
        path, names = find(name), DATASETS[name].class_names
        if name != "imdb":
            options["labelled"] = labelled
            return load_npz(path, name=name, class_names=names, **options)
        if path.suffix == ".npz":
            return load_numbered(path, texts, class_names=names)
        return load_table(path, texts, name=name, class_names=names, **columns)
    path = _place(name)
    options["labelled"] = labelled
    if path.is_dir():
        # Images may have texts beside them that describe them: more, even.
        if labelled and holds_texts(path):
            return load_text_folder(path, texts, allow_corrupt=allow_corrupt)
        return load_folder(
            path, allow_corrupt=allow_corrupt, progress=progress, **options
        )
    if not path.exists():
        hint = nearest(name.lower(), DATASETS)
        raise UserError(f"no file, folder or data set is called {name!r}. {hint}")
    suffix = path.suffix.lower()
    if suffix in READERS and not labelled:
        raise _texts_without_labels(name)
    if suffix in READERS:
        return load_table(path, texts, name=path.name, **columns)
    if suffix != ".npz":
        raise UserError(
            f"data must be a set's name ({', '.join(DATASETS)}), a file "
            f"(.npz, {', '.join(READERS)}) or a folder of images or texts, got the "
            f"file {name}"
        )
    return load_npz(path, name=path.name, class_names=None, **options)


def _place(name: str) -> Path:
    """The path of a file or folder: as given, else below `$CLASSICNETS_DATA`."""
    path = Path(name).expanduser()
    given = os.environ.get("CLASSICNETS_DATA")
    if given and not path.exists():
        below = Path(given).expanduser() / path
        return below if below.exists() else path
    return path


def prepare(
    folder: str | os.PathLike[str], *, labelled: bool = True, **options: Any
) -> Splits:
    """Decode a folder of images into the cache; the options are those of `load`."""
    if not Path(folder).expanduser().is_dir():
        raise UserError(f"prepare needs a folder of images, {folder} is none")
    if labelled and holds_texts(Path(folder).expanduser()):
        raise UserError(
            f"prepare needs a folder of images, {folder} is one of texts: they need no "
            "preparation"
        )
    return load(Path(folder), labelled=labelled, **options)


def _fold(
    source: str | os.PathLike[str],
    folds: int,
    fold: int,
    groups: str,
    text_column: str,
) -> Fold | None:
    """The fold that is asked for, with the groups of the examples."""
    if not groups or not folds:
        return Fold(fold, folds) if folds else None
    name = os.fspath(source)
    path = find(name) if name == "imdb" else _place(name)
    if name not in DATASETS and path.is_dir():
        raise UserError(f"groups are for files and named sets, {name} is a folder.")
    given = _place(groups)
    if given.is_file():
        return Fold(fold, folds, read_groups(given))
    if path.suffix.lower() in READERS:
        return Fold(fold, folds, read_groups_column(path, text_column, groups))
    raise UserError(f"groups must be a text file with a line an example, got {groups}.")


def _texts_without_labels(name: str) -> UserError:
    return UserError(f"tasks without labels learn from images, {name} has texts")
