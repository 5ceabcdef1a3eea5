"""FID, KID and their features, against formulas, SciPy and plain loops."""

import itertools
import json
import random

import keras
import numpy as np
import pytest
import safetensors
import scipy.linalg
from safetensors.numpy import load_file

from classicnets import data
from classicnets.data import Rows
from classicnets.errors import UserError
from classicnets.tasks import features, judging

RANDOM = np.random.default_rng


def sample(mean, covariance, count, seed=0):
    """Return (count, d) whose mean and covariance are exactly these."""
    draws = RANDOM(seed).normal(size=(count, len(mean)))
    draws -= draws.mean(axis=0)
    white = draws @ np.linalg.inv(np.linalg.cholesky(np.cov(draws.T)).T)
    return mean + white @ np.linalg.cholesky(covariance).T


@pytest.fixture(scope="module")
def digits():
    return np.asarray(data.load("digits").train.inputs)


# -- FID ---------------------------------------------------------------------


def test_fid_of_gaussians_on_the_same_axes_matches_its_closed_form():
    means = np.array([1.0, -2.0, 0.0]), np.array([0.5, 1.0, 0.0])
    deviations = np.array([1.0, 2.0, 0.1]), np.array([3.0, 2.0, 0.4])
    turn, _ = np.linalg.qr(RANDOM(1).normal(size=(3, 3)))
    real, fake = (
        sample(mean, np.diag(deviation**2), 50 + n, seed=n) @ turn
        for n, (mean, deviation) in enumerate(zip(means, deviations))
    )
    shift = np.square(means[0] - means[1]).sum()
    expected = shift + np.square(deviations[0] - deviations[1]).sum()
    assert judging.fid(real, fake) == pytest.approx(expected, rel=1e-9)


def test_fid_matches_the_square_root_of_scipy():
    mixing = RANDOM(2).normal(size=(2, 6, 6))
    real = RANDOM(3).normal(size=(80, 6)) @ mixing[0] + 1.0
    fake = RANDOM(4).normal(size=(120, 6)) @ mixing[1]
    first, second = np.cov(real.T), np.cov(fake.T)
    root = scipy.linalg.sqrtm(first @ second).real
    shift = np.square(real.mean(axis=0) - fake.mean(axis=0)).sum()
    expected = shift + np.trace(first + second - 2 * root)
    assert judging.fid(real, fake) == pytest.approx(expected, rel=1e-9)


def test_fid_of_fewer_images_than_features_matches_the_eigenvalues():
    real, fake = RANDOM(5).normal(size=(9, 20)), RANDOM(6).normal(size=(12, 20))
    first, second = np.cov(real.T), np.cov(fake.T)
    # Only the largest eight are not 0: their roots would add up rounding errors.
    eigenvalues = np.sort(np.linalg.eigvals(first @ second).real)[-8:]
    shift = np.square(real.mean(axis=0) - fake.mean(axis=0)).sum()
    expected = shift + np.trace(first + second) - 2 * np.sqrt(eigenvalues).sum()
    assert judging.fid(real, fake) == pytest.approx(expected, rel=1e-9)


def test_fid_of_a_set_with_itself_is_zero():
    rows = 100.0 * RANDOM(7).normal(size=(50, 20)) @ np.diag(0.5 ** np.arange(20))
    shuffled = rows[RANDOM(8).permutation(50)]
    assert judging.fid(rows, shuffled) == pytest.approx(0.0, abs=1e-8)


def test_fid_between_samples_of_one_distribution_grows_as_they_shrink():
    draws = RANDOM(9).normal(size=(2, 4000, 32))
    found = [judging.fid(draws[0, :n], draws[1, :n]) for n in (4000, 1000, 250, 60)]
    assert found[0] > 0.0
    assert all(2 * fewer < more for fewer, more in itertools.pairwise(found))


# -- KID ---------------------------------------------------------------------


def test_kid_of_whole_sets_matches_a_double_loop():
    real, fake = RANDOM(10).normal(size=(7, 3)), RANDOM(11).normal(1.0, size=(7, 3))

    def kernel(a, b):
        return (sum(a[i] * b[i] for i in range(3)) / 3 + 1) ** 3

    within = 0.0
    for group in (real, fake):
        for i in range(7):
            for j in range(7):
                within += kernel(group[i], group[j]) / (7 * 6) if i != j else 0.0
    across = sum(kernel(a, b) for a in real for b in fake) / 49
    expected = (pytest.approx(within - 2 * across, rel=1e-12), 0.0)
    assert judging.kid(real, fake) == expected


def test_kid_between_halves_of_one_set_is_zero_on_average():
    found = []
    for n in range(200):
        rows = RANDOM(n).normal(size=(40, 5))
        found.append(judging.kid(rows[:20], rows[20:])[0])
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(200)
    assert min(found) < 0.0  # an estimate with a bias would be a square


def test_kid_of_subsets_has_the_mean_of_the_whole_and_belongs_to_its_seed():
    real, fake = RANDOM(12).normal(size=(300, 4)), RANDOM(13).normal(0.5, 1, (400, 4))
    whole, _ = judging.kid(real, fake[:300])
    mean, deviation = judging.kid(real, fake, subset_size=50, seed=3)
    assert abs(mean - whole) < deviation  # of one subset, and the mean is of 100
    assert judging.kid(real, fake, subset_size=50, seed=3) == (mean, deviation)
    assert judging.kid(real, fake, subset_size=50, seed=4)[0] != mean


@pytest.mark.parametrize("function", [judging.fid, judging.kid])
@pytest.mark.parametrize(
    "real, fake",
    [
        (np.zeros((1, 3)), np.zeros((5, 3))),
        (np.zeros((5, 3)), np.zeros((5, 4))),
        (np.zeros(5), np.zeros(5)),
        (np.zeros((5, 3)), np.full((5, 3), np.nan)),
    ],
)
def test_features_that_cannot_be_compared_are_refused(function, real, fake):
    with pytest.raises(UserError, match="features must be"):
        function(real, fake)


# -- features ----------------------------------------------------------------


def features_file():
    with safetensors.safe_open(features.FEATURES_FILE, framework="numpy") as file:
        return load_file(features.FEATURES_FILE), file.metadata()


def convolved(x, kernel, stride):
    """Convolve (n, h, w, c) by (3, 3, c, filters), one pixel of zeros around."""
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.einsum("nhwcij,ijcf->nhwf", windows[:, ::stride, ::stride], kernel)


def features_in_numpy(images):
    """Compute ResNet-20 in NumPy, as section 4.2 of arXiv:1512.03385 describes it."""
    tensors, header = features_file()
    weights = {name: tensor.astype(float) for name, tensor in tensors.items()}

    def layer(x, place, number="", stride=1):
        x = convolved(x, weights[f"{place}_conv{number}/kernel"], stride)
        norm = f"{place}_norm{number}/"
        names = ("moving_mean", "moving_variance", "gamma", "beta")
        mean, variance, gamma, beta = (weights[norm + name] for name in names)
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    scale, offset = np.array([json.loads(header[k]) for k in ("scale", "offset")])
    x = np.maximum(layer(images * scale + offset, "stem"), 0)
    for stage in (1, 2, 3):
        for block in (1, 2, 3):
            place, stride = f"stage{stage}_block{block}", 1 + (stage > 1 and block == 1)
            shortcut = x[:, ::stride, ::stride]
            x = np.maximum(layer(x, place, 1, stride), 0)
            x = layer(x, place, 2)
            wider = x.shape[-1] - shortcut.shape[-1]
            x = np.maximum(x + np.pad(shortcut, [(0, 0)] * 3 + [(0, wider)]), 0)
    return x.mean(axis=(1, 2))


