"""Whole training steps written out in NumPy float64, from the papers' algorithms.

A gradient is what the loss says when one weight is a little larger and a little
smaller: nothing here knows of backpropagation. Networks come from `by_hand`.
"""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from classicnets.recipe import Recipe
from classicnets.verification.by_hand import ByHand

NUDGE = 1e-5  # of a weight, for the slope of a loss

Forward = Callable[..., Any]  # (ByHand, inputs) -> outputs
Logs = dict[str, float]


class Learner(ByHand):
    """A network in float64, its optimizer, and the averages of its weights.

    Attributes:
        averages: Of all arrays in `weights`, under the same names.
    """

    def __init__(
        self,
        network: keras.Model,
        recipe: Recipe,
        forward: Forward,
        shape: tuple[Any, ...] = (),
    ):
        """Take a network's weights.

        Args:
            network: As it is before its first step.
            recipe: Of its optimizer.
            forward: What it computes, in NumPy.
            shape: What a generator makes, (height, width, channels).
        """
        super().__init__(network, shape=shape, training=True)
        self.recipe, self.forward = recipe, forward
        self.weights = {
            name: [array.astype("float64") for array in arrays]
            for name, arrays in self.weights.items()
        }
        self.averages = copy.deepcopy(self.weights)
        # Of a batch norm's four arrays, the last two are statistics.
        self.trained = [
            (name, place)
            for name, arrays in self.weights.items()
            for place in range(2 if len(arrays) == 4 else len(arrays))
        ]
        self.first = {key: np.zeros_like(self[key]) for key in self.trained}
        self.second = {key: np.zeros_like(self[key]) for key in self.trained}
        self.steps = 0
        self.statistics: dict[str, tuple[Any, Any]] = {}

    def __getitem__(self, key: tuple[str, int]) -> Any:
        name, place = key
        return self.weights[name][place]

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """Compute the outputs."""
        return self.forward(self, *inputs, **named)

    def norm(self, name: str, x: Any) -> Any:
        """Normalize by the batch, and note its statistics."""
        axes = tuple(range(x.ndim - 1))
        self.statistics[name] = x.mean(axis=axes), x.var(axis=axes)
        return super().norm(name, x)

    def move_statistics(self) -> None:
        """Move what each batch norm keeps by a tenth, to those of the last batch."""
        for name, latest in self.statistics.items():
            kept = self.weights[name]
            kept[2:] = [0.9 * old + 0.1 * new for old, new in zip(kept[2:], latest)]
        self.statistics = {}

    def learn(self, loss: Callable[[], float], rate: float) -> float:
        """Take a step that makes the loss smaller; return what it was."""
        before = loss()
        self.move_statistics()
        gradients = {key: self._slope(loss, self[key]) for key in self.trained}
        self.statistics = {}
        if self.recipe.gradient_clip:  # Pascanu et al. 2013: one norm for all weights
            squares = sum((slope**2).sum() for slope in gradients.values())
            scale = min(1.0, self.recipe.gradient_clip / math.sqrt(squares))
            gradients = {key: scale * slope for key, slope in gradients.items()}
        self.steps += 1
        for key, gradient in gradients.items():
            self[key][...] += self._change(key, gradient, rate)
        return before

    def average(self) -> None:
        """Move the averages to what the weights are by now, at first in large steps."""
        decay = min(self.recipe.ema, (1 + self.steps) / (10 + self.steps))
        for name, arrays in self.weights.items():
            self.averages[name] = [
                decay * average + (1 - decay) * array
                for average, array in zip(self.averages[name], arrays)
            ]

    def _slope(self, loss: Callable[[], float], weight: Any) -> Any:
        slope = np.zeros_like(weight)
        for place in np.ndindex(weight.shape):
            value = weight[place]
            weight[place] = value + NUDGE
            above = loss()
            weight[place] = value - NUDGE
            slope[place] = (above - loss()) / (2 * NUDGE)
            weight[place] = value
        return slope

    def _change(self, key: tuple[str, int], gradient: Any, rate: float) -> Any:
        """Return what an optimizer adds to a weight."""
        recipe, weight = self.recipe, self[key]
        is_kernel = weight.ndim > 1
        if recipe.optimizer == "adamw":  # Loshchilov & Hutter 2017, algorithm 2
            decay = -rate * recipe.weight_decay * weight
            return decay + self._adam(key, gradient, rate)
        if recipe.decay_all or is_kernel:  # the slope of decay / 2 |w|^2
            gradient = gradient + recipe.weight_decay * weight
        if recipe.optimizer == "adam":
            return self._adam(key, gradient, rate)
        if recipe.optimizer == "rmsprop":  # Tieleman & Hinton 2012, as in PyTorch
            self.second[key] = 0.99 * self.second[key] + 0.01 * gradient**2
            return -rate * gradient / (np.sqrt(self.second[key]) + 1e-8)
        # Sutskever et al. 2013, eq. 1 to 4; the weight is where Nesterov looks ahead.
        self.first[key] = recipe.momentum * self.first[key] - rate * gradient
        if recipe.nesterov:
            return recipe.momentum * self.first[key] - rate * gradient
        return self.first[key]

    def _adam(self, key: tuple[str, int], gradient: Any, rate: float) -> Any:
        """Take Kingma & Ba's step (1412.6980, algorithm 1)."""
        one, two = self.recipe.beta_1, self.recipe.beta_2
        self.first[key] = one * self.first[key] + (1 - one) * gradient
        self.second[key] = two * self.second[key] + (1 - two) * gradient**2
        mean = self.first[key] / (1 - one**self.steps)
        square = self.second[key] / (1 - two**self.steps)
        return -rate * mean / (np.sqrt(square) + 1e-8)


