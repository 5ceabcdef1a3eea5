"""What the shipped recipes reached, and what they were meant to reach."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from classicnets import recipe
from classicnets.runs.record import ANCHORS
from classicnets.verification.proof import Proof


class Record(NamedTuple):
    """A recipe's result on test."""

    value: float
    unit: str  # "%" top-1, "nats", or "FID"
    commit: str


METRICS = {"%": "top1", "nats": "elbo", "FID": "fid"}


def proofs(network: str) -> Iterator[Proof]:
    """Yield a line per recipe of the network: its result beside what others publish.

    It is a proof where it is as good; others may have trained a hundred times longer.
    """
    for name in recipe.names():
        if recipe.load(name).network != network:
            continue
        record = recorded(name)
        metric = METRICS[record.unit] if record else "top1"
        value, source = ANCHORS.get((name, metric), (None, "no anchor"))
        expected, result, ok = source, "no record", None
        if value is not None:
            value *= 100 if metric == "top1" else 1
            expected = f"{value:g}: {source}"
        if record:
            result = f"{record.value:g} {record.unit}, commit {record.commit}"
        if record and value is not None:
            sign = 1 if record.unit == "%" else -1  # nats and FID are costs
            ok = True if sign * record.value >= sign * value else None
        yield Proof(network, f"recorded result of {name}", expected, result, ok)


def recorded(name: str) -> Record | None:
    """Return what a shipped recipe's header says was measured, if it does."""
    lines = recipe.find(name).read_text(encoding="utf-8").splitlines()
    header = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
    _, _, measured = header.partition("Measured")
    commit = re.search(r"commit ([0-9a-f]{7,40})", measured)
    number = r"(\d+\.\d+)(?: (?:±|\+-) [\d.]+)?"
    if not commit:
        return None
    share = re.search(rf"{number}\s?%|%\s{number}", measured)
    nats = re.search(rf"{number} nats", measured)
    fid = re.search(rf"FID {number}", measured)
    for unit, match in (("nats", nats), ("FID", fid), ("%", share)):
        if match:
            return Record(float(match[1]), unit, commit[1])
    return None
