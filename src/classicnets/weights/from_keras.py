"""Weights that Keras saved, and those of keras.applications."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from classicnets.weights.saved import check_arrays
from classicnets.weights.transfer import (
    Weights,
    names_of,
    transfer,
    variable_names,
    weighted_layers,
)


def from_keras_applications(
    network: keras.Model, source_model: keras.Model
) -> list[str]:
    """Copy the weights of a model from `keras.applications` into `network`.

    Args:
        network: `vgg` of depth 16 or 19, or `resnet` with stride_on="1x1",
            convolution_bias=True and epsilon=1.001e-5.
        source_model: `keras.applications.VGG16`, `VGG19`, `ResNet50`, `ResNet101` or
            `ResNet152`, with or without its top. Its last softmax stays behind.

    Returns:
        Names of the layers of the head that keep the weights they had.

    Raises:
        ValueError: If the two differ in layers, shapes, strides or epsilon.
    """
    return from_model(network, source_model, source_model.name, _keras_name)


def from_model(
    network: keras.Model,
    source: keras.Model,
    where: str,
    rename: Callable[[str], str] = lambda name: name,
) -> list[str]:
    """Copy a model's weights; see `from_keras_applications`."""
    sources = {layer.name: layer for layer in weighted_layers(source)}
    for layer in weighted_layers(network):
        other = sources.get(rename(layer.name))
        for setting in ("strides", "epsilon"):
            # The shapes do not show them, and the outputs would be wrong.
            ours, theirs = getattr(layer, setting, None), getattr(other, setting, None)
            if other is not None and ours != theirs:
                raise ValueError(
                    f"{where}: {setting} of {layer.name} must be {ours} as in "
                    f"{network.name}, got {theirs}. Build the network with the options "
                    "of the source."
                )
    weights: Weights = {}
    for layer in sources.values():
        names = variable_names(layer)
        weights |= dict(zip(names, layer.get_weights(), strict=True))

    def place(name: str) -> str:
        layer, variable = name.split(".")
        return f"{rename(layer)}.{variable}"

    return transfer(network, weights, place, where)


def _keras_name(layer: str) -> str:
    """Return the name in keras.applications of our layer."""
    if match := re.fullmatch(r"hidden(\d)", layer):
        return f"fc{match[1]}"
    if layer == "logits":
        return "predictions"
    layer = layer.replace("norm", "bn")
    if match := re.fullmatch(r"stem_(conv|bn)", layer):
        return f"conv1_{match[1]}"
    if match := re.fullmatch(r"stage(\d)_block(\d+)_(conv|bn)(\d)", layer):
        return f"conv{int(match[1]) + 1}_block{match[2]}_{match[4]}_{match[3]}"
    if match := re.fullmatch(r"stage(\d)_block(\d+)_shortcut_(conv|bn)", layer):
        return f"conv{int(match[1]) + 1}_block{match[2]}_0_{match[3]}"
    return layer  # VGG's convolutions have the same name


def read_h5(path: Path) -> Weights:
    """Read what `Model.save_weights` wrote, variables by number."""
    import h5py  # comes with Keras

    weights: Weights = {}

    def visit(place: str, group: Any) -> None:
        if place.startswith("optimizer"):  # of a model that was compiled
            return
        if isinstance(group, h5py.Group) and len(group) and "name" in group.attrs:
            arrays = [np.asarray(group[str(i)]) for i in range(len(group))]
            # An LSTM's variables are those of its cell.
            in_cell = group.parent.name.endswith("/cell")
            layer = group.parent.parent["vars"] if in_cell else group
            names = names_of(layer.attrs["name"], len(arrays))
            weights.update(zip(names, arrays, strict=True))

    try:
        check_arrays(path, path.stat().st_size)
        with h5py.File(path) as file:
            file.visititems(visit)
    # RuntimeError: HDF5's own, where it comes to a damaged part.
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: must be weights saved by Keras 3.") from error
    return weights
