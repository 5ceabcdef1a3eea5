"""VGG against its paper."""

import math

import keras
import numpy as np
import pytest

from classicnets.networks import create
from classicnets.networks.vgg import vgg
from classicnets.verification.anchors import TORCHVISION, VGG_ON_SMALL_IMAGES

NAMES = [name for name in TORCHVISION if name.startswith("vgg")]


def trainable(network):
    return sum(math.prod(variable.shape) for variable in network.trainable_variables)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_those_of_torchvision(name, shapes_only):
    assert trainable(create(name, (224, 224, 3), 1000)) == TORCHVISION[name][0]


@pytest.mark.parametrize("name", VGG_ON_SMALL_IMAGES)
def test_the_same_head_on_small_images_starts_from_512(name, shapes_only):
    network = create(name, (32, 32, 3), 100)
    assert trainable(network) == VGG_ON_SMALL_IMAGES[name]
    assert network.get_layer("hidden1").kernel.shape == (512, 4096)


@pytest.mark.parametrize("depth", [11, 13, 16, 19])
def test_depth_counts_the_layers_with_weights(depth, shapes_only):
    layers = vgg((32, 32, 3), 10, depth=depth).layers
    assert sum(bool(layer.weights) for layer in layers) == depth


def test_no_hidden_units_give_a_linear_head(shapes_only):
    network = vgg((64, 64, 3), 10, hidden_units=())
    assert network.get_layer("logits").kernel.shape == (2 * 2 * 512, 10)


def test_features_are_a_thirty_second_of_the_sides(shapes_only):
    assert vgg((224, 192, 3), None).output_shape == (None, 7, 6, 512)


def test_another_depth_is_refused():
    message = r"depth must be one of \[11, 13, 16, 19\], got 12\."
    with pytest.raises(ValueError, match=message):
        vgg((32, 32, 3), 10, depth=12)


def test_images_that_vanish_in_the_poolings_are_refused():
    with pytest.raises(ValueError, match="at least 32"):
        vgg((28, 28, 1), 10)


def test_smaller_images_pass_where_the_pooling_rounds_up(shapes_only):
    features = vgg((28, 16, 1), None, pool_padding="same")
    assert features.output_shape == (None, 1, 1, 512)
    with pytest.raises(ValueError, match="pool_padding must be valid or same"):
        vgg((32, 32, 3), 10, pool_padding="full")


def test_pooling_that_rounds_up_is_the_paper_s_at_multiples_of_32():
    network = vgg((64, 32, 3), None, depth=11)
    rounding_up = vgg((64, 32, 3), None, depth=11, pool_padding="same")
    rounding_up.set_weights(network.get_weights())
    images = np.random.default_rng(0).normal(size=(2, 64, 32, 3)).astype("float32")
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(rounding_up(images)),
        keras.ops.convert_to_numpy(network(images)),
        atol=1e-5,
    )


def test_weights_start_from_he_by_the_inputs():
    network = vgg((32, 32, 3), 100, depth=11)
    for name, inputs in {"block3_conv1": 9 * 128, "hidden2": 4096}.items():
        kernel = network.get_layer(name).get_weights()[0]
        assert kernel.std() == pytest.approx(math.sqrt(2 / inputs), rel=0.01)
    logits = network.get_layer("logits").get_weights()[0]
    assert logits.std() == pytest.approx(0.01, rel=0.01)


def test_the_signal_keeps_its_size_through_19_layers_without_batch_norm():
    keras.utils.set_random_seed(0)
    features = vgg((32, 32, 3), None, depth=19)
    inputs = np.random.default_rng(0).normal(size=(8, 32, 32, 3)).astype("float32")
    outputs = keras.ops.convert_to_numpy(features(inputs, training=False))
    # Glorot's start, Keras's default, halves the variance in each of 16 layers.
    assert 0.1 < np.sqrt(np.mean(np.square(outputs))) < 10
