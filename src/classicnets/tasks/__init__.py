"""How a kind of network learns and is judged.

A task has
- `state`: every variable that a run must keep, in one order;
- `batch_shape`: of the examples of a step, `order(epoch, count)` of an epoch's, and
  `draws(steps, epoch)` of its random numbers;
- `train(batches, steps)`: several steps; returns sums a step, keys `logs`;
- `validate(epoch)`: metrics on the validation split; `chosen` says which one tells the
  best epoch, and whether by its max or its min;
- `network`, whose weights are those of the best epoch, and their `averages`;
- `show()`: pictures, where the task has some;
- `plain_models()`: plain Keras models by name, which take or give raw inputs.
"""

from typing import Any

from classicnets.tasks.classify import Classify
from classicnets.tasks.generate import Generate
from classicnets.tasks.reconstruct import Reconstruct

TASKS: dict[str, type[Any]] = {
    "classify": Classify,
    "reconstruct": Reconstruct,
    "generate": Generate,
}
