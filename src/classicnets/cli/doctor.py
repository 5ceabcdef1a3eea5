"""What is installed, what runs, and what is wrong, in plain words."""

import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from classicnets import data
from classicnets.data.catalogue import DATASETS
from classicnets.data.folder_files import IMAGES, TEXTS, FileKind
from classicnets.data.folder_layout import scan, skipped_note
from classicnets.data.images.decoding import decode, pillow_warnings
from classicnets.data.places import places
from classicnets.data.reading import decode_text
from classicnets.data.table_files import READERS
from classicnets.data.tables import read_table
from classicnets.data.texts.folders import holds_texts
from classicnets.data.texts.imdb import read_numbered
from classicnets.errors import UserError
from classicnets.runs import environment

# Gradients on the backend, in a process of its own: a broken one cannot take us down.
TRIAL = """
import sys, time
from keras import ops
from classicnets import networks, engine
from classicnets.objectives import cross_entropy
network = networks.create("resnet20", (32, 32, 3), 2)
images, targets = ops.ones((16, 32, 32, 3)), ops.one_hot(ops.arange(16) % 2, 2)
def step(arrays, batch):
    (loss, _), _ = engine.value_and_gradients(
        lambda: (cross_entropy(network(images, training=True), targets), ()),
        network.trainable_variables, network.variables)
    return {"loss": loss}
run = engine.compile_steps(step, network.variables, ["loss"])
assert run({}, {}, 1)["loss"] > 0
started, steps = time.monotonic(), 0
while time.monotonic() - started < float(sys.argv[1]):
    run({}, {}, 1)
    steps += 1
speed = steps * 16 / (time.monotonic() - started)
measured = f": {speed:,.0f} images/s through a ResNet-20 and back" if steps else ""
print(engine.device() + measured)
"""
SECONDS = 5  # of the trial of Keras's own backend, after it has been compiled
SAMPLE = 100  # files of a folder that are read


def examine() -> tuple[list[str], bool]:
    """Return the lines to show, and whether training can work here."""
    lines = [f"Python {platform.python_version()} on {platform.platform()}"]
    for package in ("classicnets", "keras"):
        lines.append(f"{package} {environment.version(package)}")
    runs = {}
    own = environment.backend()
    for backend, packages in environment.BACKEND_PACKAGES.items():
        if importlib.util.find_spec(backend) is None:
            lines.append(
                f"{backend}: not installed (pip install 'classicnets[{backend}]')"
            )
            continue
        runs[backend], outcome = _try(backend, SECONDS if backend == own else 0)
        version = environment.version(*packages) or "of unknown version"
        lines.append(f"{backend} {version}: {outcome}")
    works = runs.get(own, False)
    lines.append(f"chosen backend: {own}" + ("" if works else ", which does not run"))
    return lines, works


def examine_data(paths: Sequence[str]) -> tuple[list[str], bool]:
    """Return a line on each file and folder, and whether all can be trained on.

    Args:
        paths: Files and folders; without any, the named sets and what
            `$CLASSICNETS_DATA` holds.
    """
    folder = os.environ.get("CLASSICNETS_DATA")
    if not paths and folder and not Path(folder).expanduser().is_dir():
        return [f"CLASSICNETS_DATA is {folder}, which is not a folder"], False
    try:
        sets = [("", Path(path)) for path in paths] or _sets(folder)
    except OSError as error:
        return [f"{error.filename} cannot be read: {error.strerror}"], False
    lines, readable = [], True
    for name, path in sets:
        title = ": ".join(str(part) for part in (name, path) if part)
        if path is None:
            lines.append(f"data {title}: will be downloaded")
            continue
        try:
            lines.append(f"data {title}: {_content(path)}")
        except UserError as error:
            lines.append(f"data {title}: cannot be trained on: {error}")
            readable = False
    return lines, readable


def _sets(folder: str | None) -> list[tuple[str, Path | None]]:
    """Return the named sets and their places, and what else a folder holds."""
    sets: list[tuple[str, Path | None]] = []
    for name in DATASETS:
        if name != "digits":  # it comes with scikit-learn
            existing = (place for place in places(name) if place.exists())
            sets.append((name, next(existing, None)))
    if folder:
        named = [path for _, path in sets]
        others = _data_in(Path(folder).expanduser())
        sets += [("", path) for path in others if path not in named]
    return sets


def _data_in(folder: Path) -> list[Path]:
    """Return the files of data and the folders in a folder.

    In the place of a folder without folders, such as one of tables, its files stand.
    """
    data = []
    for path in sorted(folder.iterdir()):
        if path.name[0] == ".":
            continue
        if path.is_dir():
            inner = [] if any(p.is_dir() for p in path.iterdir()) else _data_in(path)
            data += inner or [path]
        elif path.suffix.lower() in (".npz", *READERS):
            data.append(path)
    return data


def _content(path: Path) -> str:
    """Return what a file or folder holds, in words, if only without labels."""
    try:
        return _count(path, labelled=True)
    except UserError as error:
        try:
            return f"{_count(path, labelled=False)}; without labels only: {error}"
        except UserError:
            raise error from None


def _count(path: Path, *, labelled: bool) -> str:
    if path.is_dir():
        kind = TEXTS if labelled and holds_texts(path) else IMAGES
        return _count_files(path, kind, labelled=labelled)
    if path.suffix.lower() in READERS and labelled:
        texts, labels, _, _ = read_table(path)
        return f"{len(texts):,} texts of {len(set(labels))} classes"
    if path.name == "imdb.npz":  # the words as Keras numbers them
        arrays = read_numbered(path)
        return f"{len(arrays['y_train']) + len(arrays['y_test']):,} texts of 2 classes"
    splits = data.load(path, labelled=labelled)
    counts = len(splits.train), len(splits.validation), len(splits.open_test())
    train, validation, test = (f"{count:,}" for count in counts)
    return (
        f"{splits.kind}, {train} to train on, {validation} to validate, {test} to test,"
        f" {len(splits.class_names)} classes"
    )


def _count_files(root: Path, kind: FileKind, *, labelled: bool) -> str:
    """Count the files of a folder, and read a sample from the first to the last."""
    listing = scan(root, kind, labelled=labelled)
    count = len(listing.files)
    rows = np.linspace(0, count - 1, min(count, SAMPLE)).astype(int)
    broken = []
    with pillow_warnings():
        for file in (listing.files[row] for row in rows):
            try:
                content = (root / file).read_bytes()
                if kind is IMAGES:
                    decode(content, image_size=32, channels=3, resize="crop")
                else:
                    decode_text(content)
            except OSError as error:
                broken.append((file, f"it cannot be read: {error.strerror}"))
            except UserError as error:
                broken.append((file, str(error)))
    notes = skipped_note(root, broken, files=len(rows), allow_corrupt=False, kind=kind)
    classes = f" of {len(listing.class_names)} classes" if labelled else ""
    counts = f"{count:,} {kind.name}{classes}, {len(rows)} of them read"
    return "; ".join([counts, *notes, *listing.notes])


def _try(backend: str, seconds: float) -> tuple[bool, str]:
    """Return whether a backend runs, and what there is to say of it."""
    result = subprocess.run(
        [sys.executable, "-c", TRIAL, str(seconds)],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        return False, f"does not run: {last}"
    return True, f"runs on {result.stdout.strip()}"
