"""A contender is a process of its own that computes on order and else waits.

A process, because the backend of Keras cannot be changed within one, and one that
lives as long as its row, because compiling is not part of a step.
"""

import contextlib
import dataclasses
import importlib
import multiprocessing
import os
import pathlib
import signal
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from benchmarks.memory import peak_memory
from benchmarks.shapes import DIGITS, FACES, LONG_TOKENS, TEXT_NETWORKS, TOKENS

START_SECONDS = 240.0  # to import and build, and for the step that compiles
TURN_SECONDS = 600.0
END_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Contender:
    """Who trains, and how.

    Args:
        name: As it stands in the table.
        module: Has `train(job, turns)`.
        backend: What Keras computes with.
        precision: In the words of the module.
        compiled: For PyTorch, whether through `torch.compile`.
        only: The networks it trains; () for all.
    """

    name: str
    module: str
    backend: str
    precision: str
    compiled: bool = False
    only: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Job:
    """What a contender trains.

    Args:
        contender: Who trains.
        network: One of `benchmarks.rounds.NETWORKS`.
        batch_size: Examples per step.
        data: A `.npz` file with `inputs`, images (n, side, side, channels) uint8 or
            tokens (n, length) int32, and `labels` (n,) int32.
        log: A file for what its libraries have to say.
        device: "cpu" or "gpu".
    """

    contender: Contender
    network: str
    batch_size: int
    data: str
    log: str
    device: str = "cpu"

    def examples(self) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs and labels."""
        with np.load(self.data, allow_pickle=False) as file:
            return file["inputs"], file["labels"]

    @property
    def tokens(self) -> int:
        """The length of a text."""
        return LONG_TOKENS if self.network == "lstm400" else TOKENS

    @property
    def on_texts(self) -> bool:
        """Whether the network reads tokens and not images."""
        return self.network in TEXT_NETWORKS

    @property
    def is_generative(self) -> bool:
        """Whether the network learns to make images."""
        return self.network in DIGITS + FACES


class NotAvailable(Exception):  # noqa: N818  (it is an answer, not a fault)
    """A contender cannot train here; the text says why."""


class TrainingOver(Exception):  # noqa: N818  (it is an order, not a fault)
    """No more steps are wanted: leaves a training loop, wherever it is."""


def ask_a_process(name: str, work: Callable[..., None], *arguments: Any) -> Any:
    """Call work(pipe, *arguments) in a new process; return what it sends.

    Raises:
        SystemExit: If it ended before; `name` says which.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, *arguments))
    process.start()
    theirs.close()  # so that its death closes the pipe
    try:
        return ours.recv()
    except EOFError:
        raise SystemExit(f"{name} ended without a result.") from None
    finally:
        process.join()


class Worker:
    """A contender's process, seen from the one that measures."""

    def __init__(self, job: Job) -> None:
        context = multiprocessing.get_context("spawn")
        self.log = job.log
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, job))
        self.process.start()
        theirs.close()  # so that its death closes the pipe

    def introduction(self) -> dict[str, Any]:
        """Wait until everything is built; return the arguments of `Turns.introduce`."""
        return self._answer(START_SECONDS)

    def train(self, steps: int, limit: float = TURN_SECONDS) -> dict[str, Any]:
        """Train and return `seconds` per step, the last loss as `value`, the `peak` of
        its memory in MiB, and a `note`."""
        return self._order("train", steps, limit)

    def infer(self, steps: int, limit: float = TURN_SECONDS) -> dict[str, Any]:
        """Infer `steps` batches; return the same, where `value` is the outputs' mean.

        It trains no more after that.
        """
        return self._order("infer", steps, limit)

    def stop(self) -> None:
        """End the process; it may have ended before."""
        self.pipe.close()
        self.process.join(END_SECONDS)
        if self.process.is_alive():
            self.process.terminate()
            self.process.join()

    def _order(self, kind: str, steps: int, limit: float) -> dict[str, Any]:
        try:
            self.pipe.send((kind, steps))
        except OSError:
            raise NotAvailable(self._death()) from None
        return self._answer(limit)

    def _answer(self, limit: float) -> dict[str, Any]:
        if not self.pipe.poll(limit):
            self.process.terminate()  # it would not see that the pipe is closed
            raise NotAvailable(f"no answer in {limit:.0f} s")
        try:
            answer = self.pipe.recv()
        except (EOFError, OSError):
            raise NotAvailable(self._death()) from None
        if "error" in answer:
            raise NotAvailable(answer["error"])
        return answer

    def _death(self) -> str:
        self.process.join(END_SECONDS)
        log = pathlib.Path(self.log)
        if log.is_file():
            print(log.read_text(encoding="utf-8", errors="replace"), file=sys.stderr)
        return f"its process ended with exit code {self.process.exitcode}"


