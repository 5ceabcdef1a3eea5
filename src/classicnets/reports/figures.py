"""The pictures of a report: numbers and pixels in, SVG and PNG text out.

Charts are SVG written here rather than drawn by a plotting library: their colours come
from the page's style sheet, so they follow its dark mode, and their text stays text.
Pictures of examples are PNG at their own size; the page enlarges them by whole factors,
so that every pixel stays a square.
"""

import base64
import html
import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from classicnets.pictures import COLOURS, ticks

# In the chart's own units; the page scales it to the width it has.
_WIDTH, _HEIGHT = 420, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 40

_BLUE, _VERMILION = COLOURS[:2]


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Args:
        label: What it shows; also its style: "training" or "validation".
        points: (x, y), in the order of x.
    """

    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class _Axes:
    """Where values lie, in the chart's own units."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    left: float

    def across(self, value: float) -> float:
        low, high = self.x_range
        share = (value - low) / (high - low) if high > low else 0.5
        return self.left + 6 + share * (_WIDTH - self.left - _RIGHT - 12)

    def down(self, value: float) -> float:
        low, high = self.y_range
        return _TOP + (high - value) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)


def chart(title: str, lines: Sequence[Line], *, percent: bool = False) -> str:
    """Draw lines over epochs.

    Args:
        title: Read aloud to those who cannot see the chart.
        lines: At least one of them with a point; all values finite.
        percent: Whether the values are shares, to be written as per cent.

    Returns:
        An `<svg>` element. Its classes are styled by the page.
    """
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    x_ticks = [x for x in ticks(min(xs), max(xs), count=6) if x.is_integer()]
    x_ticks = [x for x in x_ticks if min(xs) <= x <= max(xs)]
    y_ticks = ticks(min(ys), max(ys), count=5)
    # Room for the longest number beside the chart, such as 0.000105.
    left = max(_LEFT, 8 + 8 * max(len(_number(y, percent)) for y in y_ticks))
    axes = _Axes((min(xs), max(xs)), (y_ticks[0], y_ticks[-1]), left)
    parts = [_opening(title), *(_rule(y, axes, _number(y, percent)) for y in y_ticks)]
    for x in x_ticks:
        parts.append(_text(f"{x:g}", f"{axes.across(x):.1f}", _HEIGHT - _BOTTOM + 18))
    parts.append(_text("epoch", f"{(left + _WIDTH) / 2:.0f}", _HEIGHT - 4))
    radius = 3 if len(xs) < 60 else 1.2
    parts += [_curve(line, axes, percent=percent, radius=radius) for line in lines]
    return "".join([*parts, "</svg>"])


def scatter(title: str, points: Sequence[tuple[float, float]]) -> str:
    """Draw a dot per example: its label across, the answer upwards.

    Args:
        title: Read aloud to those who cannot see the chart.
        points: (label, answer), at least one; all finite.

    Returns:
        An `<svg>` element with the line on which both are equal.
    """
    values = [value for point in points for value in point]
    marks = ticks(min(values), max(values), count=5)
    left = max(_LEFT, 8 + 8 * max(len(_number(mark, False)) for mark in marks))
    axes = _Axes((marks[0], marks[-1]), (marks[0], marks[-1]), left)
    parts = [_opening(title)]
    for mark in marks:
        number = _number(mark, False)
        below = _text(number, f"{axes.across(mark):.1f}", _HEIGHT - _BOTTOM + 18)
        parts.append(_rule(mark, axes, number) + below)
    parts.append(_text("label", f"{(left + _WIDTH) / 2:.0f}", _HEIGHT - 4))
    ends = [f"{axes.across(mark):.1f},{axes.down(mark):.1f}" for mark in marks]
    parts.append(f'<polyline class="curve" points="{ends[0]} {ends[-1]}"/>')
    for x, y in points:
        words = (
            f"label {_number(x, False, digits=4)}, answer {_number(y, False, digits=4)}"
        )
        parts.append(
            f'<circle class="dot validation" cx="{axes.across(x):.1f}" '
            f'cy="{axes.down(y):.1f}" r="2"><title>{words}</title></circle>'
        )
    return "".join([*parts, "</svg>"])


def _opening(title: str) -> str:
    size, label = f"0 0 {_WIDTH} {_HEIGHT}", html.escape(title)
    return f'<svg viewBox="{size}" role="img" aria-label="{label}">'


def _rule(value: float, axes: _Axes, number: str) -> str:
    """Draw the line of a value from left to right, and its number beside it."""
    left, height = axes.left, axes.down(value)
    return (
        f'<line class="grid" x1="{left}" x2="{_WIDTH - _RIGHT}" '
        f'y1="{height:.1f}" y2="{height:.1f}"/>'
        f"{_text(number, left - 8, f'{height + 4:.1f}', anchor='end')}"
    )


def _text(text: str, x: object, y: object, *, anchor: str = "middle") -> str:
    return f'<text class="tick" text-anchor="{anchor}" x="{x}" y="{y}">{text}</text>'


