"""What networks see in images: the features that FID and KID compare.

FID and KID mean nothing without the name of the features. `features` are this project's
own, and comparable only within it.
"""

import contextlib
import functools
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import safetensors
from keras import ops
from safetensors.numpy import load_file

from classicnets import engine, networks
from classicnets.data import Rows
from classicnets.data.images.decoding import resize_array
from classicnets.errors import UserError

FEATURES = "resnet20-cifar100 (64 features, this project's own)"
INCEPTION_FEATURES = "inception-v3 (2,048 features, Keras's network)"
FEATURES_FILE = Path(__file__).with_name("features.safetensors")


def features(images: np.ndarray | Rows) -> np.ndarray:
    """Return what our ResNet-20, trained on CIFAR-100, sees in images.

    The means of its last 64 feature maps, after the last ReLU. FID and KID on them
    cannot be compared to published ones, which use another network: `FEATURES` names
    them. Computed in float32 whatever the precision of the process.

    Args:
        images: (n, height, width, 1 or 3) uint8. Other sizes than 32x32 are stretched
            to it, antialiased; grey becomes RGB.

    Returns:
        (n, 64) float32.

    Raises:
        UserError: For arrays that are no such images.
    """
    return _extract(_small_network(), images, image_size=32, batch_size=500)


def inception_features(
    images: np.ndarray | Rows, weights_path: str | Path
) -> np.ndarray:
    """Return the pooled features of Keras's InceptionV3.

    It is not the TensorFlow graph of 2015 that published numbers come from, nor is the
    resizing theirs: the numbers are near those and not the same.

    Args:
        images: (n, height, width, 1 or 3) uint8, stretched to 299x299, antialiased.
        weights_path: Weights without the head, as `keras.applications.InceptionV3`
            takes them: `inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5`.

    Returns:
        (n, 2048) float32.

    Raises:
        UserError: For arrays that are no such images, or a file that is missing.
    """
    if not Path(weights_path).is_file():
        raise UserError(f"weights must be an existing file, got {weights_path}.")
    forward = _inception(str(weights_path))
    return _extract(forward, images, image_size=299, batch_size=50)


def _extract(
    forward: Callable,
    images: np.ndarray | Rows,
    *,
    image_size: int,
    batch_size: int,
) -> np.ndarray:
    """Apply `forward` to batches of one size, resized; the last one is padded."""
    shape, kind = images.shape, images.dtype
    if len(shape) != 4 or shape[-1] not in (1, 3) or kind != np.uint8 or not shape[0]:
        raise UserError(
            f"images must be (n, height, width, 1 or 3) uint8, got {shape} {kind}."
        )
    size = min(batch_size, len(images))
    rows = []
    for first in range(0, len(images), size):
        batch = np.asarray(images[first : first + size])
        pixels = resize_array(batch, image_size, 3, "stretch")
        padding = [(0, size - len(batch)), (0, 0), (0, 0), (0, 0)]
        rows.append(forward({}, {"pixels": np.pad(pixels, padding)})[: len(batch)])
    return np.concatenate(rows)


@functools.cache
def _small_network() -> Callable:
    """Compile pixels (batch, 32, 32, 3) uint8 -> features (batch, 64)."""
    weights = load_file(FEATURES_FILE)
    with safetensors.safe_open(FEATURES_FILE, framework="numpy") as file:
        header = file.metadata()
    with _set_apart():
        network = networks.create(header["network"], (32, 32, 3), None)
        for variable in network.variables:
            variable.assign(weights.pop(variable.path).astype("float32"))
        fast = engine.rebuild(network, (32, 32, 3))
    scaling = [np.float32(json.loads(header[key])) for key in ("scale", "offset")]

    def forward(arrays: dict, batch: dict) -> Any:
        scale, offset = map(ops.convert_to_tensor, scaling)
        x = ops.cast(batch["pixels"], "float32") * scale + offset
        return ops.mean(fast(x, training=False), axis=(1, 2))

    return engine.compile_function(forward, network.variables)


@functools.lru_cache(maxsize=1)
def _inception(weights_path: str) -> Callable:
    """Compile pixels (batch, 299, 299, 3) uint8 -> features (batch, 2048)."""
    with _set_apart():
        network = keras.applications.InceptionV3(
            weights=weights_path,
            include_top=False,
            pooling="avg",
            input_shape=(299, 299, 3),
        )

    def forward(arrays: dict, batch: dict) -> Any:
        x = ops.cast(batch["pixels"], "float32") / 127.5 - 1.0
        return network(x, training=False)

    return engine.compile_function(forward, network.variables)


@contextlib.contextmanager
def _set_apart() -> Iterator[None]:
    """Build in float32, and leave the precision and the random numbers of others."""
    policy, numbers = keras.config.dtype_policy(), random.getstate()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        random.setstate(numbers)  # Keras draws the seeds of its initializers from it
