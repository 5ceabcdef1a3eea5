"""Weights from elsewhere: keras.applications, torchvision, and our own files.

Every weight must find its place and every place its weight, in shape too, or nothing is
changed. The one exception is the head, the dense layers, since a network for other
classes has another: from the first layer of the head that does not fit, or is not
there, the layers keep the weights they started with, and their names are returned.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import layers

Weights = dict[str, np.ndarray]  # by "layer.variable", in the names of their source

# The variables of a layer, by how many it has, in the order in which Keras keeps them.
VARIABLES: dict[int, tuple[str, ...]] = {
    1: ("kernel",),
    2: ("kernel", "bias"),
    3: ("kernel", "recurrent_kernel", "bias"),
    4: ("gamma", "beta", "moving_mean", "moving_variance"),
}


def transfer(
    network: keras.Model,
    weights: Weights,
    place: Callable[[str], str],
    where: str,
    adapt: Callable[[layers.Layer, np.ndarray], np.ndarray] = lambda _, array: array,
) -> list[str]:
    """Set the weights of `network` to `weights`, all or none.

    Args:
        network: Takes the weights.
        weights: The source's, by the source's names.
        place: From our name of a weight to the source's.
        where: Names the source in errors.
        adapt: Brings the array for a layer into Keras's order of axes.

    Returns:
        Names of the layers of the head that keep the weights they had.

    Raises:
        ValueError: For names and shapes that do not match.
    """
    remaining = dict(weights)
    values: list[tuple[layers.Layer, list[np.ndarray]]] = []
    fresh: list[str] = []
    missing: list[str] = []
    for layer in weighted_layers(network):
        names = variable_names(layer)
        found = [remaining.pop(place(name), None) for name in names]
        shapes = [tuple(weight.shape) for weight in layer.weights]
        arrays = [array for array in found if array is not None]
        if len(arrays) == len(found):
            arrays = [adapt(layer, array) for array in arrays]
        fits = [array.shape for array in arrays] == shapes
        if isinstance(layer, layers.Dense) and (fresh or not fits):
            fresh.append(layer.name)
        elif len(arrays) < len(found):
            pairs = zip(names, found, strict=True)
            missing += [place(name) for name, array in pairs if array is None]
        elif not fits:
            came = ", ".join(str(array.shape) for array in arrays)
            raise ValueError(
                f"{where}: the weights of {layer.name} must have the shapes "
                f"{', '.join(map(str, shapes))}, got {came}."
            )
        else:
            values.append((layer, arrays))
    if missing:
        raise ValueError(
            f"{where}: must have every weight of {network.name}, lacks "
            f"{_some(missing)}.{_has(remaining)}"
        )
    unexpected = [name for name in remaining if not _is_head(name)]
    if unexpected:
        raise ValueError(
            f"{where}: must fit {network.name} and its options, has also "
            f"{_some(unexpected)}."
        )
    for layer, arrays in values:
        layer.set_weights(arrays)
    return fresh


def _is_head(name: str) -> bool:
    """Tell whether `name` is a head's in any of the three sources."""
    return bool(re.match(r"(hidden\d|logits|fc\d?|predictions|classifier\.\d)\.", name))


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return " ".join(", ".join(names[:3]).split()) + more  # a name may have lines


def _has(names: Mapping[str, Any]) -> str:
    return f" It has {_some(list(names))} instead." if names else ""


def weighted_layers(model: keras.Model) -> list[layers.Layer]:
    """Return the layers of `model`, and of models in it, that have weights."""
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found += weighted_layers(layer)
        # Scales pixels in a run's model: part of the data's story, not the network's.
        elif layer.weights and not isinstance(layer, layers.Normalization):
            found.append(layer)
    return found


def variable_names(layer: layers.Layer) -> list[str]:
    return names_of(layer.name, len(layer.weights))


def names_of(layer: str, count: int) -> list[str]:
    """Name the variables of a layer; by number where it has another count of them."""
    variables = VARIABLES.get(count) or map(str, range(count))
    return [f"{layer}.{variable}" for variable in variables]
