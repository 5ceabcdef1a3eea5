"""What people look at of a network that makes images: sheets, ways, maps.

Arrays in, arrays or PNG out; NumPy and Pillow only. An image is uint8, (height, width,
channels) with 1 channel (grey) or 3 (RGB). Images are enlarged by whole factors, so
that every pixel stays a square.
"""

import colorsys
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

# Wong's colours (Nature Methods 8:441, 2011) and four more: told apart by colour-blind
# readers as far as a dozen can be. Blue and vermilion come first.
COLOURS = (
    *((0, 114, 178), (213, 94, 0), (0, 158, 115), (230, 159, 0), (86, 180, 233)),
    *((204, 121, 167), (27, 31, 36), (240, 228, 66), (136, 34, 85), (150, 150, 150)),
    *((120, 110, 40), (102, 60, 20)),
)
_INK, _RULE = (91, 100, 112), (217, 221, 227)

_GAP = 2  # pixels between the images of a sheet
_ENLARGED = 64  # pixels per side that small images are enlarged to, about
# Of a map of codes, and the room for its axes. Drawn at twice the size and made
# smaller: Pillow's circles have no soft edge.
_SIDE, _EDGE = 2 * 560, 2 * 40


def grid(
    images: np.ndarray, columns: int | None = None, *, scale: int | None = None
) -> np.ndarray:
    """Lay images out on a sheet, row by row, with small white gaps.

    Args:
        images: (n, height, width, 1 or 3) uint8, n >= 1.
        columns: Images per row; by default as many as rows, about.
        scale: The factor to enlarge by; by default to about 64 pixels per side.

    Returns:
        (height, width, channels) uint8. What the last row lacks is white.

    Raises:
        ValueError: If the images are not as above.
    """
    _check(images)
    count, height, width, channels = images.shape
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    rows = math.ceil(count / columns)
    scale = scale or max(1, round(_ENLARGED / max(height, width)))
    high, wide = height * scale + _GAP, width * scale + _GAP
    cells = np.full((rows * columns, high, wide, channels), 255, np.uint8)
    cells[:count, _GAP:, _GAP:] = images.repeat(scale, axis=1).repeat(scale, axis=2)
    # (rows, columns, high, wide, ...) -> (rows, high, columns, wide, ...)
    cells = cells.reshape(rows, columns, high, wide, channels).swapaxes(1, 2)
    return cells.reshape(rows * high, columns * wide, channels)[_GAP:, _GAP:]


def pairs(
    originals: np.ndarray,
    reconstructions: np.ndarray,
    *,
    columns: int | None = None,
    scale: int | None = None,
) -> np.ndarray:
    """Lay out rows of originals, each with its reconstructions right under it.

    Args:
        originals: (n, height, width, 1 or 3) uint8, n >= 1.
        reconstructions: The same shape, in the same order.
        columns: Pairs per row; by default 10 or a little fewer, so that rows are full.
        scale: As of `grid`.

    Returns:
        (height, width, channels) uint8.

    Raises:
        ValueError: If the images are not as above.
    """
    if originals.shape != reconstructions.shape:
        raise ValueError(
            "originals and reconstructions must have the same shape, got "
            f"{originals.shape} and {reconstructions.shape}."
        )
    _check(originals)
    count = len(originals)
    columns = min(columns or math.ceil(count / math.ceil(count / 10)), count)
    blank = np.full((-count % columns, *originals.shape[1:]), 255, np.uint8)
    above = np.concatenate([originals, blank])
    below = np.concatenate([reconstructions, blank])
    blocks = []
    for start in range(0, len(above), columns):
        row = slice(start, start + columns)
        blocks.append(
            grid(np.concatenate([above[row], below[row]]), columns, scale=scale)
        )
        blocks.append(np.full((5 * _GAP, *blocks[0].shape[1:]), 255, np.uint8))
    return np.concatenate(blocks[:-1])


