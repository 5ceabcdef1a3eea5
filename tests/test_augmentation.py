"""Random changes of images, against plain NumPy."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
from keras import ops

from classicnets import recipe
from classicnets.tasks import augmentation

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(1, 256, size=(5, 6, 8, 3), dtype=np.uint8)
SIDE = (6, 8)
LARGE = (10_000, 20_000)  # of which a pixel is next to nothing


def recipe_of(**changes):
    return recipe.build(
        {"network": "resnet20", "data": "d", "epochs": 1, "batch_size": 5, **changes}
    )


def one_step(draws):
    return {key: ops.convert_to_tensor(value[0]) for key, value in draws.items()}


def mixing_draws(**changes):
    return augmentation.draw(recipe_of(**changes), LARGE, 20_000, epoch=0)


def assert_mean(values, expected):
    """Compare the mean of many draws, to five of its standard errors."""
    error = np.std(values) / np.sqrt(len(values))
    assert np.mean(values) == pytest.approx(expected, abs=5 * error)
    assert error < 0.02  # or it could not fail


def assert_uniform(counts):
    """Compare counts with equal ones: each is nearly a Poisson number."""
    np.testing.assert_allclose(counts, counts.mean(), atol=5 * np.sqrt(counts.mean()))


def test_crop_and_flip_take_the_pixels_that_numpy_takes():
    draws = augmentation.draw(recipe_of(crop_padding=2, flip=True), SIDE, 1, epoch=0)
    found = augmentation.augment(
        ops.convert_to_tensor(IMAGES), one_step(draws), crop_padding=2
    )
    for image, corner, mirror, result in zip(
        IMAGES, draws["corner"][0], draws["mirror"][0], ops.convert_to_numpy(found)
    ):
        row, column = corner
        padded = np.pad(image, [(2, 2), (2, 2), (0, 0)])
        expected = padded[row : row + 6, column : column + 8]
        expected = expected[:, ::-1] if mirror else expected
        assert result.dtype == np.uint8
        np.testing.assert_array_equal(result, expected)
    assert 0 < draws["mirror"].sum() < 5


def test_draws_depend_on_seed_and_epoch_alone():
    first = augmentation.draw(recipe_of(crop_padding=2, flip=True), SIDE, 3, epoch=1)
    again = augmentation.draw(recipe_of(crop_padding=2, flip=True), SIDE, 3, epoch=1)
    other = augmentation.draw(recipe_of(crop_padding=2, flip=True), SIDE, 3, epoch=2)
    np.testing.assert_array_equal(first["corner"], again["corner"])
    assert not np.array_equal(first["corner"], other["corner"])


def test_corners_and_mirrors_are_all_as_likely_and_know_nothing_of_each_other():
    many = recipe_of(crop_padding=1, flip=True, batch_size=1000)
    draws = augmentation.draw(many, SIDE, 18, epoch=0)
    cells = 6 * draws["corner"][..., 0] + 2 * draws["corner"][..., 1] + draws["mirror"]
    assert_uniform(np.bincount(cells.reshape(-1), minlength=18))


def test_without_flip_nothing_is_mirrored():
    draws = augmentation.draw(recipe_of(crop_padding=1), SIDE, 2, epoch=0)
    assert not draws["mirror"].any()


@pytest.mark.parametrize("hole", [(0, 0), (3, 4), (5, 7)])
def test_cutout_clears_a_square_and_no_more(hole):
    images = np.ones((1, 6, 8, 2), "float32")
    found = augmentation.cut_out(
        ops.convert_to_tensor(images), ops.convert_to_tensor([hole]), size=4
    )
    expected = images.copy()
    rows = slice(max(hole[0] - 2, 0), hole[0] + 2)
    columns = slice(max(hole[1] - 2, 0), hole[1] + 2)
    expected[0, rows, columns] = 0
    np.testing.assert_array_equal(ops.convert_to_numpy(found), expected)


def test_the_centres_of_cutout_are_all_as_likely():
    """Also at the border, where a part of the square is lost (1708.04552, 3.1)."""
    many = recipe_of(cutout=4, batch_size=1000)
    holes = augmentation.draw(many, SIDE, 24, epoch=0)["hole"].reshape(-1, 2)
    assert_uniform(np.bincount(8 * holes[:, 0] + holes[:, 1], minlength=48))


@pytest.mark.parametrize("size", [2, 4, 5])
def test_cutout_clears_less_at_the_border_by_its_closed_form(size):
    """Of `size` rows, (before^2 + before + after^2 + after) / 2 are lost over all
    centres, where `before` and `after` lie on the two sides of one."""
    holes = np.array(list(np.ndindex(SIDE)), np.int32)
    ones = ops.ones((len(holes), *SIDE, 1))
    found = augmentation.cut_out(ones, ops.convert_to_tensor(holes), size=size)
    before, after = size // 2, size - 1 - size // 2
    lost = (before**2 + before + after**2 + after) / 2
    expected = (6 * size - lost) * (8 * size - lost)
    assert (ops.convert_to_numpy(found) == 0).sum() == expected


def test_mixup_mixes_pixels_and_targets_in_the_same_share():
    images = RANDOM.normal(size=(3, 6, 8, 1)).astype("float32")
    targets = np.eye(3, dtype="float32")
    draws = {"share": np.float32(0.7), "box": np.zeros(4, "int32")}
    mixed, shares = augmentation.mix(
        ops.convert_to_tensor(images),
        ops.convert_to_tensor(targets),
        {key: ops.convert_to_tensor(value) for key, value in draws.items()},
    )
    others = np.roll(images, 1, axis=0)
    np.testing.assert_allclose(
        ops.convert_to_numpy(mixed), 0.7 * images + 0.3 * others, atol=1e-6
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(shares), 0.7 * targets + 0.3 * np.roll(targets, 1, axis=0)
    )


def test_cutmix_gives_each_target_the_share_of_its_pixels():
    recipe_ = recipe_of(cutmix=1.0)
    draws = augmentation.draw(recipe_, SIDE, 50, epoch=0)
    own = np.zeros((2, 6, 8, 1), "float32")
    own[1] = 1.0  # a mixed pixel now says whose it is
    for step in range(50):
        row = {key: ops.convert_to_tensor(value[step]) for key, value in draws.items()}
        mixed, targets = augmentation.mix(
            ops.convert_to_tensor(own),
            ops.convert_to_tensor(np.eye(2, dtype="float32")),
            row,
        )
        share = ops.convert_to_numpy(mixed)[1].mean()
        assert ops.convert_to_numpy(targets)[1, 1] == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_the_share_of_mixup_is_drawn_from_its_beta_distribution(alpha):
    """Beta(alpha, alpha) (1710.09412, eq. 1): variance 1 / (8 alpha + 4)."""
    share = mixing_draws(mixup=alpha)["share"].astype(float)
    assert_mean(share, 0.5)
    assert_mean((share - 0.5) ** 2, 1 / (8 * alpha + 4))
    assert scipy.stats.kstest(share, scipy.stats.beta(alpha, alpha).cdf).pvalue > 1e-6


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_the_box_of_cutmix_has_the_share_of_the_others_and_any_centre(alpha):
    """Sides of r = sqrt(1 - lambda) of the image's (1905.04899, eq. 2), cut off at its
    borders, where r - r^2 / 4 of them is left on average."""
    draws = mixing_draws(cutmix=alpha)
    low, high = draws["box"][:, ::2] / LARGE, draws["box"][:, 1::2] / LARGE

    def mean(power):
        """Return the mean of (1 - lambda)^power."""
        return scipy.special.beta(alpha + power, alpha) / scipy.special.beta(
            alpha, alpha
        )

    area = (high - low).prod(axis=1)
    assert_mean(area, mean(1) - mean(1.5) / 2 + mean(2) / 16)
    np.testing.assert_allclose(draws["share"], 1 - area, atol=1e-6)
    # A box that touches no border, (1 - r)^2 of all, shows its whole side and centre.
    inside = (low > 0).all(axis=1) & (high < 1).all(axis=1)
    assert_mean(inside, 1 - 2 * mean(0.5) + mean(1))
    side = (high - low)[inside]
    np.testing.assert_allclose(side[:, 0], side[:, 1], atol=2e-3)
    assert_mean(area * inside, mean(1) - 2 * mean(1.5) + mean(2))
    place = (low[inside] / (1 - side)).T
    for values in place:
        assert scipy.stats.kstest(values, "uniform").pvalue > 1e-6
    assert abs(np.corrcoef(place)[0, 1]) < 5 / np.sqrt(inside.sum())


def test_mixup_and_cutmix_together_are_drawn_as_often():
    with_box = mixing_draws(mixup=0.2, cutmix=1.0)["box"].any(axis=1)
    assert_mean(with_box, 0.5)
