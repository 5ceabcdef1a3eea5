"""Single images: formats, colours, orientation, sizes; expected by arithmetic."""

import io

import numpy as np
import pytest
from PIL import Image

from classicnets import data
from classicnets.data.images.decoding import probe, resize_array
from classicnets.errors import UserError


def encoded(image, ending="png", **options):
    stream = io.BytesIO()
    image.save(stream, ending, **options)
    stream.seek(0)
    return stream


def read(image, ending="png", size=8, channels=3, resize="crop", **options):
    stream = encoded(image, ending, **options)
    return data.read_image(stream, image_size=size, channels=channels, resize=resize)


def plain(mode, colour, size=(16, 16)):
    return Image.new(mode, size, colour)


@pytest.mark.parametrize("ending", ["jpeg", "png", "bmp", "webp", "gif"])
def test_every_format_is_read(ending):
    pixels = read(plain("RGB", (200, 40, 80)), ending)
    assert pixels.shape == (8, 8, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - (200, 40, 80)).max() <= 4


def test_grey_is_the_luminance_of_red():
    # 0.299 * 255 = 76.2 (ITU-R BT.601)
    assert (read(plain("RGB", (255, 0, 0)), channels=1) == 76).all()


def test_grey_becomes_three_equal_channels():
    assert (read(plain("L", 90)) == 90).all()


def test_black_and_white_is_read():
    assert (read(plain("1", 1), channels=1) == 255).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_transparency_is_laid_on_white(channels):
    # A black of opacity 51/255 on white: 255 * (1 - 0.2) = 204.
    assert (read(plain("RGBA", (0, 0, 0, 51)), channels=channels) == 204).all()
    assert (read(plain("LA", (0, 51)), channels=channels) == 204).all()


@pytest.mark.parametrize("ending", ["png", "gif"])
def test_a_transparent_palette_colour_is_white(ending):
    image = Image.new("P", (16, 16), 1)
    image.putpalette([10, 10, 10, 20, 60, 30])
    assert (read(image, ending) == (20, 60, 30)).all()
    assert (read(image, ending, transparency=1) == 255).all()


def test_16_bit_grey_is_scaled_to_8_bits():
    values = np.full((16, 16), 257 * 100, np.uint16)
    assert (read(Image.fromarray(values), channels=1) == 100).all()
    assert (read(Image.fromarray(values * 0 + 65535)) == 255).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_cmyk_is_read(channels):
    pixels = read(plain("CMYK", (0, 0, 0, 0)), "jpeg", channels=channels)
    assert (pixels >= 254).all()


def test_the_first_frame_of_an_animation_is_taken():
    frames = [plain("RGB", (250, 0, 0)), plain("RGB", (0, 250, 0))]
    pixels = read(frames[0], "gif", save_all=True, append_images=frames[1:])
    assert (pixels == (250, 0, 0)).all()


@pytest.mark.parametrize("ending", ["jpeg", "png", "webp"])
def test_exif_orientation_turns_the_image(ending):
    # The bright half is on the left of the file; 6 says: turn by 90 degrees clockwise.
    half = np.zeros((32, 32), np.uint8)
    half[:, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"quality": 95} if ending != "png" else {}
    pixels = read(
        Image.fromarray(half).convert("RGB"), ending, exif=exif.tobytes(), **options
    )
    assert pixels[:3].min() > 240
    assert pixels[5:].max() < 15


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"quality": 95, "subsampling": 0},
        {"progressive": True},
        {"optimize": True, "comment": b"a comment"},
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_has_the_pixels_that_pillow_decodes(mode, options):
    shape = (31, 31, 3) if mode == "RGB" else (31, 31)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    stream = encoded(Image.fromarray(noise), "jpeg", **options)
    expected = np.asarray(Image.open(stream)).reshape(31, 31, -1)
    stream.seek(0)
    channels = expected.shape[2]
    pixels = data.read_image(stream, image_size=31, channels=channels)
    assert (pixels == expected).all()


def stripes():
    """60 wide, 20 high: red, green and blue squares side by side."""
    pixels = np.zeros((20, 60, 3), np.uint8)
    for channel in range(3):
        pixels[:, 20 * channel : 20 * channel + 20, channel] = 255
    return Image.fromarray(pixels)


