"""How a folder must be laid out: a subfolder per class, or pooled; what it has."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from classicnets.data.folder_files import (
    HEIC,
    HEIC_ENDINGS,
    IMAGES,
    TEXTS,
    FileKind,
    file_state,
    files_below,
    path_below,
    printable,
    subfolders,
    visible,
)
from classicnets.errors import UserError

_MOST_CORRUPT = 0.01
_NAMES = 3  # of broken files in a note
_PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
# What names of splits have beside the split: training_set, test-images, seg_train.
_BESIDE = ("set", "data", "dataset", "images", "imgs", "split", "seg", "folder")


def part_of(name: str) -> str:
    """Return "train", "validation" or "test" where a name says so in any usual way."""
    words = re.findall(r"[^\W\d_]+", name.casefold())
    if len(words) == 1:  # trainset
        words = [re.sub(r"(?<=.)(data)?sets?$|(?<=.)data$", "", words[0])]
    (word, *others) = [w for w in words if w not in _BESIDE] or [""]
    return "" if others else _PARTS.get(word, "")


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
        table: Hex digest of the labels that a table gives; "" where folders do.
    """

    root: Path
    class_names: tuple[str, ...]
    files: list[str]
    labels: np.ndarray
    parts: np.ndarray
    state: str
    notes: tuple[str, ...]
    table: str = ""


