"""Losses as pure functions, in nats or in units of the scores.

Those of an image return one number per example, (batch,); the others a scalar, averaged
over the batch. All are computed in float32.
"""

import math
from typing import Any

from keras import ops

from classicnets import engine


def cross_entropy(logits: Any, targets: Any, weights: Any = 1.0) -> Any:
    """Return the cross-entropy of the softmax, in nats.

    Args:
        logits: (batch, classes), float32.
        targets: (batch, classes), each row a distribution over the classes.
        weights: (batch,), of the examples; the sum is divided by their number.
    """
    log_probabilities = ops.log_softmax(logits, axis=-1)
    return -ops.mean(weights * ops.sum(targets * log_probabilities, axis=-1))


def smooth(targets: Any, amount: float) -> Any:
    """Move `amount` of each target evenly to all classes (1512.00567, section 7)."""
    return targets * (1.0 - amount) + amount / targets.shape[-1]


def squared_error(values: Any, targets: Any) -> Any:
    """Return the mean squared error.

    Args:
        values: (batch, 1), float32.
        targets: The same shape.
    """
    return ops.mean(ops.square(values - targets))


def binary_cross_entropy(logits: Any, targets: Any) -> Any:
    """Return the cross-entropy of the sigmoids, summed over labels, in nats.

    A mean over labels would learn each of them as many times slower as there are: at
    rates that suit a softmax, pairs of digits came to a mean average precision of 0.72
    in ten epochs, and to 0.997 by the sum.

    Args:
        logits: (batch, classes), float32.
        targets: The same shape, in [0, 1].
    """
    # log(1 + e^a) - a x, which is safe for large a of either sign.
    return ops.mean(ops.sum(ops.softplus(logits) - logits * targets, axis=-1))


# -- autoencoder and VAE (Kingma & Welling 2013, 1312.6114) ----------------------------


def bernoulli_reconstruction(log_odds: Any, images: Any) -> Any:
    """Return -log p(x|z) of pixels that are on with some odds, summed: (batch,) nats.

    For grey pixels it is the cross-entropy of two coins; its minimum is then not 0.

    Args:
        log_odds: (batch, ...).
        images: The same shape, in [0, 1].
    """
    log_odds, images = _flat(ops.cast(log_odds, "float32")), _flat(images)
    # log(1 + e^a) - a x, which is safe for large a of either sign.
    return ops.sum(ops.softplus(log_odds) - log_odds * images, axis=-1)


def gaussian_reconstruction(means: Any, images: Any, deviation: float = 1.0) -> Any:
    """Return -log p(x|z) of pixels normal around the means, summed: (batch,) nats.

    Args:
        means: (batch, ...).
        images: The same shape.
        deviation: Of every pixel, in the unit of the images.
    """
    means, images = _flat(ops.cast(means, "float32")), _flat(images)
    errors = (means - images) / deviation
    constant = math.log(deviation) + 0.5 * math.log(2.0 * math.pi)
    return ops.sum(0.5 * ops.square(errors) + constant, axis=-1)


def gaussian_pixels(log_odds: Any, images: Any) -> Any:
    """Return `gaussian_reconstruction` of means in [0, 1], as log-odds: (batch,) nats.

    Args:
        log_odds: (batch, ...).
        images: The same shape, in [0, 1].
    """
    means = ops.sigmoid(ops.cast(log_odds, "float32"))
    return gaussian_reconstruction(means, images)


def kl_to_standard_normal(mean: Any, log_variance: Any) -> Any:
    """Return KL(N(mean, variance) || N(0, 1)), (batch,) nats (appendix B).

    Args:
        mean, log_variance: (batch, latent_size).
    """
    mean, log_variance = ops.cast(mean, "float32"), ops.cast(log_variance, "float32")
    return 0.5 * ops.sum(
        ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance, axis=-1
    )


def draw_code(mean: Any, log_variance: Any, noise: Any) -> Any:
    """Return mean + deviation * noise: gradients pass through it (section 2.4).

    Args:
        mean, log_variance: (batch, latent_size).
        noise: The same shape, from N(0, 1).
    """
    return mean + ops.exp(0.5 * log_variance) * ops.cast(noise, mean.dtype)


def log_standard_normal(codes: Any) -> Any:
    """Return log N(codes; 0, 1), (batch,) nats."""
    return -gaussian_reconstruction(ops.zeros_like(codes), codes)


def importance_weighted_bound(log_weights: Any) -> Any:
    """Return log of the mean weight, (batch,): at most log p(x) (1509.00519, eq. 8).

    Args:
        log_weights: (k, batch), log p(x|z) + log p(z) - log q(z|x) of k draws. With
            k = 1 the result is the ELBO of that draw.
    """
    return ops.logsumexp(log_weights, axis=0) - math.log(log_weights.shape[0])


# -- adversarial -----------------------------------------------------------------------


def gan_discriminator(real_scores: Any, fake_scores: Any) -> Any:
    """Return -(E[log D(x)] + E[log(1 - D(G(z)))]), D = sigmoid (1406.2661, eq. 1).

    Args:
        real_scores, fake_scores: (batch, 1), log-odds of being real.
    """
    return ops.mean(ops.softplus(-real_scores)) + ops.mean(ops.softplus(fake_scores))


def gan_generator(fake_scores: Any) -> Any:
    """Return -E[log D(G(z))], which does not saturate (1406.2661, section 3)."""
    return ops.mean(ops.softplus(-fake_scores))


def gan_saturating_generator(fake_scores: Any) -> Any:
    """Return E[log(1 - D(G(z)))], the game's own (1406.2661, eq. 1)."""
    return -ops.mean(ops.softplus(fake_scores))


def wasserstein_distance(real_scores: Any, fake_scores: Any) -> Any:
    """Return E[f(x)] - E[f(G(z))] (1701.07875, eq. 2)."""
    return ops.mean(real_scores) - ops.mean(fake_scores)


def wasserstein_critic(real_scores: Any, fake_scores: Any) -> Any:
    """Return E[f(G(z))] - E[f(x)], which the critic minimizes (1701.07875, eq. 2)."""
    return -wasserstein_distance(real_scores, fake_scores)


def wasserstein_generator(fake_scores: Any) -> Any:
    """Return -E[f(G(z))] (1701.07875, algorithm 1)."""
    return -ops.mean(fake_scores)


def gradient_penalty(critic: Any, real: Any, fake: Any, mix: Any) -> Any:
    """Return the mean of (the critic's gradient norm - 1)^2 (1704.00028, eq. 3).

    Args:
        critic: From images to scores (batch, 1); an image's score must depend on that
            image alone, so no batch normalization (section 4).
        real, fake: (batch, height, width, channels), float32.
        mix: (batch,), drawn from U[0, 1]: the place between them, one per example.
    """
    mix = ops.reshape(mix, (-1,) + (1,) * (len(real.shape) - 1))
    between = mix * real + (1.0 - mix) * fake
    gradients = engine.input_gradients(critic, between)
    squared_norms = ops.sum(ops.square(_flat(gradients)), axis=-1)
    norms = ops.sqrt(squared_norms + 1e-12)  # sqrt has no gradient at 0
    return ops.mean(ops.square(norms - 1.0))


def _flat(x: Any) -> Any:
    """Put the numbers of an example in a row: XLA on a CPU computes along the last
    axis, whose length is 1 in a grey image."""
    return ops.reshape(x, (-1, math.prod(x.shape[1:])))