def test_crop_is_the_centre_with_the_short_side_to_size():
    assert (read(stripes(), resize="crop", size=10) == (0, 255, 0)).all()


def test_fit_keeps_everything_and_is_black_around_it():
    pixels = read(stripes(), resize="fit", size=12)
    assert (pixels[:4] == 0).all()
    assert (pixels[8:] == 0).all()
    assert (pixels[4:8].max(axis=2) > 100).all()
    assert pixels[5, 1, 0] == pixels[5, 6, 1] == pixels[5, 10, 2] == 255


def test_stretch_keeps_everything_and_fills_the_square():
    pixels = read(stripes(), resize="stretch", size=12)
    assert (pixels[:, 1] == (255, 0, 0)).all()
    assert (pixels[:, 6] == (0, 255, 0)).all()
    assert (pixels[:, 10] == (0, 0, 255)).all()


def test_shrinking_averages_instead_of_picking():
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    pixels = read(Image.fromarray(board.astype(np.uint8)), channels=1)
    assert np.abs(pixels.astype(int) - 127).max() <= 2


def test_shrinking_is_the_average_of_the_area():
    # 5 pixels become 2: the middle one goes to both, by halves.
    row = np.array([[0, 50, 100, 150, 200]], np.uint8).repeat(5, axis=0)
    assert (read(Image.fromarray(row), channels=1, size=2)[..., 0] == (40, 160)).all()


def test_a_little_is_shrunk_between_the_nearest_two():
    # 3 pixels become 2: their centres are at 1/4 and 7/4.
    row = np.array([[0, 80, 160]], np.uint8).repeat(3, axis=0)
    assert (read(Image.fromarray(row), channels=1, size=2)[..., 0] == (20, 140)).all()


def test_one_side_shrinks_while_the_other_grows():
    wide = np.repeat(np.array([[40, 80, 120, 160]], np.uint8), 2, axis=1)  # 1 x 8
    pixels = read(Image.fromarray(wide), channels=1, size=4, resize="stretch")
    assert (pixels[..., 0] == (40, 80, 120, 160)).all()


@pytest.mark.parametrize(
    "options",
    [{"exif": b"Exif\0\0"}, {"quality": 80}, {"xmp": b'<x tiff:Orientation="1"/>'}],
)
@pytest.mark.parametrize("size", [12, 24, 31, 40])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_is_the_same_image_on_every_way(options, size, channels):
    """Plain or not, to be decoded smaller first or not."""
    noise = np.random.default_rng(0).integers(0, 256, (31, 47, 3), np.uint8)
    stream = encoded(Image.fromarray(noise), "jpeg", **options)
    image = Image.open(stream)
    image.draft(None, (2 * size, 2 * size))
    lossless = encoded(image)
    stream.seek(0)
    expected = data.read_image(lossless, image_size=size, channels=channels)
    pixels = data.read_image(stream, image_size=size, channels=channels)
    assert np.array_equal(pixels, expected)


def test_a_large_jpeg_read_the_fast_way_is_close_to_the_slow_way():
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8))
    large = small.resize((960, 960), Image.Resampling.BICUBIC)
    stream = encoded(large, "jpeg", quality=95)
    slow = np.asarray(Image.open(stream).resize((32, 32), Image.Resampling.BICUBIC))
    stream.seek(0)
    fast = data.read_image(stream, image_size=32, channels=3)
    assert np.abs(fast.astype(int) - slow).mean() < 2


