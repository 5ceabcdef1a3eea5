"""Tests of two networks that answered the same examples: each example is a pair."""

from collections.abc import Sequence

import numpy as np

_RESAMPLES = 9_999


def mcnemar(
    left: np.ndarray, right: np.ndarray, names: tuple[str, str]
) -> tuple[str, float, bool]:
    """Test the right answers of two networks, exactly (McNemar 1947).

    Args:
        left, right: (n,) bool.
        names: Of the two.

    Returns:
        A sentence, the p-value (two-sided, binomial), and whether the first has more
        right answers.
    """
    from scipy.stats import binomtest

    only_left, only_right = int((left & ~right).sum()), int((right & ~left).sum())
    count = only_left + only_right
    p_value = float(binomtest(only_left, count, 0.5).pvalue) if count else 1.0
    words = (
        f"Of {len(left):,} examples {names[0]} alone has {only_left:,} right,"
        f" {names[1]} alone {only_right:,}: p = {p_value:.2g} (McNemar)."
    )
    return words, p_value, only_left > only_right


def bootstrap(
    left: np.ndarray, right: np.ndarray, names: tuple[str, str], *, what: str
) -> tuple[str, float, bool]:
    """Test what two networks make of each example, by drawing the examples again.

    Args:
        left, right: (n,) floats; less is better.
        names: Of the two.
        what: The floats are, in words.

    Returns:
        A sentence with the mean difference and its 95 % interval, the p-value
        (two-sided), and whether the first has less.
    """
    from scipy import stats

    difference = left.astype(np.float64) - right
    mean = float(difference.mean())
    if np.ptp(difference) == 0:
        return f"Both have the same {what}, {mean:+.3g}.", 1.0, False
    drawn = stats.bootstrap(
        (difference,),
        np.mean,
        n_resamples=_RESAMPLES,
        batch=100,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    low, high = drawn.confidence_interval
    means = drawn.bootstrap_distribution
    beyond = min((means <= 0).sum(), (means >= 0).sum())
    p_value = min(1.0, 2.0 * (beyond + 1) / (_RESAMPLES + 1))
    words = (
        f"{names[0]} has {mean:+.3g} {what} compared with {names[1]}, 95 % interval"
        f" {low:+.3g} to {high:+.3g} (paired bootstrap)."
    )
    return words, float(p_value), mean < 0


def holm(p_values: Sequence[float], level: float) -> float:
    """Return the largest p-value that several tests may reject together; 0 for none.

    Holm 1979, A simple sequentially rejective multiple test procedure.
    """
    limit = 0.0
    for place, p_value in enumerate(sorted(p_values)):
        if p_value > level / (len(p_values) - place):
            break
        limit = p_value
    return limit
