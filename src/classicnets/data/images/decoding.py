"""From a file or an array to a small uint8 image: the one place that resizes.

`read_image` serves training and prediction alike, so that a network is asked about
pixels made exactly as those it learned from. Pillow knows every format; what most
folders are made of, plain JPEGs to be shrunk, is decoded and averaged without it, to
the same pixels, twice as fast.
"""

import contextlib
import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import simplejpeg
from PIL import Image, ImageOps, UnidentifiedImageError

from classicnets import recipe as recipes
from classicnets.data.options import check_size, sides
from classicnets.data.reading import MOST_BYTES, read_file, read_stream
from classicnets.errors import UserError
from classicnets.networks import memory

Size = int | tuple[int, int]  # of an image: one number, or its height and width

_FORMATS = ["JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "AVIF"]
with contextlib.suppress(ImportError):  # HEIF is in none of Pillow's own wheels
    from pillow_heif import register_heif_opener

    register_heif_opener()
    _FORMATS.append("HEIF")
_DRAFT = 2  # a JPEG may be decoded at a half ... if this times the size remains
_START_OF_SCAN = b"\xff\xda"  # in a JPEG: after the header
# Each scan of a progressive JPEG passes over all pixels. Usual files have 10 scans; the
# fuzzers of libjpeg-turbo stop at 500 of at most a million pixels.
_MOST_PASSES = 2 * 10**9
_GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B")
# What Pillow raises on files that are broken, each seen on a real or a made file.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def read_image(
    source: str | os.PathLike[str] | BinaryIO,
    *,
    image_size: Size,
    channels: int,
    resize: str = "crop",
) -> np.ndarray:
    """Read one image, exactly as a folder of images is read.

    The first frame is taken, turned as its EXIF orientation says; transparency is laid
    on white; 16-bit grey is scaled to 8 bits.

    Args:
        source: A path, or a binary stream such as `sys.stdin.buffer`.
        image_size: Height and width of the result, in pixels, or (height, width).
        channels: 1 (grey) or 3 (RGB).
        resize: "crop" (the largest centre of the right shape), "fit" (all of it, black
            around it) or "stretch".

    Returns:
        (height, width, channels) uint8.

    Raises:
        UserError: If the source cannot be read or is no image.
    """
    size = sides(check_size(image_size))
    recipes.check("channels", channels)
    recipes.check("resize", resize)
    if size[0] < 1 or channels < 1:
        raise UserError(
            "read_image needs image_size and channels of 1 or more, got "
            f"{image_size} and {channels}"
        )
    if isinstance(source, str | os.PathLike):
        content, name = read_file(source), os.fspath(source)
    else:
        content, name = read_stream(source), getattr(source, "name", "the stream")
    try:
        with pillow_warnings():
            return decode(content, size, channels, resize)
    except UserError as error:
        raise UserError(f"{name} must be an image, but {error}") from None


def decode(content: bytes, image_size: Size, channels: int, resize: str) -> np.ndarray:
    """Decode the bytes of an image file; see `read_image`.

    Raises:
        UserError: With the reason alone ("it is empty", "it is cut short").
    """
    size = sides(image_size)
    if len(content) > MOST_BYTES:
        raise UserError(f"it has more than {MOST_BYTES / 1e6:,.0f} MB")
    with _one_error():
        pixels = _plain_jpeg(content, size, channels)
        if pixels is None:
            pixels = _any_image(content, size, channels)
        return _resize(pixels, size, resize)


def resize_image(
    image: Image.Image, image_size: Size, channels: int, resize: str
) -> np.ndarray:
    """Return the pixels of a Pillow image as `read_image` returns a file's."""
    with _one_error(), pillow_warnings():
        upright = ImageOps.exif_transpose(image)
        return _resize(_pixels(_convert(upright, channels)), sides(image_size), resize)


def probe(path: str | os.PathLike[str]) -> tuple[int, int, bool]:
    """Return (width, height, is grey) of an image file from its header alone."""
    with _one_error(), open(path, "rb") as stream:
        image = Image.open(stream, formats=_FORMATS)
        palette = image.getpalette() if image.mode == "P" else None
        if palette is not None:
            colours = np.reshape(palette, (-1, 3))
            grey = bool((colours == colours[:, :1]).all())
        else:
            grey = image.mode in _GREY_MODES
        return image.width, image.height, grey


def resize_array(
    images: np.ndarray, image_size: Size, channels: int, resize: str
) -> np.ndarray:
    """Resize and convert (n, h, w, c) uint8; 0 keeps the array's own; see `read_image`.

    Returns:
        The array itself where there is nothing to do.
    """
    height, width, own = images.shape[1:]
    channels = channels or own
    target = sides(image_size or (height, width))
    keep_size = target == (height, width)
    if keep_size and channels == own:
        return images
    size = len(images) * target[0] * target[1] * channels
    memory.check(size, f"{len(images):,} images of {target[0]}x{target[1]}")
    out = np.empty((len(images), *target, channels), np.uint8)
    for row, pixels in enumerate(images):
        if channels != own:
            pixels = _pixels(_convert(_image(pixels), channels))
        out[row] = pixels if keep_size else _resize(pixels, target, resize)
    return out


