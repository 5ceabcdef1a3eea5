"""How rare words and pairs of words are, from the training texts alone."""

import numpy as np

from classicnets.data.examples import Examples
from classicnets.data.texts.cooccurrence import running

_LEAST = 2  # texts: what stands in fewer says nothing of others


def rarities(
    train: Examples, vocabulary_size: int, pairs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `lstm` with `votes` weighs words and pairs of words by.

    The inverse document frequency log((1 + n) / (1 + f)) + 1, where n is the number of
    texts and f of those with the word (Sparck Jones 1972; smoothed as scikit-learn
    does); 0 for what stands in fewer than two texts.

    Args:
        train: Examples whose inputs are tokens.
        vocabulary_size: Tokens are below it.
        pairs: Numbers of pairs are from 1 to it; see `networks.lstm.pair_numbers`.

    Returns:
        (vocabulary_size, 1) and (pairs + 1, 1), float32.
    """
    from classicnets.networks.lstm import pair_numbers

    tokens, texts = running(train)
    together = texts[:-1] == texts[1:]
    numbers = pair_numbers(tokens[:-1], tokens[1:], pairs)[together]
    return (
        _frequency(tokens, texts, rows=vocabulary_size, count=len(train)),
        _frequency(numbers, texts[:-1][together], rows=pairs + 1, count=len(train)),
    )


def _frequency(
    numbers: np.ndarray, texts: np.ndarray, *, rows: int, count: int
) -> np.ndarray:
    once = np.unique(texts.astype(np.int64) * rows + numbers)
    frequency = np.bincount(once % rows, minlength=rows)
    rarity = np.log((1 + count) / (1 + frequency)) + 1
    return np.where(frequency < _LEAST, 0.0, rarity).astype(np.float32)[:, None]
