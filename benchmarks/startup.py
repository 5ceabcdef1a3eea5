"""Measure the seconds until the command answers, and until a training run has begun.

Each command runs in a process of its own on a terminal of its own, one after the other,
round by round. A training run has begun when its progress bar counts the first steps:
that is read from the terminal, so it is when a person sees it.
"""

import os
import pty
import re
import select
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.table import command_line, origin
from classicnets import files

RECIPE = "resnet20-digits"
MAX_SECONDS = 300.0
# What a training run cannot do without, and nothing of ours: the backend, Keras on it,
# and one compiled operation.
BACKEND_ALONE = """
import os
os.environ["KERAS_BACKEND"] = "tensorflow"
import tensorflow as tf
import keras
print("seen", float(tf.function(lambda x: x + 1.0)(tf.zeros(()))), flush=True)
"""


@dataclass
class Timing:
    """A command, and how long it took.

    Args:
        name: As it stands in the table.
        command: Its words; `{runs}` stands for an empty folder.
        until: A pattern of what it writes at the moment that ends the time; "": its
            end.
        target: Seconds it should take at most; 0: none.
        seconds: By round.
    """

    name: str
    command: Sequence[str]
    until: str = ""
    target: float = 0.0
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)


def timings() -> list[Timing]:
    """Return what is measured: the floors, and ours."""
    script = Path(sys.executable).with_name("classicnets")
    ours = [str(script)] if script.exists() else [sys.executable, "-m", "classicnets"]
    train = [*ours, "train", RECIPE, "--runs", "{runs}"]
    return [
        Timing("an empty Python program", [sys.executable, "-c", "pass"]),
        Timing("classicnets --help", [*ours, "--help"], target=0.3),
        Timing("classicnets list", [*ours, "list"], target=0.5),
        Timing("the backend alone", [sys.executable, "-c", BACKEND_ALONE], "seen"),
        Timing(
            f"classicnets train {RECIPE}, to its first steps",
            train,
            r"\b[1-9]\d*/\d+ steps",
            target=8.0,
        ),
    ]


def main() -> None:
    """Read the command line, measure in turns, write the page."""
    parser = command_line("benchmarks.startup", __doc__, "docs/benchmarks-startup.md")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("rounds must be at least 1.")
    measured, out = timings(), Path(options.out)
    for each in measured:  # once before the first: files come from memory for all
        seconds_of(each.command, each.until)
    for number in range(options.rounds):
        for each in measured if number % 2 == 0 else measured[::-1]:
            each.seconds.append(seconds_of(each.command, each.until))
            print(f"{each.name}: {each.seconds[-1]:.3f} s", file=sys.stderr, flush=True)
        # After every round: a run cut short keeps what it has.
        files.write(out, page(measured).encode())
        files.write(out.with_suffix(".csv"), table(measured).encode())
    print(out)


def seconds_of(command: Sequence[str], until: str = "") -> float:
    """Return the seconds from a command's start to its end, or to what it writes.

    Args:
        command: Its words; `{runs}` stands for an empty folder.
        until: A pattern that ends the time; the command is stopped then.

    Raises:
        SystemExit: If the command failed, or never wrote that.
    """
    with tempfile.TemporaryDirectory() as runs:
        words = [word.replace("{runs}", runs) for word in command]
        terminal, theirs = pty.openpty()
        started = time.perf_counter()
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            env=_environment(),
        )
        os.close(theirs)
        try:
            seconds, written = _wait(terminal, until, started)
        finally:
            if until:
                process.send_signal(signal.SIGTERM)
            # What it still writes must not fill the terminal.
            _wait(terminal, "", time.perf_counter())
            code = process.wait()
            os.close(terminal)
    if seconds is None or (not until and code):
        raise SystemExit(
            f"{shlex.join(words)} failed with exit code {code}:\n{written}"
        )
    return seconds


def _wait(terminal: int, until: str, started: float) -> tuple[float | None, str]:
    """Read a terminal until a pattern, or its end; return when that was."""
    written = ""
    while time.perf_counter() - started < MAX_SECONDS:
        if not select.select([terminal], [], [], 1.0)[0]:
            continue
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux says so at the end of a terminal
            part = b""
        now = time.perf_counter() - started
        written += part.decode(errors="replace")
        if until and re.search(until, _plain(written)):
            return now, written
        if not part:
            return (None if until else now), written
    return None, written


def _plain(text: str) -> str:
    """Return what a terminal was sent, without its colours and cursor movements."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def _environment() -> dict[str, str]:
    """Return the user's own, on the default backend, the CPU and a wide terminal."""
    own = {"TERM": "xterm", "COLUMNS": "200", "CUDA_VISIBLE_DEVICES": "-1"}
    environment = {**os.environ, **own, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("KERAS_BACKEND", None)
    return environment


def page(measured: list[Timing]) -> str:
    """Return the page."""
    *_, backend, train = measured
    shares = [alone / whole for alone, whole in zip(backend.seconds, train.seconds)]
    lines = [
        "# Seconds to begin",
        "",
        "Written by the command below; `benchmarks/README.md` says how it is measured.",
        "",
        *origin("benchmarks.startup"),
        f"- load average at the end: {' '.join(f'{v:.1f}' for v in os.getloadavg())}",
        f"- rounds: {len(train.seconds)}, in turns, after one to warm up",
        "",
        f"Of the time to the first steps, **{_percent(shares)}** is what TensorFlow and"
        " Keras\ntake alone: importing both and one compiled addition, in a process of"
        " its own in the\nsame round.",
        "",
        "| what | seconds, median | min..max | target |",
        "|---|--:|--:|--:|",
    ]
    for each in measured:
        lines.append(
            f"| {each.name} | {each.median:.3f} |"
            f" {min(each.seconds):.3f}..{max(each.seconds):.3f} |"
            f" {f'{each.target:g}' if each.target else ''} |"
        )
    return "\n".join(lines) + "\n"


def _percent(shares: list[float]) -> str:
    return f"{statistics.median(shares):.0%} ({min(shares):.0%} to {max(shares):.0%})"


def table(measured: list[Timing]) -> str:
    """Return the CSV, one line per measurement."""
    lines = ["what,round,seconds"]
    lines += [
        f'"{each.name}",{number},{seconds:.4f}'
        for each in measured
        for number, seconds in enumerate(each.seconds, 1)
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
