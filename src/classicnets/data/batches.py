"""Examples in batches of one size, through a function."""

import math
from collections.abc import Callable

import numpy as np

from classicnets.data.examples import Rows

LENGTHS = 2  # of batches, from one length to its half: a step is compiled for each


def in_batches(
    function: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray | Rows, size: int
) -> np.ndarray:
    """Apply `function` to batches of one `size`; the last one is padded, then cut.

    Texts, (n, max_tokens) int32, go by length: short ones need no long batch.
    """
    texts = inputs.ndim == 2 and inputs.dtype == np.int32
    order = np.argsort(lengths(inputs), kind="stable") if texts else None
    results = []
    for first in range(0, len(inputs), size):
        rows = slice(first, first + size)
        batch = np.asarray(inputs[rows if order is None else order[rows]])
        missing = size - len(batch)
        if missing:
            batch = np.concatenate([batch, np.repeat(batch[:1], missing, axis=0)])
        batch = trim(batch) if texts else batch
        results.append(function(batch)[: size - missing])
    outputs = np.concatenate(results)
    return outputs if order is None else outputs[np.argsort(order)]


def lengths(tokens: np.ndarray | Rows) -> np.ndarray:
    """Return the lengths (n,) of texts (n, max_tokens) without their padding."""
    return np.count_nonzero(np.asarray(tokens), axis=1)


def trim(tokens: np.ndarray) -> np.ndarray:
    """Cut padding that all of (batch, max_tokens) share, to a length of few."""
    longest, maximum = max(int(lengths(tokens).max()), 1), tokens.shape[1]
    halvings = math.floor(LENGTHS * math.log2(maximum / longest)) / LENGTHS
    return tokens[:, : max(math.ceil(maximum / 2**halvings), longest)]