def test_features_match_the_network_computed_in_numpy():
    images = RANDOM(14).integers(256, size=(4, 32, 32, 3), dtype=np.uint8)
    found = judging.features(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, features_in_numpy(images), rtol=1e-3, atol=1e-3)


def test_the_features_file_is_small_and_says_where_it_comes_from():
    assert features.FEATURES_FILE.stat().st_size < 700_000
    tensors, header = features_file()
    assert {str(tensor.dtype) for tensor in tensors.values()} == {"float16"}
    assert judging.FEATURES.startswith(f"{header['network']}-{header['data']} ")
    assert header["commit"] == "3c99320"
    assert header["top1"] == "0.6242 of 10,000 test images"


def test_features_leave_the_precision_and_the_random_numbers_of_the_process(digits):
    expected = judging.features(digits[:4])
    features._small_network.cache_clear()
    keras.config.set_dtype_policy("mixed_bfloat16")
    numbers = random.getstate()
    try:
        found = judging.features(digits[:4])
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert random.getstate() == numbers
    np.testing.assert_array_equal(found, expected)


def test_every_image_counts_once_and_all_batches_have_one_size():
    sizes = []

    def forward(arrays, batch):
        sizes.append(len(batch["pixels"]))
        return batch["pixels"][:, 0, 0]

    levels = np.arange(10, dtype=np.uint8)
    images = np.broadcast_to(levels[:, None, None, None], (10, 8, 8, 1))
    found = features._extract(forward, images, image_size=8, batch_size=4)
    np.testing.assert_array_equal(found, np.repeat(levels[:, None], 3, axis=1))
    assert sizes == [4, 4, 4]


