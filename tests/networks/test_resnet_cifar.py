"""The CIFAR ResNet against its paper."""

import math

import keras
import numpy as np
import pytest

from classicnets.networks import create
from classicnets.networks.resnet_cifar import resnet_cifar
from classicnets.verification.anchors import DEPTHS, RESNETS_ON_CIFAR


def outputs_of(network, inputs):
    """Like `network.predict`, without the seconds of compiling."""
    return keras.ops.convert_to_numpy(network(inputs, training=False))


@pytest.mark.parametrize("name", RESNETS_ON_CIFAR)
def test_parameters_and_depth_are_those_of_the_paper(name, shapes_only):
    network = create(name, (32, 32, 3), 10)
    count = sum(math.prod(variable.shape) for variable in network.trainable_variables)
    assert count == RESNETS_ON_CIFAR[name][0]
    assert sum(hasattr(layer, "kernel") for layer in network.layers) == DEPTHS[name]


def test_shortcuts_take_every_second_pixel_and_pad_the_channels_with_zeros():
    network = resnet_cifar((16, 16, 3), None, depth=8)
    for layer in network.layers:
        if layer.name.endswith("norm2"):  # what the blocks would add becomes 0
            layer.gamma.assign(np.zeros(layer.gamma.shape, "float32"))
    stem = keras.Model(network.input, network.get_layer("stem_relu").output)
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32")

    expected = np.zeros((2, 4, 4, 64), "float32")
    expected[..., :16] = outputs_of(stem, images)[:, ::4, ::4]
    outputs = outputs_of(network, images)
    np.testing.assert_allclose(outputs, expected, atol=1e-6)


def test_strided_windows_sit_on_the_pixels_that_the_shortcut_takes():
    network = resnet_cifar((16, 16, 3), None, depth=8)
    layer = network.get_layer("stage2_block1_conv1")
    kernel = np.zeros(layer.kernel.shape, "float32")
    kernel[1, 1, 0, 0] = 1.0  # passes the middle of each window on
    layer.set_weights([kernel])
    block = keras.Model(network.get_layer("stage1_block1_relu").output, [layer.output])
    x = np.random.default_rng(0).normal(size=(1, 16, 16, 16)).astype("float32")
    outputs = outputs_of(block, x)
    np.testing.assert_allclose(outputs[..., 0], x[:, ::2, ::2, 0], atol=1e-6)


def test_odd_sizes_are_rounded_up(shapes_only):
    assert resnet_cifar((30, 31, 3), None).output_shape == (None, 8, 8, 64)


@pytest.mark.parametrize("depth", [2, 18, 21])
def test_another_depth_is_refused(depth):
    message = rf"depth must be 6n \+ 2 with n >= 1, got {depth}\."
    with pytest.raises(ValueError, match=message):
        resnet_cifar((32, 32, 3), 10, depth=depth)
