"""How a folder must be laid out, a subfolder a class or one heap; the files it has."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from classicnets.data.images.decoding import EXTENSIONS
from classicnets.errors import UserError

_MOST_CORRUPT = 0.01
_SHOWN = 3  # names of skipped files in a note
_PARTS = {
    "train": "train",
    "val": "validation",
    "validation": "validation",
    "test": "test",
}


@dataclass(frozen=True)
class Kind:
    """What the files of a folder are.

    Args:
        name: in the plural, for messages.
        endings: of the files, in lower case.
        example: two paths of different classes.
        unlabelled: subfolders of train/ that are no classes.
    """

    name: str
    endings: tuple[str, ...]
    example: str
    unlabelled: tuple[str, ...] = ()


IMAGES = Kind("images", EXTENSIONS, "cat/1.jpg and dog/1.jpg")
TEXTS = Kind("texts", (".txt",), "good/1.txt and bad/1.txt", unlabelled=("unsup",))


@dataclass(frozen=True)
class Listing:
    """The files of a folder, before any is read.

    Args:
        root: the folder.
        class_names: sorted; () for a heap.
        files: paths below the root, "/" between their parts, one split after another.
        labels: (files,) int32.
        parts: (files,) "train", "validation" or "test" where the folder has these
            subfolders, else "" for all.
        state: hex digest of every file's name, size and times: while it stays the same,
            no file is read again.
        notes: what was left out.
    """

    root: Path
    class_names: tuple[str, ...]
    files: list[str]
    labels: np.ndarray
    parts: np.ndarray
    state: str
    notes: tuple[str, ...]


def scan(root: Path, kind: Kind, *, labelled: bool = True) -> Listing:
    """List the files of a folder, or say how it should be laid out.

    Args:
        labelled: whether subfolders are classes. If not, all files of a split are one
            heap, sorted by their paths.
    """
    parts = _part_folders(root)
    first = "train" if "train" in parts else ""
    without = kind.unlabelled if first and labelled else ()
    ignored: Counter[str] = Counter()
    if labelled:
        classes = _classes(parts, first, kind, without)
        entries = _files_by_class(parts, classes, kind, ignored)
    else:
        classes = []
        entries = _files_in_heaps(parts, kind, ignored)
    found: list[tuple[str, int, str]] = []
    state = hashlib.sha256(os.fsencode(root.resolve()))
    below = len(os.fspath(root / "a")) - 1  # where a path below the root begins
    for entry, label, part in entries:
        relative = entry.path[below:].replace(os.sep, "/")
        found.append((relative, label, part))
        status = entry.stat()
        times = (status.st_mtime_ns, status.st_ctime_ns)
        state.update(repr((relative, status.st_size, times)).encode())
    notes = []
    if first and not labelled:
        beside = sum(1 for _ in files_below(root, kind, Counter())) - len(found)
        if beside:
            notes.append(
                f"{beside:,} {kind.name} in {root} are left out: they lie beside "
                f"{parts[first].name}/"
            )
    if ignored:
        kinds = _most_common(ignored)
        notes.append(f"{ignored.total():,} files in {root} are ignored: {kinds}")
    for name in set(without).intersection(_subfolders(parts[first])):
        notes.append(
            f"{parts[first] / name} is left out: its {kind.name} have no label"
        )
    return Listing(
        root=root,
        class_names=tuple(printable(name) for name in classes),
        files=[file for file, _, _ in found],
        labels=np.array([label for _, label, _ in found], np.int32),
        parts=np.array([part for _, _, part in found]),
        state=state.hexdigest(),
        notes=tuple(notes),
    )


def skipped_note(
    root: Path,
    skipped: Sequence[tuple[str, str]],
    files: int,
    allow_corrupt: bool,
    kind: Kind,
) -> list[str]:
    """The files that could not be decoded: a note, or an error if they are many.

    Args:
        skipped: (file, reason) of each.
        files: how many there are with those that could be decoded.
    """
    if not skipped:
        return []
    shown = "; ".join(f"{name}: {reason}" for name, reason in skipped[:_SHOWN])
    if len(skipped) > _SHOWN:
        shown += f"; and {len(skipped) - _SHOWN:,} more"
    share = len(skipped) / files
    if len(skipped) == files:
        raise UserError(
            f"none of the {files:,} {kind.name} in {root} can be read: {shown}"
        )
    if share > _MOST_CORRUPT and not allow_corrupt:
        raise UserError(
            f"at most {_MOST_CORRUPT:.0%} of the {kind.name} in {root} may be broken "
            f"unless allow_corrupt is set, {len(skipped):,} of {files:,} are "
            f"({share:.1%}): {shown}"
        )
    return [f"{len(skipped):,} of {files:,} files are broken and skipped: {shown}"]


def printable(name: str) -> str:
    """A file name without the bytes that no encoding can show."""
    return os.fsencode(name).decode("utf-8", "replace")


def _part_folders(root: Path) -> dict[str, Path]:
    """{"train": ..., "validation": ..., "test": ...} as far as there, or {"": root}."""
    parts: dict[str, Path] = {}
    for name in _subfolders(root):
        part = _PARTS.get(name.lower())
        if part is None:
            continue
        if part in parts:
            raise UserError(
                f"{root} must have one {part} folder, it has {parts[part].name} and "
                f"{name}"
            )
        parts[part] = root / name
    if not parts:
        return {"": root}
    if "train" not in parts:
        there = " and ".join(f"{folder.name}/" for folder in parts.values())
        raise UserError(f"{root} must have train/ where it has {there}")
    order = ("train", "validation", "test")
    return {part: parts[part] for part in order if part in parts}


def _classes(
    parts: dict[str, Path], first: str, kind: Kind, without: Sequence[str]
) -> list[str]:
    """The names of the class folders, the same in every part."""
    classes = _class_folders(parts[first], kind, without)
    for part, folder in parts.items():
        names = _class_folders(folder, kind, without) if part != first else classes
        if names != classes:
            raise _different_classes(parts[first], folder, classes, names)
    return classes


def _files_by_class(
    parts: dict[str, Path], classes: Sequence[str], kind: Kind, ignored: Counter[str]
) -> Iterator[tuple[os.DirEntry[str], int, str]]:
    """Every file with its label and its part."""
    for part, folder in parts.items():
        for label, name in enumerate(classes):
            entries = list(files_below(folder / name, kind, ignored))
            if not entries:
                raise UserError(
                    f"every class folder must hold {kind.name}, {folder / name} has "
                    "none; move it away or start its name with a dot"
                )
            yield from ((entry, label, part) for entry in entries)


def _files_in_heaps(
    parts: dict[str, Path], kind: Kind, ignored: Counter[str]
) -> Iterator[tuple[os.DirEntry[str], int, str]]:
    """Every file with the label 0 and its part."""
    for part, folder in parts.items():
        others: Counter[str] = Counter()
        entries = [*files_below(folder, kind, others)]
        if not entries:
            there = f"only {_most_common(others)}" if others else "none"
            raise UserError(
                f"{folder} must hold {kind.name} ({', '.join(kind.endings)}), it has "
                f"{there}"
            )
        ignored.update(others)
        entries.sort(key=lambda entry: entry.path)
        yield from ((entry, 0, part) for entry in entries)


def _most_common(ignored: Counter[str]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in ignored.most_common(4))


def _class_folders(folder: Path, kind: Kind, without: Sequence[str]) -> list[str]:
    names = [name for name in _subfolders(folder) if name not in without]
    loose = sum(_is_kind(entry, kind) for entry in _visible(folder))
    if not names and loose:
        nearest = "; tasks without labels take them as they are"
        raise UserError(
            f"{folder} must have a subfolder a class, such as {kind.example}; its "
            f"{loose:,} {kind.name} lie side by side{nearest if kind is IMAGES else ''}"
        )
    if not any(_has_file(folder / name, kind) for name in names):
        raise UserError(
            f"{folder} must hold images ({', '.join(IMAGES.endings)}) or texts "
            f"({', '.join(TEXTS.endings)}) in a subfolder a class, it has none"
        )
    if len(names) == 1:
        inner = _subfolders(folder / names[0])
        nearest = f"; did you mean {folder / names[0]}?" if len(inner) > 1 else ""
        raise UserError(
            f"{folder} must have at least 2 classes, it has only {names[0]!r}{nearest}"
        )
    return names


def _different_classes(
    train: Path, other: Path, ours: Sequence[str], theirs: Sequence[str]
) -> UserError:
    which, where, missing = sorted({*ours} - {*theirs}), other, train
    if not which:
        which, where, missing = sorted({*theirs} - {*ours}), train, other
    return UserError(
        f"{train.name}/ and {other.name}/ of {train.parent} must have the same "
        f"classes, {where.name}/ has no {which[0]!r} as {missing.name}/ has"
    )


def _visible(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            there = [e for e in entries if e.name[0] != "." and e.name != "__MACOSX"]
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror}") from None
    return sorted(there, key=lambda entry: entry.name)


def _subfolders(folder: Path) -> list[str]:
    return [entry.name for entry in _visible(folder) if entry.is_dir()]


def _is_kind(entry: os.DirEntry[str], kind: Kind) -> bool:
    ending = os.path.splitext(entry.name)[1].lower()
    return ending in kind.endings and entry.is_file()


def _has_file(folder: Path, kind: Kind) -> bool:
    return any(True for _ in files_below(folder, kind, Counter()))


def files_below(
    folder: Path, kind: Kind, others: Counter[str]
) -> Iterator[os.DirEntry[str]]:
    """Every file of a kind below a folder, sorted by name in each; links are followed.

    Args:
        others: counts the files of other kinds by their endings.
    """
    pending, seen = [os.fspath(folder)], set()
    while pending:
        place = pending.pop()
        real = os.path.realpath(place)
        if real in seen:  # a link that leads back up
            continue
        seen.add(real)
        inner = []
        for entry in _visible(place):
            if entry.is_dir():
                inner.append(entry.path)
            elif _is_kind(entry, kind):
                yield entry
            else:
                ending = os.path.splitext(entry.name)[1].lower()
                others[ending or "without an ending"] += 1
        pending.extend(reversed(inner))
