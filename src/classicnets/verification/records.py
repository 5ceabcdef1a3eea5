"""What the shipped recipes reached, and what they were meant to reach."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from classicnets import recipe
from classicnets.verification.proof import Proof


class Record(NamedTuple):
    """A recipe's result on test."""

    value: float
    unit: str  # "%" top-1, "nats", or "FID"
    commit: str


class Aim(NamedTuple):
    """Another's result of the same kind."""

    value: float
    source: str


AIMS = {
    "lstm-imdb": Aim(84.98, "a CNN-LSTM on 100 words, Keras's examples"),
    "lstm-imdb-400": Aim(88.13, "fastText on 400 words, Keras's examples"),
    "resnet18-cifar100": Aim(75.61, "pytorch-cifar100, 200 epochs"),
    "resnet20-cifar100": Aim(68.8, "others, 200 epochs"),
    "resnet56-cifar10": Aim(93.03, "He et al. 2015, table 6"),
    "vae-mnist": Aim(105.59, "PyTorch's example, 10 epochs"),
    "vgg19-cifar100": Aim(72.23, "pytorch-cifar100, 200 epochs"),
}


def proofs(network: str) -> Iterator[Proof]:
    """A line a recipe of the network; nothing fails for want of a record."""
    for name in recipe.names():
        if recipe.load(name).network != network:
            continue
        record, aim = recorded(name), AIMS.get(name)
        expected, found, ok = "no anchor", "no record", None
        if aim:
            expected = f"{aim.value:g}: {aim.source}"
        if record:
            found = f"{record.value:g} {record.unit}, commit {record.commit}"
        if aim and record:
            sign = 1 if record.unit == "%" else -1  # nats and FID are costs
            ok = sign * record.value >= sign * aim.value
        yield Proof(network, f"recorded result of {name}", expected, found, ok)


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