def _curve(line: Line, axes: _Axes, *, percent: bool, radius: float) -> str:
    """Draw a line, with a dot per point that says its values."""
    style = html.escape(line.label.replace(" ", "-"))
    places = [f"{axes.across(x):.1f},{axes.down(y):.1f}" for x, y in line.points]
    parts = [f'<polyline class="curve {style}" points="{" ".join(places)}"/>']
    for place, (x, y) in zip(places, line.points):
        across, down = place.split(",")
        words = f"epoch {x:g}, {line.label}: {_number(y, percent, digits=4)}"
        parts.append(
            f'<circle class="dot {style}" cx="{across}" cy="{down}" r="{radius}">'
            f"<title>{html.escape(words)}</title></circle>"
        )
    return "".join(parts)


def picture(image: np.ndarray, *, largest: int = 128) -> tuple[str, int, int]:
    """Make an example fit for a page.

    Args:
        image: (height, width, 1 or 3) uint8.
        largest: Pixels per side above which it is made smaller.

    Returns:
        A data URI, and the width and height to show it at: whole multiples of the
        picture's own, near 96 pixels.
    """
    small = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    small.thumbnail((largest, largest), Image.Resampling.LANCZOS)
    factor = max(1, round(96 / max(small.size)))
    return _data_uri(small), small.width * factor, small.height * factor


def sheet(path: Path, *, largest: int | None = None) -> tuple[str, int, int]:
    """Take a picture of the run's folder into a page.

    Args:
        path: Of a PNG; an animated one stays as it is.
        largest: Pixels per side above which it is made smaller; None: never.

    Returns:
        A data URI, the width and the height.

    Raises:
        OSError: If the file is no picture, or larger than Pillow's limit.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            file = Image.open(path)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise OSError(str(error)) from None
    with file as large:
        if largest is None or max(large.size) <= largest:
            return _uri(path.read_bytes()), large.width, large.height
        large.load()
        # A thumbnail of a picture with a palette would take the nearest pixels.
        small = large.convert("L" if large.mode == "L" else "RGB")
    small.thumbnail((largest, largest), Image.Resampling.LANCZOS)
    if small.mode == "RGB":
        # 128 colours: a third of the bytes, and in a small copy the eye misses none.
        few = small.resize((128, 128), Image.Resampling.NEAREST).quantize(128)
        small = small.quantize(palette=few, dither=Image.Dither.NONE)
    return _data_uri(small), small.width, small.height


def confusion_picture(confusion: np.ndarray) -> tuple[str, int]:
    """Draw a large confusion matrix, one square of pixels per cell.

    Args:
        confusion: (classes, classes) counts, one row per true class.

    Returns:
        A data URI and the side in pixels. Right answers are blue, confusions
        vermilion, and what never happened is transparent: it fits both a light
        page and a dark one.
    """
    classes = len(confusion)
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    pixels = np.empty((classes, classes, 4), np.uint8)
    pixels[..., :3] = _VERMILION
    pixels[np.arange(classes), np.arange(classes), :3] = _BLUE
    # The root shows the rare: 2 % is drawn at 14 % strength, and 0 stays 0.
    pixels[..., 3] = np.round(255 * np.sqrt(share))
    side = max(1, 600 // classes)
    pixels = pixels.repeat(side, axis=0).repeat(side, axis=1)
    return _data_uri(Image.fromarray(pixels)), classes * side


def _number(value: float, percent: bool, *, digits: int = 3) -> str:
    if percent:
        return f"{100 * value:.{digits}g}\N{NARROW NO-BREAK SPACE}%"
    return f"{value:.{digits}g}"


def _data_uri(image: Image.Image) -> str:
    data = io.BytesIO()
    image.save(data, "PNG", optimize=True)
    return _uri(data.getvalue())


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def architecture(rows: Sequence[tuple[str, Sequence[int | None]]]) -> Image.Image:
    """Draw a network as its stages: the shrinking, deepening maps between layers.

    Args:
        rows: (layer, output shape) in the order of the network; layers whose output is
            no map of features, such as a dense one, are drawn as thin bars.

    Returns:
        A picture with a block for each run of layers of the same output: as high as
        the map, as wide as the logarithm of its channels.
    """
    stages: list[tuple[tuple[int, ...], int]] = []
    for _, shape in rows:
        size = tuple(side or 0 for side in shape)
        if stages and stages[-1][0] == size:
            stages[-1] = (size, stages[-1][1] + 1)
        else:
            stages.append((size, 1))
    tallest = max(shape[0] for shape, _ in stages if len(shape) == 3)
    font = ImageFont.load_default(size=13)
    column, middle = 110, 150
    image = Image.new("RGB", (column * len(stages) + 20, 360), "white")
    draw = ImageDraw.Draw(image)
    for place, (shape, layers) in enumerate(stages):
        centre = 10 + place * column + column // 2
        high = 8 + 230 * (shape[0] / tallest if len(shape) == 3 else 0.5)
        wide = 8 + 7 * math.log2(max(shape[-1], 1)) if len(shape) == 3 else 8
        if place:
            draw.line([(centre - column // 2, middle), (centre, middle)], "black")
        if place < len(stages) - 1:
            draw.line([(centre, middle), (centre + column // 2, middle)], "black")
        corners = [centre - wide / 2, middle - high / 2]
        corners += [centre + wide / 2, middle + high / 2]
        draw.rectangle(corners, fill=_BLUE if len(shape) == 3 else _VERMILION)
        words = ["x".join(map(str, shape)), f"{layers} layer" + "s" * (layers > 1)]
        for line, text in enumerate(words):
            draw.text((centre, 300 + 20 * line), text, "black", font, anchor="mm")
    return image
