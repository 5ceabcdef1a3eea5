"""Random changes of training images.

The random numbers are drawn by NumPy on the host, from the seed and the epoch alone,
so they are the same on every backend and need no state; the pixels change on the
device, inside the compiled step.
"""

from typing import Any

import numpy as np
from keras import ops

from classicnets import streams
from classicnets.recipe import Recipe
from classicnets.streams import Stream


def draw(recipe: Recipe, side: tuple[int, int], steps: int, *, epoch: int) -> dict:
    """Draw the random numbers of one epoch.

    Args:
        recipe: Says which changes to make.
        side: (height, width) of the images.
        steps: Batches of `recipe.batch_size` examples in the epoch.
        epoch: Counts from 0.

    Returns:
        Arrays with a leading axis of `steps`, as `augment` and `mix` take them:
        `corner` (steps, batch, 2) and `mirror` (steps, batch) for the crop and flip,
        `hole` (steps, batch, 2) for cutout, `share` (steps,) and `box` (steps, 4)
        for mixup and CutMix.
    """
    random = streams.generator(recipe.seed, Stream.AUGMENTATION + epoch)
    shape = (steps, recipe.batch_size)
    draws = {}
    if recipe.crop_padding or recipe.flip:
        limit = 2 * recipe.crop_padding + 1
        draws["corner"] = random.integers(limit, size=(*shape, 2), dtype=np.int32)
        draws["mirror"] = random.integers(2, size=shape, dtype=np.int32) * recipe.flip
    if recipe.cutout:
        draws["hole"] = random.integers(side, size=(*shape, 2), dtype=np.int32)
    if recipe.mixup or recipe.cutmix:
        draws |= _draw_mix(recipe, side, steps, random)
    return draws


def augment(images: Any, draws: dict, *, crop_padding: int) -> Any:
    """Pad with black, crop at random, and mirror, in one gather.

    Args:
        images: (batch, height, width, channels) uint8.
        draws: One step of `draw`; without "corner" the images are returned as they are.
        crop_padding: Pixels added on each side.
    """
    if "corner" not in draws:
        return images
    batch, (height, width, channels) = ops.shape(images)[0], images.shape[1:]
    corner, mirror = draws["corner"], draws["mirror"][:, None]
    rows = ops.arange(height, dtype="int32") + corner[:, :1] - crop_padding
    columns = ops.arange(width, dtype="int32")
    columns = ops.where(mirror == 1, width - 1 - columns, columns)
    columns = columns + corner[:, 1:] - crop_padding
    inside = _within(rows, height)[:, :, None] & _within(columns, width)[:, None, :]
    rows, columns = ops.clip(rows, 0, height - 1), ops.clip(columns, 0, width - 1)
    first = ops.arange(batch, dtype="int32")[:, None, None] * (height * width)
    places = first + rows[:, :, None] * width + columns[:, None, :]
    pixels = ops.take(ops.reshape(images, (-1, channels)), places, axis=0)
    return pixels * ops.cast(inside[..., None], images.dtype)


def cut_out(images: Any, hole: Any, *, size: int) -> Any:
    """Set a square of each normalized image to 0, its channel's mean (1708.04552).

    Args:
        images: (batch, height, width, channels) with mean 0.
        hole: (batch, 2): row and column of the square's centre.
        size: Pixels per side; what lies outside the image is lost.
    """
    rows = ops.arange(images.shape[1], dtype="int32") - hole[:, :1] + size // 2
    columns = ops.arange(images.shape[2], dtype="int32") - hole[:, 1:] + size // 2
    inside = _within(rows, size)[:, :, None] & _within(columns, size)[:, None, :]
    return images * ops.cast(~inside[..., None], images.dtype)


def mix(images: Any, targets: Any, draws: dict) -> tuple[Any, Any]:
    """Mix each example with the one before it: mixup (1710.09412), CutMix (1905.04899).

    Args:
        images: (batch, height, width, channels).
        targets: (batch, classes), each row a distribution.
        draws: `share`, how much of an example stays its own; `box`, (first row, last
            row, first column, last column) cut from the other, empty for mixup.
    """
    if "share" not in draws:
        return images, targets
    others = ops.roll(images, 1, axis=0)
    share, box = draws["share"], draws["box"]
    rows = ops.arange(images.shape[1], dtype="int32")
    columns = ops.arange(images.shape[2], dtype="int32")
    inside = ((rows >= box[0]) & (rows < box[1]))[:, None]
    inside = inside & ((columns >= box[2]) & (columns < box[3]))
    is_mixup = box[1] == 0
    own = ops.where(is_mixup, share, 1.0 - ops.cast(inside, "float32"))[..., None]
    images = own * images + (1.0 - own) * others
    return images, share * targets + (1.0 - share) * ops.roll(targets, 1, axis=0)


def _within(positions: Any, length: Any) -> Any:
    return (positions >= 0) & (positions < length)


def _draw_mix(
    recipe: Recipe, side: tuple[int, int], steps: int, random: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draw shares and boxes; where both are asked for, each step draws one of them."""
    alphas = [alpha for alpha in (recipe.mixup, recipe.cutmix) if alpha]
    use_cutmix = np.full(steps, bool(recipe.cutmix))
    if len(alphas) == 2:
        use_cutmix = random.random(steps) < 0.5
    alpha = np.where(use_cutmix, recipe.cutmix, recipe.mixup)
    share = random.beta(alpha, alpha)
    lengths = np.sqrt(1.0 - share)[:, None] * side
    centres = random.random((steps, 2)) * side
    low = np.clip(np.round(centres - lengths / 2), 0, side)
    high = np.clip(np.round(centres + lengths / 2), 0, side)
    box = np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=1)
    box = box.astype("int32") * use_cutmix[:, None].astype("int32")
    # A box cut off by the border takes a smaller share than was drawn.
    area = (box[:, 1] - box[:, 0]) * (box[:, 3] - box[:, 2]) / (side[0] * side[1])
    share = np.where(use_cutmix, 1.0 - area, share).astype("float32")
    return {"share": share, "box": box}
