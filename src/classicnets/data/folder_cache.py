"""The cache of decoded folders: every image decoded once, in parallel.

    $CLASSICNETS_CACHE/folders/CONTENT/   images.npy, labels.npy, index.json
    $CLASSICNETS_CACHE/folders/STATE.json which CONTENT a folder of this state has

CONTENT is a digest of every file's bytes and name and of the decode options; STATE of
the files' names, sizes and times, so that a second run reads no image file. A folder
that is read without labels too has two entries: the order of its files may differ. An
entry is written under a temporary name and renamed when whole: a killed decode leaves
nothing that could be taken for one, and of two at a time the first to finish wins.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from classicnets.data.arrays import BROKEN
from classicnets.data.folder_layout import printable
from classicnets.data.images import decode, pillow_warnings, probe
from classicnets.data.named import cache_folder
from classicnets.data.parallel import in_parallel
from classicnets.errors import UserError

_FORMAT = 2  # of the cache; a change of the decoding or of the files' layout raises it
_SMALLEST, _LARGEST = 32, 64  # image_size chosen for the user
_ABANDONED_SECONDS = 2 * 24 * 3600


@dataclass(frozen=True)
class Decoded:
    """A cached folder.

    Args:
        content: the digest that names it.
        images: (n, size, size, channels) uint8, a read-only memory map.
        labels: (n,) int32.
        parts: part of the data set -> (first row, row after the last).
        skipped: (file, reason) of those that could not be decoded.
        copies: how many files have the very bytes of another.
    """

    content: str
    images: np.ndarray
    labels: np.ndarray
    parts: dict[str, tuple[int, int]]
    skipped: list[tuple[str, str]]
    copies: int


def decode_folder(
    root: Path,
    files: Sequence[str],
    labels: np.ndarray,
    parts: np.ndarray,
    *,
    state: str,
    labelled: bool,
    image_size: int,
    channels: int,
    resize: str,
    progress: bool,
) -> Decoded:
    """The decoded images of a folder, from the cache if they are in it.

    Args:
        root: the folder; `files` are paths below it.
        labels, parts: (files,) the class and the part of each; parts lie together.
        state: changes whenever a file may have changed.
        labelled: whether the labels mean anything.
        image_size, channels: 0 to choose them by the files that are not test.
    """
    cache = cache_folder() / "folders"
    heap = "" if labelled else " heap"
    wanted = f"{_FORMAT} {state} {image_size} {channels} {resize}{heap}"
    memo = cache / f"{hashlib.sha256(wanted.encode()).hexdigest()}.json"
    content = _remembered(memo)
    if content and (cache / content).is_dir():
        return _open(cache / content, labels)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(cache)
        with pillow_warnings():
            content = _fill(
                cache,
                root,
                files,
                labels,
                parts,
                image_size,
                channels,
                resize,
                heap,
                progress,
            )
        _write_whole(memo, json.dumps({"content": content, "folder": str(root)}))
    except OSError as error:
        raise UserError(
            f"the cache {cache} must be writable: {error.strerror or error}; "
            "CLASSICNETS_CACHE names another folder for it"
        ) from None
    return _open(cache / content, labels)


def _remembered(memo: Path) -> str:
    """The content that a state of a folder has; "" where nothing whole says so."""
    try:
        content = json.loads(memo.read_text("utf-8"))["content"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return content if re.fullmatch("[0-9a-f]{64}", str(content)) else ""


def _open(entry: Path, labels: np.ndarray) -> Decoded:
    """Open an entry.

    Args:
        labels: of the folder's files: the entry has no others.
    """
    try:
        index = json.loads((entry / "index.json").read_text("utf-8"))
        decoded = Decoded(
            content=entry.name,
            images=np.load(entry / "images.npy", mmap_mode="r", allow_pickle=False),
            labels=np.asarray(np.load(entry / "labels.npy", mmap_mode="r")),
            parts={str(part): (a, b) for part, (a, b) in index["parts"].items()},
            skipped=[(str(file), str(reason)) for file, reason in index["skipped"]],
            copies=int(index["copies"]),
        )
        images = decoded.images
        rows = [row for part in decoded.parts.values() for row in part]
        if (
            images.ndim != 4
            or images.dtype != np.uint8
            or decoded.labels.shape != images.shape[:1]
            or decoded.labels.dtype != np.int32
            or not set(decoded.labels.tolist()) <= set(labels.tolist())
            or not all(type(row) is int and 0 <= row <= len(images) for row in rows)
        ):
            raise ValueError("its files do not fit")
    except (OSError, KeyError, AttributeError, *BROKEN) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{entry} must be what was decoded once, it is damaged ({reason}); delete "
            "it and the images are decoded again"
        ) from None
    return decoded


def _fill(
    cache: Path,
    root: Path,
    files: Sequence[str],
    labels: np.ndarray,
    parts: np.ndarray,
    image_size: int,
    channels: int,
    resize: str,
    heap: str,
    progress: bool,
) -> str:
    """Make the entry of a folder unless its content is cached; returns its name."""
    if image_size == 0 or channels == 0:
        image_size, channels = _choose(
            root, files, parts, image_size, channels, progress
        )
    needed = len(files) * image_size * image_size * channels
    free = shutil.disk_usage(cache).free
    if needed > free:
        raise UserError(
            f"decoding {root} needs {needed / 1e9:.1f} GB in {cache}, {free / 1e9:.1f} "
            "GB are free; CLASSICNETS_CACHE names another folder for it"
        )
    part = cache / f"part-{secrets.token_hex(8)}"
    part.mkdir()
    try:
        decoded, skipped, digests = _decode_all(
            part / "images.npy",
            root,
            files,
            (image_size, image_size, channels),
            resize,
            progress,
        )
        options = f"{_FORMAT} {image_size} {channels} {resize}{heap};"
        sha = hashlib.sha256(options.encode())
        for file, digest in zip(files, digests, strict=True):
            sha.update(os.fsencode(file) + b"\0" + digest)
        content = sha.hexdigest()
        with open(part / "labels.npy", "wb") as stream:
            np.save(stream, labels[decoded])
            _flush(stream)
        index = {
            "parts": _ranges(parts[decoded]),
            "skipped": skipped,
            "copies": len(files) - len(set(digests)),
        }
        _write_whole(part / "index.json", json.dumps(index))
        try:
            os.rename(part, cache / content)
        except OSError:
            if not (cache / content).is_dir():  # else it was decoded before
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return content


def _choose(
    root: Path,
    files: Sequence[str],
    parts: np.ndarray,
    image_size: int,
    channels: int,
    progress: bool,
) -> tuple[int, int]:
    """Choose what is 0 of the two, by the headers of the files that are not test."""

    def read(rows: range) -> list[tuple[int, bool]]:
        found = []
        for row in rows:
            with contextlib.suppress(UserError):  # broken: the decoding says why
                width, height, grey = probe(root / files[row])
                found.append((min(width, height), grey))
        return found

    files = [file for file, part in zip(files, parts, strict=True) if part != "test"]
    found = [
        header
        for headers in in_parallel(read, len(files), "looking at", progress)
        for header in headers
    ]
    shorts, greys = zip(*found, strict=True) if found else ((0,), (False,))
    rounded = 8 * int(np.floor(np.median(shorts) / 8 + 0.5))
    chosen = min(max(rounded, _SMALLEST), _LARGEST)
    return image_size or chosen, channels or (1 if all(greys) else 3)


def _decode_all(
    path: Path,
    root: Path,
    files: Sequence[str],
    shape: tuple[int, int, int],
    resize: str,
    progress: bool,
) -> tuple[list[int], list[tuple[str, str]], list[bytes]]:
    """Decode every file into a .npy.

    Returns:
        The rows that went in; the others, with the reason; the digests of all.
    """
    size, _, channels = shape

    def decode_rows(
        rows: range,
    ) -> tuple[np.ndarray, list[int], list[tuple[str, str]], list[bytes]]:
        images = np.empty((len(rows), *shape), np.uint8)
        good: list[int] = []
        bad: list[tuple[str, str]] = []
        digests: list[bytes] = []
        for row in rows:
            content = _content(os.path.join(root, files[row]))  # pathlib is slow
            digests.append(hashlib.sha256(content).digest())
            try:
                images[len(good)] = decode(content, size, channels, resize)
            except UserError as error:
                bad.append((printable(files[row]), str(error)))
            else:
                good.append(row)
        return images[: len(good)], good, bad, digests

    decoded: list[int] = []
    skipped: list[tuple[str, str]] = []
    digests: list[bytes] = []
    with open(path, "wb") as stream:
        _write_header(stream, (len(files), *shape))
        chunks = in_parallel(decode_rows, len(files), "decoding", progress)
        for images, good, bad, chunk_digests in chunks:
            stream.write(images.data)
            decoded += good
            skipped += bad
            digests += chunk_digests
        # The header has room to spare: the true count takes the place of the first.
        stream.seek(0)
        _write_header(stream, (len(decoded), *shape))
        _flush(stream)
    return decoded, skipped, digests


def _content(path: str) -> bytes:
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            return os.read(file, os.fstat(file).st_size)
        finally:
            os.close(file)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def _ranges(parts: np.ndarray) -> dict[str, tuple[int, int]]:
    """part -> (first row, row after the last); a part's rows lie together."""
    ranges = {}
    for part in np.unique(parts):
        rows = np.flatnonzero(parts == part)
        ranges[str(part)] = (int(rows[0]), int(rows[-1]) + 1)
    return ranges


def _write_header(stream: Any, shape: tuple[int, ...]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)


def _write_whole(path: Path, text: str) -> None:
    """Write a small file, whole or not at all."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    with open(part, "w", encoding="utf-8") as stream:
        stream.write(text)
        _flush(stream)
    os.replace(part, path)


def _flush(stream: Any) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _remove_abandoned(cache: Path) -> None:
    """Delete what a decode left that was killed two days ago or earlier."""
    for part in cache.glob("part-*"):
        with contextlib.suppress(OSError):
            newest = max(path.stat().st_mtime for path in (part, *part.iterdir()))
            if time.time() - newest > _ABANDONED_SECONDS:
                shutil.rmtree(part, ignore_errors=True)
