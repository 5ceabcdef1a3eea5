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

from benchmarks.shapes import CLASSIFIERS, DIGITS, FACES, TEXT_NETWORKS
from benchmarks.table import BASELINE, MATRIX, Result, Row, Turns
from benchmarks.worker import START_SECONDS, Contender, Job, NotAvailable, Worker

NETWORKS = (*CLASSIFIERS, *TEXT_NETWORKS, *DIGITS, *FACES)
BACKENDS = ("tensorflow", "torch", "jax")
COMPILING = 2  # contenders that compile side by side, which is not timed
# Of a turn: as many steps as fit. An inference's is shorter.
TURN_SECONDS, INFERENCE_SECONDS, MAX_STEPS = 1.5, 0.6, 200
INFERENCE_ROUNDS = 3
SLOW, SLOW_ROUNDS = 4.0, 2  # so many times the fastest: takes so many rounds
LONG_SECONDS = 5.0  # a step of a slow one: not waited for again
REST_SECONDS = 0.3  # threads that wait for work spin for a while first
SPARE_MEMORY = 2.0  # times the largest contender yet, before another one begins


def contenders(backends: list[str], device: str = "cpu") -> list[Contender]:
    """Return ours on each backend, and the peers; those that compile long come last.

    On "gpu" they are ours on JAX and PyTorch, PyTorch, and plain JAX.
    """
    if device == "gpu":
        backends = [backend for backend in backends if backend != "tensorflow"]
    everyone = [
        Contender(f"{MATRIX}-{precision}", "benchmarks.peak", "torch", precision)
        for precision in ("float32", "bfloat16")
    ]
    ours = [
        Contender(f"ours-{backend}-{precision}", "benchmarks.ours", backend, precision)
        for backend in backends
        for precision in ("float32", "mixed_bfloat16")
    ]
    everyone += [each for each in ours if each.backend != "jax"]
    if device == "cpu":
        everyone += _keras(backends)
    everyone += [
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
    everyone.append(Contender("jax-float32", plain, "jax", "float32", only=("vae",)))
    return everyone + [each for each in ours if each.backend == "jax"]


def _keras(backends: list[str]) -> list[Contender]:
    """Return the script of 2021, and the same on today's backends."""
    script = "benchmarks.peers.keras_2021"
    peers = [Contender(BASELINE, script, "tensorflow", "float32")]
    for backend in backends:
        # The script of 2021 is the one on TensorFlow, but for `unroll` of an LSTM.
        only = TEXT_NETWORKS if backend == "tensorflow" else CLASSIFIERS + TEXT_NETWORKS
        name = f"keras-{backend}-float32"
        peers.append(Contender(name, script, backend, "float32", only=only))
    return peers


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
        steps: Steps per turn; 0: as many as fit, by the time they take.
        device: "cpu" or "gpu".
    """
    return _Race(row, contenders, path, rounds, steps, device).run()


class _Race:
    """A row's contenders: their processes and what they have done."""

    def __init__(
        self,
        row: Row,
        contenders: list[Contender],
        path: str,
        rounds: int,
        steps: int,
        device: str,
    ) -> None:
        self.row, self.path, self.rounds, self.steps = row, path, rounds, steps
        self.device = device
        self.results = {
            contender.name: Result(contender)
            for contender in contenders
            if not contender.only or row.network in contender.only
        }
        self.workers: dict[str, Worker] = {}
        self.trains = True

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
            self.trains = False
            for name in list(self.workers):
                if not self.results[name].infers:
                    self.workers.pop(name).stop()
            rounds = min(self.rounds, INFERENCE_ROUNDS)
            self._take_turns("inference", INFERENCE_SECONDS, rounds)
        finally:
            for worker in self.workers.values():
                worker.pipe.close()  # each ends when it sees that
            for worker in self.workers.values():
                worker.stop()
        return list(self.results.values())

    def _introduce(self, name: str) -> None:
        with self._excused(name):
            for key, value in self.workers[name].introduction().items():
                setattr(self.results[name], key, value)

    def _check_same_network(self) -> None:
        results = [self.results[name] for name in self.workers]
        counts = {r.name: r.parameters for r in results if not r.is_matrix}
        if len(set(counts.values())) > 1:
            raise RuntimeError(
                f"{self.row.name} must be one network for all, got {counts}."
            )

    def _take_turns(self, what: str, seconds: float, rounds: int) -> None:
        """Warm up, then go round."""
        with concurrent.futures.ThreadPoolExecutor(COMPILING) as pool:
            list(pool.map(lambda name: self._compile(name, what), list(self.workers)))
        answers = {}
        for name in list(self.workers):
            with self._excused(name):
                answers[name] = self._act(name, what)(1, START_SECONDS)
                self.results[name].note = answers[name]["note"]
        per_step = {name: answer["seconds"] for name, answer in answers.items()}
        slowest, slow = self._slow(per_step)
        for name, answer in answers.items():
            turns = self._turns(name, what)
            turns.steps = self.steps or int(
                np.clip(seconds / per_step[name], 1, MAX_STEPS)
            )
            if self.results[name].is_matrix or name in slowest:
                turns.steps = 1
            if name in slowest:
                self._keep(name, what, answer)
        line = ", ".join(f"{name} {value:.3f}" for name, value in per_step.items())
        _say(f"{self.row.name}: {what}, seconds per step: {line}")
        for number in range(rounds):
            for name in _order(list(self.workers), number):
                if name not in slowest and (number < SLOW_ROUNDS or name not in slow):
                    self._turn(name, what)

    def _slow(self, seconds: dict[str, float]) -> tuple[set[str], set[str]]:
        """Return who takes part once, and who in some rounds, by seconds per step."""
        values = {n: s for n, s in seconds.items() if not self.results[n].is_matrix}
        slow = {n for n, s in values.items() if s > SLOW * min(values.values())}
        slowest = {name for name in slow if values[name] > LONG_SECONDS}
        return slowest, slow - slowest

    def _compile(self, name: str, what: str) -> None:
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

    def _turn(self, name: str, what: str) -> None:
        with self._excused(name):
            time.sleep(REST_SECONDS)
            steps = self._turns(name, what).steps
            self._keep(name, what, self._act(name, what)(steps))

    def _keep(self, name: str, what: str, answer: dict[str, Any]) -> None:
        turns = self._turns(name, what)
        turns.seconds.append(answer["seconds"])
        turns.values.append(answer["value"])
        if what == "training":
            self.results[name].peak = answer["peak"]

    def _act(self, name: str, what: str) -> Callable[..., dict[str, Any]]:
        worker = self.workers[name]
        return worker.train if what == "training" else worker.infer

    def _turns(self, name: str, what: str) -> Turns:
        return getattr(self.results[name], what)

    @contextlib.contextmanager
    def _excused(self, name: str) -> Iterator[None]:
        """Note why a contender cannot go on, end it, and let the others go on."""
        try:
            yield
        except NotAvailable as error:
            result, what = self.results[name], str(error)
            _say(f"{self.row.name}: {name}: not available: {what}")
            if self.trains:
                result.training, result.note = Turns(), what
            else:
                result.inference = Turns()
                result.note = f"{result.note}; no inference: {what}".lstrip("; ")
            worker = self.workers.pop(name, None)
            if worker:
                worker.stop()


def memory_left() -> float:
    """Return the MiB that processes can still take, where the system reports it."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
        return int(re.findall(r"MemAvailable:\s+(\d+) kB", text)[0]) / 1024
    except (OSError, IndexError):
        return math.inf


def _order(names: list[str], number: int) -> list[str]:
    """Let another one begin each round, and go back and forth."""
    first = number % len(names) if names else 0
    names = names[first:] + names[:first]
    return names[::-1] if number % 2 else names


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