def test_a_file_name_and_a_stream_give_the_same(tmp_path):
    stream = encoded(stripes())
    (tmp_path / "a.png").write_bytes(stream.getvalue())
    options = {"image_size": 16, "channels": 3, "resize": "fit"}
    from_stream = data.read_image(stream, **options)
    assert np.array_equal(data.read_image(tmp_path / "a.png", **options), from_stream)
    assert np.array_equal(
        data.read_image(str(tmp_path / "a.png"), **options), from_stream
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"hello", "it is no JPEG, PNG, BMP, WebP, GIF, TIFF or AVIF"),
        (encoded(stripes(), "jpeg").getvalue()[:-300], "it is cut short"),
        (encoded(stripes()).getvalue()[:60], "it "),
        (encoded(stripes(), "webp").getvalue()[:40], "it "),
        (encoded(stripes(), "gif").getvalue()[:30], "it "),
        (encoded(stripes(), "bmp").getvalue()[:200], "it is cut short"),
        (encoded(stripes(), "tiff").getvalue()[:60], "it "),
        (encoded(stripes(), "ppm").getvalue(), "it is no JPEG, PNG"),
    ],
)
def test_a_broken_file_is_one_line_with_its_name(tmp_path, content, reason):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        data.read_image(path, image_size=8, channels=3)
    assert f"a.jpg must be an image, but {reason}" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*a\.jpg: No such file"):
        data.read_image(tmp_path / "a.jpg", image_size=8, channels=3)


@pytest.mark.parametrize("limit", [200, 100])  # Pillow warns at 200, raises at 100
def test_a_decompression_bomb_is_refused(monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(UserError, match=f"Pillow's limit of {limit} pixels"):
        read(plain("L", 0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": -1}, "image_size must be at least 0, got -1"),
        ({"channels": 2}, "channels must be one of 0, 1, 3, got 2"),
        ({"resize": "zoom"}, "resize must be one of crop, fit, stretch, got 'zoom'"),
    ],
)
def test_impossible_image_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        data.load("digits", **options)


def test_probe_tells_size_and_greyness_from_the_header(tmp_path):
    def probed(image, ending="png"):
        path = tmp_path / "image"
        path.write_bytes(encoded(image, ending).getvalue())
        return probe(path)

    assert probed(stripes()) == (60, 20, False)
    assert probed(plain("L", 3)) == (16, 16, True)
    grey_palette = Image.new("P", (16, 16), 1)
    grey_palette.putpalette([10, 10, 10, 20, 20, 20])
    assert probed(grey_palette)[2]
    assert not probed(stripes(), "gif")[2]


def test_an_array_is_resized_as_its_images_are():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 20, 30, 3), np.uint8)
    small = resize_array(images, 12, 3, "crop")
    for row in range(3):
        assert np.array_equal(small[row], read(Image.fromarray(images[row]), size=12))


def test_an_array_that_fits_is_not_copied():
    images = np.zeros((2, 8, 8, 3), np.uint8)
    assert resize_array(images, 0, 0, "crop") is images
    assert resize_array(images, 8, 3, "crop") is images


def test_channels_change_without_a_change_of_size():
    images = np.full((2, 6, 10, 3), (255, 0, 0), np.uint8)
    grey = resize_array(images, 0, 1, "crop")
    assert grey.shape == (2, 6, 10, 1)
    assert (grey == 76).all()
    assert resize_array(grey, 0, 3, "crop").shape == (2, 6, 10, 3)


@pytest.mark.parametrize(
    ("rule", "shape"), [("crop", (10, 20)), ("crop", (40, 20)), ("stretch", (10, 20))]
)
def test_an_image_may_become_a_rectangle(rule, shape):
    # Columns have brightness 0..59, rows all the same.
    pixels = np.tile(np.arange(60, dtype=np.uint8), (20, 1))
    image = read(Image.fromarray(pixels), size=shape, channels=1, resize=rule)
    assert image.shape == (*shape, 1)
    # "crop" keeps a centre of the shape of the result: 40 columns, or 10.
    width = 60 if rule == "stretch" else 20 * shape[1] // shape[0]
    expected = 29.5 + (np.arange(20) - 9.5) * width / 20
    assert np.abs(image[:, :, 0] - expected).max() <= 2


def test_a_rectangle_fits_with_black_around_it():
    image = read(plain("L", 200), size=(16, 48), channels=1, resize="fit")
    assert (image[:, 16:32] == 200).all()
    assert not image[:, :16].any()
    assert not image[:, 32:].any()


def test_two_equal_sides_are_a_square():
    assert data.Options(image_size=(8, 8)) == data.Options(image_size=8)
    with pytest.raises(UserError, match="both sides of image_size must be set"):
        data.Options(image_size=(8, 0))
