"""What a .keras file must not be, before Keras builds what it says."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classicnets.errors import UserError
from classicnets.networks import memory

if TYPE_CHECKING:
    import keras

_WEIGHTS = "model.weights.h5"
# Where config.json says how large a layer is.
_SIZES = ("units", "filters", "input_dim", "output_dim", "batch_shape")


def check_size(path: Path) -> int:
    """Refuse a .keras file that would fill the memory with what is not in it.

    Keras packs nothing. And it makes the variables that config.json asks for before it
    reads their values: each unit, filter or word has a weight, so that none of their
    numbers is larger than the weights have bytes.

    Returns:
        The bytes of its weights.

    Raises:
        ValueError: With the reason alone.
        zipfile.BadZipFile: If it is no archive.
    """
    with zipfile.ZipFile(path) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        if sum(sizes.values()) > path.stat().st_size:
            raise ValueError("its parts are larger than the file itself")
        if "config.json" not in sizes or _WEIGHTS not in sizes:
            return 0  # Keras says so
        for key, number in _numbers(json.loads(archive.read("config.json"))):
            if key in _SIZES and number > sizes[_WEIGHTS]:
                raise ValueError(f"{key} of {number:,} is too large for its weights")
        with archive.open(_WEIGHTS) as stream:
            check_arrays(stream, sizes[_WEIGHTS])
        return sizes[_WEIGHTS]


def check_arrays(file: Any, size: int) -> None:
    """Refuse HDF5 whose arrays are larger than it is, as packed or empty ones are.

    Args:
        file: A path, or an open file.
        size: Its bytes.

    Raises:
        ValueError: With the reason alone.
    """
    import h5py  # comes with Keras

    total = 0

    def add(_: str, item: Any) -> None:
        nonlocal total
        total += item.nbytes if isinstance(item, h5py.Dataset) else 0

    with h5py.File(file) as content:
        content.visititems(add)
    if total > size:
        raise ValueError(f"its weights of {size:,} bytes promise {total:,}")


def load(path: Path) -> "keras.Model":
    """Read a network that Keras saved; code in the file is never run.

    Raises:
        UserError: If it is damaged, or carries code.
    """
    import keras

    try:
        # A number takes a byte or more, but for those of seeds and of scaled pixels.
        most = check_size(path) + 10_000
        with memory.at_most_variables(most, path.name):
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever a damaged file makes its readers raise
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        if isinstance(error, memory.TooLargeError):
            reason = "its layers have more numbers than its weights"
        elif "Lambda" in str(error):
            reason = "it carries code, in a Lambda layer, which is never run"
        elif not zipfile.is_zipfile(path):  # Keras would say that it is not there
            reason = "it is not a whole .keras file"
        raise UserError(f"{path} cannot be opened: {reason}.") from None


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, int]]:
    """Yield all integers in a JSON value with the keys that they stand under."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _numbers(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner, key)
    elif isinstance(value, int):
        yield key, value