class Turns:
    """The other end of the pipe: holds a training loop while others train."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.kind, self.steps, self.left = "train", 0, 0
        self.started = 0.0
        self.note = ""  # what a reader should know of how this one trains
        self.imported = 0.0  # MiB
        self.infer: Callable[[], np.ndarray] | None = None

    def introduce(
        self,
        *,
        parameters: int,
        operations: float = 0.0,
        infer: Callable[[], np.ndarray] | None = None,
    ) -> None:
        """Say that everything is built, and wait for the first turn.

        Args:
            parameters: Trained ones, which must be the same for all contenders.
            operations: Of a step, as `benchmarks.operations` counts; 0: not counted.
            infer: Returns the outputs for one batch; None: it does not infer.
        """
        self.infer = infer
        self.pipe.send(
            {
                "parameters": parameters,
                "operations": operations,
                "infers": infer is not None,
                "imported": self.imported,
            }
        )
        self._wait()

    def step_done(self, loss: Any, seconds: float | None = None) -> None:
        """Count a step; after the last of a turn, answer and wait for the next.

        Args:
            loss: Anything that `float` takes.
            seconds: Of a step, where the contender has its own way to take them.

        Raises:
            TrainingOver: When no more steps are wanted.
        """
        self.left -= 1
        if not self.left:
            # `float` waits for a device that runs behind.
            self._answer(float(loss), seconds)
            self._wait()

    def infer_in_turns(self, batch_size: int) -> None:
        """Infer until the pipe is closed."""
        while self.infer:
            for _ in range(self.steps):
                outputs = self.infer()
            if len(outputs) != batch_size:
                raise ValueError(f"{batch_size} outputs must come, got {len(outputs)}.")
            self._answer(float(np.mean(outputs, dtype=np.float64)))
            self._receive()

    def _answer(self, value: float, seconds: float | None = None) -> None:
        elapsed = (time.perf_counter() - self.started) / self.steps
        self.pipe.send(
            {
                "seconds": elapsed if seconds is None else seconds,
                "value": value,
                "note": self.note,
                "peak": peak_memory(),
            }
        )

    def _wait(self) -> None:
        self._receive()
        if self.kind == "infer":
            raise TrainingOver

    def _receive(self) -> None:
        try:
            self.kind, self.steps = self.pipe.recv()
        except (EOFError, OSError):  # nobody measures any more
            raise SystemExit from None
        self.left = self.steps
        self.started = time.perf_counter()


def choose_backend(backend: str, device: str = "cpu") -> None:
    """Make Keras, not imported yet, compute with `backend` on "cpu" or "gpu"."""
    os.environ |= {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if device == "cpu":
        os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    else:  # contenders share its memory
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"


def work(pipe: Connection, job: Job) -> None:
    """Train, then infer, in this process until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that measures ends us
    log = os.open(job.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    choose_backend(job.contender.backend, job.device)
    turns = Turns(pipe)
    try:
        module = importlib.import_module(job.contender.module)
        turns.imported = peak_memory()
        with contextlib.suppress(TrainingOver):
            module.train(job, turns)
        turns.infer_in_turns(job.batch_size)
    except Exception as error:
        traceback.print_exc()
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        text = lines[0] if lines else ""
        pipe.send({"error": f"{type(error).__name__}: {text}"[:200]})
