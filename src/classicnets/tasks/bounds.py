"""How autoencoders and VAEs are judged: the terms of the ELBO, and a tighter bound."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from classicnets import engine, objectives, streams
from classicnets.data import Rows
from classicnets.data.batches import in_batches
from classicnets.recipe import Recipe
from classicnets.streams import Stream
from classicnets.tasks.judging import binarize


class Bounds:
    """The bounds of one network, compiled when they are first asked for.

    It judges a network that learns, after every epoch, and one that has learned.
    """

    def __init__(
        self,
        network: keras.Model,
        recipe: Recipe,
        state: Sequence[keras.Variable] | None = None,
    ):
        """Take a network as it is.

        Args:
            network: Takes images in [0, 1]; its layers "encoder" and "decoder" are
                networks.
            recipe: How it learns.
            state: Its variables, and those of its training if it still learns.
        """
        self.recipe = recipe
        self.is_vae = isinstance(network.output, dict)
        self.encoder, self.decoder = (
            engine.rebuild(part, part.input_shape[1:], recipe.fast_kernels)
            for part in (network.get_layer("encoder"), network.get_layer("decoder"))
        )
        self.latent_size = self.decoder.input_shape[-1]
        state = network.variables if state is None else state
        self._terms = engine.compile_function(self._terms_of, state)
        self._weights = engine.compile_function(self._weights_of, state)

    def judge(
        self,
        raw: np.ndarray | Rows,
        *,
        terms: np.ndarray | None = None,
        samples: int = 0,
    ) -> dict[str, Any]:
        """Measure the network on every image.

        Args:
            raw: (n, height, width, channels) uint8.
            terms: What `terms` returned for them; None: it is asked.
            samples: Codes per image for the likelihood of binarised pixels; 0: leave it
                out.

        Returns:
            `examples`; `reconstruction` in nats per image; of a VAE also `kl` and
            `elbo` (their sum: the negative of the ELBO, as papers give it), with one
            code drawn per image, and `nll`, the negative importance-weighted bound,
            with its `protocol`.
        """
        terms = self.terms(raw) if terms is None else terms
        measures: dict[str, Any] = {"examples": len(raw)}
        measures["reconstruction"] = float(terms[:, 0].mean())
        if not self.is_vae:
            return measures
        measures["kl"] = float(terms[:, 1].mean())
        measures["elbo"] = float(terms.sum(axis=1).mean())
        if samples and self.recipe.objective == "bernoulli":
            binary = binarize(raw, self.recipe.split_seed)
            bound = self._over(binary, self._weights, samples, 10_000 // samples)
            measures |= {
                "nll": -float(bound.mean()),
                "importance_samples": samples,
                "protocol": f"pixels drawn once as 0 or 1; {samples} codes per image",
            }
        return measures

    def terms(self, raw: np.ndarray | Rows) -> np.ndarray:
        """Return reconstruction and KL (n, 2), in nats, of images uint8.

        The code of an image is drawn once, alike in every epoch and for every seed.
        """
        size = self.recipe.evaluation_batch_size
        images = binarize(raw, self.recipe.split_seed) if self.recipe.binarize else raw
        return self._over(images, self._terms, 1, size)[:, 0]

    def elbo_terms(self, images: Any, noise: Any, *, training: bool) -> tuple[Any, Any]:
        """Return reconstruction and KL, each (batch,) nats; 0 for an autoencoder's KL.

        Args:
            images: (batch, height, width, channels) in [0, 1].
            noise: (batch, latent_size), from N(0, 1); only a VAE takes it.
            training: Whether the network is learning.
        """
        code = self.encoder(images, training=training)
        if self.is_vae:
            mean, log_variance = code
            kl = objectives.kl_to_standard_normal(mean, log_variance)
            code = objectives.draw_code(mean, log_variance, noise)
        else:
            kl = ops.zeros((ops.shape(images)[0],))
        return self._reconstruction(self.decoder(code, training=training), images), kl

    def _reconstruction(self, log_odds: Any, images: Any) -> Any:
        """Return -log p(x|z) of the recipe's objective, (batch,) nats."""
        (loss,) = self.recipe.kind.objectives[self.recipe.objective].losses
        return getattr(objectives, loss)(log_odds, images)

    def _over(
        self, raw: np.ndarray | Rows, function: Callable, samples: int, size: int
    ) -> np.ndarray:
        """Apply a compiled bound to batches of images with noise of their own."""
        seed, shape = self.recipe.split_seed, (samples, self.latent_size)

        def run(rows: np.ndarray) -> np.ndarray:
            noise = streams.normal(seed, Stream.SCORES, rows, shape)
            return function({}, {"raw": raw[rows], "noise": noise})

        return in_batches(run, np.arange(len(raw)), min(max(size, 1), len(raw)))

    def _terms_of(self, arrays: dict, batch: dict) -> Any:
        images = ops.cast(batch["raw"], "float32") / 255.0
        terms = self.elbo_terms(images, batch["noise"][:, 0], training=False)
        return ops.stack(terms, axis=-1)[:, None]

    def _weights_of(self, arrays: dict, batch: dict) -> Any:
        """Return log of the mean of p(x|z) p(z) / q(z|x) over the codes, (batch,)."""
        images = ops.cast(batch["raw"], "float32") / 255.0
        noise = ops.transpose(batch["noise"], (1, 0, 2))  # (samples, batch, latent)
        samples, count = noise.shape[0], ops.shape(images)[0]
        mean, log_variance = self.encoder(images, training=False)
        codes = objectives.draw_code(mean, log_variance, noise)
        flat = ops.reshape(codes, (-1, self.latent_size))
        repeated = ops.tile(images, (samples, *(1,) * (len(images.shape) - 1)))
        log_odds = self.decoder(flat, training=False)
        log_likelihood = -self._reconstruction(log_odds, repeated)
        log_prior = objectives.log_standard_normal(flat)
        # q(z|x) = N(noise) / deviation
        log_posterior = objectives.log_standard_normal(
            ops.reshape(noise, (-1, self.latent_size))
        )
        log_weights = ops.reshape(
            log_likelihood + log_prior - log_posterior, (samples, count)
        ) + 0.5 * ops.sum(log_variance, axis=-1)
        return objectives.importance_weighted_bound(log_weights)
