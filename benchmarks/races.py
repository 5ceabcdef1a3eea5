"""The races to a quality: what is trained, until when, and the clock."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VALIDATION = 0.2  # of the training examples, as in the scripts of 2021


@dataclass(frozen=True)
class Race:
    """One network, trained until a validation is good enough.

    Args:
        network: Its row on the command line.
        data: The set's name.
        validation: The share of the training examples that judges both.
        quality: What is judged, in words.
        goal: The value that ends a training run.
        key: Its name in the logs of ours.
        falls: Whether less is better.
        backends: Those that ours is fastest on.
        max_seconds: After which a validation ends a training run, good or not.
    """

    network: str
    data: str
    validation: float
    quality: str
    goal: float
    key: str
    falls: bool
    backends: tuple[str, ...]
    max_seconds: float

    @property
    def recipe(self) -> Path:
        """The recipe of ours."""
        return Path(__file__).parent / f"{self.network}-{self.data}-quick.toml"

    def is_won(self, value: float) -> bool:
        """Return whether a validation is good enough."""
        return value <= self.goal if self.falls else value >= self.goal


RACES = {
    "lstm": Race(
        network="lstm",
        data="imdb",
        validation=VALIDATION,
        quality="validation accuracy",
        goal=0.84,  # where the script stands after its first epoch
        key="validation_top1",
        falls=False,
        backends=("tensorflow", "torch"),
        max_seconds=300.0,
    ),
    "vae": Race(
        network="vae",
        data="mnist",
        validation=VALIDATION,
        quality="nats per digit on validation",
        goal=110.0,
        key="validation_loss",
        falls=True,
        backends=("tensorflow",),
        max_seconds=180.0,
    ),
    "resnet20": Race(
        network="resnet20",
        data="cifar100",
        validation=0.1,
        quality="validation accuracy",
        goal=0.30,
        key="validation_top1",
        falls=False,
        backends=("tensorflow",),
        max_seconds=600.0,
    ),
}


@dataclass
class Clock:
    """The seconds since `start`, and the quality, of every validation."""

    race: Race
    started: float = 0.0
    validations: list[tuple[float, float]] = field(default_factory=list)

    def start(self) -> None:
        """Begin: everything is read and built, nothing is traced."""
        self.started = time.monotonic()

    def is_over(self, value: float) -> bool:
        """Note a validation; return whether it ends the training."""
        seconds = time.monotonic() - self.started
        self.validations.append((seconds, float(value)))
        return self.race.is_won(value) or seconds > self.race.max_seconds

    def callback(self, key: str) -> Callable:
        """Return a callback of Keras's that notes `key` after every epoch."""
        import keras

        clock = self

        class Stop(keras.callbacks.Callback):
            def on_train_begin(self, logs: Any = None) -> None:
                clock.start()

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                self.model.stop_training = clock.is_over(logs[key])

        return Stop()
