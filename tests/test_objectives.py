"""Losses, against their formulas."""

import numpy as np
import pytest
from keras import ops

from classicnets import objectives
from classicnets.tasks.heads import class_weights


def test_cross_entropy_of_even_logits_is_the_logarithm_of_the_classes():
    logits = ops.zeros((4, 100))
    targets = ops.one_hot(ops.convert_to_tensor([1, 5, 7, 99]), 100)
    loss = objectives.cross_entropy(logits, targets)
    assert float(ops.convert_to_numpy(loss)) == pytest.approx(np.log(100))


def test_cross_entropy_survives_large_logits():
    logits = ops.convert_to_tensor([[1000.0, 0.0], [0.0, 1000.0]])
    targets = ops.convert_to_tensor([[1.0, 0.0], [1.0, 0.0]])
    loss = objectives.cross_entropy(logits, targets)
    assert float(ops.convert_to_numpy(loss)) == pytest.approx(500.0)


def test_the_weights_of_classes_are_those_of_scikit_learn_with_mean_1():
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.repeat([0, 1, 2], [100, 10, 7]).astype("int32")
    weights = class_weights(labels, 3)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert weights[labels].mean() == pytest.approx(1.0)
    # Of a class that has no examples to train on, nothing is said.
    np.testing.assert_allclose(class_weights(labels, 4), [*expected, 0], rtol=1e-6)


def test_a_weighted_cross_entropy_is_that_of_scikit_learn():
    from sklearn.metrics import log_loss

    (logits,) = tensors((6, 3))
    weights = np.float32([1, 2, 0, 3, 0.5, 1.5])
    labels = np.int32([0, 2, 1, 1, 0, 2])
    targets = np.eye(3, dtype="float32")[labels]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    total = log_loss(labels, p, sample_weight=weights, normalize=False)
    loss = call(objectives.cross_entropy, logits, targets, weights)
    assert float(loss) == pytest.approx(total / 6, rel=1e-5)


def test_smoothed_targets_are_a_distribution_with_the_amount_spread_evenly():
    smoothed = objectives.smooth(ops.convert_to_tensor(np.eye(5, dtype="float32")), 0.1)
    expected = np.full((5, 5), 0.02) + 0.9 * np.eye(5)
    np.testing.assert_allclose(ops.convert_to_numpy(smoothed), expected, rtol=1e-6)


# -- autoencoder and VAE ---------------------------------------------------------------


def to_numpy(value):
    return ops.convert_to_numpy(value)


def call(objective, *arrays):
    """Apply an objective to NumPy arrays, which PyTorch's tensors do not mix with."""
    return to_numpy(objective(*map(ops.convert_to_tensor, arrays)))


def tensors(*shapes, seed=0):
    random = np.random.default_rng(seed)
    return [random.normal(size=shape).astype("float32") for shape in shapes]


def test_bernoulli_reconstruction_is_the_cross_entropy_of_each_pixel_summed():
    (log_odds,) = tensors((3, 4, 5, 1))
    images = np.random.default_rng(1).random((3, 4, 5, 1), dtype="float32")
    p = 1.0 / (1.0 + np.exp(-log_odds.astype("float64")))
    expected = -(images * np.log(p) + (1 - images) * np.log(1 - p)).sum(axis=(1, 2, 3))
    result = call(objectives.bernoulli_reconstruction, log_odds, images)
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_bernoulli_reconstruction_survives_certain_pixels():
    log_odds = ops.convert_to_tensor([[1000.0, -1000.0], [1000.0, -1000.0]])
    images = ops.convert_to_tensor([[1.0, 0.0], [0.0, 0.0]])
    result = to_numpy(objectives.bernoulli_reconstruction(log_odds, images))
    np.testing.assert_allclose(result, [0.0, 1000.0])


