"""What people look at of a network that makes images: sheets, animations, maps.

Arrays in, arrays or PNG out; NumPy and Pillow only. An image is uint8, (height, width,
channels) with 1 channel (grey) or 3 (RGB). Images are enlarged by whole factors, so
that every pixel stays a square.
"""

import colorsys
import io
import math
import statistics
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Wong's colours (Nature Methods 8:441, 2011) and four more: told apart by colour-blind
# readers as far as a dozen can be. Blue and vermilion come first.
COLOURS = (
    *((0, 114, 178), (213, 94, 0), (0, 158, 115), (230, 159, 0), (86, 180, 233)),
    *((204, 121, 167), (27, 31, 36), (240, 228, 66), (136, 34, 85), (150, 150, 150)),
    *((120, 110, 40), (102, 60, 20)),
)
_INK, _RULE = (91, 100, 112), (217, 221, 227)

_GAP = 2  # pixels between the images of a sheet
_SHOWN = 64  # pixels a side that small images are enlarged to, about
_MAP, _MARGIN = 560, 40  # the side of a map of codes, and the room for its axes

_MOST_FRAMES, _FEW_FRAMES = 60, 24
_MOST_BYTES = 2_000_000
_LAST_MILLISECONDS = 2500


def grid(
    images: np.ndarray, columns: int | None = None, scale: int | None = None
) -> np.ndarray:
    """Lays images out on a sheet, row by row, with small white gaps.

    Args:
        images: (n, height, width, 1 or 3) uint8, n >= 1.
        columns: images a row; by default as many as rows, about.
        scale: the whole factor to enlarge by; by default to about 64 pixels a side.

    Returns:
        (height, width, channels) uint8. What the last row lacks is white.

    Raises:
        ValueError: the images are not as above.
    """
    _check(images)
    count, height, width, channels = images.shape
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    rows = math.ceil(count / columns)
    scale = scale or max(1, round(_SHOWN / max(height, width)))
    high, wide = height * scale + _GAP, width * scale + _GAP
    cells = np.full((rows * columns, high, wide, channels), 255, np.uint8)
    cells[:count, _GAP:, _GAP:] = images.repeat(scale, axis=1).repeat(scale, axis=2)
    # (rows, columns, high, wide, ...) -> (rows, high, columns, wide, ...)
    cells = cells.reshape(rows, columns, high, wide, channels).swapaxes(1, 2)
    return cells.reshape(rows * high, columns * wide, channels)[_GAP:, _GAP:]


