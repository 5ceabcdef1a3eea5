"""A VAE in JAX without a library: one jitted step that takes its state and gives it."""

import functools
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from benchmarks.shapes import ADAM_RATE, LATENT_SIZE, VAE_UNITS
from benchmarks.worker import Job, Turns

SHAPES = {
    "encoder": (784, VAE_UNITS),
    "mean": (VAE_UNITS, LATENT_SIZE),
    "log_variance": (VAE_UNITS, LATENT_SIZE),
    "hidden": (LATENT_SIZE, VAE_UNITS),
    "pixels": (VAE_UNITS, 784),
}


def start(key: Any) -> Any:
    keys = jax.random.split(key, len(SHAPES))
    glorot = jax.nn.initializers.glorot_uniform()
    return {
        name: (glorot(key, shape), jnp.zeros(shape[1]))
        for key, (name, shape) in zip(keys, SHAPES.items())
    }


def dense(layer: Any, x: Any) -> Any:
    weights, bias = layer
    return x @ weights + bias


def encode(weights: Any, x: Any) -> Any:
    h = jax.nn.relu(dense(weights["encoder"], x))
    return dense(weights["mean"], h), dense(weights["log_variance"], h)


def decode(weights: Any, z: Any) -> Any:
    return dense(weights["pixels"], jax.nn.relu(dense(weights["hidden"], z)))


def negative_elbo(weights: Any, x: Any, key: Any) -> Any:
    mean, log_variance = encode(weights, x)
    z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)
    log_odds = decode(weights, z)
    reconstruction = jnp.sum(jax.nn.softplus(log_odds) - x * log_odds)
    kl = -0.5 * jnp.sum(1 + log_variance - mean**2 - jnp.exp(log_variance))
    return (reconstruction + kl) / len(x)


@functools.partial(jax.jit, donate_argnums=0)
def step(state: Any, images: Any, index: Any, key: Any) -> Any:
    weights, first, second, count = state
    x = images[index].astype("float32") / 255.0
    loss, gradients = jax.value_and_grad(negative_elbo)(
        weights, x, jax.random.fold_in(key, count)
    )
    count = count + 1
    # Adam with its usual betas.
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, second, gradients)
    rate = ADAM_RATE * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
    weights = jax.tree.map(
        lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-8), weights, first, second
    )
    return (weights, first, second, count), loss


@jax.jit
def reconstruct(weights: Any, images: Any) -> np.ndarray:
    mean, _ = encode(weights, images.astype("float32") / 255.0)
    pixels = jax.nn.sigmoid(decode(weights, mean)) * 255.0
    return jnp.round(pixels).astype("uint8")


def train(job: Job, turns: Turns) -> None:
    """Train until `turns` ends it."""
    images = job.examples()[0].reshape(-1, 784)
    batch, images = images[: job.batch_size], jnp.asarray(images)
    key = jax.random.key(0)
    weights = start(key)
    # Copies: a buffer that is donated may be there only once.
    first, second = (jax.tree.map(jnp.zeros_like, weights) for _ in range(2))
    state = (weights, first, second, jnp.zeros((), "int32"))

    def infer() -> np.ndarray:
        return np.asarray(reconstruct(state[0], batch))

    count = sum(leaf.size for leaf in jax.tree.leaves(weights))
    turns.introduce(parameters=count, infer=infer)
    random = np.random.default_rng(0)
    steps = len(images) // job.batch_size
    while True:
        order = random.permutation(len(images)).astype("int32")
        for index in order[: steps * job.batch_size].reshape(steps, -1):
            state, loss = step(state, images, index, key)
            turns.step_done(loss)
