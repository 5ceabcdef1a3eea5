"""What the options of a network may be, by the types of its function's parameters."""

import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from classicnets.errors import UserError

_MOST = 2 * 10**9
_MOST_NUMBERS = 100  # that an option lists
# Numbers are 1 or more where nothing else is said, fractions lie in [0, 1).
_FROM_0 = ("votes",)
_FROM_DATA = {
    "classes": "it follows from the data",
    "input_shape": "it follows from the data",
    "image_shape": "it follows from the data",
    "vocabulary_size": "it follows from the texts, bounded by the recipe's own key",
}


def types_of(build: Callable) -> dict[str, Any]:
    """Return the types of the options of a network's function; None for any."""
    hints = typing.get_type_hints(build)
    parameters = inspect.signature(build).parameters.values()
    return {p.name: hints.get(p.name) for p in parameters if p.kind is p.KEYWORD_ONLY}


def check(option: str, value: Any, kind: Any) -> None:
    """Refuse a value of another type than an option has, or beyond its bounds.

    Args:
        option: Its name.
        value: As a recipe has it.
        kind: Its type: bool, int, float, str, a tuple of one of them, or None beside;
            None, where nobody wrote it, is any.

    Raises:
        UserError: With what it must be.
    """
    if kind is None:
        return
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        if value is None:
            return
        (kind,) = (each for each in typing.get_args(kind) if each is not type(None))
    if typing.get_origin(kind) is tuple:
        (inner, _) = typing.get_args(kind)
        if not isinstance(value, list | tuple):
            raise UserError(f"{option} must be a list such as [64, 32], got {value!r}.")
        if len(value) > _MOST_NUMBERS:
            raise UserError(
                f"{option} must have {_MOST_NUMBERS} numbers at most, got"
                f" {len(value):,}."
            )
        for each in value:
            _check_one(option, each, inner)
        return
    _check_one(option, value, kind)


def follows_from_data(options: Mapping[str, Any]) -> str:
    """Return why one of a recipe's options is none; "" if all may be."""
    found = next((option for option in options if option in _FROM_DATA), "")
    return f"{found} is no option of a recipe: {_FROM_DATA[found]}." if found else ""


def _check_one(option: str, value: Any, kind: type) -> None:
    names = {bool: "true or false", int: "a whole number", float: "a number"}
    fits = type(value) is kind or (kind is float and type(value) is int)
    if not fits:
        wanted = names.get(kind, "a text")
        raise UserError(f"{option} must be {wanted}, got {value!r}.")
    if kind is int:
        least = 0 if option in _FROM_0 else 1
        if value < least:
            raise UserError(f"{option} must be at least {least}, got {value}.")
        if value > _MOST:
            raise UserError(f"{option} must be at most {_MOST:,}, got {value:,}.")
    if kind is float:
        most = 1.0 if "dropout" in option else math.inf
        lowest = 0.0 if "dropout" in option else math.ulp(0.0)
        if not lowest <= value < most:
            bound = "at least 0 and below 1" if most == 1.0 else "above 0 and finite"
            raise UserError(f"{option} must be {bound}, got {value}.")
