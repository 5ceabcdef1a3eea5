"""How generators are judged: FID and KID of images; and pixels drawn as black or white.

What is drawn here uses the raw words of a stream, as `data` does, and so never changes.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from classicnets import streams
from classicnets.data import Rows
from classicnets.errors import UserError
from classicnets.streams import Stream
from classicnets.tasks.features import (
    FEATURES,
    INCEPTION_FEATURES,
    features,
    inception_features,
)

LEAST = 4  # images of each kind, for FID and KID
_COMPARED = 1_000  # images of each kind, for their variety


class ImageJudge:
    """Compares generated images to the same real ones.

    It judges a generator that learns, every few epochs, and one that has learned.

    Args:
        real_images: (n, height, width, 1 or 3) uint8, n >= 4.
        inception_weights: Judge by `inception_features` with this file.
        seed: Draws the floor's images and KID's subsets.

    Raises:
        UserError: For arrays that are no such images.
    """

    def __init__(
        self,
        real_images: np.ndarray | Rows,
        *,
        inception_weights: str | Path | None = None,
        seed: int = 0,
    ):
        self.extract: Callable[[np.ndarray | Rows], np.ndarray] = features
        self.name = FEATURES
        if inception_weights is not None:
            self.extract = functools.partial(
                inception_features, weights_path=inception_weights
            )
            self.name = INCEPTION_FEATURES
        self.seed = seed
        self.real = self.extract(real_images)
        self.count = len(self.real)

    def kid(self, fake_images: np.ndarray | Rows) -> float:
        """Return the KID of generated images (m, height, width, 1 or 3) uint8."""
        return kid(self.real, self.extract(fake_images), seed=self.seed)[0]

    def judge(
        self,
        fake_images: np.ndarray | Rows,
        other_real_images: np.ndarray | Rows | None = None,
    ) -> dict[str, Any]:
        """Measure generated images, and real ones in their place.

        FID grows as the sets shrink, so it is read beside its floor: what as many real
        images get in the place of the generated ones.

        Args:
            fake_images: (m, height, width, 1 or 3) uint8, m >= 4.
            other_real_images: For the floor, as many of them as there are generated
                ones, or all. Without them the floor compares two parts of the real
                images: as many as there are generated ones, half of them at most,
                against the rest.

        Returns:
            `examples` (generated), `real_examples`, `fid`, `kid`, `kid_deviation` (over
            KID's subsets: 100 of 1000, or of half the smaller set), `fid_floor`,
            `kid_floor`, `floor_examples` (in the place of the generated ones),
            `variety` (see there), `features` (their name).

        Raises:
            UserError: For arrays that are no such images.
        """
        fake, real = self.extract(fake_images), self.real
        stand_in, rest = self._floor(len(fake), other_real_images)
        mean, deviation = _kid_of_halves(real, fake, self.seed)
        return {
            "examples": len(fake),
            "real_examples": len(real),
            "fid": fid(real, fake),
            "kid": mean,
            "kid_deviation": deviation,
            "fid_floor": fid(rest, stand_in),
            "kid_floor": _kid_of_halves(rest, stand_in, self.seed)[0],
            "floor_examples": len(stand_in),
            "variety": variety(real, fake),
            "features": self.name,
        }

    def _floor(
        self, generated: int, others: np.ndarray | Rows | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return features of images in the place of generated ones, and of the real."""
        if others is not None:
            rows = streams.subset(len(others), generated, self.seed, Stream.FLOOR)
            return self.extract(others[rows]), self.real
        source = streams.philox(self.seed, Stream.FLOOR)
        order = _draw(source, self.count, self.count)
        count = min(generated, self.count // 2)
        return self.real[order[:count]], self.real[order[count:]]


def fid(real_features: np.ndarray, fake_features: np.ndarray) -> float:
    """Return the Frechet inception distance (Heusel et al. 2017, arXiv:1706.08500).

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), where m are the means of the features
    and C their covariances, over n - 1.

    Args:
        real_features, fake_features: (n, d), n >= 2; the two n may differ.

    Raises:
        UserError: For other shapes, and for features that are not finite.
    """
    real, fake = _check_features(real_features, fake_features)
    shift = real.mean(axis=0) - fake.mean(axis=0)
    root, other_root = _covariance_root(real), _covariance_root(fake)
    # With C1 = R1^T R1 and C2 = R2^T R2, the eigenvalues of C1 C2 are the squared
    # singular values of R1 R2^T, whose sum is the trace of the root. The usual square
    # root of C1 C2 itself loses half the digits, has an imaginary rest to drop, and
    # fails where there are fewer images than features.
    overlap = np.linalg.svd(root @ other_root.T, compute_uv=False).sum()
    spread = np.square(root).sum() + np.square(other_root).sum()
    return float(max(shift @ shift + spread - 2.0 * overlap, 0.0))


def kid(
    real_features: np.ndarray,
    fake_features: np.ndarray,
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the kernel inception distance (Binkowski et al. 2018, arXiv:1801.01401).

    The unbiased squared maximum mean discrepancy under the kernel (x.y / d + 1)^3, on
    random subsets (section 4). Unlike FID it is 0 on average between samples of one
    distribution, at any n, and can be negative.

    Args:
        real_features, fake_features: (n, d), n >= 2; the two n may differ.
        subsets: How many pairs of subsets to draw.
        subset_size: Of each subset, drawn without repetition; the smaller set's n if
            that is less.
        seed: Draws the subsets.

    Returns:
        The mean over the subsets and their standard deviation, which is 0 and says
        nothing if the subsets are the whole of both sets.

    Raises:
        UserError: For other shapes, and for features that are not finite.
    """
    real, fake = _check_features(real_features, fake_features)
    size = min(subset_size, len(real), len(fake))
    if subsets < 1 or size < 2:
        raise UserError(
            "subsets must be 1 or more and subset_size 2 or more, got "
            f"{subsets} and {subset_size}."
        )
    if size == len(real) == len(fake):
        subsets = 1  # every further one would be the same
    stream = streams.philox(seed, Stream.SUBSET)
    estimates = [
        _squared_discrepancy(
            real[_draw(stream, len(real), size)], fake[_draw(stream, len(fake), size)]
        )
        for _ in range(subsets)
    ]
    return float(np.mean(estimates)), float(np.std(estimates))


def variety(real_features: np.ndarray, fake_features: np.ndarray) -> float | None:
    """Return how far generated images lie apart, compared to real ones.

    The median distance from an image's features to the nearest other one's: that of
    generated images over that of as many real ones. It is 0 if each is made twice.

    Args:
        real_features, fake_features: (n, d), n >= 2; the two n may differ.

    Returns:
        None where real images repeat too, so that there is nothing to compare to.

    Raises:
        UserError: For other shapes, and for features that are not finite.
    """
    sets = _check_features(real_features, fake_features)
    count = min(_COMPARED, *map(len, sets))
    # Evenly: a set may be sorted by its classes.
    rows = [np.linspace(0, len(x) - 1, count).astype(int) for x in sets]
    real, fake = (_nearest(x[row]) for x, row in zip(sets, rows, strict=True))
    return float(np.median(fake) / np.median(real)) if np.median(real) else None


def binarize(images: np.ndarray | Rows, seed: int) -> np.ndarray:
    """Draw black or white pixels, white with a probability of value / 255.

    One seed for good is the static kind of binarized MNIST; a new seed per epoch the
    dynamic kind, after Salakhutdinov & Murray 2008 (see arXiv:1509.00519, app. D).

    Args:
        images: (n, height, width, channels) uint8.
        seed: 0 or more. A pixel is drawn by the seed and its place in the whole array.

    Returns:
        (n, height, width, channels) uint8, 0 or 255.
    """
    stream = streams.philox(seed, Stream.BINARY)
    white = np.empty(images.shape, np.uint8)
    for first in range(0, len(images), 1000):  # a drawn word is 8 times a pixel
        some = np.asarray(images[first : first + 1000])
        words = stream.random_raw(some.size).reshape(some.shape)
        white[first : first + 1000] = 255 * (words % 255 < some)
    return white


def _nearest(x: np.ndarray) -> np.ndarray:
    """Return the distance of each of (n, d) to the nearest other one, (n,)."""
    squares = np.square(x).sum(axis=1)
    distances = squares[:, None] + squares - 2.0 * x @ x.T
    np.fill_diagonal(distances, np.inf)
    # Of equal ones it is a rounding error of the sums.
    nearest = distances.min(axis=1)
    return np.sqrt(np.where(nearest < 1e-9 * squares.max(), 0.0, nearest))


def _covariance_root(x: np.ndarray) -> np.ndarray:
    """Return R with R^T R the covariance of (n, d)."""
    scaled = (x - x.mean(axis=0)) / np.sqrt(len(x) - 1)
    return np.asarray(np.linalg.qr(scaled, mode="r"))


def _squared_discrepancy(x: np.ndarray, y: np.ndarray) -> float:
    """Return the unbiased estimate (1801.01401, eq. 4) for (m, d) and (m, d)."""
    count, size = x.shape

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        k = a @ b.T / size + 1.0
        return k * k * k  # k**3 takes ten times as long

    pairs = count * (count - 1)
    within = sum((k.sum() - k.trace()) / pairs for k in (kernel(x, x), kernel(y, y)))
    return float(within - 2.0 * kernel(x, y).mean())


def _kid_of_halves(
    real: np.ndarray, fake: np.ndarray, seed: int
) -> tuple[float, float]:
    # Subsets of all the images would all be the same one.
    half = max(2, min(len(real), len(fake)) // 2)
    return kid(real, fake, subset_size=min(1000, half), seed=seed)


def _check_features(*sets: np.ndarray) -> list[np.ndarray]:
    """Return the two sets in float64."""
    pair = [np.asarray(x, np.float64) for x in sets]
    shapes = [x.shape for x in pair]
    fit = all(len(shape) == 2 and shape[0] >= 2 for shape in shapes)
    if not fit or shapes[0][1] != shapes[1][1]:
        raise UserError(
            "features must be (n, d) with n >= 2 and the same d, got "
            f"{shapes[0]} and {shapes[1]}."
        )
    if not all(np.isfinite(x).all() for x in pair):
        raise UserError("features must be finite, got NaN or infinity.")
    return pair


def _draw(stream: np.random.Philox, count: int, size: int) -> np.ndarray:
    """Return `size` different numbers below `count`, in a random order."""
    return np.argsort(stream.random_raw(count), kind="stable")[:size]
