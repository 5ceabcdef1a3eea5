"""What `benchmarks.growth` measured: a page, a CSV, and a picture of lines."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.memory import MIB
from benchmarks.table import origin
from classicnets import files
from classicnets.pictures import COLOURS

# The picture, in its own units: one column per series; a row of times, a row of memory.
WIDE, HIGH, LEFT, TOP, BOTTOM = 250, 210, 56, 30, 44


@dataclass(frozen=True)
class Series:
    """Points that differ in one thing.

    Args:
        name: On the command line and in the CSV.
        axis: What differs.
        what: What is trained, for the page.
        xs: The points.
        unit: What is timed: "step" or "epoch".
    """

    name: str
    axis: str
    what: str
    xs: tuple[int, ...]
    unit: str = "step"


@dataclass(frozen=True)
class Point:
    """What one process measured.

    Args:
        series, x: Its place.
        work: Of a step: multiply-adds, forward; of an epoch: examples.
        seconds: Of a step or an epoch; the median of those after the first.
        memory: Bytes that belong to no file, at most.
        imported: The same before the training run: the backend's own.
        loading: Seconds to open the data, build the network and lay out its step.
        first: Seconds of the first step, or call of steps: it traces and compiles.
        decoding: Seconds to decode a folder into the cache, once; else 0.
    """

    series: str
    x: int
    work: int
    seconds: float
    memory: int
    imported: int
    loading: float
    first: float
    decoding: float


def write(
    out: Path, picture: Path, points: list[Point], series: dict[str, Series]
) -> None:
    """Write the page, the CSV beside it, and the picture."""
    measured = {
        each: [point for point in points if point.series == name]
        for name, each in series.items()
        if any(point.series == name for point in points)
    }
    picture.parent.mkdir(parents=True, exist_ok=True)
    files.write(picture, draw(measured).encode())
    link = picture.as_posix().removeprefix(f"{out.parent.as_posix()}/")
    files.write(out, page(measured, link).encode())
    names = [field.name for field in dataclasses.fields(Point)]
    lines = [",".join(names)]
    lines += [
        ",".join(
            f"{value:.6g}" if isinstance(value, float) else str(value)
            for value in dataclasses.astuple(point)
        )
        for point in points
    ]
    files.write(out.with_suffix(".csv"), ("\n".join(lines) + "\n").encode())


def line(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float, float]:
    """Fit y = a + b x, the squares of the relative deviations being least.

    Returns:
        a, b, and the largest deviation of a point, as a share of its y.
    """
    x, y = np.asarray(xs, float), np.asarray(ys, float)
    columns = np.stack([1 / y, x / y], axis=1)
    (a, b), *_ = np.linalg.lstsq(columns, np.ones_like(y), rcond=None)
    return float(a), float(b), float(np.max(np.abs((a + b * x) / y - 1)))


def exponent(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return k of y = c x^k, fitted to the logarithms."""
    return float(np.polyfit(np.log(xs), np.log(ys), 1)[0])


def steepest(points: list[Point]) -> float:
    """Return by how much the seconds for the same work grow, at most, from a point to
    the next: 1 is a straight line through 0, a cliff is far above 1."""
    costs = [point.seconds / point.work for point in points]
    return max(after / before for before, after in itertools.pairwise(costs))


def page(measured: dict[Series, list[Point]], picture: str) -> str:
    """Return the page, one section per series."""
    lines = [
        "# How time and memory grow",
        "",
        "Written by the command below; `benchmarks/README.md` says how it is measured.",
        "",
        *origin("benchmarks.growth"),
        "- each point: one process, the median of its steps or epochs after the first",
        "",
        f"![Time and memory by the size of the work]({picture})",
        "",
        "*Cost* is the seconds for the same work, by those of the point before: 1 where"
        "\ntime grows as the work does, below it where something is shared out, far"
        " above it at\na cliff.",
        "",
        "| series | exponent of the time | from the straight line, at most | largest"
        " cost | memory from its line, at most |",
        "|---|--:|--:|--:|--:|",
    ]
    for series, points in measured.items():
        if len(points) > 1:
            lines.append(_conclusion(series, points))
    for series, points in measured.items():
        lines += ["", *_section(series, points)]
    return "\n".join(lines) + "\n"


def _conclusion(series: Series, points: list[Point]) -> str:
    xs = [point.x for point in points]
    seconds = [point.seconds for point in points]
    memory = [point.memory for point in points]
    return (
        f"| {series.axis} | {exponent(xs, seconds):.2f} |"
        f" {line(xs, seconds)[2]:.0%} | {steepest(points):.2f} |"
        f" {line(xs, memory)[2]:.0%} |"
    )


