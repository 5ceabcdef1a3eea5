"""Proofs that the networks are what their papers say, run on the current backend.

`verify` yields them one by one. What must hold comes from outside this package: from
papers' tables (`anchors`), from the papers' equations and algorithms written out in
NumPy (`by_hand`, `steps`), from closed forms (`formulas`), from keras.applications, or
from another backend.
"""

import functools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from classicnets import networks
from classicnets.verification import details, formulas, outputs, records, small, steps
from classicnets.verification.backends import FirstSteps
from classicnets.verification.proof import Proof, failed

__all__ = ["Proof", "verify"]

ALONE: dict[str, Callable[[str], Iterator[Proof]]] = {
    "counts": outputs.counts,
    "outputs": outputs.by_numpy,
    "keras.applications": outputs.by_keras_applications,
    "objective": formulas.of_objective,
    "updates": formulas.of_updates,
    "batch statistics": details.of_batch_statistics,
    "critic": details.of_critic,
    "draws": details.of_draws,
    "dropout": details.of_dropout,
    "records": records.proofs,
}


def verify(names: Sequence[str] = (), *, quick: bool = False) -> Iterator[Proof]:
    """Run the proofs for networks.

    Args:
        names: Keys of `NETWORKS` and `PAIRS`; none are all of them.
        quick: Leave out the first step on every backend, which other processes take.

    Yields:
        A `Proof` each, those of the networks' tasks first. One that an error stops is a
        proof that failed.

    Raises:
        UserError: For a network that does not exist.
    """
    names = list(names) or [*networks.NETWORKS, *networks.PAIRS]
    for name in names:
        networks.find(name)
    return _alone(names) if quick else _everywhere(names)


def of_network(name: str) -> Iterator[Proof]:
    """Run a network's own proofs on this backend alone, without those of its task."""
    for title, proofs in ALONE.items():
        yield from _guarded(name, title, functools.partial(proofs, name))


def _alone(names: Sequence[str]) -> Iterator[Proof]:
    every = (kind.task for name in names for kind in networks.kinds_of(name))
    for task in dict.fromkeys(every):
        yield from _guarded(task, "steps", functools.partial(steps.proofs, task))
    for name in names:
        yield from of_network(name)


def _everywhere(names: Sequence[str]) -> Iterator[Proof]:
    members = dict.fromkeys(map(small.member_of, names))
    with tempfile.TemporaryDirectory() as folder:
        first = FirstSteps(list(members), Path(folder))  # they run beside what follows
        try:
            yield from _alone(names)
            for name in names:
                run = functools.partial(first.proofs, name)
                yield from _guarded(name, "first step", run)
        finally:
            first.stop()


def _guarded(
    name: str, title: str, proofs: Callable[[], Iterator[Proof]]
) -> Iterator[Proof]:
    """Yield proofs; whatever stops them is a proof that failed."""
    try:
        yield from proofs()
    except Exception as error:
        yield failed(name, title, error)
