"""Folders of images: how they must be laid out, and how they become splits."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from classicnets.data.examples import Examples, Splits, split
from classicnets.data.folder_cache import Decoded, decode_folder, printable
from classicnets.data.images import EXTENSIONS
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
class Listing:
    """The image files of a folder, before any is read.

    Args:
        root: the folder.
        class_names: sorted.
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


def load_folder(
    root: Path,
    *,
    validation_fraction: float,
    split_seed: int,
    image_size: int,
    channels: int,
    resize: str,
    allow_corrupt: bool,
    progress: bool,
) -> Splits:
    """Decode a folder once, then open its splits from the cache; see `data.load`."""
    listing = scan(root)
    decoded = decode_folder(
        listing.root,
        listing.files,
        listing.labels,
        listing.parts,
        state=listing.state,
        image_size=image_size,
        channels=channels,
        resize=resize,
        progress=progress,
    )
    skipped = _skipped_note(root, decoded, len(listing.files), allow_corrupt)
    height, width, depth = decoded.images.shape[1:]
    made = (
        f"{root}: {len(decoded.labels):,} images of {len(listing.class_names)} classes "
        f"as {height}x{width}x{depth} ({resize})"
    )
    notes = [made, *listing.notes, *skipped]
    if decoded.copies:
        notes.append(
            f"{decoded.copies:,} files are exact copies of others: the same image may "
            "stand in two splits"
        )
    if "" in decoded.parts:
        images, labels = decoded.images, decoded.labels
        validation, open_test = None, None
    else:
        train = _part(decoded, "train")
        images, labels = np.asanyarray(train.inputs), train.labels
        validation = _part(decoded, "validation")
        tested = _part(decoded, "test")
        validation = validation if len(validation) else None
        open_test = (lambda: tested) if len(tested) else None
    return split(
        name=printable(root.resolve().name),
        class_names=listing.class_names,
        inputs=images,
        labels=labels,
        validation=validation,
        open_test=open_test,
        validation_fraction=validation_fraction,
        split_seed=split_seed,
        fingerprint=decoded.content,
        notes=notes,
    )


def scan(root: Path) -> Listing:
    """List the images of a folder, or say how it should be laid out."""
    parts = _part_folders(root)
    classes = {part: _class_folders(folder) for part, folder in parts.items()}
    first = "train" if "train" in parts else ""
    for part, names in classes.items():
        if names != classes[first]:
            raise _different_classes(root, parts[first], parts[part])
    found: list[tuple[str, int, str]] = []
    ignored: Counter[str] = Counter()
    state = hashlib.sha256(os.fsencode(root.resolve()))
    below = len(os.fspath(root / "a")) - 1  # where a path below the root begins
    for part, folder in parts.items():
        for label, name in enumerate(classes[part]):
            before = len(found)
            for entry in _walk(folder / name, ignored):
                relative = entry.path[below:].replace(os.sep, "/")
                found.append((relative, label, part))
                status = entry.stat()
                times = (status.st_mtime_ns, status.st_ctime_ns)
                state.update(repr((relative, status.st_size, times)).encode())
            if len(found) == before:
                raise UserError(
                    f"every class folder must hold images, {folder / name} has none; "
                    "move it away or start its name with a dot"
                )
    notes = []
    if ignored:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in ignored.most_common(4))
        notes.append(f"{ignored.total():,} files in {root} are ignored: {kinds}")
    return Listing(
        root=root,
        class_names=tuple(printable(name) for name in classes[first]),
        files=[file for file, _, _ in found],
        labels=np.array([label for _, label, _ in found], np.int32),
        parts=np.array([part for _, _, part in found]),
        state=state.hexdigest(),
        notes=tuple(notes),
    )


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


def _class_folders(folder: Path) -> list[str]:
    names = _subfolders(folder)
    loose = sum(_is_image(entry) for entry in _visible(folder))
    if not names and loose:
        raise UserError(
            f"{folder} must have a subfolder a class, such as cat/1.jpg and dog/1.jpg; "
            f"its {loose:,} images lie side by side"
        )
    if not any(_has_image(folder / name) for name in names):
        raise UserError(
            f"{folder} must hold images ({', '.join(EXTENSIONS)}) in a subfolder a "
            "class, it has none"
        )
    if len(names) == 1:
        inner = _subfolders(folder / names[0])
        nearest = f"; did you mean {folder / names[0]}?" if len(inner) > 1 else ""
        raise UserError(
            f"{folder} must have at least 2 classes, it has only {names[0]!r}{nearest}"
        )
    return names


def _different_classes(root: Path, train: Path, other: Path) -> UserError:
    ours, theirs = set(_subfolders(train)), set(_subfolders(other))
    which, where, missing = sorted(ours - theirs), other, train
    if not which:
        which, where, missing = sorted(theirs - ours), train, other
    return UserError(
        f"{train.name}/ and {other.name}/ of {root} must have the same classes, "
        f"{where.name}/ has no {which[0]!r} as {missing.name}/ has"
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


def _is_image(entry: os.DirEntry[str]) -> bool:
    ending = os.path.splitext(entry.name)[1].lower()
    return ending in EXTENSIONS and entry.is_file()


def _has_image(folder: Path) -> bool:
    return any(True for _ in _walk(folder, Counter()))


def _walk(folder: Path, ignored: Counter[str]) -> Iterator[os.DirEntry[str]]:
    """Every image below a folder, sorted by name in each; links are followed."""
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
            elif _is_image(entry):
                yield entry
            else:
                ending = os.path.splitext(entry.name)[1].lower()
                ignored[ending or "without an ending"] += 1
        pending.extend(reversed(inner))


def _part(decoded: Decoded, part: str) -> Examples:
    """The examples of a part: neighbours in the cache, so that no copy is made."""
    rows = decoded.parts.get(part, (0, 0))
    return Examples(decoded.images[slice(*rows)], decoded.labels[slice(*rows)])


def _skipped_note(
    root: Path, decoded: Decoded, files: int, allow_corrupt: bool
) -> list[str]:
    """The files that could not be decoded: a note, or an error if they are many."""
    skipped = decoded.skipped
    if not skipped:
        return []
    shown = "; ".join(f"{name}: {reason}" for name, reason in skipped[:_SHOWN])
    if len(skipped) > _SHOWN:
        shown += f"; and {len(skipped) - _SHOWN:,} more"
    share = len(skipped) / files
    if len(skipped) == files:
        raise UserError(f"none of the {files:,} images in {root} can be read: {shown}")
    if share > _MOST_CORRUPT and not allow_corrupt:
        raise UserError(
            f"at most {_MOST_CORRUPT:.0%} of the images in {root} may be broken unless "
            f"allow_corrupt is set, {len(skipped):,} of {files:,} are ({share:.1%}): "
            f"{shown}"
        )
    return [f"{len(skipped):,} of {files:,} files are broken and skipped: {shown}"]
