"""Networks by name."""

import inspect
import math
import sys
import types

import keras
import pytest

from classicnets import networks
from classicnets.errors import UserError
from classicnets.networks import (
    NETWORKS,
    PAIRS,
    create,
    create_pair,
    find,
    has_batch_norm,
    network_options,
)


def test_an_unknown_network_names_the_nearest():
    with pytest.raises(UserError, match=r"got 'resnet19'\. Did you mean 'resnet1"):
        create("resnet19", (32, 32, 3), 10)


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(UserError, match=r"'dropuot'\. Did you mean 'dropout'"):
        create("vgg16", (32, 32, 3), 10, dropuot=0.1)


def test_what_the_name_decides_is_no_option():
    with pytest.raises(UserError, match="resnet18 has no option 'depth'"):
        create("resnet18", (32, 32, 3), 10, depth=34)


def test_a_network_without_options_says_so():
    with pytest.raises(UserError, match="It has no options"):
        create("resnet20", (32, 32, 3), 10, stem="small")


def test_an_input_shape_has_three_numbers():
    with pytest.raises(UserError, match="height, width, channels"):
        create("resnet20", (32, 32), 10)


@pytest.mark.parametrize("name", NETWORKS)
def test_options_leave_out_what_the_name_decides(name):
    assert not {"depth", "batch_norm"} & network_options(name).keys()


@pytest.mark.parametrize("name", ["autoencoder", "conv_vae"])
def test_what_has_no_classes_is_built_without_them(name, shapes_only):
    assert create(name, (8, 8, 1)).name == name
    assert create(name, (8, 8, 1), 10).name == name


def test_options_reach_the_network_of_a_pair_that_takes_them(shapes_only):
    generator, critic = create_pair(
        "dcgan", (32, 32, 3), filters=8, latent_size=5, normalization="none"
    )
    assert generator.input_shape == (None, 5)
    assert generator.get_layer("up2").filters == 8
    assert critic.get_layer("conv1").filters == 8
    assert not has_batch_norm(critic)


@pytest.mark.parametrize("name", PAIRS)
def test_an_option_of_both_networks_has_one_default(name):
    module = networks._module(PAIRS[name][0])
    defaults = {}
    for function in PAIRS[name][1:]:
        for key, value in inspect.signature(
            getattr(module, function)
        ).parameters.items():
            if key != "image_shape":
                assert defaults.setdefault(key, value.default) == value.default
    assert network_options(name) == defaults
    assert find(name) == (PAIRS[name][0], {})


@pytest.mark.parametrize(
    "build, name, message",
    [
        (create, "dcgan", "dcgan is two networks: create_pair builds them"),
        (create_pair, "vae", "vae is one network: create builds it"),
        (create_pair, "dcgam", r"got 'dcgam'\. Did you mean 'dcgan'"),
    ],
)
def test_one_network_is_not_two(build, name, message):
    with pytest.raises(UserError, match=message):
        build(name, (32, 32, 3))


def test_an_unknown_option_of_a_pair_names_the_nearest():
    with pytest.raises(UserError, match=r"dcgan has no option 'filter'\. .*'filters'"):
        create_pair("dcgan", (32, 32, 3), filter=32)


def test_images_of_a_pair_have_three_numbers():
    with pytest.raises(UserError, match="dcgan takes images"):
        create_pair("dcgan", (32, 32))


def test_networks_that_do_not_fit_are_refused(monkeypatch):
    """A pair that someone adds, whose generator makes other images than asked for."""
    odd = types.ModuleType("odd")
    odd.generator = lambda shape: keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(16), keras.layers.Reshape((4, 4, 1))]
    )
    odd.critic = lambda shape: keras.Sequential(
        [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    monkeypatch.setitem(sys.modules, "classicnets.networks.odd", odd)
    monkeypatch.setitem(PAIRS, "odd", ("odd", "generator", "critic"))
    message = r"makes images of \(4, 4, 1\), the critic takes \(8, 8, 1\)"
    with pytest.raises(UserError, match=message):
        create_pair("odd", (8, 8, 1))
    create_pair("odd", (4, 4, 1))


def test_batch_norm_is_found_in_models_within_models():
    norm = keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization()])
    outer = keras.Sequential([keras.Input((2,)), keras.Sequential([norm])])
    assert has_batch_norm(outer)
    dense = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    assert not has_batch_norm(keras.Sequential([keras.Input((2,)), dense]))


WRONG = {
    bool: ["no", 1, None],
    int: [0, -1, 2.5, "3", True, 10**12, None],
    float: [1.5, -0.1, "a", True, math.nan, None],
    str: [3, None, True],
}


@pytest.mark.parametrize("network", [*networks.NETWORKS, *networks.PAIRS])
def test_every_option_refuses_other_values_in_one_line(network):
    defaults = networks.network_options(network)
    networks.check_options(network, defaults)
    tried = 0
    for option, default in defaults.items():
        if isinstance(default, tuple):
            wrong = [5, "a", [[1]], [0], ["b"], [1] * 200]
        else:
            wrong = list(WRONG.get(type(default), [0, "a", 2.5]))
            if option == "epsilon":
                wrong.remove(1.5)
            if option == "votes":
                wrong.remove(0)
        for value in wrong:
            with pytest.raises(UserError, match=f"^{option} must (be|have)") as raised:
                networks.check_options(network, {option: value})
            assert "\n" not in str(raised.value)
            tried += 1
    assert tried >= 3 * len(defaults)
