"""The first step of learning on every installed backend, each in its own process."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from classicnets.verification import first_losses, first_steps, small
from classicnets.verification.proof import Proof, below, failed, near

CLOSE = 1e-3  # as a share: of outputs and logs, and of the update's length
UPDATES_CLOSE = {"resnet50": 5e-3}  # whose float32 reaches 1.5e-3
SECONDS = 1200

Arrays = dict[str, np.ndarray]


def installed() -> list[str]:
    """Return the backends that are installed; never ask while Keras is imported, when
    some of them are hidden from it."""
    names = ("tensorflow", "jax", "torch")
    return [name for name in names if importlib.util.find_spec(name)]


class FirstSteps:
    """One step of some members on every backend, begun at once, read when asked for."""

    def __init__(self, members: Sequence[str], folder: Path):
        self.folder = folder
        self.processes: dict[str, subprocess.Popen] = {}
        for backend in installed():
            place = folder / backend
            place.mkdir()
            first_steps.write_images(place, *members)
            command = [sys.executable, "-m", first_steps.__name__, str(place)]
            with (place / "errors.txt").open("wb") as errors:
                self.processes[backend] = subprocess.Popen(
                    [*command, "0", "1", *members],
                    env=os.environ | {"KERAS_BACKEND": backend},
                    stdout=errors,
                    stderr=errors,
                )

    def stop(self) -> None:
        """End what still runs."""
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    def proofs(self, network: str) -> Iterator[Proof]:
        """Compare a network's member on this backend with NumPy and the others."""
        member, ours = small.member_of(network), keras.backend.backend()
        of = f" of {member}" if member != network else ""
        here = self._read(ours, member)
        if isinstance(here, str):
            yield failed(network, f"{ours}: the first step{of}", here)
            return
        expected = first_losses.expected(member, self.folder / ours)
        for key, value in expected.items():
            what = f"the first step's {key}{of} is NumPy's"
            yield near(network, what, float(value), float(here[key]), CLOSE)
        if "penalty" in here:
            what = f"the critic's loss{of}: 10 x penalty - distance"
            loss = 10.0 * float(here["penalty"]) - float(here["distance"])
            yield near(network, what, loss, float(here["critic_loss"]))
        _, _, parts = first_steps.prepare(member, self.folder / ours)
        start = [weight for part in parts for weight in part.get_weights()]
        for backend in self.processes:
            there = self._read(backend, member)
            if isinstance(there, str):
                yield failed(network, f"{backend}: the first step{of}", there)
            elif backend != ours:
                update = _updates_apart(start, here, there)
                for what, limit, apart in (
                    ("outputs", CLOSE, _apart("output", here, there)),
                    ("losses", CLOSE, _apart("", here, there)),
                    ("first update", UPDATES_CLOSE.get(member, CLOSE), update),
                ):
                    yield below(network, f"{backend}: {what}{of}", limit, apart)

    def _read(self, backend: str, member: str) -> Arrays | str:
        """Return what a process left, or its last words."""
        self.processes[backend].wait(SECONDS)
        path = self.folder / backend / f"{member}.npz"
        if path.exists():
            with np.load(path) as arrays:
                return dict(arrays)
        words = (self.folder / backend / "errors.txt").read_text("utf-8", "replace")
        return (words.strip().splitlines() or ["it left nothing"])[-1]


def _apart(kind: str, here: Arrays, there: Arrays) -> float:
    """Return the largest difference of outputs, or of the logs for ""."""
    keys = [
        key
        for key in here
        if (key.startswith(kind) if kind else not key.startswith(("output", "weight")))
    ]
    return max(
        float(np.abs(there[key] - here[key]).max() / max(np.abs(here[key]).max(), 1e-3))
        for key in keys
    )


def _updates_apart(start: list[np.ndarray], here: Arrays, there: Arrays) -> float:
    """Return the length of the difference of two updates, as a share of theirs."""
    difference = length = 0.0
    for place, before in enumerate(start):
        ours, theirs = here[f"weight{place}"], there[f"weight{place}"]
        difference += float(np.square(ours - theirs, dtype="float64").sum())
        length += float(np.square(ours - before, dtype="float64").sum())
    return (difference / length) ** 0.5 if length else float("inf")
