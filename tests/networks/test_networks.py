"""Networks by name."""

import pytest

from classicnets.errors import UserError
from classicnets.networks import NETWORKS, create, network_options


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
