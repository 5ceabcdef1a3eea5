"""Every stream of random numbers that a run draws, by its name.

A stream is a function of a seed and of nothing else: Philox, keyed by the seed and by
the number of the stream. Numbers are drawn on the host, so that they are the same on
every backend, and a run that resumes draws what it would have drawn. No stream serves
two uses; a published result hangs on the numbers of its streams, so they stay.

Splits and orders come from the raw words, which NumPy promises never to change; its
`Generator` it may.
"""

import enum
from collections.abc import Sequence

import numpy as np


class Stream(enum.IntEnum):
    """The second word of a key of Philox; the seed is the first."""

    # Drawn once, by `split_seed`; the test by 0.
    TEST = 0x74657374_00000000
    VALIDATION = 0x76616C69_00000000
    FOLD = 0x666F6C64_00000000
    # Drawn anew every epoch, whose number is added.
    ORDER = 0  # of the examples
    AUGMENTATION = 1 << 32  # of images: corner, mirror, hole, share, box
    CALLS = 1 << 32  # of texts: the order of calls; a run has images or texts
    WINDOWS = 2 << 32  # of texts: where each is read from
    BALANCE = 3 << 32  # the examples, each class equally often
    # Drawn anew every step, from which the counter begins.
    NOISE = 0x64726177_00000000  # what a generator, or a posterior, makes images of
    MIX = 0x64726177_00000001  # of real and generated images, for the penalty
    GREY = 0x64726177_00000002  # levels below which a grey pixel is drawn as white
    # Drawn once, to show and to judge.
    SAMPLES = 0x64726177_00000003  # codes of the samples after an epoch
    SCORES = 0x64726177_00000004  # codes of the images that are judged, one per step
    REAL = 0x64726177_00000006  # which real images generated ones are compared to
    BINARY = 0x62696E61_00000000  # pixels of static binarization
    SUBSET = 0x73756273_00000000  # of KID
    FLOOR = 0x666C6F6F_00000000  # real images in the place of generated ones
    RIVAL = 0x72697661_00000000  # the training examples of a plain rival


def words(count: int, seed: int, stream: int) -> np.ndarray:
    """Return the first `count` raw words of a stream, (count,) uint64."""
    return np.asarray(philox(seed, stream).random_raw(count), np.uint64)


def philox(seed: int, stream: int, step: int = 0) -> np.random.Philox:
    """Return the bits of a stream from one of its steps on."""
    # A step's counter begins 2^192 numbers after that of the step before.
    key, counter = np.array((seed, stream), np.uint64), [0, 0, 0, step]
    return np.random.Philox(key=key, counter=counter)


def generator(seed: int, stream: int, step: int = 0) -> np.random.Generator:
    """Return the source of a stream's numbers from one of its steps on."""
    return np.random.Generator(philox(seed, stream, step))


def codes(count: int, size: int, seed: int) -> np.ndarray:
    """Draw the noise or codes (count, size) of `sample` from N(0, 1), float32.

    Keyed by NumPy's hash of the seed alone, as those of the published results are.
    """
    source = np.random.Generator(np.random.Philox(seed))
    return source.standard_normal((count, size), dtype=np.float32)


def subset(of: int, count: int, seed: int, stream: int) -> np.ndarray:
    """Return `count` different numbers below `of`, ascending; all of them at most."""
    order = np.argsort(words(of, seed, stream), kind="stable")
    return np.sort(order[:count])


def normal(
    seed: int, stream: int, steps: Sequence[int] | np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Draw (steps, *shape) from N(0, 1), float32, for the steps given."""
    return _draw("standard_normal", seed, stream, steps, shape)


def uniform(
    seed: int, stream: int, steps: Sequence[int] | np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Draw (steps, *shape) from U[0, 1), float32, for the steps given."""
    return _draw("random", seed, stream, steps, shape)


def _draw(
    distribution: str,
    seed: int,
    stream: int,
    steps: Sequence[int] | np.ndarray,
    shape: tuple[int, ...],
) -> np.ndarray:
    numbers = np.empty((len(steps), *shape), np.float32)
    for row, step in zip(numbers, steps):
        source = generator(seed, stream, int(step))
        getattr(source, distribution)(out=row, dtype=np.float32)
    return numbers