def pairs(
    originals: np.ndarray,
    reconstructions: np.ndarray,
    columns: int | None = None,
    scale: int | None = None,
) -> np.ndarray:
    """Lays out rows of originals, each with its reconstructions right under it.

    Args:
        originals: (n, height, width, 1 or 3) uint8, n >= 1.
        reconstructions: the same shape, in the same order.
        columns: pairs a row; by default 10 or a little fewer, so that rows are full.
        scale: as of `grid`.

    Returns:
        (height, width, channels) uint8.

    Raises:
        ValueError: the images are not as above.
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
        blocks.append(grid(np.concatenate([above[row], below[row]]), columns, scale))
        blocks.append(np.full((5 * _GAP, *blocks[0].shape[1:]), 255, np.uint8))
    return np.concatenate(blocks[:-1])


def encode_png(image: np.ndarray) -> bytes:
    """Writes an image as PNG.

    Args:
        image: (height, width) or (height, width, 1, 3 or 4) uint8.
    """
    data = io.BytesIO()
    _drawn(image).save(data, "PNG")
    return data.getvalue()


def encode_animation(frames: Sequence[np.ndarray], milliseconds: int = 250) -> bytes:
    """Writes frames as an animated PNG that repeats; the last one is held longer.

    More than 60 frames are thinned to 60. What would take more than about 2 MB gets 128
    colours, then fewer frames, then fewer pixels. The first and last frame always stay.

    Args:
        frames: at least one; (height, width), (height, width, 1) or (height, width, 3)
            uint8, all of one shape.
        milliseconds: how long a frame is shown.

    Raises:
        ValueError: there is no frame, or their shapes differ.
    """
    shapes = {frame.shape for frame in frames}
    if len(shapes) != 1:
        raise ValueError(
            f"an animation needs frames of one shape, got {sorted(shapes) or 'none'}."
        )
    images = [_drawn(frame) for frame in _thinned(frames, _MOST_FRAMES)]
    count, size, reduce_colours = len(images), images[0].size, False
    while (
        share := _MOST_BYTES / (count * _mean_bytes(images, size, reduce_colours))
    ) < 1:
        if not reduce_colours and images[0].mode == "RGB":
            reduce_colours = True
        elif count > _FEW_FRAMES:
            count = max(_FEW_FRAMES, int(count * share))
        else:
            factor = min(0.9, math.sqrt(share))
            size = (math.ceil(size[0] * factor), math.ceil(size[1] * factor))
    first, *others = _made_small(_thinned(images, count), size, reduce_colours)
    durations = [milliseconds] * len(others)
    durations.append(max(milliseconds, _LAST_MILLISECONDS))
    data = io.BytesIO()
    first.save(
        *(data, "PNG"),
        save_all=True,
        append_images=others,
        loop=0,
        duration=durations,
    )
    return data.getvalue()


def slerp(first: np.ndarray, second: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Goes from one code to another along an arc: equal shares, equal angles.

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
    """Codes of two numbers that cut N(0, 1) into parts of equal probability.

    Decoded and laid out by `grid(images, columns=n)`, they are the manifold that the
    decoder has learned (Kingma & Welling 2013, 1312.6114, figure 4).

    Args:
        n: codes a side.

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
    names: Sequence[str] = (),
) -> np.ndarray:
    """Draws where examples lie among codes of two numbers, a dot an example.

    Args:
        codes: (n, 2); those that are not finite are left out.
        labels: (n,) integers >= 0, which choose the colours; or None: one colour.
        names: of the labels, for the key beside the map; by default the numbers.

    Returns:
        (height, width, 3) uint8, on white. Both axes have the same scale.

    Raises:
        ValueError: codes are not pairs, or none is finite.
    """
    if codes.ndim != 2 or codes.shape[1] != 2:
        raise ValueError(f"codes must be (n, 2), got {codes.shape}.")
    finite = np.isfinite(codes).all(axis=1)
    if not finite.any():
        raise ValueError(f"at least one code must be finite, got {len(codes)} of none.")
    labels = np.zeros(len(codes), int) if labels is None else np.asarray(labels)
    points, kinds = codes[finite].astype(np.float64), labels[finite]
    present = sorted(set(kinds.tolist()))
    key = present if 1 < len(present) <= 24 else []

    # Drawn at twice the size and made smaller: Pillow's circles have no soft edge.
    side, margin = 2 * _MAP, 2 * _MARGIN
    words = [str(names[kind] if kind < len(names) else kind)[:16] for kind in key]
    font = ImageFont.load_default(size=26)
    beside = round(max(map(font.getlength, words), default=0)) + 70 if key else 20
    size = (margin + side + beside, side + margin + 20)
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)

    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, 0.53 * (high - low).max() or 1.0
    corner = np.array([margin, 20])

    def placed(value: np.ndarray) -> np.ndarray:
        share = (value - middle + half) / (2 * half)
        return corner + side * np.stack([share[..., 0], 1 - share[..., 1]], axis=-1)

    for axis in (0, 1):
        marks = ticks(middle[axis] - half, middle[axis] + half, count=6)
        for tick in (m for m in marks if abs(m - middle[axis]) <= half):
            spot = placed(np.where(np.arange(2) == axis, tick, middle))
            line = np.stack([spot, spot])
            line[:, 1 - axis] = corner[1 - axis] + np.array([0, side])
            draw.line(line.ravel().tolist(), _RULE, 4 if tick == 0 else 2)
            spot[1 - axis] = corner[1] + side + 26 if axis == 0 else corner[0] - 10
            anchor = "mm" if axis == 0 else "rm"
            draw.text(tuple(spot.tolist()), f"{tick:g}", _INK, font, anchor=anchor)

    radius = 8 if len(points) <= 500 else 6 if len(points) <= 3000 else 4
    # In an order of chance, so that no kind covers the others; the same every time.
    order = np.random.default_rng(0).permutation(len(points))
    for (x, y), kind in zip(
        placed(points)[order].tolist(), kinds[order].tolist(), strict=True
    ):
        draw.circle((x, y), radius, _colour(kind, len(present)))
    for row, (kind, word) in enumerate(zip(key, words, strict=True)):
        left, height = margin + side + 34, 50 + 44 * row
        draw.circle((left, height), 11, _colour(kind, len(present)))
        draw.text((left + 24, height), word, _INK, font, anchor="lm")
    return np.asarray(image.reduce(2))


def ticks(low: float, high: float, *, count: int) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, about `count`."""
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


def _drawn(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)


def _thinned(frames: Sequence, most: int) -> list:
    """At most so many, evenly spread; the first and the last stay."""
    if len(frames) <= most:
        return list(frames)
    places = np.linspace(0, len(frames) - 1, most).round().astype(int)
    return [frames[place] for place in places]


def _mean_bytes(
    images: list[Image.Image], size: tuple[int, int], reduce_colours: bool
) -> float:
    """Of a frame made small so, estimated from a few of them."""
    few = _made_small(_thinned(images, 4), size, reduce_colours)
    data = io.BytesIO()
    for image in few:
        image.save(data, "PNG")
    return len(data.getvalue()) / len(few)


def _made_small(
    images: list[Image.Image], size: tuple[int, int], reduce_colours: bool
) -> list[Image.Image]:
    """The frames at a size and, if so wished, with 128 colours that all share."""
    if size != images[0].size:
        images = [image.resize(size, Image.Resampling.LANCZOS) for image in images]
    if not reduce_colours:
        return images
    wide, high = size
    together = Image.new("RGB", (wide, high * len(images)))
    for place, image in enumerate(images):
        together.paste(image, (0, high * place))
    # Of every so many pixels: the median cut takes seconds for a million colours.
    palette = together.resize((128, 128), Image.Resampling.NEAREST).quantize(128)
    # Undithered: dots that dance from frame to frame would be most of the bytes.
    return [i.quantize(palette=palette, dither=Image.Dither.NONE) for i in images]


def _colour(kind: int, kinds: int) -> tuple[int, int, int]:
    """Of a label: the house's, as long as they last; then hues far from one another."""
    if kinds <= len(COLOURS) and kind < len(COLOURS):
        return COLOURS[kind]
    hue = kind * (math.sqrt(5) - 1) / 2 % 1  # the golden section never comes round
    red, green, blue = colorsys.hls_to_rgb(hue, 0.42, 0.65)
    return round(255 * red), round(255 * green), round(255 * blue)