def scan(
    root: Path, kind: FileKind, *, labelled: bool = True, lacks_classes: bool = False
) -> Listing:
    """List the files of a folder, or say how it should be laid out.

    Args:
        root: The folder.
        kind: Which of its files.
        labelled: Whether subfolders are classes. If not, all files of a split are
            pooled, sorted by their paths.
        lacks_classes: Whether one class may be all there is.
    """
    parts = _part_folders(root, kind, labelled=labelled)
    ignored: Counter[str] = Counter()
    classes: list[str] = []
    notes: list[str] = []
    if labelled:
        notes += _drop_unlabelled_test(parts, kind)
        classes = _classes(parts, kind, least=1 if lacks_classes else 2)
        entries = _files_by_class(parts, classes, kind, ignored)
    else:
        entries = _pooled_files(parts, kind, ignored)
    rows: list[tuple[str, int, str]] = []
    state = hashlib.sha256(os.fsencode(root.resolve()))
    relative = path_below(root)
    for entry, label, part in entries:
        rows.append((relative(entry), label, part))
        state.update(repr((rows[-1][0], *file_state(entry))).encode())
    notes += _left_out(root, parts, kind, labelled=labelled)
    return Listing(
        root=root,
        class_names=tuple(printable(name) for name in classes),
        files=[file for file, _, _ in rows],
        labels=np.array([label for _, label, _ in rows], np.int32),
        parts=np.array([part for _, _, part in rows]),
        state=state.hexdigest(),
        notes=(*notes, *_notes(root, parts.get("train"), kind, ignored)),
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


def _part_folders(root: Path, kind: FileKind, *, labelled: bool) -> dict[str, Path]:
    """Return the folders of "train", "validation" and "test", or of "" the root."""
    parts: dict[str, Path] = {}
    found = {name: part for name in subfolders(root) if (part := part_of(name))}
    if labelled and len(found) == 1 and "train" in found.values():
        (name,) = found
        # Of bus/, car/ and train/ a train is a class: it has no classes of its own.
        if not subfolders(root / name) and _beside(root, found, kind):
            found = {}
    for name, part in found.items():
        if part in parts:
            raise UserError(
                f"{root} must have one {part} folder, it has {parts[part].name} and "
                f"{name}"
            )
        parts[part] = _unwrapped(root / name)
    if not parts:
        return {"": root}
    if "train" not in parts:
        there = " and ".join(f"{folder.name}/" for folder in parts.values())
        raise UserError(f"{root} must have train/ where it has {there}")
    order = ("train", "validation", "test")
    return {part: parts[part] for part in order if part in parts}


def _unwrapped(folder: Path) -> Path:
    """Return the folder in a folder that has nothing else: train/train/."""
    there = visible(folder)
    if len(there) == 1 and there[0].is_dir() and len(subfolders(Path(there[0]))) > 1:
        return Path(there[0])
    return folder


def _beside(root: Path, parts: Collection[str], kind: FileKind) -> dict[str, int]:
    """Return how many files are in the folders beside those of the parts."""
    names = [name for name in subfolders(root) if name not in parts]
    counts = {n: sum(1 for _ in files_below(root / n, kind, Counter())) for n in names}
    return {name: count for name, count in counts.items() if count}


def _classes(parts: dict[str, Path], kind: FileKind, *, least: int) -> list[str]:
    """Return the names of the class folders, the same in every part."""
    without = kind.unlabelled if "train" in parts else ()
    (first, *others) = parts.values()
    classes = _class_folders(first, kind, without, least)
    if "" in parts:
        _check_classes(first, classes, kind)
    for folder in others:
        names = _class_folders(folder, kind, without, least)
        if names != classes:
            raise _different_classes(first, folder, classes, names)
    return classes


def _check_classes(root: Path, classes: Sequence[str], kind: FileKind) -> None:
    """Refuse folders that are rather parts of the data, or places: a/cat, b/cat, ..."""
    inner = [tuple(subfolders(root / name)) for name in classes]
    same = inner[0]
    loose = any(kind.includes(e) for name in classes for e in visible(root / name))
    if loose or len(same) < 2 or any(names != same for names in inner):
        return
    raise UserError(
        f"{root} must have one subfolder per class, but all of its {len(classes)}"
        f" ({_some(classes)}) have the same subfolders ({_some(same)}): are these the"
        " classes? Then name what is above them train, val or test, or move them up"
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more


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
            endings = ", ".join(kind.endings)
            raise UserError(
                f"{folder} must hold {kind.name} ({endings}), it has {_only(others)}"
            )
        ignored.update(others)
        entries.sort(key=lambda entry: entry.path)
        yield from ((entry, 0, part) for entry in entries)


def _most_common(endings: Counter[str]) -> str:
    """Return the most frequent endings, and what can be done for photos of phones."""
    most = ", ".join(f"{count:,} {ending}" for ending, count in endings.most_common(4))
    return f"{most}; {HEIC}" if HEIC_ENDINGS & endings.keys() else most


def _only(others: Counter[str]) -> str:
    return f"only {_most_common(others)}" if others else "none"


def _left_out(
    root: Path, parts: dict[str, Path], kind: FileKind, *, labelled: bool
) -> Iterator[str]:
    """Yield which files of the kind no split has, and where they are."""
    if "train" in parts:
        kept = [name for name in subfolders(root) if part_of(name)]
        beside = {f"{name}/": n for name, n in _beside(root, kept, kind).items()}
        if loose := [entry.name for entry in visible(root) if kind.includes(entry)]:
            beside[_some(loose)] = len(loose)
        if beside:
            where = ", ".join(f"{name} ({count:,})" for name, count in beside.items())
            yield (
                f"{sum(beside.values()):,} {kind.name} in {root} are left out: they lie"
                f" beside {parts['train'].relative_to(root).parts[0]}/, in {where}"
            )
    for folder in parts.values() if labelled else ():
        if loose := [entry.name for entry in visible(folder) if kind.includes(entry)]:
            yield (
                f"{len(loose):,} {kind.name} in {folder} are left out: they lie beside"
                f" the class folders ({_some(loose)})"
            )


def _drop_unlabelled_test(parts: dict[str, Path], kind: FileKind) -> list[str]:
    """Leave a test without classes out, as competitions give it; return a note."""
    folder = parts.get("test")
    if folder is None or subfolders(folder) or not subfolders(parts["train"]):
        return []
    count = sum(kind.includes(entry) for entry in visible(folder))
    if not count:
        return []
    del parts["test"]
    return [
        f"{folder} is left out: its {count:,} {kind.name} lie side by side, without"
        " labels; a test is set aside from the others"
    ]


def _notes(
    root: Path, train: Path | None, kind: FileKind, ignored: Counter[str]
) -> Iterator[str]:
    """Yield which files and class folders are left out."""
    if ignored:
        endings = _most_common(ignored)
        yield f"{ignored.total():,} files in {root} are ignored: {endings}"
    if train:
        for name in set(kind.unlabelled).intersection(subfolders(train)):
            yield f"{train / name} is left out: its {kind.name} have no label"


def _class_folders(
    folder: Path, kind: FileKind, without: Sequence[str], least: int
) -> list[str]:
    names = [name for name in subfolders(folder) if name not in without]
    loose = sum(kind.includes(entry) for entry in visible(folder))
    if not names and loose:
        hint = "; tasks without labels take them as they are"
        raise UserError(
            f"{folder} must have one subfolder per class, such as {kind.example}; its "
            f"{loose:,} {kind.name} lie side by side{hint if kind is IMAGES else ''}"
        )
    others: Counter[str] = Counter()
    if not any(any(files_below(folder / name, kind, others)) for name in names):
        raise UserError(
            f"{folder} must hold images ({', '.join(IMAGES.endings)}) or texts "
            f"({', '.join(TEXTS.endings)}) in one subfolder per class, it has "
            f"{_only(others)}"
        )
    if len(names) < least:
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
