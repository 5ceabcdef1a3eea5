"""What was measured, as a page for people and a CSV for machines."""

import csv
import dataclasses
import importlib.metadata
import io
import re
import statistics
from pathlib import Path

from benchmarks.worker import Contender
from classicnets.run import write_atomically

CSV_COLUMNS = (
    "row",
    "network",
    "batch_size",
    "contender",
    "round",
    "steps",
    "seconds_per_step",
    "loss",
    "parameters",
    "note",
)
PACKAGES = ("keras", "tensorflow", "tensorflow-cpu", "torch", "jax")
# The units that multiply matrices of bfloat16.
CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")

BASELINE = "keras2021-float32"


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
class Result:
    """What one contender did in one row.

    Args:
        contender: Who trained.
        steps: Steps a round.
        seconds: A step, by round.
        losses: After the round.
        parameters: Trained ones.
        note: How it trained, or why it did not.
    """

    contender: Contender
    steps: int = 0
    seconds: list[float] = dataclasses.field(default_factory=list)
    losses: list[float] = dataclasses.field(default_factory=list)
    parameters: int = 0
    note: str = ""

    @property
    def median(self) -> float:
        """Seconds a step."""
        return statistics.median(self.seconds)


def write(
    page: Path,
    introduction: str,
    measured: dict[Row, list[Result]],
) -> None:
    """Write the page, and the CSV beside it.

    Args:
        page: Where; the CSV has the same name with another ending.
        introduction: What stands above the tables.
        measured: The results of each row.
    """
    parts = [introduction, *(section(row, found) for row, found in measured.items())]
    page.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(page, "\n".join(parts).encode())
    write_atomically(page.with_suffix(".csv"), _csv(measured).encode())


def section(row: Row, results: list[Result]) -> str:
    """Return a row's conclusion and table in Markdown, the quickest first."""
    timed = sorted((r for r in results if r.seconds), key=lambda r: r.median)
    baseline = next((r for r in timed if r.contender.name == BASELINE), None)
    pytorch = next((r for r in timed if _is_pytorch(r)), None)
    lines = [f"## {row.name}", ""]
    if timed:
        lines.append(
            f"{row.network}, batch {row.batch_size}, {timed[0].parameters:,} trained"
            f" parameters; rounds: {len(timed[0].seconds)}."
        )
    lines += [*_conclusions(timed, baseline), ""]
    lines += [
        "| contender | times the 2021 style | times the best PyTorch | images/s |"
        " s a step | min..max | steps a round | note |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in timed:
        cells = [
            result.contender.name,
            _ratio(baseline, result),
            _ratio(pytorch, result),
            f"{row.batch_size / result.median:.1f}",
            f"{result.median:.3f}",
            f"{min(result.seconds):.3f}..{max(result.seconds):.3f}",
            str(result.steps),
            result.note,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for result in results:
        if not result.seconds:
            reason = result.note.replace("|", "/")
            name = result.contender.name
            lines.append(f"| {name} | | | | | | | not available: {reason} |")
    return "\n".join(lines) + "\n"


def speed(result: Result, other: Result) -> list[float]:
    """Return how many times as fast as `other` it was, by round."""
    return [theirs / own for theirs, own in zip(other.seconds, result.seconds)]


def machine() -> str:
    """Say what computes, and with which versions."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    present = found.group(1).split() if found else []
    flags = [flag for flag in CPU_FLAGS if flag in present]
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"{' '.join(flags) or 'flags unknown'}; {', '.join(versions)}"


def _conclusions(timed, baseline):
    """Say which of ours was best: of all, and among those in float32."""
    in_float32 = [r for r in timed if r.contender.precision == "float32"]
    lines = []
    for words, some in (("in any precision", timed), ("in float32", in_float32)):
        ours = next((r for r in some if r.contender.name.startswith("ours")), None)
        pytorch = next((r for r in some if _is_pytorch(r)), None)
        if ours is None:
            continue
        against = " and ".join(
            f"{statistics.median(speed(ours, peer)):.2f} times as fast as "
            f"{peer.contender.name}"
            for peer in (baseline, pytorch)
            if peer
        )
        if against:
            lines += ["", f"Our best {words}: **{ours.contender.name}, {against}.**"]
    return lines


def _is_pytorch(result):
    return result.contender.name.startswith("pytorch")


def _ratio(peer, result):
    if peer is None:
        return "–"
    ratios = speed(result, peer)
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})"


def _csv(measured):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for row, results in measured.items():
        for result in results:
            head = [row.name, row.network, row.batch_size, result.contender.name]
            tail = [result.parameters, result.note]
            for number, (seconds, loss) in enumerate(
                zip(result.seconds, result.losses), start=1
            ):
                middle = [number, result.steps, f"{seconds:.6f}", f"{loss:.4f}"]
                writer.writerow([*head, *middle, *tail])
            if not result.seconds:
                writer.writerow([*head, "", "", "", "", *tail])
    return text.getvalue()