def rates(recipe: Recipe, steps_per_epoch: int) -> np.ndarray:
    """Return the learning rate of every step of a run."""
    steps = recipe.epochs * steps_per_epoch
    warmup = recipe.warmup_epochs * steps_per_epoch
    numbers = []
    for step in range(steps):
        # From 0 before the rise to 1 at its last step; from there to 1 at the end.
        rise = min((step + 1) / warmup, 1) if warmup else 1
        fall = max(step - warmup, 0) / (steps - warmup)
        factor = {
            "constant": 1.0,
            "cosine": (1 + math.cos(math.pi * fall)) / 2,  # 1608.03983, eq. 5
            "one_cycle": 1 - fall,  # 1708.07120
            "step": recipe.step_factor
            ** sum(step >= epoch * steps_per_epoch for epoch in recipe.milestones),
        }[recipe.schedule]
        numbers.append(recipe.learning_rate * rise * factor)
    return np.array(numbers)


def classify(
    network: Learner,
    inputs: Any,
    targets: np.ndarray,
    rates: np.ndarray,
    class_weights: np.ndarray,
) -> Logs:
    """Learn labels, smoothed as of Szegedy et al. 2015 (1512.00567, section 7).

    Args:
        network: Returns logits.
        inputs: By step.
        targets: (steps, batch, classes).
        rates: By step.
        class_weights: (classes,), by which an example's loss is multiplied; one mixed
            of two classes has as much of each one's weight as of its label.

    Returns:
        The sums of what the steps log.
    """
    logs = {"loss": 0.0, "accuracy": 0.0}
    amount, classes = network.recipe.label_smoothing, targets.shape[-1]
    for x, target, rate in zip(inputs, targets, rates):
        smooth = (1 - amount) * target + amount / classes
        weights = (target * class_weights).sum(axis=1)
        right = network(x).argmax(axis=1) == target.argmax(axis=1)
        logs["accuracy"] += right.mean()

        def loss(x: Any = x, smooth: Any = smooth, weights: Any = weights) -> float:
            logits = network(x)
            log_sum = np.logaddexp.reduce(logits, axis=1, keepdims=True)
            return (weights * (smooth * (log_sum - logits)).sum(axis=1)).mean()

        logs["loss"] += network.learn(loss, rate)
        network.average()
    return logs


def fit(
    network: Learner,
    inputs: Any,
    targets: np.ndarray,
    rates: np.ndarray,
    *,
    distance: Callable[..., Any],
) -> Logs:
    """Learn targets by the mean distance of the outputs from them.

    Args:
        network: Returns the outputs.
        inputs: By step.
        targets: (steps, batch, outputs).
        rates: By step.
        distance: `squares` or `coins`.

    Returns:
        The sum of the loss that the steps log.
    """
    total = 0.0
    for x, target, rate in zip(inputs, targets, rates):

        def loss(x: Any = x, target: Any = target) -> float:
            return distance(network(x), target).sum(axis=1).mean()

        total += network.learn(loss, rate)
        network.average()
    return {"loss": total}


def squares(outputs: Any, target: Any) -> Any:
    """Return squared errors of numbers, which come four times as large."""
    return (outputs / 4 - target) ** 2


def coins(log_odds: Any, target: Any) -> Any:
    """Return -log p of labels, each a coin of its own."""
    on = 1 / (1 + np.exp(-log_odds))
    return -target * np.log(on) - (1 - target) * np.log(1 - on)


def reconstruct(
    network: Learner,
    images: np.ndarray,
    noise: np.ndarray | None,
    betas: Sequence[float],
    rates: np.ndarray,
) -> Logs:
    """Learn to give images back: Kingma & Welling 2013 (1312.6114), eq. 10.

    Args:
        network: Returns log-odds of pixels; of a VAE, which takes `noise`, also the
            posterior's mean and log variance.
        images: (steps, batch, height, width, channels) in [0, 1].
        noise: (steps, batch, latent_size), of a VAE.
        betas: The weight of the KL divergence, by step.
        rates: By step.

    Returns:
        The sums of what the steps log.
    """
    logs: Logs = dict.fromkeys(
        ("loss", "reconstruction", "kl")[: 1 if noise is None else 3], 0
    )
    for step, (x, beta, rate) in enumerate(zip(images, betas, rates)):

        def terms(step: int = step, x: Any = x) -> tuple[float, float]:
            if noise is None:
                return _distance(network, network(x), x), 0.0
            log_odds, mean, log_variance = network(x, noise=noise[step])
            divergence = np.exp(log_variance) + mean**2 - 1 - log_variance
            return _distance(network, log_odds, x), divergence.sum(axis=1).mean() / 2

        def loss(beta: float = beta, terms: Any = terms) -> float:
            reconstruction, kl = terms()
            return reconstruction + beta * kl

        values = dict(zip(("reconstruction", "kl"), terms()))
        values["loss"] = network.learn(loss, rate)
        network.average()
        logs = {key: total + values[key] for key, total in logs.items()}
    return logs


def _distance(network: Learner, log_odds: Any, images: Any) -> float:
    """Return -log p(x|z), the mean over the batch: of coins, or of N(mean, 1)."""
    probability = 1 / (1 + np.exp(-log_odds))
    if network.recipe.objective == "gaussian":
        terms = (images - probability) ** 2 / 2 + math.log(2 * math.pi) / 2
    else:
        terms = -images * np.log(probability) - (1 - images) * np.log(1 - probability)
    return terms.sum(axis=(1, 2, 3)).mean()
