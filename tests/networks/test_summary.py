"""Multiply-adds and summaries."""

import keras
import pytest

from classicnets.networks import create
from classicnets.networks.summary import Row, multiply_adds, summary
from classicnets.verification.anchors import TORCHVISION


@pytest.mark.parametrize("name", ["vgg16", "vgg19_bn", "resnet18", "resnet152"])
def test_multiply_adds_are_those_of_torchvision(name, shapes_only):
    count = multiply_adds(create(name, (224, 224, 3), 1000))
    assert round(count / 1e6) == TORCHVISION[name][1]


def test_a_row_tells_shape_parameters_and_multiply_adds():
    rows = summary(create("resnet20", (32, 32, 3), 10))
    assert rows[0] == Row("images (InputLayer)", (32, 32, 3), 0, 0)
    assert rows[1] == Row(
        "stem_conv (Conv2D)", (32, 32, 16), 3 * 3 * 3 * 16, 32 * 32 * 3 * 3 * 3 * 16
    )
    assert rows[-1] == Row("logits (Dense)", (10,), 64 * 10 + 10, 64 * 10)


def test_rows_add_up_to_the_network():
    network = create("resnet20", (32, 32, 3), 10)
    assert sum(row.parameters for row in summary(network)) == network.count_params()


def test_parts_and_transposed_convolutions_are_counted():
    """Of its input's places: each of 7 x 7 writes 4 x 4 x 64 x 32 products."""
    rows = {row.layer: row for row in summary(create("conv_vae", (28, 28, 1)))}
    assert rows["up1 (Conv2DTranspose)"].multiply_adds == 7 * 7 * 4 * 4 * 64 * 32
    assert rows["conv2 (Conv2D)"].multiply_adds == 7 * 7 * 4 * 4 * 32 * 64
    network = create("vae", (28, 28, 1))
    # 784-400-(20, 20) and 20-400-784, each weight once.
    assert multiply_adds(network) == 784 * 400 + 2 * 400 * 20 + 20 * 400 + 400 * 784


def test_a_clone_on_another_size_does_not_change_the_summary():
    network = create("resnet20", (32, 32, 3), 10)
    before = summary(network)
    keras.models.clone_model(
        network,
        input_tensors=keras.Input((16, 16, 3)),
        clone_function=lambda layer: layer,
        call_function=lambda layer, *args, **kwargs: layer(*args, **kwargs),
    )
    assert summary(network) == before


def test_unknown_sides_are_refused():
    with pytest.raises(ValueError, match="stem_conv must have a known output size"):
        multiply_adds(create("resnet20", (None, None, 3), 10))
