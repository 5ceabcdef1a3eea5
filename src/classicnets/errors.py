"""The errors: one line each that says what must hold and what came."""

import difflib
from collections.abc import Iterable

_LONGEST = 40  # characters of a value in a message


class UserError(ValueError):
    """Wrong input. The command prints its one line and exits with code 2."""


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return the end of an error line: the word there is that is closest, or all."""
    words = sorted(choices)
    close = difflib.get_close_matches(word, words, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(words)}."


def shortened(value: object) -> str:
    """Return a value as Python writes it, cut for a message."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


class RunError(RuntimeError):
    """A run that cannot go on. The command prints its one line and exits with 1."""


class Stopped(KeyboardInterrupt):
    """A run that a signal stopped and that can go on.

    Args:
        message: One line: where, and the command that goes on.
        signal: Its number; the command exits with 128 more.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal
