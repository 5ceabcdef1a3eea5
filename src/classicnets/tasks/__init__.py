"""How a kind of network learns and is judged.

A task has
- `state`: every variable that a run must keep, in one order;
- `train(batches, steps)`: several steps; returns sums a step, keys `LOGS`;
- `validate()`: metrics on the validation split;
- `export()`: the network as a plain Keras model that takes raw inputs.
"""

from classicnets.tasks.classify import Classify

TASKS = {"classify": Classify}
