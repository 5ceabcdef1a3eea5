"""The cache of decoded folders: every image decoded once, in parallel.

    $CLASSICNETS_CACHE/folders/CONTENT/   images.npy, labels.npy, index.json
    $CLASSICNETS_CACHE/folders/STATE.json which CONTENT a folder of this state has

CONTENT is a digest of every file's bytes and name and of the decode options; STATE of
the files' names, sizes and times, so that a second run reads no image file. A folder
that is read without labels too has two entries: the order of its files may differ. An
entry is written under a temporary name and renamed at its end: a killed decode leaves
nothing that could be taken for one, and of two at a time the first to finish wins.
What is found damaged, of another folder, or of a version that wrote no digests, is
decoded again, and a note says so.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from classicnets import files
from classicnets.data.folder_files import printable
from classicnets.data.folder_layout import Listing
from classicnets.data.images import entries
from classicnets.data.images.decoding import decode, pillow_warnings, probe
from classicnets.data.images.entries import DecodedFolder
from classicnets.data.images.parallel import in_parallel
from classicnets.data.options import Options, sides
from classicnets.data.places import cache_folder
from classicnets.data.reading import MOST_BYTES
from classicnets.errors import UserError
from classicnets.terminal import plain

_FORMAT = 2  # of the cache; a change of the decoding or of the files' layout raises it
_SMALLEST, _LARGEST = 32, 64  # image_size chosen for the user
_ABANDONED_SECONDS = 2 * 24 * 3600


def decode_folder(listing: Listing, options: Options) -> DecodedFolder:
    """Return the decoded images of a folder, from the cache if they are in it.

    An `image_size` or `channels` of 0 is chosen by the files that are not test.
    """
    cache = cache_folder() / "folders"
    notes: list[str] = []
    if decoded := _look_up(cache, listing, options, notes=notes):
        return decoded
    with pillow_warnings():
        decided = _choose(listing, options)
        if decoded := _look_up(cache, listing, decided, notes=notes):
            notes = []
        if options.progress:  # said where the progress is; not every caller shows notes
            for note in notes:
                print(plain(note), file=sys.stderr)
            notes = []
        try:
            content = decoded.content if decoded else _fill(cache, listing, decided)
            # Training asks for no size; what comes later asks for the one it got.
            for each in (options, decided):
                memo = _memo(cache, listing, each)
                about = {"content": content, "state": memo.stem}
                files.write_json(memo, about | {"folder": str(listing.root)})
            decoded = decoded or entries.read(cache / content)
        except (OSError, entries.DamagedError) as error:
            if decoded:  # in a cache that others have filled
                return decoded
            reason = getattr(error, "strerror", None) or f"what was decoded {error}"
            raise UserError(
                f"the cache {cache} must be writable: {reason}; CLASSICNETS_CACHE names"
                " another folder for it"
            ) from None
    return dataclasses.replace(decoded, notes=tuple(notes))


def _look_up(
    cache: Path, listing: Listing, options: Options, *, notes: list[str]
) -> DecodedFolder | None:
    """Return what the cache has of a folder; note what is wrong with it."""
    memo = _memo(cache, listing, options)
    try:
        content = _content_of(memo)
        if content and (cache / content).is_dir():
            return entries.read(cache / content)
    except entries.DamagedError as error:
        note = f"{listing.root} is decoded again: what the cache has of it {error}"
        if note not in notes:
            notes.append(note)
    return None


def _memo(cache: Path, listing: Listing, options: Options) -> Path:
    """Return the file that says which content a folder of this state has."""
    state = f"{_FORMAT} {listing.state} {_how(options)}"
    return cache / f"{hashlib.sha256(state.encode()).hexdigest()}.json"


def _how(options: Options) -> str:
    """Return how a folder is decoded. Fingerprints hang on it: it stays as it is."""
    pooled = "" if options.labelled else " heap"  # the order of the files may differ
    return f"{options.image_size} {options.channels} {options.resize}{pooled}"


def _content_of(memo: Path) -> str:
    """Return the content that a state of a folder has; "" where nothing says so.

    Raises:
        DamagedError: If the file is not this state's.
    """
    try:
        about = json.loads(memo.read_text("utf-8"))
        content, state = str(about["content"]), about.get("state")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        content = state = ""
    if state is None:
        raise entries.DamagedError("is an earlier version's, without digests")
    if state != memo.stem or not re.fullmatch("[0-9a-f]{64}", content):
        raise entries.DamagedError(f"is not named by {memo.name}, which is damaged")
    return content


def _fill(cache: Path, listing: Listing, options: Options) -> str:
    """Decode a folder into an entry of the cache; return its name."""
    cache.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(cache)
    _check_space(cache, listing, options)
    part = cache / f"part-{secrets.token_hex(8)}"
    part.mkdir()
    try:
        rows, failures, digests = _decode_all(part / "images.npy", listing, options)
        content = _content_digest(listing, digests, options)
        facts = {
            "parts": _ranges(listing.parts[rows]),
            "skipped": failures,
            "copies": len(digests) - len(set(digests)),
        }
        entries.finish(part, cache / content, listing.labels[rows], facts)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return content


def _check_space(cache: Path, listing: Listing, options: Options) -> None:
    size = len(listing.files) * math.prod(sides(options.image_size)) * options.channels
    free = shutil.disk_usage(cache).free
    if size > free:
        raise UserError(
            f"decoding {listing.root} needs {size / 1e9:.1f} GB in {cache}, "
            f"{free / 1e9:.1f} GB are free; CLASSICNETS_CACHE names another folder"
        )


def _content_digest(
    listing: Listing, digests: Sequence[bytes], options: Options
) -> str:
    """Return the digest of every file's name and bytes and of how they are decoded."""
    sha = hashlib.sha256(f"{_FORMAT} {_how(options)};".encode())
    for file, digest in zip(listing.files, digests, strict=True):
        sha.update(os.fsencode(file) + b"\0" + digest)
    sha.update(listing.table.encode())
    return sha.hexdigest()


