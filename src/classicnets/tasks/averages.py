"""Exponential moving averages of a network's weights (Polyak & Juditsky 1992)."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops


class Averages:
    """The averages of all weights and batch statistics; none where decay is 0.

    The decay rises to its value: with that of 0.998 from the start, averages would be
    38 % of the random weights after 480 steps. As it is they forget those within ten.
    """

    def __init__(self, network: keras.Model, decay: float):
        self.decay = decay
        # All variables but the seeds of dropout.
        statistics = (
            v for v in network.non_trainable_variables if v.dtype.startswith("float")
        )
        self.variables = [*network.trainable_variables, *statistics] if decay else []
        self.values = [
            keras.Variable(
                ops.convert_to_numpy(v), trainable=False, name=f"ema_{v.name}"
            )
            for v in self.variables
        ]

    def update(self, steps: Any) -> None:
        """Move each average by 1 - decay of the way to its variable.

        Args:
            steps: How many the optimizer has taken, n: the decay is (1 + n) / (10 + n),
                as in TensorFlow's ExponentialMovingAverage, as long as that is less.
        """
        if not self.variables:
            return
        steps = ops.cast(steps, "float32")
        share = ops.maximum(1.0 - self.decay, 9.0 / (10.0 + steps))
        for average, variable in zip(self.values, self.variables):
            average.assign(average + share * (variable - average))

    def clear(self) -> None:
        """Forget the averages: `in_use` then changes nothing."""
        self.variables, self.values = [], []

    @contextlib.contextmanager
    def unused(self) -> Iterator[None]:
        """Let `in_use` change nothing while the context lasts."""
        averages = self.variables, self.values
        self.clear()
        try:
            yield
        finally:
            self.variables, self.values = averages

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Put the averages into the network while the context lasts."""
        values = [ops.convert_to_numpy(v).copy() for v in self.variables]
        for variable, average in zip(self.variables, self.values):
            variable.assign(ops.convert_to_numpy(average))
        try:
            yield
        finally:
            for variable, value in zip(self.variables, values):
                variable.assign(value)
