"""Measure how fast images come from a folder: ours and a tf.data pipeline of 2021.

Each reads the folder in a process of its own, in turns. All deliver the same: in every
epoch each image once, in a random order, in batches of float32 in [-1, 1].
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.folders_page import (
    BATCH,
    CONTENDERS,
    COPIES,
    OURS,
    SIZE,
    Reading,
    write,
)
from benchmarks.memory import MIB, OwnMemory, peak_memory
from benchmarks.table import command_line
from benchmarks.worker import ask_a_process, choose_backend
from classicnets import data

ENDINGS = (".jpg", ".jpeg", ".png")  # those that both sides read
MAX_DIFFERENCE = 0.02  # the mean pixel, in -1..1: they resize by different filters

Batches = Callable[[int], Iterator[Any]]


def main() -> None:
    """Read the command line, let them read in turns, write the page."""
    options = _options()
    files = image_files(options.folder)
    # Once before the first: none has to fetch the files from the disk for the others.
    size = sum(len(file.read_bytes()) for file in files)
    rounds: list[list[Reading]] = []
    out = Path(options.out)
    for number in range(options.rounds):
        names = CONTENDERS if number % 2 == 0 else CONTENDERS[::-1]
        readings = [
            in_a_process(name, options.folder, options.epochs) for name in names
        ]
        check_alike(readings, len(files))
        rounds.append(sorted(readings, key=lambda r: CONTENDERS.index(r.contender)))
        # After every round: a run cut short keeps what it has.
        write(out, rounds, [], size)
    with tempfile.TemporaryDirectory() as linked:
        link_copies(files, Path(linked), COPIES)
        larger = in_a_process(OURS, linked, options.epochs, COPIES)
    write(out, rounds, [rounds[0][0], larger], size)
    print(out)


def image_files(folder: str) -> list[Path]:
    """Return every image of a folder, sorted."""
    paths = (path for path in Path(folder).rglob("*") if path.is_file())
    return sorted(path for path in paths if path.suffix.lower() in ENDINGS)


def link_copies(files: list[Path], target: Path, copies: int) -> None:
    """Make a folder that has the files several times, without their bytes."""
    for copy in range(copies):
        (target / str(copy)).mkdir()
        for number, file in enumerate(files):
            link = target / str(copy) / f"{number:07}{file.suffix}"
            try:
                os.link(file, link)
            except OSError:  # such as on another disk
                link.symlink_to(file.resolve())


def open_ours(folder: str) -> Batches:
    """Decode into a fresh cache; return the batches of an epoch."""
    splits = data.load(
        folder,
        labelled=False,
        image_size=SIZE,
        channels=3,
        resize="stretch",
        progress=False,
    )
    # No image may be missing: the others deliver all of them too.
    parts = (splits.train, splits.validation, splits.open_test())

    def batches(epoch: int) -> Iterator[np.ndarray]:
        for examples in parts:
            order = data.epoch_order(len(examples), seed=0, epoch=epoch)
            for start in range(0, len(order), BATCH):
                rows = order[start : start + BATCH]
                batch = np.divide(examples.inputs[rows], 127.5, dtype=np.float32)
                batch -= 1
                yield batch

    return batches


def open_tfdata(folder: str, *, area: bool) -> Batches:
    """Build the pipeline, which decodes in every epoch; return an epoch's batches.

    Args:
        area: Whether to resize by the average of an area, and not by the usual
            `tf.image.resize(images, size)`, which skips pixels.
    """
    import tensorflow as tf

    how = {"method": "area"} if area else {}

    def read(path: Any) -> Any:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        return tf.image.resize(image, (SIZE, SIZE), **how) / 127.5 - 1

    files = [str(file) for file in image_files(folder)]
    dataset = (
        tf.data.Dataset.from_tensor_slices(files)
        .shuffle(len(files))
        .map(read, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(BATCH)
        .prefetch(tf.data.AUTOTUNE)
    )
    return lambda epoch: iter(dataset)


def read_folder(name: str, folder: str, epochs: int, copies: int = 1) -> Reading:
    """Read a folder for some epochs, in this process."""
    # What is imported late takes time too, which is not the reading's.
    if name == OURS:
        import numpy.random  # noqa: F401
    else:
        import tensorflow  # noqa: F401
    with OwnMemory() as memory:
        seconds, started = [], time.perf_counter()
        if name == OURS:
            batches = open_ours(folder)
        else:
            batches = open_tfdata(folder, area=name.endswith("-area"))
        for epoch in range(epochs):
            images = sum(len(batch) for batch in batches(epoch))
            seconds.append(time.perf_counter() - started)
            started = time.perf_counter()
        peak = int(MIB * peak_memory())
    total = sum(float(np.sum(batch, dtype=np.float64)) for batch in batches(epochs))
    mean = total / (images * SIZE * SIZE * 3)
    return Reading(name, copies, images, tuple(seconds), peak, memory.peak, mean)


def in_a_process(name: str, folder: str, epochs: int, copies: int = 1) -> Reading:
    """Let one contender read where nothing is cached or imported yet."""
    with tempfile.TemporaryDirectory() as cache:
        reading = ask_a_process(name, _work, cache, name, folder, epochs, copies)
    seconds = " ".join(f"{value:.2f}" for value in reading.seconds)
    print(
        f"{name}: {reading.images:,} images, seconds of the epochs: {seconds}; "
        f"{reading.peak / MIB:.0f} MiB at most",
        file=sys.stderr,
        flush=True,
    )
    return reading


def _work(pipe: Connection, cache: str, *arguments: Any) -> None:
    os.environ["CLASSICNETS_CACHE"] = cache
    choose_backend("tensorflow")
    pipe.send(read_folder(*arguments))


def check_alike(readings: list[Reading], files: int) -> None:
    """Stop unless all delivered every one of the folder's files."""
    for reading in readings:
        if reading.images != files:
            raise SystemExit(
                f"{reading.contender} must deliver all {files:,} images, it delivered "
                f"{reading.images:,}."
            )
    means = [reading.mean for reading in readings]
    if max(means) - min(means) > MAX_DIFFERENCE:
        raise SystemExit(f"all must deliver the same images, the means are {means}.")


def _options() -> argparse.Namespace:
    parser = command_line("benchmarks.folders", __doc__, "docs/benchmarks-folders.md")
    parser.add_argument("folder", help="of JPEG or PNG images")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    parser.add_argument("--epochs", type=int, default=4, help="2 or more")
    options = parser.parse_args()
    if options.rounds < 1 or options.epochs < 2:
        parser.error("rounds must be at least 1, and epochs at least 2.")
    if not image_files(options.folder):
        parser.error(f"{options.folder} must hold images ({', '.join(ENDINGS)}).")
    return options


if __name__ == "__main__":
    main()
