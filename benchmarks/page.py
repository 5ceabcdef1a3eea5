"""The page: a summary first, the rows that miss on top, then one section per row."""

import dataclasses
import statistics
from pathlib import Path

from benchmarks.plot import bars
from benchmarks.table import (
    BASELINE,
    BASELINE_TARGETS,
    PEER_TARGET,
    PEER_TARGETS,
    REASONS,
    Result,
    Row,
    ranked,
    rates,
    ratio,
    rounds_csv,
    shares,
    speed,
)
from classicnets import files

PLOT = "pictures/benchmarks.svg"  # beside the page
# Pages of the parts that other commands measure.
PARTS = {
    "benchmarks-amx.md": "steps on a processor with AMX, earlier",
    "benchmarks-avx512.md": "the same on an Intel processor with AVX-512, earlier",
    "benchmarks-avx2.md": "the same on a processor with AVX2 alone, earlier",
    "benchmarks-quality.md": "seconds to a quality",
    "benchmarks-folders.md": "a folder of images",
    "benchmarks-startup.md": "the start of a command and of a training run",
    "growth.md": "time and memory as the work grows",
    "reliability.md": "what checkpoints cost",
}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How our best stands in a row; a ratio's rounds are empty without the other.

    Args:
        row: Which.
        ours: Our fastest.
        peer: The fastest that is not ours.
        against_peer, against_baseline: Times as fast, by round.
        share: Of the machine's peak.
        inferring: Times as fast as the best peer at inference, by round.
    """

    row: Row
    ours: Result | None
    peer: Result | None
    against_peer: list[float]
    against_baseline: list[float]
    share: list[float]
    inferring: list[float]

    @property
    def peer_target(self) -> float:
        """What the ratio to the best peer must be."""
        return PEER_TARGETS.get(self.row.network, PEER_TARGET)

    @property
    def baseline_target(self) -> float | None:
        """What the ratio to the style of 2021 must be, where there is a target."""
        return BASELINE_TARGETS.get(self.row.network)

    @property
    def met(self) -> bool:
        """Whether both ratios were measured and are what they must be."""
        targets = [(self.against_peer, self.peer_target)]
        if self.baseline_target:
            targets.append((self.against_baseline, self.baseline_target))
        return all(r and statistics.median(r) >= target for r, target in targets)


def outcome(row: Row, results: list[Result]) -> Outcome:
    """Find our best, the best peer, and the ratios between them."""
    ours, peer, baseline = _best(results, "training")
    infers, other, _ = _best(results, "inference")
    return Outcome(
        row,
        ours,
        peer,
        speed(ours, peer) if ours and peer else [],
        speed(ours, baseline) if ours and baseline else [],
        shares(ours, results) if ours else [],
        speed(infers, other, "inference") if infers and other else [],
    )


def write(page: Path, introduction: str, measured: dict[Row, list[Result]]) -> None:
    """Write the page; beside it a CSV of the same name, and the plot.

    Args:
        page: Where.
        introduction: What was measured, when, on what.
        measured: The results of each row.
    """
    outcomes = [outcome(row, results) for row, results in measured.items()]
    parts = [introduction, summary(outcomes)]
    if svg := bars(measured):
        (page.parent / PLOT).parent.mkdir(parents=True, exist_ok=True)
        files.write(page.parent / PLOT, svg.encode())
        parts.append(f"![our best against each peer, one group per row]({PLOT})\n")
    links = [
        f"[{what}]({name})"
        for name, what in PARTS.items()
        if (page.parent / name).exists()
    ]
    if links:
        parts.append(f"Measured by other commands: {', '.join(links)}.\n")
    parts += [section(row, results) for row, results in measured.items()]
    files.write(page, "\n".join(parts).encode())
    files.write(page.with_suffix(".csv"), rounds_csv(measured).encode())


def summary(outcomes: list[Outcome]) -> str:
    """Return the table of all rows, those that miss a target first."""
    lines = [
        "| row | our best | times the best peer | target | the best peer"
        " | times the 2021 style | target | share of peak | inference: times the best"
        " peer | met? |",
        f"|{'---|' * 10}",
    ]
    for each in sorted(outcomes, key=lambda each: each.met):
        target = each.baseline_target
        cells = [
            each.row.name,
            each.ours.name if each.ours else "–",
            f"**{ratio(each.against_peer)}**",
            f"{each.peer_target:.1f}",
            each.peer.name if each.peer else "–",
            ratio(each.against_baseline),
            f"{target:.1f}" if target else "–",
            _percent(each.share),
            ratio(each.inferring),
            "yes" if each.met else "no",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    for each in outcomes:
        if not each.met and each.row.name in REASONS:
            lines.append(f"- {each.row.name}: {REASONS[each.row.name]}")
    return "\n".join(lines).rstrip() + "\n"


def section(row: Row, results: list[Result]) -> str:
    """Return the part of the page about one row."""
    parameters = max((r.parameters for r in results), default=0)
    lines = [
        f"## {row.name}",
        "",
        f"{row.network}, batch {row.batch_size}, {parameters:,} trained parameters.",
    ]
    peaks = [
        f"{statistics.median(values) / 1e9:,.0f} GFLOP/s in {precision}"
        for precision, values in rates(results).items()
    ]
    if peaks:
        lines[-1] += f" A matrix product here: {', '.join(peaks)}."
    lines += [*_conclusions(results), "", "A step of training:", ""]
    lines += _table(row, results, "training")
    for result in results:
        if not result.training.seconds and not result.is_matrix:
            lines.append(_not_available(result))
    if ranked(results, "inference"):
        lines += ["", "Inference, a batch:", "", *_table(row, results, "inference")]
    return "\n".join(lines) + "\n"


def _best(
    results: list[Result], what: str
) -> tuple[Result | None, Result | None, Result | None]:
    """Return our fastest, the fastest other, and the style of 2021, or None."""
    by_speed = ranked(results, what)
    return (
        next((r for r in by_speed if r.is_ours), None),
        next((r for r in by_speed if not r.is_ours), None),
        next((r for r in by_speed if r.name == BASELINE), None),
    )


def _table(row: Row, results: list[Result], what: str) -> list[str]:
    _, peer, baseline = _best(results, what)
    unit = "texts" if row.network.startswith("lstm") else "images"
    columns = ["contender", "times the best peer", "times the 2021 style"]
    columns += [f"{unit}/s", "s", "min..max", "rounds x steps"]
    if what == "training":
        columns += ["share of peak", "peak MiB", "of it imports", "note"]
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for result in ranked(results, what):
        turns = getattr(result, what)
        cells = [
            result.name,
            ratio(speed(result, peer, what) if peer else []),
            ratio(speed(result, baseline, what) if baseline else []),
            f"{row.batch_size / turns.median:,.1f}",
            f"{turns.median:.4f}",
            f"{min(turns.seconds):.4f}..{max(turns.seconds):.4f}",
            f"{len(turns.seconds)} x {turns.steps}",
        ]
        if what == "training":
            cells += [_percent(shares(result, results)), f"{result.peak:,.0f}"]
            cells += [f"{result.imported:,.0f}", result.note]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _not_available(result: Result) -> str:
    reason = result.note.replace("|", "/")
    return f"| {result.name} |{' |' * 9} not available: {reason} |"


def _conclusions(results: list[Result]) -> list[str]:
    """Say which of ours was best: of all, and among those in float32."""
    in_float32 = [r for r in results if r.contender.precision == "float32"]
    lines = []
    for words, some in (("in any precision", results), ("in float32", in_float32)):
        ours, peer, baseline = _best(some, "training")
        if baseline is peer:
            baseline = None
        against = " and ".join(
            f"{statistics.median(speed(ours, other)):.2f} times as fast as {other.name}"
            for other in (peer, baseline)
            if ours and other
        )
        if ours and against:
            lines += ["", f"Our best {words}: **{ours.name}, {against}.**"]
    return lines


def _percent(values: list[float]) -> str:
    return f"{100 * statistics.median(values):.0f} %" if values else "–"