def _section(series: Series, points: list[Point]) -> list[str]:
    of_epochs = series.unit == "epoch"
    lines = [
        f"## {series.axis.capitalize()}",
        "",
        f"{series.what[0].upper()}{series.what[1:]}.",
        "",
        f"| {series.axis} | seconds {'per epoch' if of_epochs else 'per step'} | cost |"
        f" {'us per example' if of_epochs else 'ns per thousand multiply-adds'} | peak"
        " memory, MiB | of it imports | to open and build, s | first step, s |"
        f"{' decoding, s |' if of_epochs else ''}",
        f"|{'--:|' * (9 if of_epochs else 8)}".replace("--:", "---", 1),
    ]
    for before, point in zip([None, *points], points):
        cost = point.seconds / point.work
        growth = cost / (before.seconds / before.work) if before else 0.0
        cells = [
            f"{point.x:,}",
            f"{point.seconds:.4g}",
            f"{growth:.2f}" if before else "",
            f"{cost * (1e6 if of_epochs else 1e12):.3g}",
            f"{point.memory / MIB:,.0f}",
            f"{point.imported / MIB:,.0f}",
            f"{point.loading:.2f}",
            f"{point.first:.2f}",
        ]
        cells += [f"{point.decoding:.1f}"] if of_epochs else []
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def draw(measured: dict[Series, list[Point]]) -> str:
    """Return the picture: SVG, both axes logarithmic."""
    size = f"0 0 {WIDE * len(measured) + 10} {2 * HIGH + 10}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}"'
        ' font-family="sans-serif" font-size="11">'
        '<rect width="100%" height="100%" fill="white"/>'
    ]
    for column, (series, points) in enumerate(measured.items()):
        for row, (title, key, scale) in enumerate(
            [(f"s per {series.unit}", "seconds", 1.0), ("peak MiB", "memory", MIB)]
        ):
            pairs = [(p.x, getattr(p, key) / scale) for p in points]
            place = f"translate({WIDE * column},{HIGH * row})"
            panel = _panel(f"{title}, by {series.axis}", pairs, COLOURS[row])
            parts.append(f'<g transform="{place}">{panel}</g>')
    return "".join([*parts, "</svg>\n"])


def _panel(
    title: str, pairs: Sequence[tuple[float, float]], colour: tuple[int, int, int]
) -> str:
    """Return one chart: whole powers of ten on both axes, points, straight steps."""
    ends = [
        (math.floor(math.log10(min(vs))), math.ceil(math.log10(max(vs)) + 1e-9))
        for vs in zip(*pairs)
    ]

    def at(value: float, axis: int) -> float:
        low, high = ends[axis]
        share = (math.log10(value) - low) / (high - low)
        if axis == 0:
            return LEFT + share * (WIDE - LEFT - 12)
        return HIGH - BOTTOM - share * (HIGH - TOP - BOTTOM)

    parts = [f'<text x="{LEFT}" y="18" fill="#222">{title}</text>']
    for power in range(ends[0][0], ends[0][1] + 1):
        x = at(10.0**power, 0)
        parts.append(
            f'<path d="M{x:.1f} {TOP}V{HIGH - BOTTOM}" stroke="#ddd"/>'
            f'<text x="{x:.1f}" y="{HIGH - BOTTOM + 16}" text-anchor="middle"'
            f' fill="#555">{_power(power)}</text>'
        )
    for power in range(ends[1][0], ends[1][1] + 1):
        y = at(10.0**power, 1)
        parts.append(
            f'<path d="M{LEFT} {y:.1f}H{WIDE - 12}" stroke="#ddd"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end"'
            f' fill="#555">{_power(power)}</text>'
        )
    ink = "#{:02x}{:02x}{:02x}".format(*colour)
    spots = [(at(x, 0), at(y, 1)) for x, y in pairs]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    parts.append(f'<polyline points="{path}" fill="none" stroke="{ink}"/>')
    for (x, y), (number, value) in zip(spots, pairs):
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{ink}">'
            f"<title>{number:,}: {value:.4g}</title></circle>"
        )
    return "".join(parts)


def _power(power: int) -> str:
    """Write a power of ten: plainly where that is short."""
    return f"{10.0**power:g}" if -3 <= power <= 4 else f"1e{power}"
