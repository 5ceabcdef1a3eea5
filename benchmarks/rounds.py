"""The contenders of a row take turns, round by round; one computes at a time."""

import concurrent.futures
import contextlib
import math
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.table import BASELINE, MATRIX, Result, Row, Turned
from benchmarks.worker import (
    CLASSIFIERS,
    DIGITS,
    FACES,
    START_SECONDS,
    TEXT_NETWORKS,
    Contender,
    Job,
    NotAvailable,
    Worker,
)

NETWORKS = (*CLASSIFIERS, *TEXT_NETWORKS, *DIGITS, *FACES)
BACKENDS = ("tensorflow", "torch", "jax")
COMPILING = 2  # contenders that compile side by side, which is not timed
# Of a turn: as many steps as fit. An inference's is shorter.
TURN_SECONDS, INFERENCE_SECONDS, MOST_STEPS = 1.5, 0.6, 200
INFERENCE_ROUNDS = 3
SLOW, SLOW_ROUNDS = 4.0, 2  # so many times the quickest: takes so many rounds
LONG_SECONDS = 5.0  # a step of a slow one: not waited for again
REST_SECONDS = 0.3  # threads that wait for work spin for a while first
SPARE_MEMORY = 2.0  # times the largest contender yet, before another one begins


def contenders(backends: list[str], device: str = "cpu") -> list[Contender]:
    """Return ours on each backend, and the peers; those that compile long come last.

    On "gpu" they are ours on JAX and PyTorch, PyTorch, and plain JAX.
    """
    if device == "gpu":
        backends = [backend for backend in backends if backend != "tensorflow"]
    found = [
        Contender(f"{MATRIX}-{precision}", "benchmarks.peak", "torch", precision)
        for precision in ("float32", "bfloat16")
    ]
    ours = [
        Contender(f"ours-{backend}-{precision}", "benchmarks.ours", backend, precision)
        for backend in backends
        for precision in ("float32", "mixed_bfloat16")
    ]
    found += [each for each in ours if each.backend != "jax"]
    if device == "cpu":
        found += _keras(backends)
    found += [
        Contender(
            f"pytorch-{mode}-{precision}",
            "benchmarks.peers.pytorch",
            "torch",
            precision,
            compiled=mode == "compile",
        )
        for mode in ("eager", "compile")
        for precision in ("float32", "bfloat16")
    ]
    plain = "benchmarks.peers.plain_jax"
    found.append(Contender("jax-float32", plain, "jax", "float32", only=("vae",)))
    return found + [each for each in ours if each.backend == "jax"]


def _keras(backends):
    """Return the script of 2021, and the same on today's backends."""
    script = "benchmarks.peers.keras_2021"
    found = [Contender(BASELINE, script, "tensorflow", "float32")]
    for backend in backends:
        # The script of 2021 is the one on TensorFlow, but for `unroll` of an LSTM.
        only = TEXT_NETWORKS if backend == "tensorflow" else CLASSIFIERS + TEXT_NETWORKS
        name = f"keras-{backend}-float32"
        found.append(Contender(name, script, backend, "float32", only=only))
    return found


def measure(
    row: Row,
    contenders: list[Contender],
    path: str,
    *,
    rounds: int,
    steps: int,
    device: str = "cpu",
) -> list[Result]:
    """Let the contenders of a row train in turns, then infer in turns.

    Args:
        row: What they train.
        contenders: Who trains.
        path: The examples' file.
        rounds: Turns of each contender.
        steps: Steps a turn; 0: as many as fit, by the time they take.
        device: "cpu" or "gpu".
    """
    return _Race(row, contenders, path, rounds, steps, device).run()


