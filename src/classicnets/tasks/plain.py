"""Trained networks as plain Keras models that take, or give, uint8 pixels."""

import keras
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


def _copy(network):
    return keras.models.clone_model(network, clone_function=_layer_in_float32)


def _layer_in_float32(layer):
    if isinstance(layer, keras.Model):
        return _copy(layer)
    config = layer.get_config()
    if isinstance(layer, keras.Layer):  # and not an operation such as a cast
        config.pop("dtype", None)
    return layer.__class__.from_config(config)


def with_scaling(network: keras.Model, mean, deviation) -> keras.Model:
    """Put the scaling of pixels inside a model.

    Args:
        network: Takes scaled images (batch, height, width, channels).
        mean, deviation: (channels,), of pixels in [0, 1].

    Returns:
        A model from pixels in 0..255 (batch, height, width, channels) to what the
        network returns.
    """
    raw = keras.Input(network.input_shape[1:], name="pixels")
    scale = 1.0 / (255.0 * deviation)
    offset = -mean / deviation
    x = layers.Rescaling(scale.tolist(), offset.tolist())(raw)
    return keras.Model(raw, network(x), name=f"{network.name}_on_pixels")


def to_pixels(network: keras.Model, *, log_odds: bool) -> keras.Model:
    """Return a model from codes or noise (batch, latent_size) to uint8 images.

    Args:
        network: Gives log-odds of pixels, or pixels in [-1, 1].
    """
    codes = keras.Input(network.input_shape[1:], name="codes")
    made = pixels(network(codes), log_odds=log_odds)
    return keras.Model(codes, made, name=f"{network.name}_to_pixels")


def pixels(x, *, log_odds: bool):
    """Return uint8 pixels of what a network makes: log-odds, or pixels in [-1, 1]."""
    x = ops.cast(x, "float32")
    x = ops.sigmoid(x) * 255.0 if log_odds else x * 127.5 + 127.5
    return ops.cast(ops.round(ops.clip(x, 0.0, 255.0)), "uint8")
