"""What memory is asked for, before it is taken."""

import contextlib
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from classicnets.errors import UserError


class TooLargeError(UserError):
    """A network has more numbers than it may have."""


def free() -> float:
    """Return the bytes that the system can still give; infinity where it is silent."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
    except OSError:
        return math.inf
    line = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    return int(line[1]) * 1024 if line else math.inf


def check(size: float, what: str) -> None:
    """Refuse what takes more bytes than are free.

    Args:
        size: In bytes.
        what: How the message calls it.
    """
    if size > (available := free()):
        raise UserError(
            f"{what} must fit into memory, it takes {size / 1e9:,.1f} GB, "
            f"{available / 1e9:,.1f} GB are free."
        )


@contextlib.contextmanager
def at_most_variables(most: float, name: str) -> Iterator[None]:
    """Refuse layers that have more than so many numbers together, before they do.

    A layer takes the memory of its variables as soon as it is built.

    Args:
        most: Elements of all variables that are made in the context.
        name: How the message calls the network.

    Raises:
        TooLargeError: For the first variable that is too much.
    """
    import keras

    add_weight = keras.Layer.add_weight
    total = 0

    def counted(self: Any, *arguments: Any, shape: Any = None, **options: Any) -> Any:
        nonlocal total
        total += math.prod(arguments[0] if arguments else shape or ())
        if total > most:
            raise TooLargeError(
                f"{name} must have at most {most:,.0f} parameters to fit into memory,"
                f" it has {total:,} up to the layer {self.name}."
            )
        return add_weight(self, *arguments, shape=shape, **options)

    keras.Layer.add_weight = counted
    try:
        yield
    finally:
        keras.Layer.add_weight = add_weight