def test_gaussian_reconstruction_is_the_normal_density():
    means, images = tensors((2, 3), (2, 3))
    deviation = 0.5
    density = np.exp(-0.5 * ((images - means) / deviation) ** 2)
    density /= deviation * np.sqrt(2 * np.pi)
    result = call(
        lambda *both: objectives.gaussian_reconstruction(*both, deviation),
        means,
        images,
    )
    np.testing.assert_allclose(result, -np.log(density).sum(axis=1), rtol=1e-5)


def test_kl_is_zero_at_the_prior_and_matches_its_closed_form():
    zeros = np.zeros((2, 3), "float32")
    np.testing.assert_allclose(
        to_numpy(objectives.kl_to_standard_normal(zeros, zeros)), 0.0
    )
    # Of one number: (mean^2 + variance - 1 - log variance) / 2.
    mean, variance = np.array([[2.0]], "float32"), 0.25
    log_variance = np.full((1, 1), np.log(variance), "float32")
    result = call(objectives.kl_to_standard_normal, mean, log_variance)
    assert result[0] == pytest.approx((4.0 + variance - 1.0 - np.log(variance)) / 2)


def test_kl_is_the_mean_of_the_difference_of_log_densities():
    mean = np.array([[0.7, -1.2]], "float32")
    log_variance = np.array([[0.3, -0.8]], "float32")
    noise = np.random.default_rng(0).normal(size=(200_000, 2)).astype("float32")
    codes = call(objectives.draw_code, mean, log_variance, noise)
    log_q = (-0.5 * noise**2 - 0.5 * log_variance).sum(axis=1)
    log_p = (-0.5 * codes**2).sum(axis=1)
    result = call(objectives.kl_to_standard_normal, mean, log_variance)
    assert result[0] == pytest.approx((log_q - log_p).mean(), rel=0.01)


def bound_of(log_weights):
    return to_numpy(objectives.importance_weighted_bound(log_weights.astype("float32")))


def linear_gaussian(samples, mean, deviation, seed=0):
    """Return log weights (samples, n) of x, and the exact log p(x).

    z ~ N(0, 1) and x ~ N(z, noise^2), so that x ~ N(0, 1 + noise^2); q(z|x) is
    N(mean x, deviation^2), and right for mean 1 / (1 + noise^2).
    """
    noise, x = 0.5, np.array([-1.0, 0.0, 2.0])

    def log_normal(value, mean, variance):
        return -0.5 * (np.log(2 * np.pi * variance) + (value - mean) ** 2 / variance)

    z = mean * x + deviation * np.random.default_rng(seed).normal(size=(samples, 3))
    log_weights = log_normal(x, z, noise**2) + log_normal(z, 0.0, 1.0)
    log_weights -= log_normal(z, mean * x, deviation**2)
    return log_weights, log_normal(x, 0.0, 1 + noise**2)


def test_the_bound_is_exact_under_the_true_posterior():
    log_weights, exact = linear_gaussian(3, mean=0.8, deviation=np.sqrt(0.2))
    bound = bound_of(log_weights)
    np.testing.assert_allclose(bound, exact, rtol=1e-5)


def test_the_bound_rises_from_the_elbo_to_the_exact_value_with_more_samples():
    log_weights, exact = linear_gaussian(200_000, mean=0.6, deviation=0.7)
    # KL(q || p(z|x)) of two Gaussians.
    x = np.array([-1.0, 0.0, 2.0])
    gap = 0.5 * (0.49 / 0.2 - 1 - np.log(0.49 / 0.2) + (0.2 * x) ** 2 / 0.2)
    bounds = {}
    for k in (1, 10, 100):
        groups = np.swapaxes(log_weights.reshape(-1, k, 3), 0, 1).reshape(k, -1)
        bound = bound_of(groups).reshape(-1, 3)
        bounds[k] = bound.mean(axis=0)
    np.testing.assert_allclose(bounds[1], exact - gap, atol=0.05)
    assert (bounds[1] < bounds[10]).all()
    assert (bounds[10] < bounds[100]).all()
    bound = bound_of(log_weights)
    np.testing.assert_allclose(bound, exact, atol=0.01)


