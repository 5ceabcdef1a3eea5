"""What the alarms read of a run: its files, opened once."""

import contextlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from classicnets.errors import UserError
from classicnets.recipe import Recipe
from classicnets.runs.run import Run

ENOUGH_STEPS = 300  # of a training run: `resnet20-digits` has so many


@dataclass(frozen=True)
class Facts:
    """The files of a finished run.

    Args:
        recipe: Of recipe.toml.
        history: The rows of history.csv, one at least.
        evaluations: The metrics of each split that was judged.
        environment: Of environment.json.
    """

    recipe: Recipe
    history: list[dict[str, float]]
    evaluations: Mapping[str, Any]
    environment: Mapping[str, Any]

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The metrics of the validation split; empty where it was not judged."""
        metrics: Mapping[str, Any] = self.evaluations.get("validation", {})
        return metrics

    @property
    def epochs(self) -> int:
        """How many epochs were trained."""
        return len(self.history)

    @property
    def steps(self) -> int:
        """How many steps an epoch had; 0 where nothing says it."""
        examples = self.environment.get("train_examples", 0)
        return int(examples) // (self.recipe.batch_size * self.recipe.critic_steps)

    @property
    def more_epochs(self) -> int:
        """How many to try where they were too few: twice as many, and enough steps."""
        enough = math.ceil(ENOUGH_STEPS / self.steps) if self.steps else 0
        return max(2 * self.recipe.epochs, enough)

    @property
    def last_tenth(self) -> int:
        """How many epochs are the last tenth of them: one at least."""
        return max(1, round(self.epochs / 10))

    def points(self, column: str) -> list[tuple[int, float]]:
        """Return (epoch, value) of a column of the history where it is finite."""
        return [
            (epoch, row[column])
            for epoch, row in enumerate(self.history, start=1)
            if math.isfinite(row.get(column, math.nan))
        ]

    def measure(self, key: str) -> float | None:
        """Return a number of the metrics; None where there is none."""
        value = self.metrics.get(key)
        return float(value) if isinstance(value, int | float) else None


def collect(run: Run) -> Facts | None:
    """Return the facts of a run; None before its end, or without a sound recipe."""
    history = run.history
    if run.status.get("state") != "finished" or not history:
        return None
    with contextlib.suppress(UserError):  # that of another version
        return Facts(run.recipe, history, run.metrics, run.environment)
    return None


def setting(key: str, value: Any) -> str:
    """Return the change of a recipe as a command takes it."""
    if isinstance(value, float):
        value = f"{value:.3g}"
    return f"--set {key}={value}"


def names(values: Iterable[object], most: int = 3) -> str:
    """Return the first values between quotation marks, and how many more there are."""
    quoted = [f"'{value}'" for value in values]
    more = len(quoted) - most
    return ", ".join(quoted[:most]) + (f" and {more:,} more" if more > 0 else "")