def encode_png(image: np.ndarray, about: Mapping[str, str] | None = None) -> bytes:
    """Encode an image as PNG.

    Args:
        image: (height, width) or (height, width, 1, 3 or 4) uint8.
        about: Texts that stand in the file by keyword, such as the digest of the
            network that made it under "model".
    """
    texts = PngInfo()
    for keyword, text in (about or {}).items():
        texts.add_text(keyword, text)
    data = io.BytesIO()
    to_pillow(image).save(data, "PNG", pnginfo=texts)
    return data.getvalue()


def about(path: Path) -> dict[str, str]:
    """Return the texts that stand in a PNG file; {} for one without, or no PNG."""
    with Image.open(path) as image:
        return dict(getattr(image, "text", {}))


def slerp(
    first: np.ndarray, second: np.ndarray, *, shares: Sequence[float]
) -> np.ndarray:
    """Go from one code to another along an arc: equal shares, equal angles.

    Codes of many dimensions drawn from N(0, 1) lie near a sphere, and a straight line
    between two of them leaves it (White 2016, 1609.04468, section 2.1); the arc is
    Shoemake's (SIGGRAPH 1985). Where the directions are the same or opposite, or a code
    is 0, there is no one arc and the way is the straight line.

    Args:
        first, second: (latent_size,).
        shares: (steps,) of the way, 0 for `first` and 1 for `second`.

    Returns:
        (steps, latent_size), of the codes' own type.
    """
    start, end = np.asarray(first, np.float64), np.asarray(second, np.float64)
    lengths = float(np.linalg.norm(start) * np.linalg.norm(end))
    cosine = float(start @ end) / lengths if lengths > 0 else 1.0
    angle = math.acos(min(max(cosine, -1.0), 1.0))
    if math.sin(angle) < 1e-6:  # the formula divides by it
        weights = [(1.0 - share, share) for share in shares]
    else:
        # One function for both sines: at the ends the weights are 1 and 0 exactly.
        weights = [
            (
                math.sin((1.0 - share) * angle) / math.sin(angle),
                math.sin(share * angle) / math.sin(angle),
            )
            for share in map(float, shares)
        ]
    kind = np.result_type(np.asarray(first), np.asarray(second), np.float16)
    return (np.array(weights) @ np.stack([start, end])).astype(kind)


def latent_grid_codes(n: int) -> np.ndarray:
    """Return codes of two numbers that cut N(0, 1) into parts of equal probability.

    Decoded and laid out by `grid(images, columns=n)`, they are the manifold that the
    decoder has learned (Kingma & Welling 2013, 1312.6114, figure 4).

    Args:
        n: Codes per side.

    Returns:
        (n * n, 2) float32, row by row as a map is read: the first number grows to the
        right, the second upwards.
    """
    normal = statistics.NormalDist()
    # The middles of n equal parts: 0 and 1 themselves lie at infinity.
    quantiles = [normal.inv_cdf((k + 0.5) / n) for k in range(n)]
    return np.array([(x, y) for y in reversed(quantiles) for x in quantiles], "float32")


def latent_map(
    codes: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    names: Sequence[str] = (),
) -> np.ndarray:
    """Draw where examples lie among codes of two numbers, one dot per example.

    Args:
        codes: (n, 2); those that are not finite are left out.
        labels: (n,) integers >= 0, which choose the colours; or None: one colour.
        names: Of the labels, for the key beside the map; by default the numbers.

    Returns:
        (height, width, 3) uint8, on white. Both axes have the same scale.

    Raises:
        ValueError: If codes are not pairs, or none is finite.
    """
    if codes.ndim != 2 or codes.shape[1] != 2:
        raise ValueError(f"codes must be (n, 2), got {codes.shape}.")
    finite = np.isfinite(codes).all(axis=1)
    if not finite.any():
        raise ValueError(f"at least one code must be finite, got {len(codes)} of none.")
    labels = np.zeros(len(codes), int) if labels is None else np.asarray(labels)
    points, labels = codes[finite].astype(np.float64), labels[finite]
    classes = sorted(set(labels.tolist()))
    key = classes if 1 < len(classes) <= 24 else []
    words = [str(names[label] if label < len(names) else label)[:16] for label in key]
    font = ImageFont.load_default(size=26)
    beside = round(max(map(font.getlength, words), default=0)) + 70 if key else 20
    image = Image.new("RGB", (_EDGE + _SIDE + beside, _SIDE + _EDGE + 20), "white")
    draw = ImageDraw.Draw(image)
    _draw_points(draw, points, labels=labels, font=font)
    for row, (label, word) in enumerate(zip(key, words, strict=True)):
        left, height = _EDGE + _SIDE + 34, 50 + 44 * row
        draw.circle((left, height), 11, _colour(label, len(classes)))
        draw.text((left + 24, height), word, _INK, font, anchor="lm")
    return np.asarray(image.reduce(2))


