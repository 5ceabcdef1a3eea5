"""GAN and DCGAN against their papers and the programs people know."""

import math
from itertools import pairwise

import numpy as np
import pytest

from classicnets.networks import create_pair, gan
from classicnets.networks.dcgan import discriminator, generator
from classicnets.verification.anchors import COUNTS


def trainable(network):
    return sum(math.prod(variable.shape) for variable in network.trainable_variables)


def dense(*sizes):
    return sum((before + 1) * after for before, after in pairwise(sizes))


def test_parameters_of_the_gan_of_dense_layers(shapes_only):
    ours = [trainable(network) for network in create_pair("gan", (28, 28, 1))]
    counted = [dense(100, 1200, 1200, 784), dense(784, 1200, 240, 1)]
    assert ours == counted == list(COUNTS["gan"][0].parameters)


def test_dropout_is_an_option(shapes_only):
    network = gan.discriminator((8, 8, 1), dropout=0.0)
    assert network.get_layer("dropout1").rate == 0.0


def test_parameters_are_those_of_the_pytorch_example_and_the_biases_it_lacks(
    shapes_only,
):
    ours = [trainable(network) for network in create_pair("dcgan", (64, 64, 3))]
    assert ours == list(COUNTS["dcgan"][0].parameters)


def test_the_paper_s_figure_1_has_1024_channels_at_4_by_4(shapes_only):
    network = generator((64, 64, 3), filters=128)
    shapes = [network.get_layer("reshape").output.shape[1:]]
    shapes += [network.get_layer(f"up{layer}").output.shape[1:] for layer in (1, 2, 3)]
    assert shapes == [(4, 4, 1024), (8, 8, 512), (16, 16, 256), (32, 32, 128)]


@pytest.mark.parametrize(
    "side, start, layers", [(8, 4, 1), (28, 7, 2), (32, 4, 3), (48, 6, 3), (96, 6, 4)]
)
def test_any_side_that_halves_to_4_to_7_pixels_is_taken(
    side, start, layers, shapes_only
):
    made, scored = create_pair("dcgan", (side, side, 1), filters=8)
    assert made.get_layer("reshape").output.shape[1:3] == (start, start)
    assert scored.get_layer(f"conv{layers}").output.shape[1:3] == (start, start)
    assert made.output_shape == (None, side, side, 1)


def test_oblong_images_are_taken(shapes_only):
    assert generator((64, 96, 1)).get_layer("reshape").output.shape == (None, 4, 6, 512)


@pytest.mark.parametrize("shape", [(60, 60, 3), (30, 32, 1), (32, 96, 1), (4, 4, 1)])
@pytest.mark.parametrize("build", [generator, discriminator])
def test_other_sides_are_refused(build, shape):
    with pytest.raises(ValueError, match=r"4 to 7 times the same power of 2, at least"):
        build(shape)


def test_batch_norm_is_everywhere_but_at_the_images(shapes_only):
    made, scored = create_pair("dcgan", (64, 64, 3))
    norms = [layer.name for layer in made.layers if layer.name.startswith("norm")]
    assert norms == ["norm0", "norm1", "norm2", "norm3"]
    norms = [layer.name for layer in scored.layers if layer.name.startswith("norm")]
    assert norms == ["norm2", "norm3", "norm4"]


def test_weights_start_with_a_deviation_of_two_hundredths():
    network = generator((32, 32, 3), filters=32)
    for name in ("project", "up1", "up2"):
        kernel = network.get_layer(name).get_weights()[0]
        assert kernel.std() == pytest.approx(0.02, rel=0.03)
        assert abs(kernel.mean()) < 0.001
    assert np.abs(network.get_layer("norm0").get_weights()[0] - 1).max() == 0


def test_another_normalization_is_refused():
    message = r"normalization must be one of .*, got 'instance'\."
    with pytest.raises(ValueError, match=message):
        discriminator((32, 32, 3), normalization="instance")
