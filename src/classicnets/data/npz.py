"""The arrays of a `.npz` file, read so that a broken one does no harm."""

import hashlib
import lzma
import math
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from classicnets.errors import UserError
from classicnets.networks import memory

_DENSEST = 1032  # bytes that deflate packs into one, at most
# MNIST is packed to a fifth. More than this is no data, and if it is large it may fill
# the memory.
_DENSER, _LARGE = 100, 2**30
# What NumPy and zipfile raise on files that are broken, each seen on a made file.
BROKEN = (
    ValueError,
    TypeError,
    SyntaxError,
    EOFError,
    OverflowError,
    RuntimeError,  # encrypted; and of its kind: another compression, too deep a header
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array, from the headers alone.

    No header may promise more than the file can hold: `read_array` then takes no more
    memory than that. Nor may the arrays be much larger than the file, or than what is
    free.
    """
    shapes = {}
    sizes = [0]
    try:
        most = _DENSEST * path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                member = info.filename
                with archive.open(info) as stream:
                    oldest = np.lib.format.read_magic(stream) == (1, 0)
                    name = f"read_array_header_{'1' if oldest else '2'}_0"
                    shape, _, dtype = getattr(np.lib.format, name)(stream)
                if min(shape, default=0) < 0:
                    raise ValueError(f"{member} cannot have the shape {shape}")
                promised = math.prod(shape) * max(dtype.itemsize, 1)
                beyond = promised > min(info.file_size, most) and not dtype.hasobject
                if beyond or max(shape, default=0) > most:
                    raise ValueError(f"{member} must have {promised:,} bytes")
                shapes[member.removesuffix(".npy")] = shape
                sizes.append(promised)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except BROKEN as error:
        raise _broken(path, error) from None
    total, size = sum(sizes), path.stat().st_size
    if total > _LARGE and total > _DENSER * size:
        raise UserError(
            f"{path} must be at least a {_DENSER}th of what it unpacks to, it has"
            f" {size / 1e6:,.1f} MB for {total / 1e9:,.1f} GB"
        )
    memory.check(max(sizes), f"an array of {path}")
    return shapes


def checksums(path: Path, *keys: str) -> str:
    """Return a hex digest of arrays from the checksums in the file's directory.

    No array is read. "" where the file has none of them.
    """
    with zipfile.ZipFile(path) as archive:
        sums = [
            (info.filename, info.CRC, info.file_size)
            for info in sorted(archive.infolist(), key=lambda info: info.filename)
            if info.filename.removesuffix(".npy") in keys
        ]
    return hashlib.sha256(repr(sums).encode()).hexdigest() if sums else ""


def read_array(path: Path, key: str) -> np.ndarray:
    """Return one array of a file whose shapes `read_shapes` has checked."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            array = np.asarray(archive[key])
        if array.dtype.kind == "U":
            # NumPy takes any number for a character; what is none crashes others.
            array.astype(array.dtype.newbyteorder("<")).tobytes().decode("utf-32-le")
        return array
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except BROKEN as error:
        if "pickle" in str(error).lower():
            raise UserError(
                f"{key} of {path} must be an array of numbers, it holds Python objects"
            ) from None
        raise _broken(path, error) from None


def _broken(path: Path, error: Exception) -> UserError:
    if path.stat().st_size == 0:
        return UserError(f"{path} must be a .npz file, it is empty")
    return UserError(
        f"{path} must be a .npz file as numpy.savez writes it, it is broken: "
        f"{' '.join(str(error).split()) or type(error).__name__}"
    )
