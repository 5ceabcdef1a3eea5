"""Sheets, animations, ways between codes, maps: by pixel counts and closed forms."""

import io
import statistics

import numpy as np
import pytest
from PIL import Image

from classicnets import pictures
from classicnets.reports import animation


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(256, size=shape, dtype=np.uint8)


def decoded(png):
    return np.asarray(Image.open(io.BytesIO(png)))


def frames_of(png):
    """(frames as RGB, milliseconds of each), read one after the other."""
    with Image.open(io.BytesIO(png)) as image:
        found = []
        for place in range(getattr(image, "n_frames", 1)):
            image.seek(place)
            shown = np.asarray(image.convert("RGB"))
            found.append((shown, image.info.get("duration")))
    shown, durations = zip(*found, strict=True)
    return shown, list(durations)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sheet_holds_each_image_at_its_place_between_white_gaps(channels):
    images = noise(5, 6, 4, channels) // 2  # never white
    sheet = pictures.grid(images, columns=3, scale=2)
    assert sheet.shape == (2 * 12 + 2, 3 * 8 + 2 * 2, channels)
    assert sheet.dtype == np.uint8
    for number, image in enumerate(images):
        row, column = divmod(number, 3)
        top, left = row * 14, column * 10
        cell = sheet[top : top + 12, left : left + 8]
        np.testing.assert_array_equal(cell[::2, ::2], image)
        np.testing.assert_array_equal(cell[1::2, 1::2], image)
    assert (sheet[12:14] == 255).all()
    assert (sheet[:, 8:10] == 255).all()
    assert (sheet[14:, 20:] == 255).all()  # the place of a sixth image


@pytest.mark.parametrize(
    ("side", "count", "shape"),
    [
        (28, 64, (8 * 56 + 7 * 2, 8 * 56 + 7 * 2, 1)),  # two times as large
        (64, 9, (3 * 64 + 2 * 2, 3 * 64 + 2 * 2, 1)),
        (96, 3, (2 * 96 + 2, 2 * 96 + 2, 1)),
        (8, 1, (64, 64, 1)),
    ],
)
def test_a_sheet_is_square_and_its_images_about_64_pixels(side, count, shape):
    assert pictures.grid(noise(count, side, side, 1)).shape == shape


@pytest.mark.parametrize(
    "images", [np.zeros((0, 8, 8, 3), np.uint8), noise(8, 8, 3), np.zeros((2, 8, 8, 1))]
)
def test_what_is_no_stack_of_images_is_refused(images):
    with pytest.raises(ValueError, match="images must be"):
        pictures.grid(images)


def test_reconstructions_lie_right_under_their_originals():
    above, below = noise(5, 4, 4, 3) // 2, noise(5, 4, 4, 3, seed=1) // 2
    sheet = pictures.pairs(above, below, columns=3, scale=1)
    # two blocks of two rows, with a wider gap between the blocks
    assert sheet.shape == (4 * 4 + 2 * 2 + 10, 3 * 4 + 2 * 2, 3)
    for number in range(5):
        block, column = divmod(number, 3)
        top, left = block * 20, column * 6
        original = sheet[top : top + 4, left : left + 4]
        np.testing.assert_array_equal(original, above[number])
        np.testing.assert_array_equal(
            sheet[top + 6 : top + 10, left : left + 4], below[number]
        )
    assert (sheet[10:20] == 255).all()


def test_pairs_fill_their_rows():
    images = noise(16, 4, 4, 1)
    wide = pictures.pairs(images, images, scale=1).shape[1]
    assert wide == 8 * 4 + 7 * 2  # two rows of 8, not of 10 and 6
    with pytest.raises(ValueError, match="same shape"):
        pictures.pairs(images, images[:3])


@pytest.mark.parametrize("shape", [(5, 7, 1), (5, 7, 3), (5, 7, 4), (5, 7)])
def test_a_png_gives_the_pixels_back(shape):
    image = noise(*shape)
    found = decoded(pictures.encode_png(image))
    np.testing.assert_array_equal(found, image.squeeze())


@pytest.mark.parametrize("shape", [(9, 12, 1), (9, 12, 3), (9, 12)])
def test_an_animation_has_every_frame_and_holds_the_last(shape):
    frames = [noise(*shape, seed=seed) for seed in range(4)]
    png = animation.encode(frames, milliseconds=120)
    shown, durations = frames_of(png)
    assert durations == [120, 120, 120, 2500]
    for frame, found in zip(frames, shown, strict=True):
        colours = frame.reshape(9, 12, -1)
        np.testing.assert_array_equal(found, np.broadcast_to(colours, (9, 12, 3)))


def test_a_long_animation_is_thinned_from_its_first_frame_to_its_last():
    frames = [np.full((4, 4, 1), value, np.uint8) for value in range(200)]
    shown, durations = frames_of(animation.encode(frames))
    values = [int(frame[0, 0, 0]) for frame in shown]
    assert len(durations) == 60
    assert (values[0], values[-1]) == (0, 199)
    steps = np.diff(values)
    assert set(steps.tolist()) == {3, 4}  # 199 / 59 is 3.37


