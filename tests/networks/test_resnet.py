"""ResNet against its paper, torchvision and keras.applications."""

import math

import pytest

from classicnets.networks.resnet import resnet

# Trainable parameters of torchvision's networks, 1000 classes.
PARAMETERS = {
    18: 11_689_512,
    34: 21_797_672,
    50: 25_557_032,
    101: 44_549_160,
    152: 60_192_808,
}
# With the small stem, 100 classes (weiaicunzai/pytorch-cifar100).
SMALL_PARAMETERS = {18: 11_220_132, 34: 21_328_292, 50: 23_705_252}
# All parameters in keras.applications, batch statistics with them.
KERAS_PARAMETERS = {50: 25_636_712, 101: 44_707_176, 152: 60_419_944}


def trainable(network):
    return sum(math.prod(variable.shape) for variable in network.trainable_variables)


@pytest.mark.parametrize("depth", PARAMETERS)
def test_parameters_and_depth_are_those_of_torchvision(depth, shapes_only):
    network = resnet((224, 224, 3), 1000, depth=depth)
    assert trainable(network) == PARAMETERS[depth]
    kernels = [layer.name for layer in network.layers if hasattr(layer, "kernel")]
    assert sum("shortcut" not in name for name in kernels) == depth


@pytest.mark.parametrize("depth", SMALL_PARAMETERS)
def test_parameters_with_the_small_stem(depth, shapes_only):
    network = resnet((32, 32, 3), 100, depth=depth, stem="small")
    assert trainable(network) == SMALL_PARAMETERS[depth]


@pytest.mark.parametrize("depth", KERAS_PARAMETERS)
def test_parameters_are_those_of_keras_applications(depth, shapes_only):
    network = resnet(
        (224, 224, 3),
        1000,
        depth=depth,
        stride_on="1x1",
        convolution_bias=True,
        epsilon=1.001e-5,
    )
    assert network.count_params() == KERAS_PARAMETERS[depth]


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
