"""The VAE: its parameters, its draws, and plain compile and fit."""

import keras
import numpy as np
import pytest
from keras import ops

from classicnets.networks.vae import conv_vae, vae
from classicnets.verification.anchors import COUNTS


def kl(_, posterior):
    """KL to N(0, 1), nats an image, of mean and log variance side by side."""
    mean, log_variance = ops.split(posterior, 2, axis=-1)
    terms = ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance
    return 0.5 * ops.sum(terms, axis=-1)


def reconstruction(images, log_odds):
    """-log p(x|z), nats an image."""
    terms = ops.softplus(log_odds) - images * log_odds
    return ops.sum(terms, axis=(1, 2, 3))


@pytest.mark.parametrize(
    "build, options, count",
    [
        (vae, {}, COUNTS["vae"][0].parameters[0]),
        # (784 + 1) 128 + 2 (128 + 1) 20 + (20 + 1) 128 + (128 + 1) 784
        (vae, {"hidden_units": (128,)}, 209_464),
        (conv_vae, {}, COUNTS["conv_vae"][0].parameters[0]),
    ],
)
def test_parameters(build, options, count, shapes_only):
    assert build((28, 28, 1), **options).count_params() == count


@pytest.mark.parametrize(
    "build, options",
    [
        (vae, {"hidden_units": (64,)}),
        (conv_vae, {"filters": (8,), "hidden_units": (32,)}),
    ],
)
def test_digits_are_learned_under_plain_compile_and_fit(build, options, digits):
    keras.utils.set_random_seed(0)
    network = build((8, 8, 1), latent_size=4, **options)
    network.compile(
        keras.optimizers.Adam(1e-2), {"log_odds": reconstruction, "posterior": kl}
    )
    targets = {"log_odds": digits, "posterior": digits}
    history = network.fit(digits, targets, batch_size=64, epochs=5, verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    # Before any step it is about 64 ln 2 = 44.4 nats an image.
    assert history["loss"][-1] < 35
    assert history["posterior_loss"][-1] > 0.1  # the code says something


def identity_vae(mean, log_variance):
    """A VAE of 2x2 images with a given posterior and the identity as its decoder."""
    network = vae((2, 2, 1), latent_size=4, hidden_units=())
    zeros = np.zeros((4, 4), "float32")
    encoder, decoder = network.get_layer("encoder"), network.get_layer("decoder")
    encoder.get_layer("mean").set_weights([zeros, np.array(mean)])
    encoder.get_layer("log_variance").set_weights([zeros, np.array(log_variance)])
    decoder.get_layer("pixels").set_weights([np.eye(4), zeros[0]])
    return network


def test_codes_are_drawn_from_the_posterior_in_training():
    keras.utils.set_random_seed(0)
    mean, log_variance = [-1.0, 0.0, 0.5, 2.0], [-4.0, 0.0, 1.0, -1.0]
    network = identity_vae(mean, log_variance)
    images = np.zeros((20_000, 2, 2, 1), "float32")
    outputs = network(images, training=True)
    codes = ops.convert_to_numpy(outputs["log_odds"]).reshape(-1, 4)
    deviation = np.exp(np.array(log_variance) / 2)
    # Standard errors are deviation / sqrt(20,000), that is 0.007 of it, or less.
    np.testing.assert_allclose(codes.mean(axis=0), mean, atol=0.04 * deviation.max())
    np.testing.assert_allclose(codes.std(axis=0), deviation, rtol=0.04)
    correlations = np.corrcoef(codes.T) - np.eye(4)
    assert np.abs(correlations).max() < 0.04
    again = network(images, training=True)["log_odds"]
    assert not np.array_equal(ops.convert_to_numpy(again).reshape(-1, 4), codes)


def test_the_code_is_the_mean_outside_training():
    network = identity_vae([-1.0, 0.0, 0.5, 2.0], [0.0, 1.0, 2.0, 3.0])
    outputs = network(np.zeros((1, 2, 2, 1), "float32"), training=False)
    codes = ops.convert_to_numpy(outputs["log_odds"]).ravel()
    np.testing.assert_allclose(codes, [-1.0, 0.0, 0.5, 2.0])


def test_the_posterior_is_what_the_encoder_says():
    keras.utils.set_random_seed(0)
    network = vae((4, 4, 1), latent_size=3, hidden_units=(8,))
    images = np.random.default_rng(0).random((2, 4, 4, 1)).astype("float32")
    mean, log_variance = network.get_layer("encoder")(images)
    posterior = network(images, training=True)["posterior"]
    result = ops.convert_to_numpy(posterior)
    np.testing.assert_allclose(result[:, :3], ops.convert_to_numpy(mean), atol=1e-6)
    expected = ops.convert_to_numpy(log_variance)
    np.testing.assert_allclose(result[:, 3:], expected, atol=1e-6)
    assert not np.allclose(result[:, :3], result[:, 3:])  # two layers, not one


def test_sides_that_do_not_halve_are_refused():
    with pytest.raises(ValueError, match=r"multiples of 4, got \(28, 30, 1\)"):
        conv_vae((28, 30, 1))
