"""Optimizers and learning rates as the papers define them."""

from typing import Any

import keras
import numpy as np

from classicnets import engine
from classicnets.recipe import Recipe


def optimizer(recipe: Recipe) -> keras.optimizers.Optimizer:
    """Build the optimizer of a recipe, its gradients clipped by their global norm."""
    options: dict[str, Any] = {"learning_rate": recipe.learning_rate}
    if recipe.gradient_clip:
        options["global_clipnorm"] = recipe.gradient_clip
    betas = {"beta_1": recipe.beta_1, "beta_2": recipe.beta_2}
    built: keras.optimizers.Optimizer
    if recipe.optimizer == "sgd":
        options |= {"momentum": recipe.momentum, "nesterov": recipe.nesterov}
        built = SGD(recipe, **options)
    elif recipe.optimizer == "adam":
        built = Adam(recipe, **options, **betas)
    elif recipe.optimizer == "rmsprop":
        # As in WGAN's own code: PyTorch's decay of 0.99, where Keras has 0.9.
        built = RMSprop(recipe, rho=0.99, epsilon=1e-8, **options)
    else:
        built = AdamW(weight_decay=recipe.weight_decay, **options, **betas)
    if recipe.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(built)
    return built


class _CoupledDecay:
    """Adds decay * variable to the gradient: L2 as in the papers and in PyTorch.

    Keras's own `weight_decay` shrinks the variable by learning rate * decay, outside
    of the momentum: with momentum 0.9 that is ten times weaker.
    """

    def __init__(self, recipe: Recipe, **options: Any):
        super().__init__(**options)
        self.decay = recipe.weight_decay
        self.decay_all = recipe.decay_all

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if self.decay and (self.decay_all or len(variable.shape) > 1):
            gradient = engine.add_decay(gradient, variable, self.decay)
        super().update_step(gradient, variable, learning_rate)  # type: ignore[misc]


class _FastStep:
    """Takes the backend's own step where there is one, equal to Keras's."""

    fast_step = ""  # as the engine names it

    def _all_reduce_sum_gradients(self, pairs: Any) -> Any:
        """Leave (gradient, variable) as they are.

        On TensorFlow, Keras adds gradients up over devices. On one of them that does
        nothing but wait for the last gradient, while all others are kept.
        """
        return pairs

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if step := engine.fast_step(self.fast_step):
            step(self, gradient, variable, learning_rate)
        else:
            super().update_step(gradient, variable, learning_rate)  # type: ignore[misc]


class SGD(_CoupledDecay, _FastStep, keras.optimizers.SGD):
    """Stochastic gradient descent with momentum and coupled L2."""

    fast_step = "sgd"


class RMSprop(_CoupledDecay, _FastStep, keras.optimizers.RMSprop):
    """RMSprop (Tieleman & Hinton 2012) with coupled L2."""


class Adam(_CoupledDecay, _FastStep, keras.optimizers.Adam):
    """Adam (1412.6980) with coupled L2, as `torch.optim.Adam` has it."""

    fast_step = "adam"


class AdamW(_FastStep, keras.optimizers.AdamW):
    """Adam with decoupled weight decay (1711.05101)."""

    fast_step = "adam"


def learning_rates(recipe: Recipe, steps_per_epoch: int) -> np.ndarray:
    """Return the learning rate of every step of a run, (steps,) float32.

    `cosine` falls from the recipe's rate to 0 by half a cosine (1608.03983, without
    restarts); `one_cycle` rises linearly for `warmup_epochs` and falls linearly to 0
    (1708.07120); `step` multiplies by `step_factor` at each milestone. Others than
    `one_cycle` also rise linearly over `warmup_epochs`.
    """
    steps = recipe.epochs * steps_per_epoch
    warmup = min(round(recipe.warmup_epochs * steps_per_epoch), steps)
    step = np.arange(steps)
    progress = np.clip((step - warmup) / max(steps - warmup, 1), 0.0, 1.0)
    if recipe.schedule == "cosine":
        factor = 0.5 * (1.0 + np.cos(np.pi * progress))
    elif recipe.schedule == "one_cycle":
        factor = 1.0 - progress
    elif recipe.schedule == "step":
        passed = np.searchsorted(recipe.milestones, step // steps_per_epoch, "right")
        factor = np.power(recipe.step_factor, passed)
    else:
        factor = np.ones(steps)
    rise = np.minimum(1.0, (step + 1) / max(warmup, 1))
    return (recipe.learning_rate * factor * rise).astype("float32")
