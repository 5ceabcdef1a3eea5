"""Three whole steps of each task, as a run takes them, against NumPy's in float64.

What `Task.train` makes of the weights of tiny networks must be what the papers'
algorithms make of them: `by_hand_steps`, `by_hand_games` and `by_hand_images`. The
steps are those of a second epoch, so that whatever counts steps has begun elsewhere.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from classicnets import kinds, optimization, streams
from classicnets.data import Splits
from classicnets.recipe import Recipe
from classicnets.streams import Stream
from classicnets.verification import first_steps, judged
from classicnets.verification.by_hand import ByHand
from classicnets.verification.by_hand_games import generate
from classicnets.verification.by_hand_images import prepared
from classicnets.verification.by_hand_steps import (
    Learner,
    classify,
    coins,
    fit,
    rates,
    reconstruct,
    squares,
)
from classicnets.verification.proof import Proof, below, missing
from classicnets.verification.step_cases import (
    BATCH,
    CASES,
    CLASSES,
    EPOCH,
    FORWARD,
    STEPS,
    Case,
    parts_of,
    recipe_of,
    splits_of,
)

CLOSE = 3e-4  # as a share of what the steps changed; and of each sum that they log


def proofs(task: str) -> Iterator[Proof]:
    """Take the steps of a task's cases, here and by hand, and compare what they leave.

    Args:
        task: A key of `tasks.TASKS`.
    """
    if task not in CASES:
        yield missing(task, "steps", "step_cases.CASES")
    for case in CASES.get(task, ()):
        yield from _compare(task, case)


def _compare(task: str, case: Case) -> Iterator[Proof]:
    recipe = recipe_of(case)
    splits = splits_of(recipe)
    parts = parts_of(recipe, splits)
    learners = [
        Learner(part, recipe, forward, shape=splits.input_shape)
        for part, forward in zip(parts, FORWARD[case.network])
    ]
    begun = [ByHand(part).weights for part in parts]
    title = f"{STEPS} steps, {case.title}"
    worker = first_steps.make_task(recipe, parts, splits)
    sums = worker.train(_batches(worker, recipe), STEPS, first=EPOCH * STEPS)
    logs = BY_HAND[task](recipe, splits, worker, *learners)
    ends = [ByHand(part).weights for part in parts]
    expected = [learner.weights for learner in learners]
    apart = max(map(_apart, begun, expected, ends))
    yield below(task, f"{title}: weights", CLOSE, apart)
    if recipe.ema:
        with worker.averages.in_use():
            averages = ByHand(parts[0]).weights
        apart = _apart(begun[0], learners[0].averages, averages)
        yield below(task, f"{title}: averages", CLOSE, apart)
    apart = max(abs(sums[key] - logs[key]) / max(abs(logs[key]), 1) for key in logs)
    yield below(task, f"{title}: logs", CLOSE, float(apart))
    if recipe.ema:
        raw = np.asarray(splits.validation.inputs)
        yield judged.proof(title, recipe, raw, worker, learners[0])


def _apart(before: Any, expected: Any, values: Any) -> float:
    """Return the length of a difference, as a share of what the steps changed."""
    difference = change = 0.0
    for name, arrays in expected.items():
        for start, array, value in zip(before[name], arrays, values[name]):
            difference += float(np.square(value - array).sum())
            change += float(np.square(array - start).sum())
    return (difference / change) ** 0.5


def _batches(task: Any, recipe: Recipe) -> dict[str, np.ndarray]:
    """Return the rows of the second epoch, as `loop` makes them."""
    every = optimization.learning_rates(recipe, STEPS)
    return {
        "index": _order(task).astype("int32"),
        "learning_rate": every[EPOCH * STEPS :][:STEPS],
        **task.draws(STEPS, EPOCH),
    }


# -- the same steps by hand ------------------------------------------------------------


def _order(task: Any) -> np.ndarray:
    shape = (STEPS, *task.batch_shape)
    return task.order(EPOCH, int(np.prod(shape))).reshape(shape)


def _rates(recipe: Recipe) -> np.ndarray:
    return rates(recipe, STEPS)[EPOCH * STEPS :][:STEPS]


def _step_numbers() -> np.ndarray:
    return np.arange(EPOCH * STEPS, (EPOCH + 1) * STEPS)


def _classify(recipe: Recipe, splits: Splits, task: Any, network: Learner) -> Any:
    targets = np.eye(CLASSES)[splits.train.labels]
    inputs, targets = _mixed(recipe, splits, task, targets)
    weights = np.ones(CLASSES)
    if recipe.balance == "weights":
        examples = splits.train.labels
        weights = len(examples) / (CLASSES * np.bincount(examples))
    return classify(network, inputs, targets, _rates(recipe), weights)


def _regress(recipe: Recipe, splits: Splits, task: Any, network: Learner) -> Any:
    labels = splits.train.labels
    targets = ((labels - labels.mean()) / labels.std())[:, None]
    inputs, targets = _mixed(recipe, splits, task, targets)
    return fit(network, inputs, targets, _rates(recipe), distance=squares)


def _tag(recipe: Recipe, splits: Splits, task: Any, network: Learner) -> Any:
    targets = splits.train.labels.astype("float64")
    inputs, targets = _mixed(recipe, splits, task, targets)
    return fit(network, inputs, targets, _rates(recipe), distance=coins)


def _mixed(recipe: Recipe, splits: Splits, task: Any, targets: np.ndarray) -> Any:
    """Return the inputs and the targets of the steps, given those of all examples."""
    index = _order(task)
    inputs, targets = splits.train.inputs[index], targets[index]
    if recipe.network == "lstm":
        return inputs, targets
    pixels = np.asarray(splits.train.inputs) / 255
    scaling = pixels.mean(axis=(0, 1, 2)), pixels.std(axis=(0, 1, 2))
    return prepared(recipe, inputs, targets, scaling=scaling, epoch=EPOCH)


def _unlabelled(recipe: Recipe, splits: Splits, task: Any, scaling: Any) -> np.ndarray:
    """Return the images of the steps, (steps x turns, batch, ...)."""
    index = _order(task).reshape(-1, BATCH)
    pixels, targets = splits.train.inputs[index], np.zeros((*index.shape, 1))
    return prepared(recipe, pixels, targets, scaling=scaling, epoch=EPOCH).images


def _reconstruct(recipe: Recipe, splits: Splits, task: Any, network: Learner) -> Any:
    images, steps = _unlabelled(recipe, splits, task, (0, 1)), _step_numbers()
    if recipe.binarize:
        shape = images.shape[1:]
        levels = streams.uniform(recipe.seed, Stream.GREY, steps, shape)
        images = np.where(levels < images, 1.0, 0.0)
    noise = None
    if recipe.kind is kinds.VAE:
        noise = streams.normal(recipe.seed, Stream.NOISE, steps, (BATCH, 2))
    # Sonderby et al. 2016 (1602.02282): from 0 in the first step, linearly.
    warmup = recipe.beta_warmup_epochs * STEPS
    betas = [recipe.beta * (min(step / warmup, 1) if warmup else 1) for step in steps]
    return reconstruct(network, images, noise, betas, _rates(recipe))


def _generate(
    recipe: Recipe, splits: Splits, task: Any, generator: Learner, critic: Learner
) -> Any:
    turns, steps = recipe.critic_steps, _step_numbers()
    images = _unlabelled(recipe, splits, task, (0.5, 0.5))
    noise, mix = (turns + 1, BATCH, 2), None
    if recipe.objective == "wgan_gp":
        mix = streams.uniform(recipe.seed, Stream.MIX, steps, (turns, BATCH))
    return generate(
        generator,
        critic,
        images=images.reshape(STEPS, turns, *images.shape[1:]),
        noise=streams.normal(recipe.seed, Stream.NOISE, steps, noise),
        mix=mix,
        rates=_rates(recipe),
    )


BY_HAND: dict[str, Callable[..., Any]] = {
    "classify": _classify,
    "regress": _regress,
    "tag": _tag,
    "reconstruct": _reconstruct,
    "generate": _generate,
}
