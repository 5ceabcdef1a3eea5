"""The autoencoders against their arithmetic, and under plain compile and fit."""

from itertools import pairwise

import keras
import numpy as np
import pytest

from classicnets.networks.autoencoder import autoencoder, conv_autoencoder
from classicnets.verification.anchors import COUNTS


def test_parameters_are_those_of_the_paper_s_layers(shapes_only):
    network = autoencoder((28, 28, 1))
    sizes = (784, 1000, 500, 250, 30, 250, 500, 1000, 784)
    count = sum((before + 1) * after for before, after in pairwise(sizes))
    (anchor,) = COUNTS["autoencoder"][0].parameters
    assert network.count_params() == count == anchor


def test_parameters_of_convolutions(shapes_only):
    network = conv_autoencoder((28, 28, 1))
    inward = (16 * 1 + 1) * 32 + (16 * 32 + 1) * 64  # 28 -> 14 -> 7
    code = (7 * 7 * 64 + 1) * 256 + (256 + 1) * 30
    back = (30 + 1) * 256 + (256 + 1) * 7 * 7 * 64
    outward = (16 * 64 + 1) * 32 + (16 * 32 + 1) * 1
    (anchor,) = COUNTS["conv_autoencoder"][0].parameters
    assert network.count_params() == inward + code + back + outward == anchor


@pytest.mark.parametrize(
    "build, options",
    [
        (autoencoder, {"hidden_units": (32, 16)}),
        (conv_autoencoder, {"filters": (8,), "hidden_units": (32,)}),
    ],
)
def test_digits_are_learned_under_plain_compile_and_fit(build, options, digits):
    keras.utils.set_random_seed(0)
    network = build((8, 8, 1), latent_size=8, **options)
    network.compile(
        keras.optimizers.Adam(1e-2),
        keras.losses.BinaryCrossentropy(from_logits=True),
    )
    fitted = network.fit(digits, digits, batch_size=64, epochs=10, verbose=0)
    # Better than the same picture, the mean, for every digit.
    mean = digits.mean(axis=0)
    odds = np.clip(mean, 1e-6, 1 - 1e-6)
    entropy = -(mean * np.log(odds) + (1 - mean) * np.log(1 - odds)).mean()
    assert fitted.history["loss"][0] > entropy > fitted.history["loss"][-1]


def test_the_sub_models_are_the_network():
    network = conv_autoencoder((8, 12, 3), filters=(4, 8), hidden_units=(16,))
    images = np.random.default_rng(0).random((2, 8, 12, 3)).astype("float32")
    codes = network.get_layer("encoder")(images)
    log_odds = network.get_layer("decoder")(codes)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(log_odds),
        keras.ops.convert_to_numpy(network(images)),
        atol=1e-6,
    )


def test_codes_are_linear_and_may_be_of_two_numbers():
    encoder = autoencoder((4, 4, 1), latent_size=2, hidden_units=()).get_layer(
        "encoder"
    )
    first, second = np.random.default_rng(0).random((2, 1, 4, 4, 1)).astype("float32")
    codes = [keras.ops.convert_to_numpy(encoder(x)) for x in (first, second)]
    middle = keras.ops.convert_to_numpy(encoder((first + second) / 2))
    assert middle.shape == (1, 2)
    np.testing.assert_allclose(middle, (codes[0] + codes[1]) / 2, atol=1e-6)


def test_sides_that_do_not_halve_are_refused():
    with pytest.raises(ValueError, match=r"multiples of 4, got \(30, 28, 1\)"):
        conv_autoencoder((30, 28, 1))
