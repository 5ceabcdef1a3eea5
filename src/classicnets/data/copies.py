"""Examples of validation and test that the network learns from too."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from classicnets.data.examples import Examples, Rows, Splits

# About 1 s per GB, beside what the disk takes; larger sets are not searched.
MOST_BYTES = 8_000_000_000
_BLOCK = 1_000  # images read at a time


def count_copies(splits: Splits) -> dict[str, tuple[int, int]]:
    """Count the examples of validation and test that are training examples too.

    Only exact copies count: all pixels as the network gets them, or the text without
    the white space around it. Pictures that are merely alike are none: among MNIST's
    digits there are many.

    Returns:
        By "validation" and "test" the count, and of how many examples it is; empty for
        images of over `MOST_BYTES`.
    """
    if splits.copies or splits.inputs != "images":
        return dict(splits.copies)
    others = {"validation": splits.validation, "test": splits.open_test()}
    size = sum(part.inputs.nbytes for part in (splits.train, *others.values()))
    if size > MOST_BYTES:
        return {}
    train = set(_digests(splits.train))
    return {
        name: (sum(digest in train for digest in _digests(part)), len(part))
        for name, part in others.items()
    }


def count_texts(
    train: Sequence[str], others: Mapping[str, Sequence[str]]
) -> dict[str, tuple[int, int]]:
    """Return what `count_copies` does of texts; an empty one is no copy."""
    known = set(train) - {""}
    return {
        name: (sum(text in known for text in texts), len(texts))
        for name, texts in others.items()
    }


def _digests(examples: Examples) -> Iterator[bytes]:
    inputs: np.ndarray | Rows = examples.inputs
    for first in range(0, len(inputs), _BLOCK):
        for row in np.ascontiguousarray(inputs[first : first + _BLOCK]):
            yield hashlib.blake2b(row.data, digest_size=16).digest()