class _Race:
    """A row's contenders: their processes and what they have done."""

    def __init__(self, row, contenders, path, rounds, steps, device):
        self.row, self.path, self.rounds, self.steps = row, path, rounds, steps
        self.device = device
        here = [c for c in contenders if not c.only or row.network in c.only]
        self.results = {contender.name: Result(contender) for contender in here}
        self.workers: dict[str, Worker] = {}
        self.trained = False

    def run(self) -> list[Result]:
        """Build, warm up, train, infer."""
        row = self.row
        try:
            for name, result in self.results.items():  # build side by side
                log = f"{self.path}.{row.name}.{name}.log"
                about = (row.network, row.batch_size, self.path, log, self.device)
                self.workers[name] = Worker(Job(result.contender, *about))
            for name in list(self.workers):
                self._introduce(name)
            self._check_same_network()
            self._take_turns("training", TURN_SECONDS, self.rounds)
            self.trained = True
            for name in list(self.workers):
                if not self.results[name].infers:
                    self.workers.pop(name).stop()
            few = min(self.rounds, INFERENCE_ROUNDS)
            self._take_turns("inference", INFERENCE_SECONDS, few)
        finally:
            for worker in self.workers.values():
                worker.pipe.close()  # each ends when it sees that
            for worker in self.workers.values():
                worker.stop()
        return list(self.results.values())

    def _introduce(self, name):
        with self._excused(name):
            said, result = self.workers[name].introduction(), self.results[name]
            result.parameters, result.operations = (
                said["parameters"],
                said["operations"],
            )
            result.infers, result.imported = said["infers"], said["imported"]

    def _check_same_network(self):
        results = [self.results[name] for name in self.workers]
        counts = {r.name: r.parameters for r in results if not r.is_matrix}
        if len(set(counts.values())) > 1:
            raise RuntimeError(
                f"{self.row.name} must be one network for all, got {counts}."
            )

    def _take_turns(self, what, seconds, rounds):
        """Warm up, then go round."""
        with concurrent.futures.ThreadPoolExecutor(COMPILING) as pool:
            list(pool.map(lambda name: self._compile(name, what), list(self.workers)))
        taken = {}
        for name in list(self.workers):
            with self._excused(name):
                taken[name] = self._act(name, what)(1, START_SECONDS)
                self.results[name].note = taken[name]["note"]
        once, few = self._slow({n: taken[n]["seconds"] for n in taken})
        for name, answer in taken.items():
            turned = self._turned(name, what)
            fit = int(np.clip(seconds / answer["seconds"], 1, MOST_STEPS))
            turned.steps = self.steps or fit
            if self.results[name].is_matrix or name in once:
                turned.steps = 1
            if name in once:
                self._keep(name, what, answer)
        shown = ", ".join(f"{n} {taken[n]['seconds']:.3f}" for n in taken)
        _say(f"{self.row.name}: {what}, seconds a step: {shown}")
        for number in range(rounds):
            for name in _order(list(self.workers), number):
                if name not in once and (number < SLOW_ROUNDS or name not in few):
                    self._turn(name, what)

    def _slow(self, taken):
        """Return who takes part once, and who in some rounds, by seconds a step."""
        timed = {n: s for n, s in taken.items() if not self.results[n].is_matrix}
        slow = {n for n, s in timed.items() if s > SLOW * min(timed.values())}
        once = {name for name in slow if timed[name] > LONG_SECONDS}
        return once, slow - once

    def _compile(self, name, what):
        """Let one take its first step, if there is memory for it."""
        with self._excused(name):
            largest, left = max(r.peak for r in self.results.values()), memory_left()
            if what == "training" and left < SPARE_MEMORY * largest:
                raise NotAvailable(f"the others have left it {left:,.0f} MiB of memory")
            started = time.monotonic()
            answer = self._act(name, what)(1, START_SECONDS)
            if what == "training":
                self.results[name].peak = answer["peak"]
            took = time.monotonic() - started
            _say(f"{self.row.name}: {name}: first {what} step after {took:.0f} s")

    def _turn(self, name, what):
        with self._excused(name):
            time.sleep(REST_SECONDS)
            steps = self._turned(name, what).steps
            self._keep(name, what, self._act(name, what)(steps))

    def _keep(self, name, what, answer):
        turned = self._turned(name, what)
        turned.seconds.append(answer["seconds"])
        turned.values.append(answer["value"])
        if what == "training":
            self.results[name].peak = answer["peak"]

    def _act(self, name, what) -> Callable[..., dict[str, Any]]:
        worker = self.workers[name]
        return worker.train if what == "training" else worker.infer

    def _turned(self, name, what) -> Turned:
        return getattr(self.results[name], what)

    @contextlib.contextmanager
    def _excused(self, name: str) -> Iterator[None]:
        """Note why a contender cannot go on, end it, and let the others go on."""
        try:
            yield
        except NotAvailable as error:
            result, what = self.results[name], str(error)
            _say(f"{self.row.name}: {name}: not available: {what}")
            if self.trained:
                result.inference = Turned()
                result.note = f"{result.note}; no inference: {what}".lstrip("; ")
            else:
                result.training = Turned()
                result.note = what
            worker = self.workers.pop(name, None)
            if worker:
                worker.stop()


def memory_left() -> float:
    """Return the MiB that processes can still take, where the system tells it."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
        return int(re.findall(r"MemAvailable:\s+(\d+) kB", text)[0]) / 1024
    except (OSError, IndexError):
        return math.inf


def _order(names, number):
    """Let another one begin each round, and go back and forth."""
    first = number % len(names) if names else 0
    names = names[first:] + names[:first]
    return names[::-1] if number % 2 else names


def _say(text):
    print(text, file=sys.stderr, flush=True)
