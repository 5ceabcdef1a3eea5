"""What was measured, and what follows from it: ratios, shares, a CSV for machines."""

import argparse
import csv
import dataclasses
import importlib.metadata
import io
import shlex
import statistics
import sys
from collections.abc import Sequence

from benchmarks.worker import Contender
from classicnets.runs import environment

BASELINE = "keras2021-float32"
MATRIX = "matrix-product"  # how the contenders that measure the machine begin

# How many times as fast as the best peer, and as the style of 2021, our best must be.
PEER_TARGET = 1.0
PEER_TARGETS = {"vae": 1.2, "wgan_gp": 1.2}
BASELINE_TARGETS = {
    **dict.fromkeys(("resnet18", "vgg19_bn", "resnet20", "lstm", "lstm400"), 2.0),
    **{"vae": 6.0, "wgan_gp": 2.5},
}
# Why a row misses its target, by profiling: one sentence by the row's name.
NEAR_THE_PEAK = (
    "oneDNN convolves for the script of 2021 too, whose share of the peak leaves little"
    " or no room for twice its speed in float32; in bfloat16, where that is fast, ours"
    " is bound by that peak. So is PyTorch, by the same convolutions: in ours they and"
    " products are 85 % of all operations' time (ResNet-18, float32, on two Intel cores"
    " with AVX-512)."
)
SMALL_PRODUCTS = (
    "half of the step on TensorFlow are the LSTM's loops (some 10 of 20 ms in bfloat16,"
    " on two AMD cores with AVX-512): small products at the peak of a core, half of it,"
    " and a gate's arithmetic, one after the other, for half a batch on each core; most"
    " of the rest are products near the peak."
)
REASONS: dict[str, str] = {
    **dict.fromkeys(("resnet18-64", "vgg19_bn-64", "resnet20-128"), NEAR_THE_PEAK),
    **dict.fromkeys(("lstm-64", "lstm400-64"), SMALL_PRODUCTS),
    "vae-512": "XLA compiles almost the same operations for plain JAX, by its dumps;"
    " all others are behind both. Its matrix products are nearly all of the step.",
}

CSV_COLUMNS = (
    *("row", "network", "batch_size", "contender", "what", "round", "steps"),
    *("seconds_per_step", "value", "share_of_peak", "peak_mib", "imports_mib"),
    *("parameters", "note"),
)
PACKAGES = ("keras", "tensorflow", "tensorflow-cpu", "torch", "jax")
# The units that multiply matrices of bfloat16.
CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


@dataclasses.dataclass(frozen=True)
class Row:
    """A network and a batch size, at which all contenders meet."""

    network: str
    batch_size: int

    @property
    def name(self) -> str:
        """As on the command line."""
        return f"{self.network}-{self.batch_size}"


@dataclasses.dataclass
class Turns:
    """What the turns of one contender took.

    Args:
        steps: Steps per round.
        seconds: A step, by round; a slow one has fewer rounds.
        values: The loss after each round, or the mean of what it inferred.
    """

    steps: int = 0
    seconds: list[float] = dataclasses.field(default_factory=list)
    values: list[float] = dataclasses.field(default_factory=list)

    @property
    def median(self) -> float:
        """Seconds per step."""
        return statistics.median(self.seconds)


@dataclasses.dataclass
class Result:
    """What one contender did in one row.

    Args:
        contender: Who trained.
        training, inference: Its turns.
        parameters: Trained ones.
        operations: Of a step of training; 0: not counted.
        infers: Whether it infers.
        imported: MiB resident after its imports, at most.
        peak: MiB resident until its training ended, at most.
        note: How it trained, or why it did not.
    """

    contender: Contender
    training: Turns = dataclasses.field(default_factory=Turns)
    inference: Turns = dataclasses.field(default_factory=Turns)
    parameters: int = 0
    operations: float = 0.0
    infers: bool = False
    imported: float = 0.0
    peak: float = 0.0
    note: str = ""

    @property
    def name(self) -> str:
        """The contender's."""
        return self.contender.name

    @property
    def is_ours(self) -> bool:
        """Whether it is one of ours."""
        return self.name.startswith("ours-")

    @property
    def is_matrix(self) -> bool:
        """Whether it trains nothing and measures the machine."""
        return self.name.startswith(MATRIX)


