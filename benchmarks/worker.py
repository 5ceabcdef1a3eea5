"""A contender is a process of its own that trains while it is told to and waits else.

A process, because the backend of Keras cannot be changed within one, and one that
lives as long as its row, because compiling is not part of a step.
"""

import dataclasses
import importlib
import multiprocessing
import os
import pathlib
import signal
import sys
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

START_SECONDS = 600.0  # to import and build, and for each order to train
END_SECONDS = 10.0
TEXT_NETWORKS = ("lstm",)
# What the others learn from, where it is not photos of 32x32x3.
DIGITS, FACES = ("vae",), ("wgan_gp",)
# Images.
CLASSES = 100
LEARNING_RATE = 0.01
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4  # times the weight, in the gradient
CROP_PADDING = 4  # pixels on each side
# Texts: the shape of the script of 2021.
TEXT_CLASSES = 2
VOCABULARY = 20_000
TOKENS = 100
EMBEDDING = 100
UNITS = (64, 64)
DROPOUT = 0.5
ADAM_RATE = 1e-3
# A VAE and a WGAN-GP: the shapes of the script of 2021, with layer norm in the critic.
VAE_UNITS = 128
LATENT_SIZE = 20
NOISE_SIZE = 100
CRITIC_STEPS = 5  # a step is that many of the critic and one of the generator
PENALTY = 10.0
GAN_RATE = 2e-4


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
        network: "resnet18", "vgg19_bn", "resnet20", "lstm", "vae" or "wgan_gp".
        batch_size: Examples a step.
        data: A `.npz` file with `inputs`, images (n, side, side, channels) uint8 or
            tokens (n, TOKENS) int32, and `labels` (n,) int32.
        log: A file for what its libraries have to say.
    """

    contender: Contender
    network: str
    batch_size: int
    data: str
    log: str

    def examples(self) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs and labels."""
        with np.load(self.data, allow_pickle=False) as file:
            return file["inputs"], file["labels"]

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


class Worker:
    """A contender's process, seen from the one that measures."""

    def __init__(self, job: Job):
        context = multiprocessing.get_context("spawn")
        self.log = job.log
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, job))
        self.process.start()
        theirs.close()  # so that its death closes the pipe

    def parameters(self) -> int:
        """Wait until everything is built; return how many parameters it trains."""
        return self._answer()["parameters"]

    def train(self, steps: int) -> dict[str, Any]:
        """Train and return `seconds` a step, the last `loss`, and a `note`."""
        try:
            self.pipe.send(steps)
        except OSError:
            raise NotAvailable(self._death()) from None
        return self._answer()

    def stop(self) -> None:
        """End the process; it may have ended before."""
        self.pipe.close()
        self.process.join(END_SECONDS)
        if self.process.is_alive():
            self.process.terminate()
            self.process.join()

    def _answer(self):
        if not self.pipe.poll(START_SECONDS):
            raise NotAvailable(f"no answer in {START_SECONDS:.0f} s")
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

    def __init__(self, pipe: Connection):
        self.pipe = pipe
        self.steps = self.left = 0
        self.started = 0.0
        self.note = ""  # what a reader should know of how this one trains

    def introduce(self, *, parameters: int) -> None:
        """Say that everything is built, and wait for the first turn.

        Args:
            parameters: Trained ones, which must be the same for all contenders.
        """
        self.pipe.send({"parameters": parameters})
        self._wait()

    def step_done(self, loss: Any) -> None:
        """Count a step; after the last of a turn, answer and wait for the next.

        Args:
            loss: Anything that `float` takes.
        """
        self.left -= 1
        if self.left:
            return
        value = float(loss)  # a device that runs behind is waited for
        seconds = (time.perf_counter() - self.started) / self.steps
        self.pipe.send({"seconds": seconds, "loss": value, "note": self.note})
        self._wait()

    def _wait(self):
        try:
            self.steps = self.left = self.pipe.recv()
        except (EOFError, OSError):  # nobody measures any more
            raise SystemExit from None
        self.started = time.perf_counter()


def choose_backend(backend: str) -> None:
    """Make Keras, which is not imported yet, compute with `backend` on the CPU."""
    os.environ |= {
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",  # these are measurements of the CPU
        "JAX_PLATFORMS": "cpu",
    }


def work(pipe: Connection, job: Job) -> None:
    """Train in this process until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that measures ends us
    log = os.open(job.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    choose_backend(job.contender.backend)
    try:
        importlib.import_module(job.contender.module).train(job, Turns(pipe))
    except Exception as error:
        traceback.print_exc()
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        text = lines[0] if lines else ""
        pipe.send({"error": f"{type(error).__name__}: {text}"[:200]})
