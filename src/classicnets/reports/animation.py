"""Frames as an animated PNG that a page can hold."""

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from classicnets.pictures import to_pillow

_MOST_FRAMES, _FEW_FRAMES = 60, 24
_MOST_BYTES = 2_000_000
_LAST_MILLISECONDS = 2500


def encode(frames: Sequence[np.ndarray], milliseconds: int = 250) -> bytes:
    """Encode frames as an animated PNG that repeats; the last one is held longer.

    More than 60 frames are thinned to 60. What would take more than about 2 MB gets 128
    colours, then fewer frames, then fewer pixels. The first and last frame always stay.

    Args:
        frames: At least one; (height, width), (height, width, 1) or (height, width, 3)
            uint8, all of one shape.
        milliseconds: How long a frame is visible.

    Raises:
        ValueError: If there is no frame, or their shapes differ.
    """
    shapes = {frame.shape for frame in frames}
    if len(shapes) != 1:
        raise ValueError(
            f"an animation needs frames of one shape, got {sorted(shapes) or 'none'}."
        )
    images = [to_pillow(frame) for frame in _thinned(frames, _MOST_FRAMES)]
    count, size, few_colours = len(images), images[0].size, False
    while (share := _MOST_BYTES / (count * _mean_bytes(images, size, few_colours))) < 1:
        if not few_colours and images[0].mode == "RGB":
            few_colours = True
        elif count > _FEW_FRAMES:
            count = max(_FEW_FRAMES, int(count * share))
        else:
            factor = min(0.9, math.sqrt(share))
            size = (math.ceil(size[0] * factor), math.ceil(size[1] * factor))
    first, *others = _shrunk(_thinned(images, count), size, few_colours)
    durations = [milliseconds] * len(others)
    durations.append(max(milliseconds, _LAST_MILLISECONDS))
    data = io.BytesIO()
    first.save(
        data, "PNG", save_all=True, append_images=others, loop=0, duration=durations
    )
    return data.getvalue()


def _thinned(frames: Sequence[Any], most: int) -> list[Any]:
    """Return at most so many, evenly spread; the first and the last stay."""
    if len(frames) <= most:
        return list(frames)
    places = np.linspace(0, len(frames) - 1, most).round().astype(int)
    return [frames[place] for place in places]


def _mean_bytes(
    images: list[Image.Image], size: tuple[int, int], few_colours: bool
) -> float:
    """Return the bytes of a frame of that size, estimated from four of them."""
    few = _shrunk(_thinned(images, 4), size, few_colours)
    data = io.BytesIO()
    for image in few:
        image.save(data, "PNG")
    return len(data.getvalue()) / len(few)


def _shrunk(
    images: list[Image.Image], size: tuple[int, int], few_colours: bool
) -> list[Image.Image]:
    """Return the frames at a size and, if so wished, with 128 colours in common."""
    if size != images[0].size:
        images = [image.resize(size, Image.Resampling.LANCZOS) for image in images]
    if not few_colours:
        return images
    wide, high = size
    together = Image.new("RGB", (wide, high * len(images)))
    for place, image in enumerate(images):
        together.paste(image, (0, high * place))
    # Of every so many pixels: the median cut takes seconds for a million colours.
    palette = together.resize((128, 128), Image.Resampling.NEAREST).quantize(128)
    # Undithered: dots that dance from frame to frame would be most of the bytes.
    return [i.quantize(palette=palette, dither=Image.Dither.NONE) for i in images]
