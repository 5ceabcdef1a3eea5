"""New images from a trained run: samples, reconstructions, paths between two codes."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from classicnets import engine, pictures, streams
from classicnets.data import Splits
from classicnets.data.batches import in_batches
from classicnets.errors import UserError
from classicnets.reports import animation
from classicnets.runs.run import Run

if TYPE_CHECKING:
    import keras

BATCH = 100
ROWS, STEPS = 8, 10  # of the picture of interpolations
MAPPED = 5000  # examples in a latent map
MANIFOLD = 20  # codes per side of the picture of the prior


def sample(run: Run, count: int = 64, seed: int = 0) -> np.ndarray:
    """Draw images from N(0, 1) noise or codes.

    Args:
        run: A finished run of a GAN or a VAE.
        count: How many.
        seed: Of the noise; the same seed gives the same images.

    Returns:
        (count, height, width, channels) uint8.

    Raises:
        UserError: For a run that cannot draw: a classifier, an autoencoder.
    """
    generator = _generator(run)
    return _images(
        run, generator, streams.codes(count, generator.input_shape[-1], seed)
    )


def interpolate(
    run: Run, rows: int = ROWS, steps: int = STEPS, seed: int = 0
) -> np.ndarray:
    """Go from one random code to another, along the sphere (1609.04468).

    Returns:
        (rows * steps, height, width, channels) uint8, one path after the other.
    """
    generator = _generator(run)
    ends = streams.codes(2 * rows, generator.input_shape[-1], seed).reshape(rows, 2, -1)
    shares = np.linspace(0.0, 1.0, steps).tolist()
    paths = [pictures.slerp(first, last, shares=shares) for first, last in ends]
    return _images(run, generator, np.concatenate(paths).astype("float32"))


def reconstruct(run: Run, images: np.ndarray) -> np.ndarray:
    """Encode images and decode their codes, of a VAE the means.

    Args:
        run: A finished run of an autoencoder or a VAE.
        images: (n, height, width, channels) uint8.

    Returns:
        The same shape, uint8.
    """
    return _images(run, run.load("decoder"), encode(run, images))


def encode(run: Run, images: np.ndarray) -> np.ndarray:
    """Return the codes (n, latent_size) of images uint8; of a VAE the means."""
    means = engine.forward(run.load("encoder"), run.recipe.fast_kernels)
    return in_batches(means, images, min(BATCH, len(images)))


def write_pictures(run: Run, splits: Splits) -> None:
    """Write what a report shows of a finished run, from the files it has."""
    kind = run.recipe.kind
    if kind.samples_from:
        sheet = pictures.grid(interpolate(run), columns=STEPS)
        about = {"model": run.digest(kind.samples_from)}
        run.save_picture("interpolation", pictures.encode_png(sheet, about))
        _write_animation(run)
    if kind.reconstructs:
        _write_codes(run, splits)


def _write_codes(run: Run, splits: Splits) -> None:
    """Draw where codes of two numbers lie, and what lies where in the prior."""
    examples = splits.validation
    codes = encode(run, np.asarray(examples.inputs[:MAPPED]))
    if codes.shape[1] != 2:
        return
    labels = examples.labels[:MAPPED] if splits.class_names else None
    codes_map = pictures.latent_map(codes, labels, names=splits.class_names)
    about = {"model": run.digest("encoder"), "data": splits.fingerprint}
    run.save_picture("latent", pictures.encode_png(codes_map, about))
    if run.recipe.kind.samples_from:
        images = _images(run, _generator(run), pictures.latent_grid_codes(MANIFOLD))
        sheet = pictures.grid(images, columns=MANIFOLD)
        about = {"model": run.digest(run.recipe.kind.samples_from)}
        run.save_picture("manifold", pictures.encode_png(sheet, about))


def _write_animation(run: Run) -> None:
    """Join the pictures of the epochs, samples/epoch-*.png, to training.png."""
    files = (run.path / "samples").glob("epoch-*.png")
    in_order = sorted(files, key=lambda file: int(file.stem.split("-")[1]))
    frames = [_frame(file) for file in in_order]
    if frames:
        run.save_picture("training", animation.encode(frames))


def _frame(path: Path) -> np.ndarray:
    try:
        return np.asarray(Image.open(io.BytesIO(path.read_bytes())))
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path} must be a picture: {error}.") from None


def _generator(run: Run) -> "keras.Model":
    part = run.recipe.kind.samples_from
    if not part:
        raise UserError(
            f"samples are drawn by a GAN or a VAE, {run.name} is of network"
            f" {run.recipe.network}."
        )
    return run.load(part)


def _images(run: Run, generator: "keras.Model", codes: np.ndarray) -> np.ndarray:
    """Return uint8 images of codes (n, latent_size)."""
    generate = engine.forward(generator, run.recipe.fast_kernels)
    return in_batches(generate, codes, min(BATCH, len(codes)))
