"""Kill trainings at random moments, let them go on, and compare the outcomes.

    python tests/torture.py --kills 50

For each task one training is left alone. Then others, of the same recipe, are killed by
SIGKILL again and again, at random moments or while a checkpoint is being written, and
resumed to the end. What they leave must be, bit for bit, what the first one left.
"""

import argparse
import csv
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from safetensors.numpy import load_file

COMMAND = [sys.executable, "-m", "classicnets"]
EVERYWHERE = {
    "deterministic": "true",
    "epochs": 3,
    "checkpoint_steps": 2,
    "steps_per_call": 2,
    "ema": 0.9,
    "validation_fraction": 0.1,
}
# A shipped recipe and its changes, by task: small, but with all that is random.
TASKS = {
    "classifier": (
        "resnet20-digits",
        {"batch_size": 256, "mixup": 0.2, "flip": "true"},
    ),
    "lstm": ("lstm-digits-rows", {"batch_size": 256}),
    "vae": ("vae-digits", {"batch_size": 256, "binarize": "true"}),
    "wgan_gp": ("wgan_gp-digits", {"batch_size": 64, "critic_steps": 3}),
}
AT_RANDOM, IN_A_SAVE = "at a random moment", "inside a save"
SECONDS = 600  # no training here lasts so long


def main() -> None:
    """Read the command line, torture, write the page; exit with 1 on a difference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    source = random.Random(options.seed)
    rows = []
    for number, task in enumerate(options.tasks):
        # As many for each, the first ones one more.
        kills = (options.kills + len(options.tasks) - 1 - number) // len(options.tasks)
        with tempfile.TemporaryDirectory() as folder:
            rows.append(torture(task, kills, source, Path(folder)))
        print(rows[-1], flush=True)
    if any(row["different"] or row["unreadable"] for row in rows):
        sys.exit(1)


def torture(task: str, kills: int, source: random.Random, folder: Path) -> dict:
    """Return how often a task was killed, and what came of it."""
    started = time.monotonic()
    whole = folder / "whole-0"
    subprocess.run(train(task, folder, "whole"), check=True, timeout=SECONDS)
    seconds = time.monotonic() - started
    count = dict.fromkeys((AT_RANDOM, IN_A_SAVE, "trainings", "unreadable"), 0)
    different: list[str] = []
    while count[AT_RANDOM] + count[IN_A_SAVE] < kills:
        name = f"killed{count['trainings']}"
        run = folder / f"{name}-0"
        count["trainings"] += 1
        finished = False
        while not finished:
            command = train(task, folder, name)
            if (run / "recipe.toml").exists():
                command = [*COMMAND, "resume", str(run)]
            process = subprocess.Popen(command)
            if count[AT_RANDOM] + count[IN_A_SAVE] < kills:
                how = source.choice((AT_RANDOM, IN_A_SAVE))
                count[how] += kill(process, how, source.uniform(0.2, seconds), run)
            # One that is killed at its very end, after its last write, is finished too.
            finished = process.wait(SECONDS) == 0 or status(run) == "finished"
            count["unreadable"] += not finished and not readable(run)
        different += compare(whole, run)
    return {"task": task, **count, "different": different}


def train(task: str, folder: Path, name: str) -> list[str]:
    """Return the command that trains a task from its start."""
    recipe, own = TASKS[task]
    command = [*COMMAND, "train", recipe, "--runs", str(folder), "--name", name]
    for key, value in (EVERYWHERE | own).items():
        command += ["--set", f"{key}={value}"]
    return command


def kill(process: subprocess.Popen, how: str, seconds: float, run: Path) -> bool:
    """Kill the process; return whether that came before its end."""
    ends = time.monotonic() + (seconds if how == AT_RANDOM else SECONDS)
    saves = random.Random(seconds).randrange(1, 6)  # the save to be hit
    before: set[str] = set()
    while process.poll() is None and time.monotonic() < ends:
        if how == AT_RANDOM:
            time.sleep(0.01)
            continue
        # A file under a temporary name is being written.
        found = {path.name for path in (run / "checkpoints").glob(".*")}
        saves -= len(found - before)
        before |= found
        if found and saves <= 0:
            break
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def status(run: Path) -> str:
    """Return what a run says of itself, if it says anything."""
    file = run / "status.json"
    return json.loads(file.read_text("utf-8"))["state"] if file.exists() else ""


def readable(run: Path) -> bool:
    """Whether a person can read what a killed training left, if it left a run."""
    if not (run / "recipe.toml").exists():
        return True
    script = (
        "import sys, classicnets as cn; run = cn.Run(sys.argv[1]);"
        "run.recipe, run.environment, run.status, run.history, run.metrics"
    )
    return not subprocess.run([sys.executable, "-c", script, str(run)]).returncode


def compare(whole: Path, run: Path) -> list[str]:
    """Return what differs between two finished runs of the same recipe."""
    different = []
    for file in sorted((whole / "checkpoints").iterdir()):
        other = run / "checkpoints" / file.name
        if not other.exists():
            different.append(f"{run.name} has no {file.name}")
            continue
        ours, theirs = load_file(other), load_file(file)
        if ours.keys() != theirs.keys():
            different.append(f"{run.name}: the names in {file.name}")
        different += [
            f"{run.name}: {key} in {file.name}"
            for key in ours.keys() & theirs.keys()
            if ours[key].tobytes() != theirs[key].tobytes()
        ]
    if history(run) != history(whole):
        different.append(f"{run.name}: history.csv")
    if left := [path.name for path in run.rglob(".*") if path.name != ".lock"]:
        different.append(f"{run.name}: it has {', '.join(left)}")
    return different


def history(run: Path) -> list[dict[str, str]]:
    """Return the rows of history.csv without those that a clock wrote."""
    with (run / "history.csv").open(newline="", encoding="utf-8") as lines:
        return [
            {key: cell for key, cell in row.items() if not key.endswith("seconds")}
            for row in csv.DictReader(lines)
        ]


if __name__ == "__main__":
    main()
