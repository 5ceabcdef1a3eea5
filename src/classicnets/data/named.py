"""The named data sets: where each is looked for, and how it is fetched once."""

import contextlib
import importlib.metadata
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from classicnets.data.catalogue import DATASETS
from classicnets.data.examples import Splits, digest, split
from classicnets.data.folds import Fold
from classicnets.data.images import resize_array
from classicnets.data.imdb import as_arrays
from classicnets.errors import UserError


def load_digits(
    *,
    validation_fraction: float,
    split_seed: int,
    image_size: int,
    channels: int,
    resize: str,
    fold: Fold | None = None,
) -> Splits:
    """The 1,797 digits of scikit-learn, 8x8 with values 0..16, made 32x32 uint8."""
    # From the file itself: importing scikit-learn for it would take a second.
    package = importlib.metadata.distribution("scikit-learn")
    file = package.locate_file("sklearn/datasets/data/digits.csv.gz")
    table = np.loadtxt(str(file), delimiter=",")  # a line a digit, its class last
    pixels = np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    labels = table[:, -1].astype(np.int32)
    inputs = resize_array(pixels, image_size or 32, channels or 1, resize)
    return split(
        name="digits",
        class_names=DATASETS["digits"].class_names,
        inputs=inputs,
        labels=labels,
        validation=None,
        open_test=None,
        validation_fraction=validation_fraction,
        split_seed=split_seed,
        fingerprint=digest(inputs, labels),
        notes=(),
        fold=fold,
    )


def cache_folder() -> Path:
    """Where sets are kept: `$CLASSICNETS_CACHE`, else the user's cache folder."""
    chosen = os.environ.get("CLASSICNETS_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("classicnets"))


def find(name: str) -> Path:
    """The path of a set: in `$CLASSICNETS_DATA`, in the cache, or downloaded now.

    Returns:
        A `.npz` file; for imdb `imdb.parquet`, or `imdb.npz` with Keras's word numbers.
    """
    searched = places(name)
    for place in searched:
        if place.exists():
            return place
    _download(name, searched[-1])
    return searched[-1]


def places(name: str) -> list[Path]:
    """Where a set is looked for, in this order; the last is where a download goes."""
    file = "imdb.parquet" if name == "imdb" else f"{name}.npz"
    searched = [cache_folder() / file]
    given = os.environ.get("CLASSICNETS_DATA")
    if given:
        folder = Path(given).expanduser()
        if not folder.is_dir():
            raise UserError(
                f"CLASSICNETS_DATA must name a folder, {folder} is not there"
            )
        searched.insert(0, folder / file)
    if name == "imdb":
        searched.append(cache_folder() / "imdb.npz")
    return searched


def _download(name: str, path: Path) -> None:
    """Fetch a set through Keras and keep it as `path`, whole or not at all."""
    from keras import datasets  # the only import of Keras in data/: starts a backend

    try:
        # Keras shows its progress on stdout, which belongs to our command's results.
        with contextlib.redirect_stdout(sys.stderr):
            arrays = _fetch(name, datasets)
    # Keras raises a bare Exception when the network is out of reach.
    except Exception as error:
        given = os.environ.get("CLASSICNETS_DATA") or "FOLDER"
        raise UserError(
            f"{name} is neither here nor can it be downloaded "
            f"({' '.join(str(error).split())}); put "
            f"{Path(given) / places(name)[0].name} there and set "
            f"CLASSICNETS_DATA={given}"
        ) from None
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        with open(part, "wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _fetch(name: str, datasets: Any) -> Mapping[str, np.ndarray]:
    if name == "imdb":
        # Its file has pickled arrays: Keras checks its hash before it opens it.
        train, test = datasets.imdb.load_data(start_char=None)
        return as_arrays(train, test, datasets.imdb.get_word_index())
    sources: dict[str, Callable[[], tuple]] = {
        "mnist": datasets.mnist.load_data,
        "fashion_mnist": datasets.fashion_mnist.load_data,
        "cifar10": datasets.cifar10.load_data,
        "cifar100": datasets.cifar100.load_data,
    }
    (x_train, y_train), (x_test, y_test) = sources[name]()
    return {
        "x_train": x_train,
        "y_train": y_train,
        "x_test": x_test,
        "y_test": y_test,
        "class_names": np.array(DATASETS[name].class_names),
    }
