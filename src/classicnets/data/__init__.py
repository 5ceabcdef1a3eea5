"""Where examples come from: named sets, `.npz` files and folders of images.

Every source becomes the same `Splits`: uint8 images (n, height, width, channels) and
int32 labels, split into train, validation and a test that stays closed.
"""

import os
from pathlib import Path
from typing import Any

from classicnets.data.arrays import load_npz
from classicnets.data.examples import (
    Examples,
    Rows,
    Splits,
    check_split_options,
    epoch_order,
)
from classicnets.data.folders import load_folder
from classicnets.data.images import check_image_options, read_image
from classicnets.data.named import DATASETS, Dataset, find, load_digits
from classicnets.errors import UserError, nearest

__all__ = [
    "DATASETS",
    "Dataset",
    "Examples",
    "Rows",
    "Splits",
    "epoch_order",
    "load",
    "prepare",
    "read_image",
]


def load(
    source: str | os.PathLike[str],
    *,
    validation_fraction: float = 0.1,
    split_seed: int = 0,
    image_size: int = 0,
    channels: int = 0,
    resize: str = "crop",
    allow_corrupt: bool = False,
    progress: bool = True,
) -> Splits:
    """Load a data set and split it.

    Args:
        source: a name of `DATASETS`, a `.npz` file, or a folder with a subfolder a
            class.
        validation_fraction: in (0, 1): how much of what is not test becomes
            validation, where the source has no validation split.
        split_seed: which examples those are, 0 or more. It never changes the test.
        image_size: height and width in pixels; 0 keeps the data's own, and for a folder
            takes the median short side, a multiple of 8 from 32 to 64.
        channels: 1 (grey), 3 (RGB), or 0: the data's own.
        resize: "crop", "fit" or "stretch"; see `read_image`.
        allow_corrupt: go on although more than 1 % of a folder's images are broken.
        progress: show the progress of decoding a folder on stderr.

    Raises:
        UserError: in one line, what the source must be and is not.
    """
    check_split_options(validation_fraction, split_seed)
    check_image_options(image_size, channels, resize)
    options: dict[str, Any] = {
        "validation_fraction": validation_fraction,
        "split_seed": split_seed,
        "image_size": image_size,
        "channels": channels,
        "resize": resize,
    }
    name = os.fspath(source)
    if name == "digits":
        return load_digits(**options)
    if name in DATASETS:
        names = DATASETS[name].class_names
        return load_npz(find(name), name=name, class_names=names, **options)
    path = Path(name).expanduser()
    if path.is_dir():
        return load_folder(
            path, allow_corrupt=allow_corrupt, progress=progress, **options
        )
    if not path.exists():
        hint = nearest(name.lower(), DATASETS)
        raise UserError(f"no file, folder or data set is called {name!r}. {hint}")
    if path.suffix.lower() != ".npz":
        raise UserError(
            f"data must be a set's name ({', '.join(DATASETS)}), a .npz file or a "
            f"folder of images, got the file {name}"
        )
    return load_npz(path, name=path.name, class_names=None, **options)


def prepare(folder: str | os.PathLike[str], **options: Any) -> Splits:
    """Decode a folder of images into the cache; the options are those of `load`."""
    if not Path(folder).expanduser().is_dir():
        raise UserError(f"prepare needs a folder of images, {folder} is none")
    return load(Path(folder), **options)
