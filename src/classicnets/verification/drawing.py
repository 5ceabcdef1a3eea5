"""Networks whose weights NumPy draws: the same ones on every backend, and fast."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from classicnets import networks
from classicnets.networks import private

Parts = tuple[keras.Model, ...]


def create(
    network: str,
    shape: tuple[Any, ...],
    classes: int,
    options: Mapping[str, Any],
) -> Parts:
    """Build a network or a pair without values; `fill` gives them."""
    parts = without_values(lambda: networks.build(network, shape, classes, **options))
    return parts if isinstance(parts, tuple) else (parts,)


def without_values(build: Callable[[], Any]) -> Any:
    """Call `build` so that no variable gets a value: they have shapes only."""
    with keras.StatelessScope(initialize_variables=False):
        model = build()
    # Forgets the variables that wait for their values.
    keras.utils.clear_session(free_memory=False)
    return model


def fill(*parts: keras.Model, seed: int = 0, variance: float = 1.0) -> None:
    """Give every variable a value drawn from `seed`, batch statistics too.

    Args:
        parts: Networks, as of `create` or with values already.
        seed: Of the draws.
        variance: About that of the batch statistics. The scales grow with its root, so
            that the signal keeps its size; a small one shows an epsilon beside it.
    """
    source = np.random.default_rng(seed)
    for part in parts:
        for layer in private.every_layer(part):
            if layer.weights and not isinstance(layer, keras.Model):
                batch_norm = isinstance(layer, keras.layers.BatchNormalization)
                trained, others = private.own_variables(layer)
                for variable in trained:
                    value = _values(source, variable, variance * batch_norm)
                    private.set_value(variable, value)
                for variable in others:
                    private.set_value(variable, _values(source, variable, variance))
            for generator in private.seed_generators(layer):
                zeros = np.zeros(generator.state.shape, "uint32")
                private.set_value(generator.state, zeros)


def _values(
    source: np.random.Generator, variable: keras.Variable, variance: float
) -> np.ndarray:
    shape = tuple(variable.shape)
    if len(shape) > 1:
        scale = np.sqrt(2 / np.prod(shape[:-1]))
        return source.standard_normal(shape, "float32") * np.float32(scale)
    if variable.name in ("gamma", "moving_variance"):
        size = variance if variable.name == "moving_variance" else variance**0.5
        return (source.uniform(0.5, 1.5, shape) * (size or 1.0)).astype("float32")
    return source.normal(0, 0.1, shape).astype("float32")