def test_the_bound_survives_weights_that_no_float_holds():
    log_weights = np.array([[-9000.0, 900.0], [-9000.0, -np.inf]], np.float32)
    expected = [-9000.0, 900.0 - np.log(2)]
    result = bound_of(log_weights)
    np.testing.assert_allclose(result, expected, rtol=1e-5)


# -- adversarial -----------------------------------------------------------------------


def test_an_undecided_discriminator_loses_the_logarithm_of_four():
    scores = np.zeros((5, 1), "float32")
    result = to_numpy(objectives.gan_discriminator(scores, scores))
    assert result == pytest.approx(np.log(4.0))


def test_the_losses_of_a_gan_are_those_of_its_probabilities():
    real, fake = tensors((6, 1), (6, 1))
    d_real, d_fake = (1.0 / (1.0 + np.exp(-scores)) for scores in (real, fake))
    expected = {
        objectives.gan_generator: -np.log(d_fake).mean(),
        objectives.gan_saturating_generator: np.log(1 - d_fake).mean(),
        objectives.wasserstein_generator: -fake.mean(),
    }
    for objective, value in expected.items():
        assert to_numpy(objective(fake)) == pytest.approx(value, rel=1e-5)
    both = -np.log(d_real).mean() - np.log(1 - d_fake).mean()
    assert to_numpy(objectives.gan_discriminator(real, fake)) == pytest.approx(
        both, rel=1e-5
    )
    distance = to_numpy(objectives.wasserstein_distance(real, fake))
    assert distance == pytest.approx(real.mean() - fake.mean(), rel=1e-5)


def linear_critic(weights):
    """f(x) = <w, x>, whose gradient is w everywhere."""
    weights = ops.convert_to_tensor(weights)
    return lambda images: ops.sum(images * weights, axis=(1, 2, 3))[:, None]


def penalty_of(critic, mix, shape=(7, 2, 2, 1)):
    real, fake = map(ops.convert_to_tensor, tensors(shape, shape))
    result = objectives.gradient_penalty(critic, real, fake, ops.convert_to_tensor(mix))
    return float(to_numpy(result))


def test_penalty_of_a_linear_critic_matches_its_closed_form():
    weights = np.array([3.0, 0.0, 0.0, 4.0], "float32").reshape(1, 2, 2, 1)
    mix = np.random.default_rng(0).random(7, dtype="float32")
    assert penalty_of(linear_critic(weights), mix) == pytest.approx(16.0, rel=1e-5)
    assert penalty_of(linear_critic(weights / 5.0), mix) == pytest.approx(0, abs=1e-6)


def test_penalty_is_measured_at_each_examples_own_place_between_real_and_fake():
    """f(x) = |x|^2 / 2 has the gradient x, so the norm is that of the mixed image."""
    mix = np.linspace(0.0, 1.0, 7, dtype="float32")
    real, fake = tensors((7, 2, 2, 1), (7, 2, 2, 1))
    between = mix[:, None, None, None] * real + (1 - mix)[:, None, None, None] * fake
    norms = np.sqrt((between**2).sum(axis=(1, 2, 3)))

    def critic(images):
        return 0.5 * ops.sum(ops.square(images), axis=(1, 2, 3))[:, None]

    expected = ((norms - 1.0) ** 2).mean()  # a norm an example, not one for the batch
    assert penalty_of(critic, mix) == pytest.approx(expected, rel=1e-5)


def test_penalty_of_a_flat_critic_is_one_and_has_a_gradient():
    flat = linear_critic(np.zeros((1, 2, 2, 1), "float32"))
    assert penalty_of(flat, np.full(7, 0.5, "float32")) == pytest.approx(1, abs=1e-5)
