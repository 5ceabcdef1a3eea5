"""What a task says of its network between epochs, against NumPy's in float64.

Judged are the averages of the weights where there are some, with the statistics that
batch norm keeps: nothing moves, and every example counts, those of a last short batch
too.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from classicnets import streams
from classicnets.recipe import Recipe
from classicnets.streams import Stream
from classicnets.tasks import judging
from classicnets.verification.by_hand_steps import Learner
from classicnets.verification.proof import Proof, below

CLOSE = 1e-4  # as a share of the largest number
SAMPLES = 5  # pictures
CODES = 3  # per image, for the likelihood


def proof(
    title: str, recipe: Recipe, raw: np.ndarray, task: Any, learner: Learner
) -> Proof:
    """Compare what a task says with what its papers say.

    Args:
        title: Of the way to learn.
        recipe: Of the task.
        raw: Examples as they are in the data.
        task: Has taken its steps.
        learner: Has taken them by hand; then it learns no more.
    """
    learner.training = False
    if recipe.ema:
        learner.weights = learner.averages
    what, compare = JUDGED[recipe.task]
    apart = [
        float(np.abs(values - expected).max() / np.abs(expected).max())
        for values, expected in compare(recipe, raw, task, learner)
    ]
    return below(recipe.task, f"{title}: {what}", CLOSE, max(apart))


Pairs = list[tuple[Any, Any]]


def _outputs(recipe: Recipe, raw: np.ndarray, task: Any, network: Learner) -> Pairs:
    pixels = raw / 255
    mean, deviation = pixels.mean(axis=(0, 1, 2)), pixels.std(axis=(0, 1, 2))
    return [(task.outputs(raw), network((pixels - mean) / deviation))]


def _values(recipe: Recipe, raw: np.ndarray, task: Any, network: Learner) -> Pairs:
    """Compare the values of the model that is saved, and the scores of the task's."""
    labels = task.splits.train.labels
    outputs = _outputs(recipe, raw, task, network)[0][1]
    values = (outputs / 4 * labels.std() + labels.mean())[:, 0]
    errors = values - task.splits.validation.labels
    found, saved = task.validate(0), task.plain_models()["model"]
    expected = {
        "rmse": np.sqrt((errors**2).mean()),
        "mae": np.abs(errors).mean(),
        "r2": 1 - (errors**2).sum() / ((labels - labels.mean()) ** 2).sum(),
    }
    pairs = [(np.float64(found[key]), value) for key, value in expected.items()]
    return [(saved.predict(raw, verbose=0)[:, 0], values), *pairs]


def _pictures(recipe: Recipe, raw: np.ndarray, task: Any, network: Learner) -> Pairs:
    source = streams.generator(recipe.seed, Stream.SAMPLES)
    noise = source.standard_normal((SAMPLES, 2), dtype=np.float32)
    expected = np.round((network(noise) + 1) * 127.5)
    pictures = task.sample(SAMPLES, Stream.SAMPLES).astype(float)
    # A pixel half way between two levels may be rounded to either.
    near = np.abs(pictures - expected) == 1
    return [(np.where(near, expected, pictures), expected)]


def _bounds(recipe: Recipe, raw: np.ndarray, task: Any, network: Learner) -> Pairs:
    """Compare the ELBO (1312.6114, eq. 10) and the importance-weighted bound
    (1509.00519, eq. 8), each of pixels that are on with a probability."""
    binary = judging.binarize(raw, recipe.split_seed) / 255
    images = binary if recipe.binarize else raw / 255
    seed, rows = recipe.split_seed, range(len(raw))
    noise = streams.normal(seed, Stream.SCORES, rows, (CODES, 2)).astype("float64")
    first, (mean, log_variance) = _likelihood(network, images, noise[:, 0])
    kl = (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(axis=1) / 2
    with task.averages.in_use():
        terms = task.judge.terms(raw)
        bound = -task.judge.judge(raw, samples=CODES)["nll"]
    weights = []
    for draw in noise.transpose(1, 0, 2):
        likelihood, (mean, log_variance) = _likelihood(network, binary, draw)
        deviation = np.exp(log_variance / 2)
        prior = _normal(mean + deviation * draw)
        posterior = _normal(draw) / deviation.prod(axis=1)
        weights.append(np.exp(likelihood) * prior / posterior)
    return [
        (terms, np.stack([-first, kl], axis=1)),
        (bound, np.log(np.mean(weights, axis=0)).mean()),
    ]


def _likelihood(network: Learner, images: Any, noise: Any) -> tuple[Any, Any]:
    """Return log p(x|z) and the posterior."""
    log_odds, *posterior = network(images, noise=noise)
    on = 1 / (1 + np.exp(-log_odds))
    terms = images * np.log(on) + (1 - images) * np.log(1 - on)
    return terms.sum(axis=(1, 2, 3)), posterior


def _normal(x: Any) -> Any:
    """Return the density of N(0, 1) in as many dimensions as there are numbers."""
    return (np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)).prod(axis=1)


JUDGED: dict[str, tuple[str, Callable[..., Pairs]]] = {
    "classify": ("logits", _outputs),
    "regress": ("values", _values),
    "tag": ("logits", _outputs),
    "reconstruct": ("bounds", _bounds),
    "generate": ("pictures", _pictures),
}
