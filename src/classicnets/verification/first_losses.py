"""The losses of a first step, before any update, by the equations in NumPy."""

from pathlib import Path
from typing import Any

import numpy as np

from classicnets import networks, streams
from classicnets.streams import Stream
from classicnets.verification import first_steps, outputs
from classicnets.verification.by_hand import ByHand

BATCH = first_steps.BATCH


def expected(member: str, folder: Path) -> dict[str, float]:
    """Return what `first_steps.take` must log for one step, by the log's name.

    Args:
        member: A key of `first_steps.MEMBERS`.
        folder: Where its images are.
    """
    chosen, splits, parts = first_steps.prepare(member, folder)
    hands = [ByHand(part, training=True) for part in parts]
    _, fixed = networks.find(member)
    functions = outputs.functions_of(member, splits.input_shape, fixed.get("depth", 0))
    forward: list[Any] = [
        lambda x, of=of, f=function, **more: f(of, x, **more)
        for of, function in zip(hands, functions)
    ]
    pixels = np.asarray(splits.train.inputs) / 255.0
    latent_size = chosen.network_options.get("latent_size", 100)
    shape: tuple[int, ...] = (BATCH, latent_size)
    if chosen.task == "generate":
        shape = (chosen.critic_steps + 1, *shape)
    noise = streams.normal(chosen.seed, Stream.NOISE, [0], shape)[0]
    if chosen.task == "classify":
        return _classify(forward[0], pixels, splits.train.labels[:BATCH])
    images = pixels[:BATCH].astype("float32")
    if chosen.task == "reconstruct":
        return _reconstruct(forward[0], images, noise, "vae" in member)
    if chosen.critic_steps > 1:
        return {}  # the logs are means over several updates
    real, fake = forward[1](2 * images - 1), forward[1](forward[0](noise[0]))
    if chosen.objective == "wgan_gp":
        return {"distance": real.mean() - fake.mean()}
    loss = np.logaddexp(0, -real).mean() + np.logaddexp(0, fake).mean()
    return {"critic_loss": loss}


def _classify(forward, pixels, labels) -> dict[str, float]:
    mean, deviation = pixels.mean(axis=(0, 1, 2)), pixels.std(axis=(0, 1, 2))
    logits = forward(((pixels[: len(labels)] - mean) / deviation).astype("float32"))
    own = logits[np.arange(len(labels)), labels]
    return {"loss": np.mean(np.logaddexp.reduce(logits, axis=1) - own)}


def _reconstruct(forward, images, noise, is_vae: bool) -> dict[str, float]:
    if is_vae:
        log_odds, mean, log_variance = forward(images, noise=noise)
        kl = (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(axis=1) / 2
    else:
        log_odds, kl = forward(images), np.zeros(BATCH)
    terms = np.logaddexp(0, log_odds) - images * log_odds
    reconstruction = terms.sum(axis=(1, 2, 3))
    found = {"loss": (reconstruction + kl).mean()}
    if is_vae:
        found |= {"reconstruction": reconstruction.mean(), "kl": kl.mean()}
    return found
