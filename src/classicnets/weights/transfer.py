"""Weights by their names from one network into another.

Every weight must find its place and every place its weight, in shape too, or nothing is
changed. The one exception is the head, the dense layers, since a network for other
classes has another: from the first layer of the head that does not fit, or is not
there, the layers keep the weights they started with, and their names are returned.
"""

import re
from collections.abc import Callable

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
        network: What takes the weights.
        weights: The source's, by the source's names.
        place: From our name of a weight to the source's.
        where: What errors call the source.
        adapt: From an array for a layer to Keras's order of axes.

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
        sources = [place(name) for name in variable_names(layer)]
        absent = [name for name in sources if name not in remaining]
        arrays = [remaining.pop(name) for name in sources if name not in absent]
        if not absent:
            arrays = [adapt(layer, array) for array in arrays]
        shapes = [tuple(weight.shape) for weight in layer.weights]
        fits = [array.shape for array in arrays] == shapes
        if isinstance(layer, layers.Dense) and (fresh or not fits):
            fresh.append(layer.name)
        elif absent:
            missing += absent
        elif not fits:
            raise ValueError(
                f"{where}: the weights of {layer.name} must have the shapes "
                f"{', '.join(map(str, shapes))}, got "
                f"{', '.join(str(array.shape) for array in arrays)}."
            )
        else:
            values.append((layer, arrays))
    _refuse_others(network, where, missing, list(remaining))
    for layer, arrays in values:
        layer.set_weights(arrays)
    return fresh


def _refuse_others(
    network: keras.Model, where: str, missing: list[str], remaining: list[str]
) -> None:
    """Refuse weights that are missing, and those left over that are no head's."""
    if missing:
        instead = f" It has {_some(remaining)} instead." if remaining else ""
        raise ValueError(
            f"{where}: must have every weight of {network.name}, lacks "
            f"{_some(missing)}.{instead}"
        )
    # The names of heads in any of the three sources.
    head = re.compile(r"(hidden\d|logits|fc\d?|predictions|classifier\.\d)\.")
    unexpected = [name for name in remaining if not head.match(name)]
    if unexpected:
        raise ValueError(
            f"{where}: must fit {network.name} and its options, has also "
            f"{_some(unexpected)}."
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return " ".join(", ".join(names[:3]).split()) + more  # a name may have lines


def weighted_layers(model: keras.Model) -> list[layers.Layer]:
    """Return the layers of `model`, and of models in it, that have weights."""
    weighted = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            weighted += weighted_layers(layer)
        # Scales pixels in a run's model: part of the data's story, not the network's.
        elif layer.weights and not isinstance(layer, layers.Normalization):
            weighted.append(layer)
    return weighted


def variable_names(layer: layers.Layer) -> list[str]:
    """Name the variables of a layer; see `names_of`."""
    return names_of(layer.name, len(layer.weights))


def names_of(layer: str, count: int) -> list[str]:
    """Name the variables of a layer; by number where it has another count of them."""
    variables = VARIABLES.get(count) or map(str, range(count))
    return [f"{layer}.{variable}" for variable in variables]
