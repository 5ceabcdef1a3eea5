"""Optimizers and learning rates as the papers define them.

The optimizers take the steps of `torch.optim`, in the files and slots of Keras's.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from classicnets import engine
from classicnets.networks import memory, private
from classicnets.recipe import Recipe

EPSILON = 1e-8  # Adam's paper and PyTorch; Keras has 1e-7


def optimizer(recipe: Recipe) -> keras.optimizers.Optimizer:
    """Build the optimizer of a recipe, its gradients clipped by their global norm."""
    options: dict[str, Any] = {"learning_rate": recipe.learning_rate}
    if recipe.gradient_clip:
        options["global_clipnorm"] = recipe.gradient_clip
    adam = {"beta_1": recipe.beta_1, "beta_2": recipe.beta_2, "epsilon": EPSILON}
    built: keras.optimizers.Optimizer
    if recipe.optimizer == "sgd":
        options |= {"momentum": recipe.momentum, "nesterov": recipe.nesterov}
        built = SGD(recipe, **options)
    elif recipe.optimizer == "adam":
        built = Adam(recipe, **options, **adam)
    elif recipe.optimizer == "rmsprop":
        # As in WGAN's own code: PyTorch's decay of 0.99, where Keras has 0.9.
        built = RMSprop(recipe, rho=0.99, epsilon=EPSILON, **options)
    else:
        built = AdamW(weight_decay=recipe.weight_decay, **options, **adam)
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
    """Takes the backend's own step where there is one, equal to the one below it."""

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


class _AdamStep:
    """Adam's step (1412.6980, algorithm 1): epsilon beside the corrected deviation.

    Keras has 1e-7 beside the deviation as it is summed up, in the first step 0.03 of
    the corrected one: gradients of 1e-5 then move a weight by 0.76 of what they do
    here, those of 1e-8 by 0.006.
    """

    def update_step(self: Any, gradient: Any, variable: Any, rate: Any) -> None:
        first, second = private.moments(self, variable)
        step = ops.cast(self.iterations + 1, variable.dtype)
        root = ops.sqrt(1.0 - self.beta_2**step)
        gradient = ops.cast(gradient, variable.dtype)
        self.assign_add(first, (1.0 - self.beta_1) * (gradient - first))
        self.assign_add(second, (1.0 - self.beta_2) * (ops.square(gradient) - second))
        # Both corrections are numbers: no further pass over the moments.
        rate = ops.cast(rate, variable.dtype) * root / (1.0 - self.beta_1**step)
        deviation = ops.sqrt(second) + self.epsilon * root
        self.assign_sub(variable, rate * first / deviation)


class _RMSpropStep:
    """RMSprop's step as PyTorch has it: epsilon beside the root of the mean square.

    Keras has it under the root, where 1e-8 weighs 1e-4: gradients of 1e-5 then move a
    weight by 0.01 of what they do here in the first step.
    """

    def update_step(self: Any, gradient: Any, variable: Any, rate: Any) -> None:
        mean_square = private.mean_square(self, variable)
        gradient = ops.cast(gradient, variable.dtype)
        rate = ops.cast(rate, variable.dtype)
        self.assign(
            mean_square,
            self.rho * mean_square + (1.0 - self.rho) * ops.square(gradient),
        )
        deviation = ops.sqrt(mean_square) + self.epsilon
        self.assign_sub(variable, ops.divide(ops.multiply(rate, gradient), deviation))


class SGD(_CoupledDecay, _FastStep, keras.optimizers.SGD):
    """Stochastic gradient descent with momentum and coupled L2."""

    fast_step = "sgd"


class RMSprop(_CoupledDecay, _FastStep, _RMSpropStep, keras.optimizers.RMSprop):
    """RMSprop (Tieleman & Hinton 2012) with coupled L2, as `torch.optim.RMSprop`."""


class Adam(_CoupledDecay, _FastStep, _AdamStep, keras.optimizers.Adam):
    """Adam (1412.6980) with coupled L2, as `torch.optim.Adam`."""

    fast_step = "adam"


class AdamW(_FastStep, _AdamStep, keras.optimizers.AdamW):
    """Adam with decoupled weight decay (1711.05101), as `torch.optim.AdamW`."""

    fast_step = "adam"


def learning_rates(recipe: Recipe, steps_per_epoch: int) -> np.ndarray:
    """Return the learning rate of every step of a run, (steps,) float32.

    `cosine` falls from the recipe's rate to 0 by half a cosine (1608.03983, without
    restarts); `one_cycle` rises linearly for `warmup_epochs` and falls linearly to 0
    (1708.07120); `step` multiplies by `step_factor` at each milestone. Others than
    `one_cycle` also rise linearly over `warmup_epochs`.
    """
    steps = recipe.epochs * steps_per_epoch
    # What is worked out below is float64, three at a time.
    memory.check(3 * 8 * steps, f"the learning rates of {steps:,} steps")
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