@contextlib.contextmanager
def pillow_warnings() -> Iterator[None]:
    """Hold Pillow's chatter about odd files back, and make its size limit an error.

    Filters belong to the process: enter this once, around all threads.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


@contextlib.contextmanager
def _one_error() -> Iterator[None]:
    """Turn whatever Pillow says of a broken file into a UserError with the reason."""
    try:
        yield
    except UserError:
        raise
    except _BROKEN as error:
        raise UserError(_reason(error)) from None


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is no JPEG, PNG, BMP, WebP, GIF, TIFF or AVIF"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"it is larger than Pillow's limit of {Image.MAX_IMAGE_PIXELS:,} pixels"
    text = " ".join(str(error).split()) or type(error).__name__
    if "truncated" in text.lower():
        return "it is cut short"
    return f"it cannot be decoded: {text[:80]}"


def _plain_jpeg(
    content: bytes, size: tuple[int, int], channels: int
) -> np.ndarray | None:
    """Decode a JPEG as `_any_image` would, faster; None where that has more to do."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(content)
        header = content[: content.find(_START_OF_SCAN)]
        if (
            {"Gray": 1, "YCbCr": 3}.get(colours) != channels
            or (height >= 2 * _DRAFT * size[0] and width >= 2 * _DRAFT * size[1])
            or height * width > (Image.MAX_IMAGE_PIXELS or np.inf)
            or content.count(_START_OF_SCAN) * height * width > _MOST_PASSES
            or b"Exif" in header  # it may have to be turned
            or b"tiff:Orientation" in header
        ):
            return None
        return simplejpeg.decode_jpeg(content, "GRAY" if channels == 1 else "RGB")
    except ValueError:
        return None  # what is wrong with it, and whether at all, Pillow says


def _check_scans(content: bytes, pixels: int) -> None:
    """Refuse a JPEG that would be decoded for a minute."""
    scans = content.count(_START_OF_SCAN)
    if scans * pixels > _MOST_PASSES:
        raise UserError(
            f"it has {scans:,} scans of {pixels:,} pixels, more than"
            f" {_MOST_PASSES:,} together"
        )


def _any_image(content: bytes, size: tuple[int, int], channels: int) -> np.ndarray:
    if not content:
        raise UserError("it is empty")
    image = Image.open(io.BytesIO(content), formats=_FORMATS)
    if image.format in ("JPEG", "MPO"):
        _check_scans(content, image.width * image.height)
    # JPEG can skip work on the way to a small image.
    image.draft(None, (_DRAFT * size[1], _DRAFT * size[0]))
    ImageOps.exif_transpose(image, in_place=True)  # else it copies those upright
    return _pixels(_convert(image, channels))


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.uint8).reshape(image.height, image.width, -1)


def _convert(image: Image.Image, channels: int) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey, 0..65535
        wide = np.asarray(image).astype(np.float64)
        image = Image.fromarray(np.clip(np.rint(wide / 257), 0, 255).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    mode = "L" if channels == 1 else "RGB"
    if image.mode not in ("1", "L", "RGB"):  # palettes and CMYK
        image = image.convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def _resize(pixels: np.ndarray, size: tuple[int, int], rule: str) -> np.ndarray:
    """Resize (height, width, channels) uint8 to (*size, channels) by a rule."""
    height, width, channels = pixels.shape
    if rule == "stretch":
        return _scale(pixels, *size)
    if rule == "crop":
        share = min(height / size[0], width / size[1])
        inner = max(1, round(share * size[0])), max(1, round(share * size[1]))
        top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
        return _scale(pixels[top : top + inner[0], left : left + inner[1]], *size)
    scale = min(size[0] / height, size[1] / width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas = np.zeros((*size, channels), np.uint8)
    canvas[top : top + inner[0], left : left + inner[1]] = _scale(pixels, *inner)
    return canvas


def _scale(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Shrink by the average of the area that a pixel covers; grow by cubics.

    A little is shrunk bilinearly: up to 1.6 times that is nearer to Lanczos.
    """
    own_height, own_width, channels = pixels.shape
    smallest = min(width, own_width), min(height, own_height)
    if smallest != (own_width, own_height):
        little = own_width < 1.6 * width and own_height < 1.6 * height
        import cv2  # 17 MiB, which most training runs do without

        how = cv2.INTER_LINEAR if little else cv2.INTER_AREA
        pixels = cv2.resize(pixels, smallest, interpolation=how)
        if channels == 1:  # OpenCV drops it
            pixels = pixels[:, :, None]
    if smallest != (width, height):
        image = _image(pixels).resize((width, height), Image.Resampling.BICUBIC)
        pixels = _pixels(image)
    return pixels