def _choose(listing: Listing, options: Options) -> Options:
    """Choose image_size and channels that are 0, by the headers of what is not test."""
    if options.image_size and options.channels:
        return options
    pairs = zip(listing.files, listing.parts, strict=True)
    names = [file for file, part in pairs if part != "test"]

    def read(rows: range) -> list[tuple[int, bool]]:
        headers = []
        for row in rows:
            with contextlib.suppress(UserError):  # broken: the decoding says why
                width, height, grey = probe(listing.root / names[row])
                headers.append((min(width, height), grey))
        return headers

    chunks = in_parallel(read, len(names), "looking at", options.progress)
    headers = [header for chunk in chunks for header in chunk]
    shorts, greys = zip(*headers, strict=True) if headers else ((0,), (False,))
    rounded = 8 * int(np.floor(np.median(shorts) / 8 + 0.5))
    size = min(max(rounded, _SMALLEST), _LARGEST)
    return dataclasses.replace(
        options,
        image_size=options.image_size or size,
        channels=options.channels or (1 if all(greys) else 3),
    )


def _decode_all(
    path: Path, listing: Listing, options: Options
) -> tuple[list[int], list[tuple[str, str]], list[bytes]]:
    """Decode every file into a .npy.

    Returns:
        The rows that went in; the others, with the reason; the digests of all.
    """
    count, channels = len(listing.files), options.channels
    size = sides(options.image_size)
    shape = (*size, channels)

    def decode_rows(
        rows: range,
    ) -> tuple[np.ndarray, list[int], list[tuple[str, str]], list[bytes]]:
        images = np.empty((len(rows), *shape), np.uint8)
        good: list[int] = []
        bad: list[tuple[str, str]] = []
        digests: list[bytes] = []
        for row in rows:
            # pathlib is slow
            content = _content(os.path.join(listing.root, listing.files[row]))
            digests.append(hashlib.sha256(content).digest())
            try:
                images[len(good)] = decode(content, size, channels, options.resize)
            except UserError as error:
                bad.append((printable(listing.files[row]), str(error)))
            else:
                good.append(row)
        return images[: len(good)], good, bad, digests

    rows: list[int] = []
    failures: list[tuple[str, str]] = []
    digests: list[bytes] = []
    with files.replacing(path) as temporary, open(temporary, "wb") as stream:
        _write_header(stream, (count, *shape))
        for images, good, bad, chunk_digests in in_parallel(
            decode_rows, count, "decoding", options.progress
        ):
            stream.write(images.data)
            rows += good
            failures += bad
            digests += chunk_digests
        # The header has room to spare: the true count takes the place of the first.
        stream.seek(0)
        _write_header(stream, (len(rows), *shape))
    return rows, failures, digests


def _content(path: str) -> bytes:
    """Read a file, or what is enough of it to see that it is too large."""
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            return os.read(file, min(os.fstat(file).st_size, MOST_BYTES + 1))
        finally:
            os.close(file)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def _ranges(parts: np.ndarray) -> dict[str, tuple[int, int]]:
    """Return (first row, row after the last) by part; a part's rows lie together."""
    names, starts, counts = np.unique(parts, return_index=True, return_counts=True)
    ends = (starts + counts).tolist()
    return dict(zip(names.tolist(), zip(starts.tolist(), ends)))


def _write_header(stream: Any, shape: tuple[int, ...]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)


def _remove_abandoned(cache: Path) -> None:
    """Delete what a decode left that was killed two days ago or earlier."""
    for part in cache.glob("part-*"):
        with contextlib.suppress(OSError):
            newest = max(path.stat().st_mtime for path in (part, *part.iterdir()))
            if time.time() - newest > _ABANDONED_SECONDS:
                shutil.rmtree(part, ignore_errors=True)
