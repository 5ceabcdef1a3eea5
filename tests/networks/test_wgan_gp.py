"""The networks of WGAN-GP against the paper, its authors' code, and the tutorial."""

import math

import keras
import pytest

from classicnets.networks import create_pair, has_batch_norm, wgan_gp, wgan_gp_resnet
from classicnets.verification.anchors import COUNTS


def trainable(network):
    return sum(math.prod(variable.shape) for variable in network.trainable_variables)


def conv(side, before, after, bias=True):
    return side * side * before * after + (after if bias else 0)


def norm(channels):
    return 2 * channels


def sides(network):
    """The sides of every feature map, each once, in order."""
    shapes = [layer.output.shape for layer in network.layers]
    return list(dict.fromkeys(shape[1] for shape in shapes if len(shape) == 4))


def test_shapes_are_those_of_the_tutorial(shapes_only):
    generator, critic = create_pair("wgan_gp", (64, 64, 3))
    assert sides(generator) == [3, 9, 21, 64]
    assert sides(critic) == [64, 20, 6, 1]
    # The tutorial's critic has as many: batch norm learns as many as layer norm.
    made, scored = COUNTS["wgan_gp"][0].parameters
    assert trainable(generator) == made
    assert (
        trainable(critic)
        == scored
        == (
            conv(5, 3, 64)
            + conv(5, 64, 128)
            + conv(5, 128, 256)
            + norm(128)
            + norm(256)
            + (256 + 1)
        )
    )


def test_other_sizes_are_those_that_the_arithmetic_gives(shapes_only):
    generator, critic = create_pair("wgan_gp", (64, 82, 1))
    assert generator.output_shape == critic.input_shape == (None, 64, 82, 1)


def test_a_size_that_it_cannot_make_names_the_one_that_it_makes():
    message = r"18s \+ 10 .* makes \(64, 64, 3\), got \(64, 66, 3\)"
    with pytest.raises(ValueError, match=message):
        wgan_gp.generator((64, 66, 3))


def test_images_that_vanish_in_the_critic_are_refused(shapes_only):
    assert sides(wgan_gp.critic((53, 53, 1)))[-1] == 1
    with pytest.raises(ValueError, match="at least 53"):
        wgan_gp.critic((52, 64, 1))


def test_parameters_for_cifar_are_those_of_the_paper_s_table(shapes_only):
    generator, critic = create_pair("wgan_gp_resnet", (32, 32, 3))
    one = conv(3, 128, 128)
    shortcut = conv(1, 128, 128)
    block = 2 * norm(128) + conv(3, 128, 128, bias=False) + one + shortcut
    start = (128 + 1) * 4 * 4 * 128
    made, scored = COUNTS["wgan_gp_resnet"][0].parameters
    counted = start + 3 * block + norm(128) + conv(3, 128, 3)
    assert trainable(generator) == counted == made
    first = conv(3, 3, 128) + one + conv(1, 3, 128)
    halving, staying = 2 * one + shortcut, 2 * one
    assert trainable(critic) == first + halving + 2 * staying + (128 + 1) == scored
    assert sides(generator) == [4, 8, 16, 32]
    assert sides(critic) == [32, 16, 8]


def test_parameters_at_64_are_those_of_the_authors_program(shapes_only):
    generator, critic = create_pair("wgan_gp_resnet", (64, 64, 3))

    def up(before, after):
        return (
            norm(before)
            + conv(3, before, after, bias=False)
            + norm(after)
            + conv(3, after, after)
            + conv(1, before, after)
        )

    def down(before, after):
        return (
            norm(before)
            + conv(3, before, before, bias=False)
            + norm(before)
            + conv(3, before, after)
            + conv(1, before, after)
        )

    start, end = (128 + 1) * 4 * 4 * 512, norm(64) + conv(3, 64, 3)
    blocks = up(512, 512) + up(512, 256) + up(256, 128) + up(128, 64)
    made, scored = COUNTS["wgan_gp_resnet"][1].parameters
    assert trainable(generator) == start + blocks + end == made
    blocks = down(64, 128) + down(128, 256) + down(256, 512) + down(512, 512)
    counted = conv(3, 3, 64) + blocks + (4 * 4 * 512 + 1)
    assert trainable(critic) == counted == scored
    assert sides(generator) == [4, 8, 16, 32, 64]
    assert sides(critic) == [64, 32, 16, 8, 4]


@pytest.mark.parametrize("side", [8, 16, 28, 48, 56, 96])
def test_other_sides_are_taken(side, shapes_only):
    generator, critic = create_pair("wgan_gp_resnet", (side, side, 1), filters=4)
    assert generator.output_shape == critic.input_shape == (None, side, side, 1)
    assert 4 <= sides(generator)[0] <= 7


def test_sides_that_do_not_halve_are_refused():
    for build in (wgan_gp_resnet.generator, wgan_gp_resnet.critic):
        with pytest.raises(ValueError, match=r"power of 2, .*got \(30, 32, 1\)"):
            build((30, 32, 1))


@pytest.mark.parametrize("side, name", [(64, "wgan_gp"), (32, "wgan_gp_resnet")])
def test_the_generator_has_batch_norm_and_the_critic_none(side, name, shapes_only):
    generator, critic = create_pair(name, (side, side, 3))
    assert has_batch_norm(generator)
    assert not has_batch_norm(critic)


def test_layer_norm_is_in_the_critic_of_large_images_alone(shapes_only):
    for side, count in ((32, 0), (64, 8)):
        _, critic = create_pair("wgan_gp_resnet", (side, side, 3), filters=8)
        norms = [
            layer
            for layer in critic.layers
            if isinstance(layer, keras.layers.GroupNormalization)
        ]
        assert len(norms) == count
        assert {layer.groups for layer in norms} <= {1}
