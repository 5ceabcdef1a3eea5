"""Random changes of images, against plain NumPy."""

import numpy as np
import pytest
from keras import ops

from classicnets import recipe
from classicnets.tasks import augmentation

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(1, 256, size=(5, 6, 8, 3), dtype=np.uint8)
SIDE = (6, 8)


def recipe_of(**changes):
    return recipe.build(
        {"network": "resnet20", "data": "d", "epochs": 1, "batch_size": 5, **changes}
    )


def one_step(draws):
    return {key: ops.convert_to_tensor(value[0]) for key, value in draws.items()}


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


def test_every_corner_is_as_likely_and_every_second_image_is_mirrored():
    many = recipe_of(crop_padding=1, flip=True, batch_size=1000)
    draws = augmentation.draw(many, SIDE, 9, epoch=0)
    counts = np.bincount(draws["corner"].reshape(-1), minlength=3)
    # 18,000 draws of 3 values: a deviation of 64 is one sigma.
    np.testing.assert_allclose(counts, 6000, atol=64 * 5)
    assert abs(draws["mirror"].mean() - 0.5) < 5 * 0.5 / np.sqrt(9000)


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


def test_mixup_and_cutmix_together_are_both_drawn():
    draws = augmentation.draw(recipe_of(mixup=0.2, cutmix=1.0), SIDE, 200, epoch=0)
    with_box = draws["box"].any(axis=1).mean()
    assert 0.3 < with_box < 0.7
