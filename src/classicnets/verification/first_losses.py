"""The losses of a first step, before any update, by the equations in NumPy."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from classicnets import networks, streams
from classicnets.streams import Stream
from classicnets.verification import first_steps
from classicnets.verification.by_hand import ByHand
from classicnets.verification.outputs import FUNCTIONS


def expected(member: str, folder: Path) -> dict[str, float]:
    """Return what `first_steps.take` must log for one step, by the log's name.

    Args:
        member: A network that takes its first steps.
        folder: Where its images are.
    """
    recipe, splits, parts = first_steps.prepare(member, folder)
    family, fixed = networks.find(member)
    forward: list[Callable[..., Any]] = [
        functools.partial(
            function, ByHand(part, shape=splits.input_shape, training=True), **fixed
        )
        for function, part in zip(FUNCTIONS.get(family, ()), parts)
    ]
    if not forward:
        return {}
    pixels, size = np.asarray(splits.train.inputs) / 255.0, recipe.batch_size
    if recipe.kind.labelled:
        return _cross_entropy(forward[0], pixels, splits.train.labels[:size])
    images = pixels[:size].astype("float32")
    if recipe.kind.reconstructs:
        latent_size = parts[0].get_layer("decoder").input_shape[-1]
        noise = _noise(recipe.seed, (size, latent_size))
        if not recipe.kind.samples_from:
            return {"loss": _bernoulli(forward[0](images), images).mean()}
        return _elbo(*forward[0](images, noise=noise), images=images)
    if recipe.critic_steps > 1:
        return {}  # the logs are means over several updates
    noise = _noise(recipe.seed, (2, size, parts[0].input_shape[-1]))
    real, fake = forward[1](2 * images - 1), forward[1](forward[0](noise[0]))
    if "distance" in recipe.kind.objectives[recipe.objective].logs:
        return {"distance": real.mean() - fake.mean()}
    loss = np.logaddexp(0, -real).mean() + np.logaddexp(0, fake).mean()
    return {"critic_loss": loss}


def _noise(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return streams.normal(seed, Stream.NOISE, [0], shape)[0]


def _cross_entropy(
    forward: Callable[..., Any], pixels: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    mean, deviation = pixels.mean(axis=(0, 1, 2)), pixels.std(axis=(0, 1, 2))
    logits = forward(((pixels[: len(labels)] - mean) / deviation).astype("float32"))
    own = logits[np.arange(len(labels)), labels]
    return {"loss": np.mean(np.logaddexp.reduce(logits, axis=1) - own)}


def _bernoulli(log_odds: np.ndarray, images: np.ndarray) -> np.ndarray:
    terms = np.logaddexp(0, log_odds) - images * log_odds
    return terms.sum(axis=(1, 2, 3))


def _elbo(
    log_odds: np.ndarray,
    mean: np.ndarray,
    log_variance: np.ndarray,
    *,
    images: np.ndarray,
) -> dict[str, float]:
    kl = (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(axis=1) / 2
    reconstruction = _bernoulli(log_odds, images)
    return {
        "loss": (reconstruction + kl).mean(),
        "reconstruction": reconstruction.mean(),
        "kl": kl.mean(),
    }
