"""Measure what saving checkpoints costs a training run, and write it into a page.

    python -m benchmarks.checkpoints

The state of each recipe's run is saved as the training run does it: read from the
backend, checked, digested, written, flushed to the disk and renamed.
"""

import dataclasses
import math
import re
import statistics
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

from benchmarks.table import command_line, origin
from classicnets import data, files, networks, recipe
from classicnets.errors import UserError
from classicnets.runs.checkpoint import Checkpoints
from classicnets.tasks import TASKS

RECIPES = ("resnet18-cifar100-cpu", "wgan_gp-anime")
TITLE = "## What saving costs"
BEFORE = "## Tested by killing"  # the section after it


@dataclasses.dataclass(frozen=True)
class Cost:
    """What the saves of one recipe took.

    Args:
        recipe: Its name.
        minutes: From one save to the next.
        size: Bytes of a checkpoint.
        seconds: Of each save.
    """

    recipe: str
    minutes: float
    size: int
    seconds: tuple[float, ...]

    @property
    def share(self) -> float:
        """The part of its time that a training run spends saving."""
        seconds = statistics.median(self.seconds)
        return seconds / (60 * self.minutes + seconds)


def main() -> None:
    """Read the command line, measure, write."""
    parser = command_line("benchmarks.checkpoints", __doc__, "docs/reliability.md")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), metavar="RECIPE")
    parser.add_argument("--saves", type=int, default=10, help="of each recipe")
    parser.add_argument("--folder", default=".", help="on the disk to be written to")
    options = parser.parse_args()
    try:
        if options.saves < 1:
            raise UserError(f"saves must be at least 1, got {options.saves}.")
        page = Path(options.out)
        before = page.read_text("utf-8")
        insert(before, "")  # whether it has a place, before the wait
        costs = [measure(n, options.saves, options.folder) for n in options.recipes]
    except (UserError, OSError) as error:
        parser.error(str(error))
    text = section(costs)
    files.write(page, insert(before, text).encode())
    print(text)


def measure(name: str, saves: int, folder: str) -> Cost:
    """Save the first state of a recipe's run again and again."""
    settings = recipe.load(name)
    keras.config.set_dtype_policy(settings.precision)
    named = data.DATASETS.get(settings.data)
    shape = named.image if named else (settings.image_size, settings.image_size, 3)
    if shape is None:
        raise UserError(f"{name} is on texts: only recipes on images are measured.")
    if settings.image_size:
        shape = (settings.image_size, settings.image_size, shape[2])
    names = named.class_names if named and settings.kind.labelled else ()
    images = np.zeros((settings.batch_size * settings.critic_steps, *shape), np.uint8)
    examples = data.Examples(images, np.zeros(len(images), np.int32))
    splits = data.Splits(name, names, examples, examples, lambda: examples, "", ())
    options = settings.network_options
    built = networks.build(settings.network, shape, len(names) or None, **options)
    task = TASKS[settings.task](built, settings, splits)
    progress = {"best": {"epoch": 0}, "recipe": vars(settings)}
    seconds = []
    with tempfile.TemporaryDirectory(dir=folder) as run:
        checkpoints = Checkpoints(
            Path(run) / "checkpoints", task.state, task.network.variables
        )
        checkpoints.save(0, progress)  # the first one imports and compiles
        for step in range(1, saves + 1):
            started = time.monotonic()
            checkpoints.save(step, progress)
            seconds.append(time.monotonic() - started)
        size = max(checkpoints.folder.iterdir()).stat().st_size
    return Cost(name, settings.checkpoint_minutes, size, tuple(seconds))


def section(costs: list[Cost]) -> str:
    """Return the section of the page."""
    lines = [
        TITLE,
        "",
        "The seconds of a save (median, and the smallest and largest), and what part of"
        " a\ntraining run's time that is with one save every `checkpoint_minutes`.\n"
        "Written by the command below.",
        "",
        "| recipe | checkpoint, MB | a save, s | one in, min | share of the time |",
        "|---|--:|--:|--:|--:|",
    ]
    for cost in costs:
        low, high = min(cost.seconds), max(cost.seconds)
        lines.append(
            f"| {cost.recipe} | {cost.size / 1e6:,.1f} |"
            f" {statistics.median(cost.seconds):.3f} ({low:.3f} to {high:.3f}) |"
            f" {cost.minutes:g} | {_percent(cost.share)} |"
        )
    return "\n".join(
        [
            *lines,
            "",
            *origin("benchmarks.checkpoints"),
            f"- backend: {keras.backend.backend()}",
            f"- saves of each: {len(costs[0].seconds)}",
            "",
        ]
    )


def insert(page: str, text: str) -> str:
    """Return the page with the section at its place, instead of an older one."""
    parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)
    parts = [part for part in parts if not part.startswith(TITLE)]
    places = [n for n, part in enumerate(parts) if part.startswith(BEFORE)]
    if not places:
        raise UserError(f"the page must have a section {BEFORE!r}.")
    parts.insert(places[0], f"{text}\n")
    return "".join(parts)


def _percent(share: float) -> str:
    """Write two digits that are not 0: 0.062 %."""
    digits = max(0, 1 - math.floor(math.log10(100 * share)))
    return f"{100 * share:.{digits}f} %"


if __name__ == "__main__":
    main()
