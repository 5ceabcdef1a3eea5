"""The named data sets: where each is looked for, and how it is fetched once."""

import contextlib
import importlib.metadata
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from classicnets import files
from classicnets.data.catalogue import DATASETS
from classicnets.data.examples import Examples, digest
from classicnets.data.images.decoding import resize_array
from classicnets.data.options import Options
from classicnets.data.places import places
from classicnets.data.splitting import Source
from classicnets.data.texts.imdb import as_arrays
from classicnets.errors import UserError


def open_digits(options: Options) -> Source:
    """Return scikit-learn's 1,797 digits, 8x8 with values 0..16, as 32x32 uint8."""
    # From the file itself: importing scikit-learn for it would take a second.
    package = importlib.metadata.distribution("scikit-learn")
    file = package.locate_file("sklearn/datasets/data/digits.csv.gz")
    table = np.loadtxt(str(file), delimiter=",")  # one line per digit, its class last
    pixels = np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    labels = table[:, -1].astype(np.int32)
    size, channels = options.image_size or 32, options.channels or 1
    inputs = resize_array(pixels, size, channels, options.resize)
    return Source(
        name="digits",
        class_names=DATASETS["digits"].class_names,
        examples=Examples(inputs, labels),
        fingerprint=digest(inputs, labels),
    )


def find(name: str) -> Path:
    """Return the path of a set: in `$CLASSICNETS_DATA`, the cache, or downloaded now.

    Returns:
        A `.npz` file; for imdb `imdb.parquet`, or `imdb.npz` with Keras's word numbers.
    """
    paths = places(name)
    for path in paths:
        if path.exists():
            return path
    _download(name, paths[-1])
    return paths[-1]


def _download(name: str, path: Path) -> None:
    """Fetch a set through Keras and keep it as `path`."""
    from keras import datasets  # the only import of Keras in data/: starts a backend

    try:
        # Keras shows its progress on stdout, which belongs to our command's results.
        with contextlib.redirect_stdout(sys.stderr):
            arrays = _fetch(name, datasets)
    # Keras raises a bare Exception when the network is out of reach.
    except Exception as error:
        folder = os.environ.get("CLASSICNETS_DATA") or "FOLDER"
        raise UserError(
            f"{name} is neither here nor can it be downloaded "
            f"({' '.join(str(error).split())}); put "
            f"{Path(folder) / places(name)[0].name} there and set "
            f"CLASSICNETS_DATA={folder}"
        ) from None
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(path) as temporary:
        np.savez(temporary, allow_pickle=False, **arrays)


def _fetch(name: str, datasets: Any) -> Mapping[str, np.ndarray]:
    if name == "imdb":
        # Its file has pickled arrays: Keras checks its hash before it opens it.
        train, test = datasets.imdb.load_data(start_char=None)
        return as_arrays(train, test, datasets.imdb.get_word_index())
    (x_train, y_train), (x_test, y_test) = getattr(datasets, name).load_data()
    return {
        "x_train": x_train,
        "y_train": y_train,
        "x_test": x_test,
        "y_test": y_test,
        "class_names": np.array(DATASETS[name].class_names),
    }
