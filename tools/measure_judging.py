"""Measure FID and KID where the answer is known; docs/judging.md has the result.

    python tools/measure_judging.py mnist
    python tools/measure_judging.py FOLDER_OF_IMAGES

Real images against other real ones, the same blurred, and noise: n of each.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from classicnets import data
from classicnets.tasks import features, judging

COUNTS = (1000, 3500)
PIXELS = 64  # per side, of the images of a folder


def main() -> None:
    """Measure, and print the rows of the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", help="a named set, or a folder of images")
    source = parser.parse_args().source
    real, others = _folder(Path(source)) if Path(source).is_dir() else _named(source)
    noise = np.random.default_rng(0).integers(256, size=real.shape, dtype=np.uint8)
    sets = {
        "other real images": others,
        "the same, blurred by 1 pixel": _blurred(others, 1),
        "by 2 pixels": _blurred(others, 2),
        "by 4 pixels": _blurred(others, 4),
        "uniform noise": noise,
    }
    started = time.monotonic()
    extracted = {name: features.features(images) for name, images in sets.items()}
    extracted_real = features.features(real)
    seconds = time.monotonic() - started
    for name, fake in extracted.items():
        for count in COUNTS:
            pair = extracted_real[:count], fake[:count]
            mean, deviation = judging.kid(*pair, subset_size=500)
            print(
                f"{name} | {count:,} | {judging.fid(*pair):.3f} |"
                f" {mean:.4f} ± {deviation:.4f}"
            )
    images = sum(map(len, sets.values())) + len(real)
    print(f"features of {images:,} images: {seconds:.0f} s")


def _named(name: str) -> list[np.ndarray]:
    """Return two sets of the largest count: of train and of test."""
    splits = data.load(name)
    return [_some(x.inputs) for x in (splits.train, splits.open_test())]


def _folder(folder: Path) -> list[np.ndarray]:
    """Return two halves of the images of a folder."""
    files = sorted(f for f in folder.rglob("*") if f.suffix in (".jpg", ".png"))
    images = np.stack(
        [data.read_image(file, image_size=PIXELS, channels=3) for file in files]
    )
    order = data.epoch_order(len(images), seed=0, epoch=0)
    half = len(order) // 2
    return [images[order[:half]], images[order[half : 2 * half]]]


def _some(images: data.Rows | np.ndarray) -> np.ndarray:
    order = data.epoch_order(len(images), seed=0, epoch=0)
    return images[order[: max(COUNTS)]]


def _blurred(images: np.ndarray, radius: int) -> np.ndarray:
    """Blur by a Gaussian of this standard deviation in pixels."""
    blur = ImageFilter.GaussianBlur(radius)
    rows = [Image.fromarray(image.squeeze()).filter(blur) for image in images]
    return np.stack([np.asarray(row) for row in rows]).reshape(images.shape)


if __name__ == "__main__":
    main()
