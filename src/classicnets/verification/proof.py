"""What a proof says: what must hold, and what was found."""

import math
from typing import NamedTuple


class Proof(NamedTuple):
    """One line of the table; `ok` is None where there is nothing to compare."""

    network: str
    proof: str
    expected: str
    found: str
    ok: bool | None


def equal(network: str, proof: str, expected: object, value: object) -> Proof:
    """Prove that a value is exactly what is expected."""
    return Proof(network, proof, _text(expected), _text(value), bool(expected == value))


def near(
    network: str, proof: str, expected: float, value: float, tolerance: float = 1e-4
) -> Proof:
    """Prove a number, but for a share of it, or of 1 if it is smaller."""
    room = tolerance * max(1.0, abs(expected))
    ok = math.isfinite(value) and abs(value - expected) <= room
    return Proof(network, proof, f"{expected:.6g}", f"{value:.6g}", bool(ok))


def below(network: str, proof: str, limit: float, value: float) -> Proof:
    """Prove that a number, such as a difference, is not above a limit."""
    ok = math.isfinite(value) and value <= limit
    return Proof(network, proof, f"<= {limit:g}", f"{value:.2g}", bool(ok))


def failed(network: str, proof: str, error: Exception | str) -> Proof:
    """Return a proof that an error stopped."""
    if isinstance(error, Exception):
        error = f"{type(error).__name__}: {error}"
    line = " ".join(error.split())
    return Proof(network, proof, "no error", line[:120], False)


def missing(network: str, what: str, place: str) -> Proof:
    """Return the line of a proof that only the network's author can give.

    Args:
        network: A network's name.
        what: Is not proven.
        place: Where to write what is expected.
    """
    return Proof(network, f"not proven yet: {what}", place, "nothing", None)


def _text(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
