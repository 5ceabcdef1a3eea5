"""What may change between a run and its resuming."""

from collections.abc import Mapping, Sequence
from typing import Any

from classicnets.data import Splits
from classicnets.errors import UserError
from classicnets.recipe import Recipe
from classicnets.runs import environment
from classicnets.runs.run import Run

# None of it decides what is learned next.
HARMLESS = (
    *("epochs", "early_stopping", "sample_epochs", "evaluation_batch_size"),
    *("checkpoint_minutes", "checkpoint_steps"),
)

_NAMED_CLASSES = 4  # of those that changed


def check(
    run: Run, splits: Splits, *, before: Recipe, now: Recipe, allowed: Sequence[str]
) -> None:
    """Refuse to go on with other classes, or with what is not `allowed` to differ."""
    began = run.environment
    if now.kind.labelled:
        class_names = list(splits.class_names)
        _check_classes(began.get("class_names", class_names), class_names)
    differences = {
        "recipe": _recipe_differences(before, now),
        "data": _data_differences(began, splits),
        "backend": _backend_differences(began),
    }
    for what, lines in differences.items():
        if lines and what not in allowed:
            raise UserError(
                f"the {what} must be that of the run so far: {'; '.join(lines)}."
                f" --allow-changed {what} goes on all the same."
            )


def _check_classes(before: Sequence[str], now: Sequence[str]) -> None:
    """Refuse to go on with classes that the network's outputs do not stand for."""
    if before != now:
        differences = [f"{name!r} is new" for name in now if name not in before]
        differences += [f"{name!r} is gone" for name in before if name not in now]
        raise UserError(
            "the classes must be those of the run so far:"
            f" {'; '.join(differences[:_NAMED_CLASSES]) or 'their order is another'}."
        )


def _recipe_differences(before: Recipe, now: Recipe) -> list[str]:
    return [
        f"{key} is {value!r}, was {getattr(before, key)!r}"
        for key, value in vars(now).items()
        if value != getattr(before, key) and key not in HARMLESS
    ]


def _data_differences(began: Mapping[str, Any], splits: Splits) -> list[str]:
    fingerprint = began.get("data_fingerprint", splits.fingerprint)
    if fingerprint == splits.fingerprint:
        return []
    lines = [f"{splits.name} is {splits.fingerprint:.12}, was {fingerprint:.12}"]
    for part in ("train", "validation"):
        count = len(getattr(splits, part))
        if (before := began.get(f"{part}_examples", count)) != count:
            lines.append(f"{count} {part} examples, were {before}")
    return lines


def _backend_differences(began: Mapping[str, Any]) -> list[str]:
    backend = environment.backend()
    before = began.get("backend", backend)
    return [] if before == backend else [f"it is {backend}, was {before}"]
