"""Which words and pairs of words speak for which class, from the training texts."""

import numpy as np

from classicnets.data.examples import Examples
from classicnets.data.texts.cooccurrence import running

_SMOOTHING = 1.0  # texts that every term is in besides


def log_count_ratios(
    train: Examples, classes: int, vocabulary_size: int, pairs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `lstm` with `votes` weighs words and pairs of words by.

    The log-count ratios of Wang & Manning 2012 (Baselines and Bigrams, ACL, section
    2.1): log((p / |p|) / (q / |q|)), where p counts the texts of a class that a term is
    in, plus 1, q those of all other classes, and |.| sums over all terms. Of more than
    two classes the mean over them is taken off.

    Args:
        train: Examples whose inputs are tokens.
        classes: Labels are below it.
        vocabulary_size: Tokens are below it.
        pairs: Numbers of pairs are from 1 to it; see `networks.lstm.pair_numbers`.

    Returns:
        (vocabulary_size, classes) and (pairs + 1, classes), float32.
    """
    from classicnets.networks.lstm import pair_numbers

    tokens, texts = running(train)
    together = texts[:-1] == texts[1:]
    numbers = pair_numbers(tokens[:-1], tokens[1:], pairs)[together]
    terms = (tokens, texts, vocabulary_size), (numbers, texts[:-1][together], pairs + 1)
    words, neighbours = (
        _ratios(*term, labels=train.labels, classes=classes) for term in terms
    )
    return words, neighbours


def _ratios(
    terms: np.ndarray, texts: np.ndarray, rows: int, *, labels: np.ndarray, classes: int
) -> np.ndarray:
    once = np.unique(texts.astype(np.int64) * rows + terms)
    cells = once % rows * classes + labels[once // rows]
    counts = np.bincount(cells, minlength=rows * classes).reshape(rows, classes)
    inside = counts + _SMOOTHING
    outside = counts.sum(axis=1, keepdims=True) - counts + _SMOOTHING
    ratios = np.log(inside / inside.sum(axis=0)) - np.log(outside / outside.sum(axis=0))
    return (ratios - ratios.mean(axis=1, keepdims=True)).astype(np.float32)
