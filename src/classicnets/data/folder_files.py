"""The files of one kind below a folder, whatever else lies there."""

import importlib.util
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import features

from classicnets.errors import UserError


@dataclass(frozen=True)
class FileKind:
    """What the files of a folder are.

    Args:
        name: In the plural, for messages.
        endings: Of the files, in lower case.
        example: Two paths of different classes.
        unlabelled: Subfolders of train/ that are no classes.
    """

    name: str
    endings: tuple[str, ...]
    example: str
    unlabelled: tuple[str, ...] = ()

    def includes(self, entry: os.DirEntry[str]) -> bool:
        """Return whether an entry of a folder is a file of this kind."""
        return _ending(entry) in self.endings and entry.is_file()


HEIC_ENDINGS = {".heic", ".heif"}
HEIC = "photos of phones in HEIC are read once `pip install pillow-heif` has been run"
_reads_heic = importlib.util.find_spec("pillow_heif") is not None
IMAGES = FileKind(
    name="images",
    endings=(
        *(".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"),
        *((".avif",) if features.check("avif") else ()),
        *(sorted(HEIC_ENDINGS) if _reads_heic else ()),
    ),
    example="cat/1.jpg and dog/1.jpg",
)
TEXTS = FileKind("texts", (".txt",), "good/1.txt and bad/1.txt", unlabelled=("unsup",))


def files_below(
    folder: Path, kind: FileKind, others: Counter[str]
) -> Iterator[os.DirEntry[str]]:
    """Yield every file of a kind below a folder, by name in each; follow links.

    Args:
        folder: Where to look.
        kind: Which files.
        others: Counts the files of other kinds by their endings.
    """
    pending, visited = [os.fspath(folder)], set()
    while pending:
        place = pending.pop()
        real = os.path.realpath(place)
        if real in visited:  # a link that leads back up
            continue
        visited.add(real)
        inner = []
        for entry in visible(place):
            if entry.is_dir():
                inner.append(entry.path)
            elif not entry.is_file():  # it may have no end, and nobody at the other one
                others["pipe, device or broken link"] += 1
            elif kind.includes(entry):
                yield entry
            else:
                others[_ending(entry) or "without an ending"] += 1
        pending.extend(reversed(inner))


def path_below(root: Path) -> Callable[[os.DirEntry[str]], str]:
    """Return what turns an entry below a root into its path there, "/" in between."""
    below = len(os.fspath(root / "a")) - 1
    return lambda entry: entry.path[below:].replace(os.sep, "/")


def file_state(entry: os.DirEntry[str]) -> tuple[int, tuple[int, int]]:
    """Return the size and the times of a file: while they stay, its content does."""
    status = entry.stat()
    return status.st_size, (status.st_mtime_ns, status.st_ctime_ns)


def visible(folder: str | Path) -> list[os.DirEntry[str]]:
    """Return what a folder holds, by name, without what systems hide there."""
    try:
        with os.scandir(folder) as entries:
            there = [e for e in entries if e.name[0] != "." and e.name != "__MACOSX"]
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror}") from None
    return sorted(there, key=lambda entry: entry.name)


def subfolders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder."""
    return [entry.name for entry in visible(folder) if entry.is_dir()]


def printable(name: str) -> str:
    """Return a file name without the bytes that no encoding can show."""
    return os.fsencode(name).decode("utf-8", "replace")


def _ending(entry: os.DirEntry[str]) -> str:
    return os.path.splitext(entry.name)[1].lower()
