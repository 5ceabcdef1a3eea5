"""What `benchmarks.folders` measured, as a page for people and a CSV for machines."""

import dataclasses
import statistics
import sys
from pathlib import Path

from benchmarks.memory import MIB
from benchmarks.table import origin, ratio
from classicnets import files

SIZE = 64  # height and width of the batches' images
BATCH = 64
COPIES = 4  # of the folder, to see how the memory grows
OURS = "ours"
CONTENDERS = (OURS, "tfdata2021", "tfdata2021-area")


@dataclasses.dataclass(frozen=True)
class Reading:
    """What one process did.

    Args:
        contender: Who read.
        copies: How many times the folder was there.
        images: How many it delivered in each epoch.
        seconds: Of each epoch; the first begins with the bare folder.
        peak: Bytes of memory, at most; the mapped pages of files count.
        own: Bytes of that which belong to no file, at most; 0 where unknown.
        mean: Of all pixels.
    """

    contender: str
    copies: int
    images: int
    seconds: tuple[float, ...]
    peak: int
    own: int
    mean: float

    @property
    def first(self) -> float:
        """Seconds of the first epoch."""
        return self.seconds[0]

    @property
    def later(self) -> float:
        """Seconds of a later epoch, the median."""
        return statistics.median(self.seconds[1:])


def write(
    out: Path, rounds: list[list[Reading]], growth: list[Reading], size: int
) -> None:
    """Write the page, and the CSV beside it; see `page`."""
    files.write(out, page(rounds, growth, size).encode())
    lines = ["contender,copies,round,epoch,images,seconds,peak_bytes,own_bytes"]
    numbered = [(n, r) for n, readings in enumerate(rounds, 1) for r in readings]
    numbered += [(1, reading) for reading in growth[1:]]
    for number, r in numbered:
        for epoch, seconds in enumerate(r.seconds, 1):
            head = f"{r.contender},{r.copies},{number},{epoch},{r.images}"
            lines.append(f"{head},{seconds:.4f},{r.peak},{r.own}")
    files.write(out.with_suffix(".csv"), ("\n".join(lines) + "\n").encode())


def page(rounds: list[list[Reading]], growth: list[Reading], size: int) -> str:
    """Return the page.

    Args:
        rounds: The readings of each, in the order of `CONTENDERS`.
        growth: Of ours, from fewer copies of the folder to more.
        size: Bytes of the folder's files.
    """
    # Of the folder its name alone: the rest of the path is the reader's.
    words = [Path(word).name if Path(word).is_dir() else word for word in sys.argv[1:]]
    later = len(rounds[0][0].seconds) - 1
    lines = [
        "# Images from a folder",
        "",
        "Written by the command below.",
        f"Batches of {BATCH} images of {SIZE}x{SIZE}x3, float32 in [-1, 1]; every",
        "image once per epoch. Ours (`classicnets.data`) decodes in the first epoch,",
        "into an empty cache, and writes it to the disk. `tfdata2021` decodes in every",
        "epoch, in parallel (`AUTOTUNE`), and prefetches; its `tf.image.resize` is",
        "bilinear. That of `tfdata2021-area` averages the area, as ours does from 1.6",
        "times on; below, ours is bilinear.",
        "Importing is not counted. The files are in the system's memory already.",
        "",
        *origin("benchmarks.folders", words),
        f"- folder: {rounds[0][0].images:,} images, {size / MIB:.0f} MiB",
        f"- rounds: {len(rounds)}, in turns, a process each; epochs: 1 + {later}",
        "",
        "| contender | first epoch, s | images/s | times ours | later epochs, s |"
        " images/s | times ours | peak memory, MiB | own memory, MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(rounds, place) for place in range(len(CONTENDERS))]
    lines += [
        "",
        "*Times ours*: its seconds by ours in the same round, the median, smallest and",
        "largest; above 1 ours is faster. *Peak memory* counts the mapped pages of",
        "files, such as those of our cache, which the system takes back when it needs",
        "them. *Own memory* is the rest.",
    ]
    return "\n".join([*lines, *_growth(growth)]) + "\n"


def _row(rounds: list[list[Reading]], place: int) -> str:
    """Return the line of the contender at a place of `CONTENDERS`."""
    readings = [readings[place] for readings in rounds]
    cells = [CONTENDERS[place]]
    for which in ("first", "later"):
        seconds = [getattr(reading, which) for reading in readings]
        ours = [getattr(readings[0], which) for readings in rounds]
        middle = statistics.median(seconds)
        cells += [f"{middle:.2f}", f"{readings[0].images / middle:,.0f}"]
        cells.append(ratio([theirs / own for theirs, own in zip(seconds, ours)]))
    return f"| {' | '.join([*cells, *_memory(readings)])} |"


def _growth(readings: list[Reading]) -> list[str]:
    if not readings:
        return []
    lines = [
        "",
        f"## The folder, and {COPIES} copies of it",
        "",
        "Ours; hard links, 1 run.",
        "",
        "| images | decoded, MiB | first epoch, images/s | later epochs, images/s |"
        " peak memory, MiB | own memory, MiB |",
        "|---|---|---|---|---|---|",
    ]
    for reading in readings:
        cells = [
            f"{reading.images:,}",
            f"{reading.images * SIZE * SIZE * 3 / MIB:.0f}",
            f"{reading.images / reading.first:,.0f}",
            f"{reading.images / reading.later:,.0f}",
        ]
        lines.append(f"| {' | '.join([*cells, *_memory([reading])])} |")
    return lines


def _memory(readings: list[Reading]) -> list[str]:
    """Return the cells of peak and own memory, the largest of all rounds."""
    peak, own = (max(getattr(r, key) for r in readings) for key in ("peak", "own"))
    return [f"{peak / MIB:.0f}", f"{own / MIB:.0f}" if own else "–"]
