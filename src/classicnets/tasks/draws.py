"""Random numbers of a step, from the seed and the step alone.

They are drawn on the host, so they are the same on every backend, and a training that
goes on in the middle of an epoch draws what it would have drawn.
"""

import numpy as np

# Second words of the Philox key; the order of examples and their augmentation use
# small ones.
NOISE, MIX, GREY, SHOWN, JUDGED, CODES = (
    (0x6472_6177 << 32) + purpose for purpose in range(6)
)


def generator(seed: int, purpose: int, step: int = 0) -> np.random.Generator:
    """Return the source of a step's numbers for one purpose."""
    # A step's counter begins 2^192 numbers after that of the step before.
    counter = [0, 0, 0, step]
    return np.random.Generator(np.random.Philox(key=[seed, purpose], counter=counter))


def normal(seed: int, purpose: int, steps, shape: tuple[int, ...]) -> np.ndarray:
    """Draw (len(steps), *shape) from N(0, 1), float32."""
    return _draw("standard_normal", seed, purpose, steps, shape)


def uniform(seed: int, purpose: int, steps, shape: tuple[int, ...]) -> np.ndarray:
    """Draw (len(steps), *shape) from U[0, 1), float32."""
    return _draw("random", seed, purpose, steps, shape)


def _draw(distribution, seed, purpose, steps, shape):
    drawn = np.empty((len(steps), *shape), np.float32)
    for row, step in zip(drawn, steps):
        source = generator(seed, purpose, int(step))
        getattr(source, distribution)(out=row, dtype=np.float32)
    return drawn
