"""Measure the seconds of training to a given quality: ours and scripts of 2021.

Each trains in a process of its own, one after the other, on the same examples, and is
judged after every epoch on the same others. The clock starts with the training, so it
counts tracing and compiling, and stops at the first validation that is good enough, or
that comes after all patience.
"""

import argparse
import math
import sys
import tempfile
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.races import RACES, Clock, Race
from benchmarks.table import command_line, origin, ratio
from benchmarks.worker import ask_a_process, choose_backend
from classicnets import files
from classicnets.errors import UserError, nearest
from classicnets.runs import environment

BACKENDS = ("torch", "tensorflow", "jax")
SCRIPT = "script of 2021"
Validations = list[tuple[float, float]]  # seconds and quality of every validation


@dataclass
class Result:
    """The runs of one race: of each contender, by seed.

    Args:
        race: What was trained.
        runs: By contender, the validations of each seed.
    """

    race: Race
    runs: dict[str, list[Validations]] = field(default_factory=dict)

    def seconds(self, name: str) -> list[float]:
        """Return them by seed; infinite where the quality was missed."""
        return [
            next((s for s, value in run if self.race.is_won(value)), math.inf)
            for run in self.runs[name]
        ]


def main() -> None:
    """Read the command line, let them train in turns, write the page."""
    options = _options()
    out = Path(options.out)
    results = [Result(RACES[name]) for name in options.rows]
    for seed in range(options.runs):
        for result in results:
            backends = options.backends or result.race.backends
            names = [*(f"ours-{backend}" for backend in backends), SCRIPT]
            for name in names:
                result.runs.setdefault(name, [])
            for name in names if seed % 2 == 0 else names[::-1]:
                run = ask_a_process(name, _work, name, result.race.network, seed)
                result.runs[name].append(run)
                line = f"{result.race.network} {name} seed {seed}: {run}"
                print(line, file=sys.stderr, flush=True)
            # After every race: a run cut short keeps what it has.
            measured = [each for each in results if each.runs]
            files.write(out, page(measured).encode())
            files.write(out.with_suffix(".csv"), table(measured).encode())
    print(out)


def train_ours(clock: Clock, seed: int) -> None:
    """Train by the recipe until the clock, or the recipe, ends it."""
    import classicnets

    # Where the processor has no fast units for bfloat16, it only costs time.
    float32 = {} if _has_units() else {"precision": "float32"}
    with tempfile.TemporaryDirectory() as runs:
        classicnets.train(
            clock.race.recipe,
            runs=runs,
            seed=seed,
            callbacks=[clock.callback(clock.race.key)],
            verbose=False,
            **float32,
        )


def _has_units() -> bool:
    return environment.has_bfloat16_units(environment.processor_flags())


def _work(pipe: Connection, name: str, network: str, seed: int) -> None:
    clock = Clock(RACES[network])
    if name == SCRIPT:
        choose_backend("tensorflow")
        from benchmarks import quality_2021

        quality_2021.train(clock, seed)
    else:
        choose_backend(name.removeprefix("ours-"))
        train_ours(clock, seed)
    pipe.send(clock.validations)


def page(results: list[Result]) -> str:
    """Return the page, one section per race."""
    lines = [
        "# Seconds to a quality",
        "",
        "Written by the command below; `benchmarks/README.md` says what is alike.",
        "",
        *origin("benchmarks.quality"),
        "- precision of ours: "
        + ("as in its recipes" if _has_units() else "float32, for want of AMX"),
    ]
    for result in results:
        lines += ["", *_section(result)]
    return "\n".join(lines) + "\n"


def _section(result: Result) -> list[str]:
    race, script = result.race, result.seconds(SCRIPT)
    # The same, but where it missed the quality, how long it had tried.
    ends = [run[-1][0] for run in result.runs[SCRIPT]]
    lines = [
        f"## {race.network}: {race.goal:g} {race.quality}, on {race.data}",
        "",
        f"Runs: {len(script)}, in turns, one seed each.",
        "",
        "| contender | seconds, by seed | times as fast as the 2021 script | epochs,"
        f" by seed | {race.quality}, by seed |",
        "|---|---|---|---|---|",
    ]
    for name, runs in result.runs.items():
        seconds = result.seconds(name)
        # Where both missed it, there is nothing to compare.
        ratios = [
            e / s for t, e, s in zip(script, ends, seconds) if min(t, s) < math.inf
        ]
        over = "over " if ratios and name != SCRIPT and math.inf in script else ""
        cells = [
            name,
            " ".join(
                f"{s:.1f}" if s < math.inf else f"over {run[-1][0]:.1f}"
                for s, run in zip(seconds, runs)
            ),
            over + ratio(ratios),
            " ".join(str(len(run)) for run in runs),
            " ".join(f"{run[-1][1]:.5g}" for run in runs),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def table(results: list[Result]) -> str:
    """Return the CSV, one line per validation."""
    lines = ["network,contender,seed,epoch,seconds,quality"]
    lines += [
        f"{result.race.network},{name},{seed},{epoch},{seconds:.2f},{value:.4f}"
        for result in results
        for name, runs in result.runs.items()
        for seed, run in enumerate(runs)
        for epoch, (seconds, value) in enumerate(run, 1)
    ]
    return "\n".join(lines) + "\n"


def _options() -> argparse.Namespace:
    parser = command_line("benchmarks.quality", __doc__, "docs/benchmarks-quality.md")
    parser.add_argument(
        "--rows",
        nargs="+",
        default=list(RACES),
        metavar="NETWORK",
        help="some of these",
    )
    parser.add_argument(
        "--backends",
        default="",
        help=f"of {', '.join(BACKENDS)}, with commas; else the fastest of a row",
    )
    parser.add_argument("--runs", type=int, default=3, help="seeds of each")
    options = parser.parse_args()
    try:
        for row in options.rows:
            if row not in RACES:
                hint = nearest(row, RACES)
                raise UserError(f"rows must be those that exist, got {row!r}. {hint}")
        options.backends = [b for b in options.backends.split(",") if b]
        if set(options.backends) - set(BACKENDS) or options.runs < 1:
            raise UserError("backends must be among those above, and runs at least 1.")
    except UserError as error:
        parser.error(str(error))
    return options


if __name__ == "__main__":
    main()