def test_a_large_animation_is_made_to_fit_and_still_shows_the_same():
    # Smooth colours under noise that no coder can shorten.
    across, down = np.meshgrid(np.arange(400), np.arange(300))
    smooth = np.stack([across / 2, down / 2, (across + down) / 4], axis=-1)
    frames = [
        (smooth + noise(300, 400, 3, seed=k) // 4).astype("uint8") for k in range(30)
    ]
    png = animation.encode(frames)
    assert 500_000 < len(png) < 2_400_000
    shown, durations = frames_of(png)
    assert len(durations) == 24
    last = Image.fromarray(frames[-1]).resize((40, 30), Image.Resampling.BOX)
    found = Image.fromarray(shown[-1]).resize((40, 30), Image.Resampling.BOX)
    difference = np.asarray(last, float) - np.asarray(found, float)
    assert np.abs(difference).mean() < 6


def test_a_single_frame_is_a_picture_and_no_frame_is_refused():
    shown, _ = frames_of(animation.encode([noise(4, 4, 3)]))
    np.testing.assert_array_equal(shown[0], noise(4, 4, 3))
    with pytest.raises(ValueError, match="got none"):
        animation.encode([])
    with pytest.raises(ValueError, match="frames of one shape"):
        animation.encode([noise(4, 4, 3), noise(4, 5, 3)])


def test_an_arc_in_the_plane_is_a_rotation_by_equal_angles():
    shares = np.array([0.0, 0.25, 0.5, 1.0])
    angle = 1.2
    end = [2 * np.cos(angle), 2 * np.sin(angle)]
    found = pictures.slerp([2.0, 0.0], end, shares=shares)
    expected = 2 * np.stack([np.cos(shares * angle), np.sin(shares * angle)], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_an_arc_keeps_the_norm_and_ends_exactly():
    random = np.random.default_rng(0)
    first, second = random.normal(size=(2, 100)).astype("float32")
    second *= np.linalg.norm(first) / np.linalg.norm(second)
    codes = pictures.slerp(first, second, shares=np.linspace(0, 1, 9))
    assert codes.shape == (9, 100)
    assert codes.dtype == np.float32
    np.testing.assert_array_equal(codes[0], first)
    np.testing.assert_array_equal(codes[-1], second)
    norms = np.linalg.norm(codes, axis=1)
    np.testing.assert_allclose(norms, np.linalg.norm(first), rtol=1e-5)
    # Half the way is half the angle.
    cosine = first @ second / np.linalg.norm(first) ** 2
    half = first @ codes[4] / np.linalg.norm(first) ** 2
    assert half == pytest.approx(np.cos(np.arccos(cosine) / 2), abs=1e-5)


@pytest.mark.parametrize("second", [[3.0, 6.0], [-1.0, -2.0], [0.0, 0.0]])
def test_without_one_arc_the_way_is_straight(second):
    codes = pictures.slerp(
        np.array([1.0, 2.0]), np.array(second), shares=[0.0, 0.5, 1.0]
    )
    middle = (np.array([1.0, 2.0]) + second) / 2
    np.testing.assert_allclose(codes, [[1.0, 2.0], middle, second], atol=1e-9)


def test_codes_of_the_manifold_are_the_middles_of_equal_probabilities():
    assert pictures.latent_grid_codes(1).tolist() == [[0.0, 0.0]]
    # The quartiles of N(0, 1) are 0.6744897501960817 from its mean.
    q = 0.6744897501960817
    expected = [[-q, q], [q, q], [-q, -q], [q, -q]]  # the top row first
    np.testing.assert_allclose(pictures.latent_grid_codes(2), expected, rtol=1e-6)
    codes = pictures.latent_grid_codes(20)
    assert codes.shape == (400, 2)
    shares = [statistics.NormalDist().cdf(x) for x in codes[:20, 0].tolist()]
    np.testing.assert_allclose(shares, (np.arange(20) + 0.5) / 20, atol=1e-6)


def test_a_map_puts_each_class_where_its_codes_are():
    # Blue to the left below, vermilion to the right above.
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 200)
    codes = random.normal(size=(400, 2)) * 0.2 + np.where(labels, 3, -3)[:, None]
    codes[7] = np.nan
    image = pictures.latent_map(codes, labels, names=["cat", "dog"])
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    blue, vermilion = (
        np.argwhere((image[:, :600] == pictures.COLOURS[kind]).all(axis=-1))
        for kind in (0, 1)
    )
    assert len(blue) > 1000
    assert len(vermilion) > 1000
    assert blue[:, 0].min() > vermilion[:, 0].max()  # rows count downwards
    assert blue[:, 1].max() < vermilion[:, 1].min()
    # The key beside the map has a dot of each.
    for kind in (0, 1):
        assert (image[:, 600:] == pictures.COLOURS[kind]).all(axis=-1).sum() > 50


@pytest.mark.parametrize("kinds", [1, 10, 100])
def test_a_map_has_a_place_for_any_number_of_kinds(kinds):
    codes = np.random.default_rng(0).normal(size=(300, 2)).astype("float32")
    image = pictures.latent_map(codes, np.arange(300) % kinds)
    colours = {pictures._colour(kind, kinds) for kind in range(kinds)}
    assert len(colours) == kinds
    pixels = {tuple(pixel) for pixel in image.reshape(-1, 3).tolist()}
    assert colours <= pixels


@pytest.mark.parametrize("codes", [[[0.5, 0.5]], [[1.0, 2.0], [1.0, 2.0]]])
def test_a_map_of_one_place_is_drawn(codes):
    image = pictures.latent_map(np.array(codes))
    assert (image == pictures.COLOURS[0]).all(axis=-1).any()


def test_codes_that_are_no_pairs_are_refused():
    with pytest.raises(ValueError, match=r"codes must be \(n, 2\), got \(5, 3\)"):
        pictures.latent_map(np.zeros((5, 3)))
    with pytest.raises(ValueError, match="at least one code must be finite"):
        pictures.latent_map(np.full((5, 2), np.nan))
