"""Networks of several inputs, which are told apart by their names."""

import keras
import numpy as np
import pytest
from keras import layers

from classicnets import engine
from classicnets.tasks import plain

CLASSES = 5


def conditional(sides=6):
    """A network of images and labels, as a conditional critic is one."""
    keras.utils.set_random_seed(2)
    images = keras.Input((sides, sides, 3), name="images")
    labels = keras.Input((), dtype="int32", name="labels")
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(images)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Concatenate()([x, layers.Embedding(CLASSES, 3)(labels)])
    return keras.Model([images, labels], layers.Dense(2)(x))


def batch(sides=6, count=4):
    draw = np.random.default_rng(0)
    images = draw.normal(size=(count, sides, sides, 3)).astype("float32")
    return {
        "images": images,
        "labels": draw.integers(CLASSES, size=count, dtype="int32"),
    }


def outputs_of(network, inputs):
    outputs = network([inputs[x.name] for x in network.inputs], training=False)
    return keras.ops.convert_to_numpy(outputs)


@pytest.mark.parametrize("fast", [True, False])
def test_a_network_of_two_inputs_is_rebuilt_for_another_size(fast):
    network, inputs = conditional(), batch(sides=8)
    shapes = {"labels": (), "images": (8, 8, 3)}
    rebuilt = engine.rebuild(network, shapes, fast_kernels=fast)
    assert [x.name for x in rebuilt.inputs] == ["images", "labels"]
    assert {id(v) for v in rebuilt.variables} == {id(v) for v in network.variables}
    np.testing.assert_allclose(
        outputs_of(rebuilt, inputs),
        outputs_of(engine.rebuild(network, shapes, fast_kernels=False), inputs),
        atol=1e-5,
    )


@pytest.mark.parametrize("fast", [True, False])
def test_a_forward_pass_takes_arrays_by_the_inputs_names(fast):
    network, inputs = conditional(), batch()
    run = engine.forward(network, fast_kernels=fast)
    reversed_order = dict(reversed(inputs.items()))
    np.testing.assert_allclose(
        run(reversed_order), outputs_of(network, inputs), atol=1e-5
    )
    other = inputs | {"labels": (inputs["labels"] + 1) % CLASSES}
    assert np.abs(run(other) - run(inputs)).max() > 1e-3


def test_scaling_is_for_pixels_alone():
    network, inputs = conditional(), batch()
    pixels = np.random.default_rng(1).integers(256, size=(4, 6, 6, 3), dtype="uint8")
    mean, deviation = np.full(3, 0.5, "float32"), np.full(3, 0.25, "float32")
    scaled = plain.with_scaling(network, mean, deviation)
    assert {x.name: x.dtype for x in scaled.inputs} == {
        "pixels": "float32",
        "labels": "int32",
    }
    expected = inputs | {"images": ((pixels / 255 - 0.5) / 0.25).astype("float32")}
    for fast in (True, False):
        result = engine.forward(scaled, fast_kernels=fast)(
            {"pixels": pixels, "labels": inputs["labels"]}
        )
        np.testing.assert_allclose(result, outputs_of(network, expected), atol=1e-4)
