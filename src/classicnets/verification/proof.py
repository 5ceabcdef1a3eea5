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


def equal(network: str, proof: str, expected: object, found: object) -> Proof:
    """What is found is exactly what is expected."""
    return Proof(
        network, proof, _shown(expected), _shown(found), bool(expected == found)
    )


def near(
    network: str, proof: str, expected: float, found: float, tolerance: float = 1e-4
) -> Proof:
    """A number is what it must be, but for a share of it, or of 1 if it is smaller."""
    room = tolerance * max(1.0, abs(expected))
    ok = math.isfinite(found) and abs(found - expected) <= room
    return Proof(network, proof, f"{expected:.6g}", f"{found:.6g}", bool(ok))


def below(network: str, proof: str, most: float, found: float) -> Proof:
    """A number, such as a difference, is not above `most`."""
    ok = math.isfinite(found) and found <= most
    return Proof(network, proof, f"<= {most:g}", f"{found:.2g}", bool(ok))


def failed(network: str, proof: str, error: Exception | str) -> Proof:
    """It could not be shown."""
    if isinstance(error, Exception):
        error = f"{type(error).__name__}: {error}"
    line = " ".join(error.split())
    return Proof(network, proof, "no error", line[:120], False)


def _shown(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
