"""Images on their way into a network: augmented and scaled inside the compiled step."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from classicnets import data, engine
from classicnets.data import Examples
from classicnets.recipe import Recipe
from classicnets.tasks import augmentation, plain

# A number, or one per channel.
Scaling = tuple[float | Sequence[float], float | Sequence[float]]


class Pixels:
    """Training images (n, height, width, channels) uint8, on the device if they fit."""

    def __init__(
        self,
        recipe: Recipe,
        train: Examples,
        scaling: Scaling | None = None,
    ):
        """Open the images.

        Args:
            scaling: What to subtract from pixels in [0, 1], and then to divide by: for
                a task without labels, or for weights that know no other pixels. None
                for the mean and the deviation of the channels.
        """
        self.recipe = recipe
        self.images = train.inputs
        self.balance = train.labels if recipe.balance == "sampling" else None
        if scaling:
            channels = train.inputs.shape[-1]
            self.mean, self.deviation = (
                np.full(channels, numbers, "float32") for numbers in scaling
            )
        else:
            self.mean, self.deviation = _channel_statistics(train, recipe.normalize)
        self.arrays: dict = {}
        if train.inputs.nbytes <= engine.device_bytes():
            self.arrays = {"image": engine.to_device(np.asarray(train.inputs))}

    def order(self, epoch: int, count: int) -> np.ndarray:
        """Return the first `count` examples of an epoch's order."""
        order = data.epoch_order(
            len(self.images), seed=self.recipe.seed, epoch=epoch, labels=self.balance
        )
        return order[:count]

    def draws(self, steps: int, epoch: int) -> dict[str, np.ndarray]:
        """Draw the random numbers of an epoch; see `augmentation.draw`."""
        return augmentation.draw(
            self.recipe, self.images.shape[1:3], steps, epoch=epoch
        )

    def rows(self, batches: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return what a call must be fed: nothing where the images are on the device.

        Args:
            batches: `index` (rows, batch), the examples, and their draws.
        """
        if self.arrays:
            return {}
        index = batches["index"]
        flat = self.images[index.reshape(-1)]
        return {"image": flat.reshape(*index.shape, *flat.shape[1:])}

    def prepare(
        self, arrays: dict, batch: dict, targets: Any, image_size: int
    ) -> tuple[Any, Any]:
        """Return one step's inputs and targets.

        Args:
            arrays: What lies on the device.
            batch: One step of `draws` and `rows`, and the `index` of its examples.
            targets: (batch, classes), each row a distribution.
            image_size: Pixels per side that images are resized to; 0: their own.
        """
        images = self.augmented(arrays, batch)
        if "hole" in batch:
            size = self.recipe.cutout
            images = augmentation.cut_out(images, batch["hole"], size=size)
        images, targets = augmentation.mix(images, targets, batch)
        if image_size:
            images = ops.image.resize(images, (image_size, image_size), antialias=True)
        return images, targets

    def augmented(self, arrays: dict, batch: dict) -> Any:
        """Return one step's images, cropped, mirrored and scaled; see `prepare`."""
        if "image" in batch:
            images = batch["image"]
        else:
            images = ops.take(arrays["image"], batch["index"], axis=0)
        crop_padding = self.recipe.crop_padding
        images = augmentation.augment(images, batch, crop_padding=crop_padding)
        return self.scale(images)

    def scale(self, images: Any) -> Any:
        """Return pixels in 0..255 as the network takes them."""
        # PyTorch's tensors do not mix with NumPy's arrays.
        mean, deviation = map(ops.convert_to_tensor, (self.mean, self.deviation))
        return (ops.cast(images, "float32") / 255.0 - mean) / deviation

    def on_raw_inputs(self, network: keras.Model) -> keras.Model:
        """Put `scale` inside a model."""
        return plain.with_scaling(network, self.mean, self.deviation)


def _channel_statistics(
    train: Examples, normalize: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation (channels,) of pixels in [0, 1], from 20,000 images."""
    channels = train.inputs.shape[-1]
    if not normalize:
        return np.zeros(channels, "float32"), np.ones(channels, "float32")
    rows = np.arange(0, len(train), max(1, len(train) // 20_000))
    total, squares, count = np.zeros(channels), np.zeros(channels), 0
    for first in range(0, len(rows), 1000):
        pixels = train.inputs[rows[first : first + 1000]].reshape(-1, channels) / 255.0
        total += pixels.sum(axis=0)
        squares += np.square(pixels).sum(axis=0)
        count += len(pixels)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 1e-6))
    return mean.astype("float32"), deviation.astype("float32")