def test_features_take_grey_images_of_any_size_and_rows_of_a_larger_set(digits):
    grey = digits[:4, :28, :20]
    coloured = np.repeat(grey, 3, axis=-1)
    found = judging.features(Rows(grey, np.arange(4)))
    np.testing.assert_array_equal(found, judging.features(coloured))
    # Of one colour, so that stretching changes nothing.
    flat = np.full((4, 96, 64, 1), 77, np.uint8)
    expected = judging.features(np.full((4, 32, 32, 3), 77, np.uint8))
    np.testing.assert_array_equal(judging.features(flat), expected)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 32, 32, 3), np.float32),
        np.zeros((2, 32, 32), np.uint8),
        np.zeros((2, 32, 32, 4), np.uint8),
        np.zeros((0, 32, 32, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_images_are_refused(images):
    with pytest.raises(UserError, match="images must be"):
        judging.features(images)


def test_inception_features_are_those_of_the_weights_in_the_file(tmp_path, monkeypatch):
    asked = []

    def narrow(weights, **options):
        # In the place of Keras's network, which takes half a minute on two cores.
        asked.append(options)
        pixels = keras.Input(options["input_shape"])
        x = keras.layers.GlobalAveragePooling2D()(pixels)
        network = keras.Model(pixels, keras.layers.Dense(5)(x))
        if weights:
            network.load_weights(weights)
        return network

    monkeypatch.setattr(keras.applications, "InceptionV3", narrow)
    network = narrow(None, input_shape=(299, 299, 3))
    network.save_weights(tmp_path / "inception.weights.h5")
    images = RANDOM(15).integers(256, size=(3, 1, 1, 1), dtype=np.uint8)
    found = judging.inception_features(images, tmp_path / "inception.weights.h5")
    # An image of one pixel stays one colour, on Inception's scale of -1 to 1.
    level = images.reshape(3, 1) / 127.5 - 1.0
    kernel = keras.ops.convert_to_numpy(network.layers[-1].kernel)
    np.testing.assert_allclose(found, level * kernel.sum(axis=0), atol=1e-3)
    assert asked[1]["pooling"] == "avg"
    assert not asked[1]["include_top"]
    weights_path = tmp_path / "inception.weights.h5"
    copies = np.tile(images, (2, 1, 1, 1))
    judge = judging.ImageJudge(copies, inception_weights=weights_path)
    judged = judge.judge(copies)
    assert judged["features"] == judging.INCEPTION_FEATURES


def test_a_missing_file_of_inception_weights_is_a_line_to_the_user(tmp_path):
    images = np.zeros((1, 8, 8, 1), np.uint8)
    with pytest.raises(UserError, match="must be an existing file"):
        judging.inception_features(images, tmp_path / "none.h5")


# -- the verdict -------------------------------------------------------------


def blurred(images, pixels):
    """Average each pixel with its neighbours, in squares of 2 * pixels + 1."""
    for axis in (1, 2):
        steps = range(-pixels, pixels + 1)
        images = np.mean([np.roll(images, step, axis) for step in steps], axis=0)
    return images.astype(np.uint8)


def test_worse_images_are_judged_worse_and_real_ones_at_the_floor(digits):
    real, others = digits[:100], digits[100:200]
    noise = RANDOM(16).integers(256, size=real.shape, dtype=np.uint8)
    fakes = others, blurred(others, 1), blurred(others, 3), noise
    judge = judging.ImageJudge(real)
    found = [judge.judge(fake, digits[200:300]) for fake in fakes]
    for metric in ("fid", "kid"):
        values = [metrics[metric] for metrics in found]
        assert values == sorted(values)
        assert values[2] > 5 * abs(found[0][f"{metric}_floor"])
    assert found[0]["fid"] == pytest.approx(found[0]["fid_floor"], rel=0.5)
    assert abs(found[0]["kid"] - found[0]["kid_floor"]) < 3 * found[0]["kid_deviation"]


def test_the_verdict_says_what_was_compared(digits):
    found = judging.ImageJudge(digits[:50]).judge(digits[50:70], digits[100:110])
    counts = ("examples", "real_examples", "floor_examples")
    assert [found[count] for count in counts] == [20, 50, 10]
    slices = (digits[:50], digits[50:70], digits[100:110])
    real, fake, others = map(judging.features, slices)
    assert found["fid"] == pytest.approx(judging.fid(real, fake))
    assert found["fid_floor"] == pytest.approx(judging.fid(real, others))
    assert found["features"] == judging.FEATURES
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("generated, in_place", [(20, 20), (50, 25)])
def test_without_other_images_the_floor_parts_the_real_ones(
    digits, generated, in_place
):
    found = judging.ImageJudge(digits[:50]).judge(digits[50 : 50 + generated])
    assert found["floor_examples"] == in_place
    assert 0 < found["fid_floor"] < 3 * found["fid"]


# -- binary images -----------------------------------------------------------


def test_binary_pixels_are_white_as_often_as_they_are_bright():
    values = np.arange(0, 256, 5, dtype=np.uint8)
    images = np.broadcast_to(values[:, None, None], (2500, 52, 4, 1))
    found = judging.binarize(images, seed=0)
    assert found.dtype == np.uint8
    assert set(np.unique(found)) == {0, 255}
    rate = (found == 255).mean(axis=(0, 2, 3))
    assert rate[0] == 0.0
    assert rate[-1] == 1.0
    # 10,000 draws a value: a standard deviation is 0.005 at most.
    np.testing.assert_allclose(rate, values / 255, atol=0.025)


def test_a_binarization_belongs_to_its_seed_and_is_the_same_in_parts(digits):
    whole = judging.binarize(digits[:1100], seed=1)
    np.testing.assert_array_equal(whole, judging.binarize(digits[:1100], seed=1))
    np.testing.assert_array_equal(whole[:30], judging.binarize(digits[:30], seed=1))
    rows = Rows(digits, np.arange(1100))
    np.testing.assert_array_equal(whole, judging.binarize(rows, seed=1))
    assert (whole != judging.binarize(digits[:1100], seed=2)).any()
