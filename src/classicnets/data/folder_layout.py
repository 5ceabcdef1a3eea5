"""How a folder must be laid out: a subfolder per class, or pooled; what it has."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from classicnets.data.folder_files import (
    IMAGES,
    TEXTS,
    FileKind,
    files_below,
    printable,
    subfolders,
    visible,
)
from classicnets.errors import UserError

_MOST_CORRUPT = 0.01
_NAMES = 3  # of broken files in a note
PARTS = {
    "train": "train",
    "val": "validation",
    "validation": "validation",
    "test": "test",
}


@dataclass(frozen=True)
class Listing:
    """The files of a folder, before any is read.

    Args:
        root: The folder.
        class_names: Sorted; () where the files are pooled.
        files: Paths below the root, "/" between their parts, one split after another.
        labels: (files,) int32.
        parts: (files,) "train", "validation" or "test" where the folder has these
            subfolders, else "" for all.
        state: Hex digest of every file's name, size and times: while it stays the same,
            no file is read again.
        notes: What was left out.
    """

    root: Path
    class_names: tuple[str, ...]
    files: list[str]
    labels: np.ndarray
    parts: np.ndarray
    state: str
    notes: tuple[str, ...]


def scan(root: Path, kind: FileKind, *, labelled: bool = True) -> Listing:
    """List the files of a folder, or say how it should be laid out.

    Args:
        root: The folder.
        kind: Which of its files.
        labelled: Whether subfolders are classes. If not, all files of a split are
            pooled, sorted by their paths.
    """
    parts = _part_folders(root)
    ignored: Counter[str] = Counter()
    classes: list[str] = []
    if labelled:
        classes = _classes(parts, kind)
        entries = _files_by_class(parts, classes, kind, ignored)
    else:
        entries = _pooled_files(parts, kind, ignored)
    rows: list[tuple[str, int, str]] = []
    state = hashlib.sha256(os.fsencode(root.resolve()))
    below = len(os.fspath(root / "a")) - 1  # where a path below the root begins
    for entry, label, part in entries:
        relative = entry.path[below:].replace(os.sep, "/")
        rows.append((relative, label, part))
        status = entry.stat()
        times = (status.st_mtime_ns, status.st_ctime_ns)
        state.update(repr((relative, status.st_size, times)).encode())
    pooled = 0 if labelled else len(rows)
    return Listing(
        root=root,
        class_names=tuple(printable(name) for name in classes),
        files=[file for file, _, _ in rows],
        labels=np.array([label for _, label, _ in rows], np.int32),
        parts=np.array([part for _, _, part in rows]),
        state=state.hexdigest(),
        notes=tuple(_notes(root, parts.get("train"), kind, ignored, pooled)),
    )


def skipped_note(
    root: Path,
    failures: Sequence[tuple[str, str]],
    *,
    files: int,
    allow_corrupt: bool,
    kind: FileKind,
) -> list[str]:
    """Return a note on the files that could not be decoded.

    Args:
        root: The folder.
        failures: (file, reason) of each.
        files: How many there are with those that could be decoded.
        allow_corrupt: Whether they may be many.
        kind: What they are.

    Raises:
        UserError: If they are many, or all.
    """
    if not failures:
        return []
    reasons = "; ".join(f"{name}: {reason}" for name, reason in failures[:_NAMES])
    if len(failures) > _NAMES:
        reasons += f"; and {len(failures) - _NAMES:,} more"
    share = len(failures) / files
    if len(failures) == files:
        raise UserError(
            f"none of the {files:,} {kind.name} in {root} can be read: {reasons}"
        )
    if share > _MOST_CORRUPT and not allow_corrupt:
        raise UserError(
            f"at most {_MOST_CORRUPT:.0%} of the {kind.name} in {root} may be broken "
            f"unless allow_corrupt is set, {len(failures):,} of {files:,} are "
            f"({share:.1%}): {reasons}"
        )
    return [f"{len(failures):,} of {files:,} files are broken and skipped: {reasons}"]


def _part_folders(root: Path) -> dict[str, Path]:
    """Return the folders of "train", "validation" and "test", or of "" the root."""
    parts: dict[str, Path] = {}
    for name in subfolders(root):
        part = PARTS.get(name.lower())
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


def _classes(parts: dict[str, Path], kind: FileKind) -> list[str]:
    """Return the names of the class folders, the same in every part."""
    without = kind.unlabelled if "train" in parts else ()
    (first, *others) = parts.values()
    classes = _class_folders(first, kind, without)
    for folder in others:
        names = _class_folders(folder, kind, without)
        if names != classes:
            raise _different_classes(first, folder, classes, names)
    return classes


def _files_by_class(
    parts: dict[str, Path],
    classes: Sequence[str],
    kind: FileKind,
    ignored: Counter[str],
) -> Iterator[tuple[os.DirEntry[str], int, str]]:
    """Yield every file with its label and its part."""
    for part, folder in parts.items():
        for label, name in enumerate(classes):
            entries = list(files_below(folder / name, kind, ignored))
            if not entries:
                raise UserError(
                    f"every class folder must hold {kind.name}, {folder / name} has "
                    "none; move it away or start its name with a dot"
                )
            yield from ((entry, label, part) for entry in entries)


def _pooled_files(
    parts: dict[str, Path], kind: FileKind, ignored: Counter[str]
) -> Iterator[tuple[os.DirEntry[str], int, str]]:
    """Yield every file with the label 0 and its part."""
    for part, folder in parts.items():
        others: Counter[str] = Counter()
        entries = [*files_below(folder, kind, others)]
        if not entries:
            there = f"only {_most_common(others)}" if others else "none"
            endings = ", ".join(kind.endings)
            raise UserError(
                f"{folder} must hold {kind.name} ({endings}), it has {there}"
            )
        ignored.update(others)
        entries.sort(key=lambda entry: entry.path)
        yield from ((entry, 0, part) for entry in entries)


def _most_common(endings: Counter[str]) -> str:
    return ", ".join(f"{count:,} {ending}" for ending, count in endings.most_common(4))


def _notes(
    root: Path, train: Path | None, kind: FileKind, ignored: Counter[str], pooled: int
) -> Iterator[str]:
    """Yield what is left out, of class folders or of so many pooled files."""
    if train and pooled:
        beside = sum(1 for _ in files_below(root, kind, Counter())) - pooled
        if beside:
            yield (
                f"{beside:,} {kind.name} in {root} are left out: they lie beside "
                f"{train.name}/"
            )
    if ignored:
        endings = _most_common(ignored)
        yield f"{ignored.total():,} files in {root} are ignored: {endings}"
    if train and not pooled:
        for name in set(kind.unlabelled).intersection(subfolders(train)):
            yield f"{train / name} is left out: its {kind.name} have no label"


def _class_folders(folder: Path, kind: FileKind, without: Sequence[str]) -> list[str]:
    names = [name for name in subfolders(folder) if name not in without]
    loose = sum(kind.includes(entry) for entry in visible(folder))
    if not names and loose:
        hint = "; tasks without labels take them as they are"
        raise UserError(
            f"{folder} must have one subfolder per class, such as {kind.example}; its "
            f"{loose:,} {kind.name} lie side by side{hint if kind is IMAGES else ''}"
        )
    if not any(any(files_below(folder / name, kind, Counter())) for name in names):
        raise UserError(
            f"{folder} must hold images ({', '.join(IMAGES.endings)}) or texts "
            f"({', '.join(TEXTS.endings)}) in one subfolder per class, it has none"
        )
    if len(names) == 1:
        inner = subfolders(folder / names[0])
        hint = f"; did you mean {folder / names[0]}?" if len(inner) > 1 else ""
        raise UserError(
            f"{folder} must have at least 2 classes, it has only {names[0]!r}{hint}"
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