def ranked(results: list[Result], what: str) -> list[Result]:
    """Return those that trained, or inferred, the fastest first."""
    done = [r for r in results if getattr(r, what).seconds and not r.is_matrix]
    return sorted(done, key=lambda result: getattr(result, what).median)


def speed(result: Result, other: Result, what: str = "training") -> list[float]:
    """Return how many times as fast as `other` it was, by the rounds of both."""
    own, theirs = getattr(result, what).seconds, getattr(other, what).seconds
    return [b / a for a, b in zip(own, theirs)]


def ratio(ratios: list[float]) -> str:
    """Return the median with the smallest and the largest, or a dash for none."""
    if not ratios:
        return "–"
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})"


def rates(results: list[Result]) -> dict[str, list[float]]:
    """Return the operations per second of the matrix products: precision to rounds."""
    return {
        r.contender.precision: [r.operations / s for s in r.training.seconds]
        for r in results
        if r.is_matrix and r.training.seconds
    }


def shares(result: Result, results: list[Result]) -> list[float]:
    """Return the shares of the machine's peak in the same precision, by round.

    One that has counted the operations of a step has done so for all in the row.
    """
    peak = rates(results).get(result.contender.precision.removeprefix("mixed_"), [])
    operations = max((r.operations for r in results if not r.is_matrix), default=0.0)
    if not operations:
        return []
    return [operations / s / p for s, p in zip(result.training.seconds, peak)]


def machine() -> str:
    """Say what computes, and with which versions."""
    flags = [flag for flag in environment.processor_flags() if flag in CPU_FLAGS]
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"{' '.join(flags) or 'flags unknown'}; {', '.join(versions)}"


def has_bfloat16() -> bool:
    """Return whether this processor has instructions for bfloat16, fast or not."""
    return any("bf16" in flag for flag in environment.processor_flags())


def command_line(module: str, doc: str | None, out: str) -> argparse.ArgumentParser:
    """Return a parser with `--out`, which says the default of every option.

    Args:
        module: What `python -m` runs.
        doc: Its docstring.
        out: The page that it writes by default.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=(doc or "").partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", default=out, help="the page")
    return parser


def origin(module: str, words: Sequence[str] | None = None) -> list[str]:
    """Return the lines of a page that say which command made it, and on what.

    Args:
        module: What `python -m` was given.
        words: What stood after it; by default as it was typed.
    """
    arguments = sys.argv[1:] if words is None else words
    facts = environment.describe("", "CPU")
    return [
        f"- command: `{shlex.join(['python', '-m', module, *arguments])}`",
        f"- commit: {facts['commit']}; {facts['started']}",
        f"- machine: {facts['processor']}, {facts['cpu_count']} cores; {machine()};"
        f" Python {facts['python']}, NumPy {facts['numpy']}",
    ]


def rounds_csv(measured: dict[Row, list[Result]]) -> str:
    """Return every round of every contender as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for row, results in measured.items():
        for result in results:
            head = [row.name, row.network, row.batch_size, result.name]
            tail = [f"{result.peak:.0f}", f"{result.imported:.0f}"]
            tail += [str(result.parameters), result.note]
            if not result.training.seconds:
                writer.writerow([*head, *[""] * 6, *tail])
            of_peak = shares(result, results)
            for what in ("training", "inference"):
                turns = getattr(result, what)
                pairs = zip(turns.seconds, turns.values)
                for number, (seconds, value) in enumerate(pairs):
                    share = ""
                    if what == "training" and number < len(of_peak):
                        share = f"{of_peak[number]:.4f}"
                    middle = [what, number + 1, turns.steps, f"{seconds:.6f}"]
                    writer.writerow([*head, *middle, f"{value:.4f}", share, *tail])
    return text.getvalue()
