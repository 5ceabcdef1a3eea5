"""ResNet against its paper, torchvision and keras.applications."""

import math

import pytest

from classicnets.networks import create
from classicnets.networks.resnet import resnet
from classicnets.verification.anchors import (
    DEPTHS,
    KERAS_APPLICATIONS,
    KERAS_OPTIONS,
    SMALL_STEM,
    TORCHVISION,
)

NAMES = [name for name in TORCHVISION if name.startswith("resnet")]


def trainable(network):
    return sum(math.prod(variable.shape) for variable in network.trainable_variables)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_depth_are_those_of_torchvision(name, shapes_only):
    network = create(name, (224, 224, 3), 1000)
    assert trainable(network) == TORCHVISION[name][0]
    kernels = [layer.name for layer in network.layers if hasattr(layer, "kernel")]
    assert sum("shortcut" not in name for name in kernels) == DEPTHS[network.name]


@pytest.mark.parametrize("name", SMALL_STEM)
def test_parameters_with_the_small_stem(name, shapes_only):
    network = create(name, (32, 32, 3), 100, stem="small")
    assert trainable(network) == SMALL_STEM[name]


@pytest.mark.parametrize("name", KERAS_APPLICATIONS)
def test_parameters_are_those_of_keras_applications(name, shapes_only):
    network = create(name, (224, 224, 3), 1000, **KERAS_OPTIONS)
    assert network.count_params() == KERAS_APPLICATIONS[name]


@pytest.mark.parametrize("stem, side", [("imagenet", 7), ("small", 28)])
def test_the_stem_decides_the_size_of_the_features(stem, side, shapes_only):
    network = resnet((224, 224, 3), None, depth=50, stem=stem)
    assert network.output_shape == (None, side, side, 2048)


@pytest.mark.parametrize("stride_on, strided", [("3x3", 2), ("1x1", 1)])
def test_one_convolution_of_a_bottleneck_has_the_stride(
    stride_on, strided, shapes_only
):
    network = resnet((64, 64, 3), 10, depth=50, stride_on=stride_on)
    for number in (1, 2, 3):
        strides = network.get_layer(f"stage2_block1_conv{number}").strides
        assert strides == ((2, 2) if number == strided else (1, 1))


def test_sides_may_be_unknown(shapes_only):
    assert resnet((None, None, 3), 10).output_shape == (None, 10)


@pytest.mark.parametrize(
    "option, message",
    [
        ({"depth": 20}, r"depth must be one of \[18, 34, 50, 101, 152\], got 20\."),
        ({"stem": "cifar"}, "stem must be 'imagenet' or 'small', got 'cifar'"),
        ({"stride_on": "2x2"}, "stride_on must be '3x3' or '1x1', got '2x2'"),
    ],
)
def test_another_value_of_an_option_is_refused(option, message):
    with pytest.raises(ValueError, match=message):
        resnet((32, 32, 3), 10, **option)


def test_weights_start_from_he_by_the_outputs():
    network = resnet((32, 32, 3), 100)
    for name, outputs in {"stem_conv": 49 * 64, "stage3_block1_conv1": 9 * 256}.items():
        kernel = network.get_layer(name).get_weights()[0]
        assert kernel.std() == pytest.approx(math.sqrt(2 / outputs), rel=0.03)
    norm = network.get_layer("stem_norm")
    assert (norm.momentum, norm.epsilon) == (0.9, 1e-5)
