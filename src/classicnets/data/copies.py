"""Examples that are judged and that the network has learned from, too."""

import hashlib
from collections.abc import Iterator

import numpy as np

from classicnets.data.examples import Examples, Rows

# About 1 s per GB, beside what the disk takes; larger sets are not searched.
MOST_BYTES = 8_000_000_000
_BLOCK = 1_000  # images read at a time


def count_copies(train: Examples, others: Examples) -> int | None:
    """Count the other examples that are training examples, too.

    Only exact copies count: all pixels as the network gets them, or the text without
    the white space around it; an empty text is none. Pictures that are merely alike
    are no copies: among MNIST's digits there are many.

    Returns:
        None for images of over `MOST_BYTES`.
    """
    if train.texts is None and train.inputs.nbytes + others.inputs.nbytes > MOST_BYTES:
        return None
    known = set(_contents(train)) - {""}
    return sum(content in known for content in _contents(others))


def _contents(examples: Examples) -> Iterator[str | bytes]:
    """Yield the stripped texts, or a digest of each image."""
    if examples.texts is not None:
        yield from (text.strip() for text in examples.texts)
        return
    inputs: np.ndarray | Rows = examples.inputs
    for first in range(0, len(inputs), _BLOCK):
        for row in np.ascontiguousarray(inputs[first : first + _BLOCK]):
            yield hashlib.blake2b(row.data, digest_size=16).digest()