def _draw_points(
    draw: ImageDraw.ImageDraw, points: np.ndarray, *, labels: np.ndarray, font: Any
) -> None:
    """Draw the axes of a map and its points, each in the colour of its label."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, 0.53 * (high - low).max() or 1.0
    corner = np.array([_EDGE, 20])

    def place(value: np.ndarray) -> np.ndarray:
        share = (value - middle + half) / (2 * half)
        return corner + _SIDE * np.stack([share[..., 0], 1 - share[..., 1]], axis=-1)

    for axis in (0, 1):
        marks = ticks(middle[axis] - half, middle[axis] + half, count=6)
        for tick in (m for m in marks if abs(m - middle[axis]) <= half):
            spot = place(np.where(np.arange(2) == axis, tick, middle))
            line = np.stack([spot, spot])
            line[:, 1 - axis] = corner[1 - axis] + np.array([0, _SIDE])
            draw.line(line.ravel().tolist(), _RULE, 4 if tick == 0 else 2)
            spot[1 - axis] = corner[1] + _SIDE + 26 if axis == 0 else corner[0] - 10
            anchor = "mm" if axis == 0 else "rm"
            draw.text(tuple(spot.tolist()), f"{tick:g}", _INK, font, anchor=anchor)
    radius = 8 if len(points) <= 500 else 6 if len(points) <= 3000 else 4
    classes = len(np.unique(labels))
    # In an order of chance, so that no class covers the others; the same every time.
    order = np.random.default_rng(0).permutation(len(points))
    for spot, label in zip(place(points)[order].tolist(), labels[order].tolist()):
        draw.circle(spot, radius, _colour(label, classes))


def ticks(low: float, high: float, *, count: int) -> list[float]:
    """Return about `count` round numbers, from at or below `low` to `high` or above."""
    if high <= low:
        margin = abs(low) * 0.1 or 0.1
        low, high = low - margin, high + margin
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((m * power for m in (1, 2, 5, 10)), key=lambda s: abs(s - rough))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{k * step:.10g}") for k in range(first, last + 1)]


def _check(images: np.ndarray) -> None:
    shape = images.shape
    if len(shape) != 4 or shape[-1] not in (1, 3) or 0 in shape:
        raise ValueError(
            f"images must be (n, height, width, 1 or 3) with n >= 1, got {shape}."
        )
    if images.dtype != np.uint8:
        raise ValueError(f"images must be uint8, got {images.dtype}.")


def to_pillow(image: np.ndarray) -> Image.Image:
    """Return an image, (height, width) or with channels, as one of Pillow's."""
    return Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)


def _colour(label: int, classes: int) -> tuple[int, int, int]:
    """Return one of `COLOURS`, if they are enough; else hues far from one another."""
    if classes <= len(COLOURS) and label < len(COLOURS):
        return COLOURS[label]
    hue = label * (math.sqrt(5) - 1) / 2 % 1  # the golden section never comes round
    red, green, blue = colorsys.hls_to_rgb(hue, 0.42, 0.65)
    return round(255 * red), round(255 * green), round(255 * blue)
