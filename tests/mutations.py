"""Break one place of the package at a time, and see that a proof or a test finds it.

    python tests/mutations.py

Each mutation of `mutations.toml` is made in a copy of the package, where its network's
proofs (`classicnets verify NETWORK`) or its test must then fail; on the package as it
is they must pass. Prints a line per mutation and exits with 1 if one is not found.
"""

import argparse
import concurrent.futures
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import NamedTuple

import classicnets

PACKAGE = Path(classicnets.__file__).parent
ROOT = Path(__file__).parents[1]
SECONDS = 1200


class Mutation(NamedTuple):
    """One place, what stands there, what shall stand there, and who must notice.

    `by` is a network, whose proofs must then fail, or a test, as pytest names it.
    """

    what: str
    file: str
    before: str
    after: str
    by: str
    quick: bool = True  # without the first steps on other backends


LIST = Path(__file__).with_suffix(".toml")
MUTATIONS = tuple(
    Mutation(**values) for values in tomllib.loads(LIST.read_text("utf-8"))["mutation"]
)


class Answer(NamedTuple):
    """What a check said of a package."""

    holds: bool | None  # None: it could not be asked
    words: str
    seconds: float


def main() -> None:
    """Read the command line, mutate, print; exit with 1 if a mutant survives."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", default="", help="files whose name has this in it")
    parser.add_argument("--jobs", type=int, default=2, help="at the same time")
    options = parser.parse_args()
    mutations = [mutation for mutation in MUTATIONS if options.only in mutation.file]
    started, wrong = time.monotonic(), 0
    tests = tuple(dict.fromkeys(m.by for m in mutations if m.by.startswith("tests/")))
    checks = {((m.by,), m.quick): None for m in mutations if m.by not in tests}
    if tests:
        checks[tests, True] = None
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for (by, _), answer in zip(
            checks, pool.map(lambda c: ask(PACKAGE, *c), checks)
        ):
            wrong += answer.holds is not True
            named = by[0] if len(by) == 1 else f"{len(by)} tests"
            tell("passed" if answer.holds else "FAILED", "", "nothing", named, answer)
        for mutation, answer in zip(mutations, pool.map(judge, mutations)):
            wrong += answer.holds is not False
            verdict = {True: "SURVIVED", False: "found", None: "FAILED"}[answer.holds]
            tell(verdict, mutation.file, mutation.what, mutation.by, answer)
    seconds = time.monotonic() - started
    print(
        f"{len(mutations)} mutations in {len({m.file for m in mutations})} files,"
        f" {wrong} not as they must be; {seconds:.0f} s"
    )
    sys.exit(1 if wrong else 0)


def judge(mutation: Mutation) -> Answer:
    """Make a mutation in a copy of the package, and ask who must notice."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / PACKAGE.name
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        mutate(copy, mutation)
        return ask(copy, (mutation.by,), mutation.quick)


def mutate(copy: Path, mutation: Mutation) -> None:
    """Change every such place in the file."""
    path = copy / mutation.file
    before = path.read_text("utf-8")
    if mutation.before not in before:
        raise SystemExit(f"{mutation.file} has no {mutation.before!r} any more.")
    path.write_text(before.replace(mutation.before, mutation.after), "utf-8")


def ask(package: Path, by: tuple[str, ...], quick: bool = True) -> Answer:
    """Prove a network of a package, or run tests on it."""
    started = time.monotonic()
    if by[0].startswith("tests/"):
        holds, words = test(package, *by)
    else:
        holds, words = verify(package, *by, quick)
    return Answer(holds, words, time.monotonic() - started)


def verify(package: Path, network: str, quick: bool) -> tuple[bool | None, str]:
    """Prove a network up to the first proof that fails; return it, or the last word."""
    command = [sys.executable, "-m", "classicnets", "verify", network, "--json"]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [*command, "--quick"] if quick else command,
            env=environment(package),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdout
        for line in process.stdout:
            row = json.loads(line)
            if row["ok"] is False:
                process.send_signal(signal.SIGINT)  # it ends what runs beside it
                return False, f"{row['proof']}: {row['found']}"
        if process.wait(SECONDS) == 0:
            return True, ""
        errors.seek(0)
        return None, last_line(errors.read())


def test(package: Path, *names: str) -> tuple[bool | None, str]:
    """Run tests up to the first that fails; return its name, or the last word."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    result = subprocess.run(
        [*command, *names],
        env=environment(package),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    failed = [row for row in result.stdout.splitlines() if row.startswith("FAILED")]
    if result.returncode == 1 and failed:
        return False, failed[0].removeprefix("FAILED ").rpartition("::")[2]
    return (True, "") if result.returncode == 0 else (None, last_line(result.stdout))


def environment(package: Path) -> dict[str, str]:
    """Return what makes Python import a copy of the package."""
    return os.environ | {"PYTHONPATH": str(package.parent)}


def last_line(text: str) -> str:
    """Return the last line of what a process wrote."""
    return (text.strip().splitlines() or [""])[-1]


def tell(verdict: str, file: str, what: str, by: str, answer: Answer) -> None:
    """Print one line."""
    named = by.rpartition("::")[2].removeprefix("tests/")
    print(
        f"{verdict:9}| {file:26}| {what:52}| {named}: {answer.words}"
        f" ({answer.seconds:.0f} s)",
        flush=True,
    )


if __name__ == "__main__":
    main()
