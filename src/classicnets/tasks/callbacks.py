"""Keras callbacks in our loop: what they watch has Keras's names, too."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras

from classicnets import kinds
from classicnets.errors import UserError, nearest

_PREFIX = "validation_"
_RATE = "the recipe sets the rate of every step: schedule, warmup_epochs, milestones"
# By the name of what would be without effect, or double, what to do instead.
_INSTEAD = {
    "LearningRateScheduler": _RATE,
    "ReduceLROnPlateau": _RATE,
    "BackupAndRestore": "every run can go on: classicnets resume RUN",
    "SwapEMAWeights": "set ema, which averages the weights",
}


def with_keras_names(logs: Mapping[str, Any]) -> dict[str, Any]:
    """Return logs under our names and under Keras's: `val_loss`, `val_accuracy`."""
    return dict(logs) | {
        _as_keras(name): value
        for name, value in logs.items()
        if name.startswith(_PREFIX)
    }


def prepare(
    callbacks: Sequence[Any], logs: Collection[str], validated: Collection[str]
) -> keras.callbacks.CallbackList:
    """Check callbacks before a training run, and tell them which way is better.

    Keras only warns of a name that no log has, and trains on for ever.

    Args:
        callbacks: Of `train`.
        logs: What a training step logs.
        validated: What is measured on the validation split.

    Raises:
        UserError: For what is no callback, what has no effect here, and for one that
            watches what is not measured.
    """
    names = ["learning_rate", *logs, *(f"{_PREFIX}{name}" for name in validated)]
    names += [_as_keras(name) for name in names if name.startswith(_PREFIX)]
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise UserError(
                f"callbacks must be instances of keras.callbacks.Callback, got"
                f" {callback!r:.60}."
            )
        for base in type(callback).__mro__:
            if base.__module__.startswith("keras.") and base.__name__ in _INSTEAD:
                raise UserError(f"no {base.__name__} here: {_INSTEAD[base.__name__]}.")
        monitor = getattr(callback, "monitor", None)
        watches = getattr(callback, "save_best_only", True)
        if not isinstance(monitor, str) or not watches:
            continue
        if monitor not in names:
            raise UserError(
                f"{type(callback).__name__} watches {monitor!r}, which is not measured."
                f" {nearest(monitor, names)}"
            )
        if getattr(callback, "mode", "") == "auto":
            score = monitor.removeprefix(_PREFIX).removeprefix("val_")
            callback.mode = "max" if score in (*kinds.SHARES, "r2") else "min"
    return keras.callbacks.CallbackList(list(callbacks))


def _as_keras(name: str) -> str:
    score = name.removeprefix(_PREFIX)
    return f"val_{'accuracy' if score == 'top1' else score}"
