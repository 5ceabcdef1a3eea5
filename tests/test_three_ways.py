"""The three ways of docs/three-ways.md are one network."""

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest

FILE = Path(__file__).parents[1] / "docs" / "examples" / "three_ways.py"
SPEC = importlib.util.spec_from_file_location("three_ways", FILE)
three_ways = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(three_ways)

IMAGES = np.random.default_rng(0).normal(size=(12, 8, 8, 3)).astype("float32")
LABELS = np.arange(12) % 4


@pytest.fixture
def ways():
    """Return a functional network and a subclass, of the same weights."""
    keras.utils.set_random_seed(0)
    functional = three_ways.functional((8, 8, 3), 4)
    subclass = three_ways.Subclass(4)
    subclass(IMAGES[:1])  # it has no weights before its first image
    copy(functional, subclass)
    return functional, subclass


def copy(source, target):
    for name in ("conv1", "norm1", "conv2", "norm2", "logits"):
        layer = target.get_layer(name) if name not in dir(target) else None
        (layer or getattr(target, name)).set_weights(
            source.get_layer(name).get_weights()
        )


def weights(network):
    names = ("conv1", "norm1", "conv2", "norm2", "logits")
    layers = [getattr(network, n, None) or network.get_layer(n) for n in names]
    return [value for layer in layers for value in layer.get_weights()]


def test_the_outputs_are_the_same(ways):
    functional, subclass = (keras.ops.convert_to_numpy(way(IMAGES)) for way in ways)
    assert np.ptp(functional) > 0.01
    np.testing.assert_allclose(subclass, functional, atol=1e-5)


def test_steps_of_training_leave_the_same_weights(ways):
    """Three steps by fit, of two ways, and three of one's own."""
    functional, subclass = ways
    own = three_ways.functional((8, 8, 3), 4)
    copy(functional, own)
    start = weights(functional)
    for network in ways:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        network.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss)
        network.fit(IMAGES, LABELS, batch_size=12, epochs=3, verbose=0)
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    for _ in range(3):
        three_ways.own_step(own, optimizer, IMAGES, LABELS)
    moved = [np.abs(a - b).max() for a, b in zip(start, weights(functional))]
    assert min(moved) > 0  # batch norm's statistics too
    for other in (subclass, own):
        for expected, value in zip(weights(functional), weights(other), strict=True):
            np.testing.assert_allclose(value, expected, atol=1e-5)


def test_each_way_is_saved_and_opened(ways, tmp_path):
    for network in ways:
        network.save(tmp_path / "network.keras")
        opened = keras.saving.load_model(tmp_path / "network.keras")
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(opened(IMAGES)),
            keras.ops.convert_to_numpy(network(IMAGES)),
            atol=1e-5,
        )


def test_a_subclass_has_no_weights_before_its_first_image():
    assert three_ways.Subclass(4).weights == []
    assert three_ways.functional((8, 8, 3), 4).weights != []
