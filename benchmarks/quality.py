"""Measure the seconds of training to a given quality: ours and scripts of 2021.

Each trains in a process of its own, one after the other, on the same examples, and is
judged after every epoch on the same others. The clock starts with the training, so it
counts tracing and compiling, and stops at the first validation that is good enough, or
that comes after all patience.
"""

import argparse
import math
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.races import RACES, Clock, Race
from benchmarks.table import origin
from benchmarks.worker import ask_a_process, choose_backend
from classicnets import files
from classicnets.errors import UserError, nearest
from classicnets.runs import environment

BACKENDS = ("torch", "tensorflow", "jax")
SCRIPT = "script of 2021"
Noted = list[tuple[float, float]]  # seconds and quality of every validation


@dataclass
class Result:
    """The trainings of one race: of each contender, by seed.

    Args:
        race: What was trained.
        noted: Contender -> the validations of each seed.
    """

    race: Race
    noted: dict[str, list[Noted]] = field(default_factory=dict)

    def seconds(self, name: str) -> list[float]:
        """By seed; infinite where the quality was missed."""
        return [
            next((s for s, value in noted if self.race.is_won(value)), math.inf)
            for noted in self.noted[name]
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
                result.noted.setdefault(name, [])
            for name in names if seed % 2 == 0 else names[::-1]:
                noted = ask_a_process(name, _work, name, result.race.network, seed)
                result.noted[name].append(noted)
                told = f"{result.race.network} {name} seed {seed}: {noted}"
                print(told, file=sys.stderr, flush=True)
            # After every race: a run cut short keeps what it has.
            measured = [each for each in results if each.noted]
            files.write(out, page(measured).encode())
            files.write(out.with_suffix(".csv"), table(measured).encode())
    print(out)


def train_ours(clock: Clock, seed: int) -> None:
    """Train by the recipe until the clock, or the recipe, ends it."""
    import classicnets

    # Where the processor has no quick units for bfloat16, it only costs time.
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


def _work(pipe, name, network, seed):
    clock = Clock(RACES[network])
    if name == SCRIPT:
        choose_backend("tensorflow")
        from benchmarks import quality_2021

        quality_2021.train(clock, seed)
    else:
        choose_backend(name.removeprefix("ours-"))
        train_ours(clock, seed)
    pipe.send(clock.noted)


def page(results: list[Result]) -> str:
    """Return the page, a section a race."""
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
    waited = [noted[-1][0] for noted in result.noted[SCRIPT]]
    lines = [
        f"## {race.network}: {race.goal:g} {race.quality}, on {race.data}",
        "",
        f"Runs: {len(script)}, in turns, a seed each.",
        "",
        "| contender | seconds, by seed | times as soon as the 2021 script | epochs,"
        f" by seed | {race.quality}, by seed |",
        "|---|---|---|---|---|",
    ]
    for name, trainings in result.noted.items():
        seconds = result.seconds(name)
        # Where both missed it, there is nothing to compare.
        sooner = [
            w / s for t, w, s in zip(script, waited, seconds) if min(t, s) < math.inf
        ]
        times = "–"
        if sooner:
            over = "over " if name != SCRIPT and math.inf in script else ""
            times = f"{over}{statistics.median(sooner):.2f}"
            times += f" ({min(sooner):.2f}..{max(sooner):.2f})"
        cells = [
            name,
            " ".join(
                f"{s:.1f}" if s < math.inf else f"over {noted[-1][0]:.1f}"
                for s, noted in zip(seconds, trainings)
            ),
            times,
            " ".join(str(len(noted)) for noted in trainings),
            " ".join(f"{noted[-1][1]:.5g}" for noted in trainings),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def table(results: list[Result]) -> str:
    """Return the CSV, a line a validation."""
    lines = ["network,contender,seed,epoch,seconds,quality"]
    lines += [
        f"{result.race.network},{name},{seed},{epoch},{seconds:.2f},{value:.4f}"
        for result in results
        for name, trainings in result.noted.items()
        for seed, noted in enumerate(trainings)
        for epoch, (seconds, value) in enumerate(noted, 1)
    ]
    return "\n".join(lines) + "\n"


def _options():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--rows",
        nargs="+",
        default=list(RACES),
        metavar="NETWORK",
        help=f"some of {', '.join(RACES)}; default: all",
    )
    parser.add_argument(
        "--backends",
        default="",
        help=f"of ours, with commas: {', '.join(BACKENDS)}; default: the quickest of"
        " each row",
    )
    parser.add_argument("--runs", type=int, default=3, help="default: %(default)s")
    parser.add_argument(
        "--out", default="docs/benchmarks-quality.md", help="default: %(default)s"
    )
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
