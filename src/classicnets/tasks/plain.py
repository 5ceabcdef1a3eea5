"""Trained networks as plain Keras models that take, or give, uint8 pixels."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops


def in_float32(network: keras.Model) -> keras.Model:
    """Copy a network and its weights, whatever precision it was trained in."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        copied = _copy(network)
        copied.set_weights(network.get_weights())
        return copied
    finally:
        keras.config.set_dtype_policy(policy)


def _copy(network: keras.Model) -> keras.Model:
    return keras.models.clone_model(network, clone_function=_layer_in_float32)


def _layer_in_float32(layer: Any) -> Any:
    if isinstance(layer, keras.Model):
        return _copy(layer)
    config = layer.get_config()
    if isinstance(layer, keras.Layer):  # and not an operation such as a cast
        config.pop("dtype", None)
    return layer.__class__.from_config(config)


def with_scaling(
    network: keras.Model, mean: np.ndarray, deviation: np.ndarray
) -> keras.Model:
    """Put the scaling of pixels inside a model.

    Args:
        network: Takes scaled images (batch, height, width, channels); of several inputs
            those called "images", the others stay as they are.
        mean, deviation: (channels,), of pixels in [0, 1].

    Returns:
        A model from "pixels" in 0..255 (batch, height, width, channels), and the other
        inputs by their names, to what the network returns.
    """
    scale = 1.0 / (255.0 * deviation)
    offset = -mean / deviation
    scaling = layers.Rescaling(scale.tolist(), offset.tolist())
    inputs, outputs = _call(network, {"images"}, "pixels", scaling)
    return keras.Model(inputs, outputs, name=f"{network.name}_on_pixels")


def to_pixels(network: keras.Model, *, log_odds: bool) -> keras.Model:
    """Return a model from codes or noise (batch, latent_size) to uint8 images.

    Args:
        network: Gives log-odds of pixels, or pixels in [-1, 1]. Of several inputs, the
            codes are called "codes" or "noise", the others stay as they are.
        log_odds: Which of the two it gives.
    """
    inputs, outputs = _call(network, {"codes", "noise"}, "codes")
    images = pixels(outputs, log_odds=log_odds)
    return keras.Model(inputs, images, name=f"{network.name}_to_pixels")


def _call(
    network: keras.Model,
    names: set[str],
    new_name: str,
    prepare: Callable[[Any], Any] = lambda x: x,
) -> tuple[Any, Any]:
    """Return new inputs, by name where there are several, and a network's outputs.

    Args:
        network: Takes what the inputs are prepared to.
        names: Of the input that is prepared; an only one may be called anything.
        new_name: Of the input in its place.
        prepare: From the new input to the network's.
    """
    inputs, prepared = {}, []
    for x in network.inputs:
        changes = len(network.inputs) == 1 or x.name in names
        name = new_name if changes else x.name
        inputs[name] = keras.Input(x.shape[1:], dtype=x.dtype, name=name)
        prepared.append(prepare(inputs[name]) if changes else inputs[name])
    outputs = network(keras.tree.pack_sequence_as(network.input, prepared))
    return inputs if len(inputs) > 1 else inputs[new_name], outputs


def pixels(x: Any, *, log_odds: bool) -> Any:
    """Return uint8 pixels of what a network makes: log-odds, or pixels in [-1, 1]."""
    x = ops.cast(x, "float32")
    x = ops.sigmoid(x) * 255.0 if log_odds else x * 127.5 + 127.5
    return ops.cast(ops.round(ops.clip(x, 0.0, 255.0)), "uint8")
