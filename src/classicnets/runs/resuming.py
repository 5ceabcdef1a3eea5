"""What may change between a run and its resuming."""

from collections.abc import Mapping, Sequence
from typing import Any

from classicnets.data import Splits
from classicnets.errors import UserError
from classicnets.recipe import Recipe
from classicnets.runs import environment, identity
from classicnets.runs.run import Run

_NAMED_CLASSES = 4  # of those that changed


def check(
    run: Run,
    splits: Splits,
    *,
    before: Recipe,
    fingerprint: str,
    now: Recipe,
    allowed: Sequence[str],
) -> None:
    """Refuse to go on with other classes, or with what is not `allowed` to differ.

    Args:
        run: The run.
        splits: The data as they are now.
        before: The recipe of the checkpoint.
        fingerprint: Of the data of the checkpoint.
        now: The recipe to go on with.
        allowed: Which of "recipe", "data" and "backend" may differ.
    """
    began = run.environment
    learned = identity.fingerprint_differences(fingerprint, splits)
    if now.kind.labelled:
        class_names = list(splits.class_names)
        _check_classes(began.get("class_names", class_names), class_names)
    differences = {
        "recipe": _recipe_differences(before, now),
        "data": identity.data_differences(began, splits) or learned,
        "backend": _backend_differences(began),
    }
    for what, lines in differences.items():
        if lines and what not in allowed:
            raise identity.changed(what, lines)


def check_content(fingerprint: str, splits: Splits) -> None:
    """Refuse other data than those of this fingerprint; "" stands for any.

    Raises:
        UserError: With both fingerprints.
    """
    if lines := identity.fingerprint_differences(fingerprint, splits):
        raise UserError(f"the data must be those of the other runs: {lines[0]}.")


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
        if value != getattr(before, key) and key not in identity.HARMLESS
    ]


def _backend_differences(began: Mapping[str, Any]) -> list[str]:
    backend = environment.backend()
    before = began.get("backend", backend)
    return [] if before == backend else [f"it is {backend}, was {before}"]
