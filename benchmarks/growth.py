"""Measure how the time and the memory of training grow with the work.

Each point is a process of its own, which trains by `classicnets.train` on examples
made for it, and is stopped once enough steps are timed. The points of a series differ
in one thing.
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.growth_page import Point, Series, write
from benchmarks.memory import MIB, OwnMemory
from benchmarks.table import command_line
from benchmarks.worker import ask_a_process, choose_backend

STEP_SECONDS = 3.0  # of timed steps, where they are fast
MIN_STEPS, MAX_STEPS = 4, 40
WARM_STEPS = 2  # the first one traces and compiles
EXAMPLES_SIDE = 32
CLASSES = 100
BATCH = 64
SOURCES = 1000  # different files of a folder; the others are links to them
FOLDER_CLASSES = 10

SERIES = {
    "batch": Series(
        "batch",
        "images per batch",
        "ResNet-20, 32x32 pixels, 100 classes",
        (16, 32, 64, 128, 256, 512),
    ),
    "depth": Series(
        "depth",
        "layers",
        "ResNets of the CIFAR kind, 32 images of 32x32",
        (20, 32, 44, 56, 110),
    ),
    "pixels": Series(
        "pixels",
        "pixels per image",
        "ResNet-20, 32 images of 32x32 to 128x128",
        (32**2, 48**2, 64**2, 96**2, 128**2),
    ),
    "classes": Series(
        "classes",
        "classes",
        "ResNet-20, 64 images of 32x32; that the work hardly grows is right: the last"
        " layer has 64 weights per class",
        (2, 10, 100, 1000, 10_000),
    ),
    "examples": Series(
        "examples",
        "examples of the set",
        "a folder of JPEG files of 32x32, opened from the cache that it was decoded"
        " into; a small dense VAE, a whole epoch. The images are read from the map",
        (1000, 10_000, 100_000, 1_000_000),
        unit="epoch",
    ),
}


def main() -> None:
    """Read the command line, measure point by point, write the page."""
    options = _options()
    out, points = Path(options.out), []
    for name in options.series:
        series = SERIES[name]
        for x in series.xs:
            if x > options.most and name == "examples":
                continue
            started = time.monotonic()
            point = measure(series, x)
            points.append(point)
            print(
                f"{name} {x:,}: {point.seconds:.4g} s, {point.memory / MIB:.0f} MiB"
                f" ({time.monotonic() - started:.0f} s)",
                file=sys.stderr,
                flush=True,
            )
        # After every series: a run cut short keeps what it has.
        write(out, Path(options.picture), points, SERIES)
    print(out)


def measure(series: Series, x: int) -> Point:
    """Measure one point in a process of its own, on examples made for it."""
    with tempfile.TemporaryDirectory() as folder:
        return ask_a_process(f"{series.name} {x}", _work, folder, series, x)


def _work(pipe: Connection, folder: str, series: Series, x: int) -> None:
    choose_backend("tensorflow")
    os.environ["CLASSICNETS_CACHE"] = str(Path(folder) / "cache")
    decoding = 0.0
    if series.unit == "epoch":
        make_folder(Path(folder) / "images", x)
        decoding = _decode_apart(str(Path(folder) / "images"))
        point = train_epochs(str(Path(folder) / "images"), folder, x)
    else:
        point = train_steps(folder, series.name, x)
    pipe.send(replace(point, series=series.name, x=x, decoding=decoding))


def train_steps(folder: str, name: str, x: int) -> Point:
    """Time steps of a ResNet on random images; `x` is what the series varies."""
    side = round(x**0.5) if name == "pixels" else EXAMPLES_SIDE
    classes = x if name == "classes" else CLASSES
    batch = {"batch": x, "classes": BATCH}.get(name, BATCH // 2)
    depth = x if name == "depth" else 20
    path = Path(folder) / "images.npz"
    count = max((WARM_STEPS + MAX_STEPS) * batch, classes)
    if name in ("pixels", "batch"):  # fewer steps are timed where one takes long
        count = max((WARM_STEPS + MIN_STEPS) * batch, classes, 2000)
    random = np.random.default_rng(0)
    images = random.integers(256, size=(count, side, side, 3), dtype=np.uint8)
    labels = np.arange(count) % classes
    arrays = {"x_train": images, "y_train": labels}
    arrays |= {f"x_{part}": images[:1] for part in ("val", "test")}
    arrays |= {f"y_{part}": labels[:1] for part in ("val", "test")}
    np.savez(path, **arrays)  # type: ignore[arg-type]
    del images, labels, arrays
    return _train(
        folder,
        network=f"resnet{depth}",
        data=str(path),
        epochs=1,
        batch_size=batch,
        crop_padding=4,
        flip=True,
        learning_rate=1e-3,
        steps_per_call=1,
    )


def train_epochs(images: str, folder: str, x: int) -> Point:
    """Time epochs over a folder of `x` images that is decoded already."""
    epochs = 3 if x < 10**6 else 2
    return _train(
        folder,
        network="vae",
        network_options={"hidden_units": [16], "latent_size": 2},
        data=images,
        image_size=EXAMPLES_SIDE,
        channels=3,
        epochs=epochs,
        batch_size=100,
        optimizer="adam",
        learning_rate=1e-3,
        validation_fraction=0.01,
        evaluation_batch_size=1000,
        sample_epochs=1000,
    )


class _Enough(Exception):  # noqa: N818  (it ends a training run, and is no fault)
    """All is timed."""


def _train(folder: str, **settings: Any) -> Point:
    """Train until enough is timed; return the point, its place still to be named."""
    with OwnMemory() as memory:
        import tensorflow  # noqa: F401

        import classicnets
        from classicnets import recipe

        imported = memory.now()
        clock, started = _clock(settings["epochs"]), time.monotonic()
        with contextlib.suppress(_Enough):
            classicnets.train(
                recipe.build({"validation_fraction": 0.1, **settings}),
                runs=folder,
                callbacks=[clock],
                verbose=False,
            )
        from classicnets.networks.summary import multiply_adds

        work = settings["batch_size"] * multiply_adds(clock.model)
    if settings["epochs"] > 1:
        seconds = statistics.median(clock.epochs[1:])
        work = clock.params["steps"] * settings["batch_size"]
    else:
        seconds = statistics.median(clock.steps[WARM_STEPS:])
    loading = clock.began - started
    return Point("", 0, work, seconds, memory.peak, imported, loading, clock.first, 0.0)


def _clock(epochs: int) -> Any:
    """Return a callback that times steps, or epochs where there are several."""
    import keras

    class Clock(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            self.began = time.monotonic()
            self.first = 0.0
            self.steps: list[float] = []
            self.epochs: list[float] = []

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.epoch_began = self.last = time.monotonic()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            now = time.monotonic()
            self.first = self.first or now - self.began
            self.steps.append(now - self.last)
            self.last = now
            if epochs > 1:
                return
            steps = self.steps[WARM_STEPS:]
            long = sum(steps) >= STEP_SECONDS and len(steps) >= MIN_STEPS
            if long or len(steps) == MAX_STEPS:
                raise _Enough

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.epochs.append(self.last - self.epoch_began)
            if epoch == epochs - 1:
                raise _Enough

    return Clock()


def make_folder(folder: Path, count: int) -> None:
    """Make a folder of `count` small JPEG files, most of them links to others."""
    from PIL import Image

    random = np.random.default_rng(0)
    side = EXAMPLES_SIDE
    sources = folder.parent / "sources"
    sources.mkdir()
    for number in range(min(SOURCES, count)):
        pixels = random.integers(256, size=(side // 8, side // 8, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
        image.save(sources / f"{number}.jpg", quality=80)
    for name in range(FOLDER_CLASSES):
        (folder / str(name)).mkdir(parents=True)
    for number in range(count):
        source = sources / f"{number % SOURCES}.jpg"
        os.link(source, folder / str(number % FOLDER_CLASSES) / f"{number:07}.jpg")


def _decode_apart(images: str) -> float:
    """Decode a folder in a process of its own; return the seconds it took."""
    started = time.monotonic()
    ask_a_process("decoding", _decode, images)
    return time.monotonic() - started


def _decode(pipe: Connection, images: str) -> None:
    from classicnets import data

    data.prepare(
        images, labelled=False, image_size=EXAMPLES_SIDE, channels=3, progress=False
    )
    pipe.send(None)


def _options() -> argparse.Namespace:
    parser = command_line("benchmarks.growth", __doc__, "docs/growth.md")
    parser.add_argument(
        "--series", nargs="+", default=list(SERIES), choices=list(SERIES)
    )
    parser.add_argument(
        "--most",
        type=int,
        default=1_000_000,
        help="examples of the largest set; it takes 4 GB of the temporary folder's"
        " disk",
    )
    parser.add_argument(
        "--picture",
        default="docs/pictures/growth.svg",
        help="of the lines",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
