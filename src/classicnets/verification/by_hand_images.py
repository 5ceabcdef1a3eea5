"""Training images changed by hand, from the papers' words: what a step must be fed.

Random numbers come from the streams of a run, in the order in which it draws them; what
is done with them stands here a second time, in NumPy float64.
"""

from typing import Any, NamedTuple

import numpy as np

from classicnets import streams
from classicnets.recipe import Recipe
from classicnets.streams import Stream


class Prepared(NamedTuple):
    """Batches of steps: images (steps, batch, height, width, channels) and targets
    (steps, batch, outputs)."""

    images: np.ndarray
    targets: np.ndarray


def prepared(
    recipe: Recipe,
    pixels: np.ndarray,
    targets: np.ndarray,
    *,
    scaling: tuple[Any, Any],
    epoch: int,
) -> Prepared:
    """Crop, mirror, scale, cut out and mix.

    Args:
        recipe: Says which of them.
        pixels: (steps, batch, height, width, channels) uint8.
        targets: (steps, batch, outputs), which are mixed as the images are.
        scaling: Mean and deviation of the channels, of pixels in [0, 1].
        epoch: Counts from 0.
    """
    draws = _draw(recipe, pixels.shape[:2], side=pixels.shape[2:4], epoch=epoch)
    images: Any = np.zeros(pixels.shape)
    mean, deviation = scaling
    for step, place in np.ndindex(*pixels.shape[:2]):
        image = pixels[step, place]
        if "corner" in draws:
            image = _cropped(image, draws["corner"][step, place], recipe.crop_padding)
            image = image[:, ::-1] if draws["mirror"][step, place] else image
        image = (image / 255 - mean) / deviation
        if "hole" in draws:
            image = _with_hole(image, draws["hole"][step, place], recipe.cutout)
        images[step, place] = image
    targets = targets.copy()
    if "share" in draws:
        for step, (share, centre) in enumerate(zip(draws["share"], draws["centre"])):
            mix = _cut_and_paste if recipe.cutmix else _blend
            mix(images[step], targets[step], share, centre)
    return Prepared(images, targets)


def _draw(
    recipe: Recipe, shape: tuple[int, int], *, side: Any, epoch: int
) -> dict[str, np.ndarray]:
    """Draw what the recipe asks for, for (steps, batch) images."""
    source = streams.generator(recipe.seed, Stream.AUGMENTATION + epoch)
    draws: dict[str, np.ndarray] = {}
    if recipe.crop_padding or recipe.flip:
        places = 2 * recipe.crop_padding + 1
        draws["corner"] = source.integers(places, size=(*shape, 2), dtype=np.int32)
        draws["mirror"] = source.integers(2, size=shape, dtype=np.int32) * recipe.flip
    if recipe.cutout:
        draws["hole"] = source.integers(side, size=(*shape, 2), dtype=np.int32)
    if recipe.mixup or recipe.cutmix:
        alpha = np.full(shape[0], recipe.cutmix or recipe.mixup)
        draws["share"] = source.beta(alpha, alpha)
        draws["centre"] = source.random((shape[0], 2)) * side
    return draws


def _cropped(image: np.ndarray, corner: np.ndarray, padding: int) -> np.ndarray:
    """Pad with black and cut out a window of the image's size."""
    (row, column), (height, width) = corner, image.shape[:2]
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    return padded[row : row + height, column : column + width]


def _with_hole(image: np.ndarray, centre: np.ndarray, size: int) -> np.ndarray:
    """Put a square of zeros around a pixel (DeVries & Taylor 2017, 1708.04552)."""
    image = image.copy()
    top, left = (max(place - size // 2, 0) for place in centre)
    bottom, right = (place - size // 2 + size for place in centre)
    image[top:bottom, left:right] = 0
    return image


def _blend(images: Any, targets: Any, share: float, _: Any) -> None:
    """Mix each example with its neighbour (Zhang et al. 2017, 1710.09412, eq. 1):
    x = lambda x_i + (1 - lambda) x_j, and y alike."""
    for rows in (images, targets):
        rows[:] = share * rows + (1 - share) * rows[_neighbours(rows)]


def _cut_and_paste(images: Any, targets: Any, share: float, centre: Any) -> None:
    """Paste a box of its neighbour into each image (Yun et al. 2019, 1905.04899).

    Its sides are those of the image times sqrt(1 - lambda) (eq. 2), cut at the borders;
    the targets are mixed by the area that came of it.
    """
    side = np.array(images.shape[1:3])
    half = np.sqrt(1 - share) * side / 2
    top, left = np.maximum(np.round(centre - half), 0).astype(int)
    bottom, right = np.minimum(np.round(centre + half), side).astype(int)
    box = (slice(None), slice(top, bottom), slice(left, right))
    images[box] = images[_neighbours(images)][box]
    share = 1 - (bottom - top) * (right - left) / side.prod()
    targets[:] = share * targets + (1 - share) * targets[_neighbours(targets)]


def _neighbours(rows: Any) -> np.ndarray:
    """Return for each example of a batch the one before it, for the first the last."""
    return np.arange(len(rows)) - 1
