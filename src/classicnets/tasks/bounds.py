"""How likely a trained VAE finds images: the ELBO, and a tighter bound."""

from typing import Any

import keras
import numpy as np
from keras import ops

from classicnets import engine, judging, objectives
from classicnets.data import Rows
from classicnets.data.batches import in_batches
from classicnets.recipe import Recipe
from classicnets.tasks import draws
from classicnets.tasks.reconstruct import elbo_terms, reconstruction


def judge(
    network: keras.Model, recipe: Recipe, raw: np.ndarray | Rows, *, samples: int = 0
) -> dict[str, Any]:
    """Measure an autoencoder or a VAE on every image.

    Args:
        network: Takes images in [0, 1].
        recipe: How it was trained.
        raw: (n, height, width, channels) uint8.
        samples: Codes an image for the likelihood of binarised pixels; 0: leave it out.

    Returns:
        `examples`; `reconstruction` in nats an image; of a VAE also `kl` and `elbo`
        (their sum: the negative of the ELBO, as papers give it), with one code drawn an
        image, and `nll`, the negative importance-weighted bound, with its `protocol`.
    """
    bounds = _Bounds(network, recipe)
    seen = judging.binarize(raw, recipe.split_seed) if recipe.binarize else raw
    terms = bounds.terms(seen)
    found: dict[str, Any] = {"examples": len(raw)}
    found["reconstruction"] = float(terms[:, 0].mean())
    if not bounds.is_vae:
        return found
    found |= {"kl": float(terms[:, 1].mean()), "elbo": float(terms.sum(axis=1).mean())}
    if samples and recipe.objective == "bernoulli":
        drawn = judging.binarize(raw, recipe.split_seed)
        found |= {
            "nll": -float(bounds.importance_weighted(drawn, samples).mean()),
            "importance_samples": samples,
            "protocol": f"pixels drawn once as 0 or 1; {samples} codes an image",
        }
    return found


class _Bounds:
    """The compiled bounds of one network."""

    def __init__(self, network: keras.Model, recipe: Recipe):
        self.recipe = recipe
        self.is_vae = isinstance(network.output, dict)
        self.encoder, self.decoder = (
            engine.rebuild(part, part.input_shape[1:], recipe.fast_kernels)
            for part in (network.get_layer("encoder"), network.get_layer("decoder"))
        )
        self.latent_size = self.decoder.input_shape[-1]
        self._terms = engine.compile_function(self._terms_of, network.variables)
        self._weights = engine.compile_function(self._weights_of, network.variables)

    def terms(self, raw):
        """Return reconstruction and KL, (n, 2) nats."""
        return self._over(raw, self._terms, 1, self.recipe.evaluation_batch_size)[:, 0]

    def importance_weighted(self, raw, samples: int) -> np.ndarray:
        """Return the importance-weighted bound of log p(x), (n,) nats."""
        size = max(1, 10_000 // samples)  # images whose codes are decoded at a time
        return self._over(raw, self._weights, samples, size)

    def _over(self, raw, function, samples, size):
        seed, shape = self.recipe.split_seed, (samples, self.latent_size)

        def run(rows):
            noise = draws.normal(seed, draws.JUDGED, rows, shape)
            return function({}, {"raw": raw[rows], "noise": noise})

        return in_batches(run, np.arange(len(raw)), min(size, len(raw)))

    def _terms_of(self, arrays, batch):
        images = ops.cast(batch["raw"], "float32") / 255.0
        parts, noise = (self.encoder, self.decoder), batch["noise"][:, 0]
        terms = elbo_terms(self.recipe, *parts, images, noise, training=False)
        return ops.stack(terms, axis=-1)[:, None]

    def _weights_of(self, arrays, batch):
        """Return log of the mean of p(x|z) p(z) / q(z|x) over the codes, (batch,)."""
        images = ops.cast(batch["raw"], "float32") / 255.0
        noise = ops.transpose(batch["noise"], (1, 0, 2))  # (samples, batch, latent)
        samples, count = noise.shape[0], ops.shape(images)[0]
        mean, log_variance = self.encoder(images, training=False)
        codes = objectives.draw_code(mean, log_variance, noise)
        flat = ops.reshape(codes, (-1, self.latent_size))
        repeated = ops.tile(images, (samples, *(1,) * (len(images.shape) - 1)))
        log_odds = self.decoder(flat, training=False)
        log_likelihood = -reconstruction(self.recipe, log_odds, repeated)
        log_prior = objectives.log_standard_normal(flat)
        # q(z|x) = N(noise) / deviation
        log_posterior = objectives.log_standard_normal(
            ops.reshape(noise, (-1, self.latent_size))
        )
        log_weights = ops.reshape(
            log_likelihood + log_prior - log_posterior, (samples, count)
        ) + 0.5 * ops.sum(log_variance, axis=-1)
        return objectives.importance_weighted_bound(log_weights)
