"""How a kind of network learns and is judged."""

import functools
from collections.abc import Callable, Mapping
from typing import Protocol

import keras
import numpy as np

from classicnets.tasks import heads
from classicnets.tasks.averages import Averages
from classicnets.tasks.generate import Generate
from classicnets.tasks.reconstruct import Reconstruct
from classicnets.tasks.supervised import Supervised


class Task(Protocol):
    """A network that learns, and what it learns from.

    Attributes:
        network: Its weights are those of the best epoch.
        averages: Of the network's weights.
        state: Every variable that a run must keep, in one order.
    """

    network: keras.Model
    averages: Averages
    state: list[keras.Variable]

    @property
    def logs(self) -> tuple[str, ...]:
        """What a step logs, by name."""

    @property
    def validated(self) -> tuple[str, ...]:
        """What `validate` measures, by name."""

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The shape of the examples of a step."""

    @property
    def order(self) -> Callable[[int, int], np.ndarray]:
        """From the epoch and a count to the first so many of its examples."""

    @property
    def draws(self) -> Callable[[int, int], dict[str, np.ndarray]]:
        """From the steps of an epoch and its number to its random numbers."""

    def train(
        self,
        batches: dict[str, np.ndarray],
        steps: int,
        *,
        first: int = 0,
        image_size: int = 0,
    ) -> dict[str, float]:
        """Take several steps; return the sums of the logs, and `sound`: how many steps
        were taken before one of them was not finite."""

    def validate(self, epoch: int) -> Mapping[str, float | None]:
        """Return the scores on the validation split; None for what is not measured."""

    def show(self) -> dict[str, np.ndarray]:
        """Return pictures, where the task has some; each (n, height, width, channels)
        uint8."""

    def plain_models(self) -> dict[str, keras.Model]:
        """Return plain Keras models by name, which take or give raw inputs."""


TASKS: dict[str, Callable[..., Task]] = {
    "classify": functools.partial(Supervised, make_head=heads.OneClass),
    "regress": functools.partial(Supervised, make_head=heads.OneNumber),
    "tag": functools.partial(Supervised, make_head=heads.SeveralLabels),
    "reconstruct": Reconstruct,
    "generate": Generate,
}
