"""How the pixels were scaled that weights have learned from."""

from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from classicnets.networks import private


class Scaling(NamedTuple):
    """What is subtracted from pixels in [0, 1], and what they are then divided by.

    Args:
        mean, deviation: A number per channel.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __str__(self) -> str:
        mean, deviation = (" ".join(f"{x:.3f}" for x in numbers) for numbers in self)
        return f"mean {mean}, deviation {deviation}"


# torchvision's weights of VGG and ResNet: the channels of ImageNet's photos.
TORCHVISION = Scaling((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

# keras.applications' `preprocess_input` of them: the means in 0 to 255, no deviation.
# The channels come as blue, green, red; see `turn_channels`.
KERAS = Scaling((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3)
_KERAS_NAMES = ("vgg16", "vgg19", "resnet50", "resnet101", "resnet152")


def is_of_keras_applications(model: keras.Model) -> bool:
    """Return whether a model is one of keras.applications: ours take "images"."""
    return model.name in _KERAS_NAMES and model.inputs[0].name != "images"


def turn_channels(network: keras.Model) -> None:
    """Let the first convolution take red, green, blue in the reverse order."""
    first = next(x for x in network.layers if isinstance(x, layers.Conv2D))
    kernel = keras.ops.convert_to_numpy(first.kernel)
    first.kernel.assign(np.ascontiguousarray(kernel[:, :, ::-1]))


def of_model(model: keras.Model) -> Scaling | None:
    """Return what the model of a run does to raw pixels; None if it takes others."""
    for layer in private.every_layer(model):
        if isinstance(layer, layers.Rescaling | layers.Normalization):
            channels = model.inputs[0].shape[-1]
            black, white = (
                keras.ops.convert_to_numpy(layer(np.full((1, 1, 1, channels), level)))
                for level in (0.0, 255.0)
            )
            # (pixel - mean) / deviation is a line through these two.
            deviation = 1.0 / (white - black).ravel()
            mean = -black.ravel() * deviation
            return Scaling(tuple(mean.tolist()), tuple(deviation.tolist()))
    return None
