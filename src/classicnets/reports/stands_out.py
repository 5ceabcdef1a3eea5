"""What stands out of a finished run: a short list, made of its files alone.

A line has the number that stands out, and the key of a recipe to change with a value to
try. Where nothing stands out, the list is empty. The limits are constants beside the
alarms; the recipes on the embedded data stay far from all of them.
"""

from collections.abc import Callable

from classicnets.reports.alarms import answers, images, learning
from classicnets.reports.alarms.facts import Facts, collect
from classicnets.runs.run import Run

ALARMS: tuple[Callable[[Facts], str], ...] = (
    answers.near_chance,
    answers.no_better_than_the_mean,
    answers.no_better_than_chance,
    answers.never_predicted,
    learning.still_improving,
    learning.ended_at_peak,
    learning.long_averages,
    learning.learned_by_heart,
    answers.copied,
    answers.unknown_words,
    images.silent_codes,
    images.wrong_slope,
    images.repeated,
)


def stands_out(run: Run) -> list[str]:
    """Return a line for each thing that stands out of a run.

    Args:
        run: Of any state; of one that is not finished nothing is said.
    """
    facts = collect(run)
    if facts is None:
        return []
    return [line for alarm in ALARMS if (line := alarm(facts))]
