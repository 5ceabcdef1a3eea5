"""A run's networks as files that other programs open.

Keras writes the file. Before it is kept, a new process opens it by the program that it
is for, and what comes out is compared with Keras.
"""

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from classicnets.errors import RunError, UserError
from classicnets.inference import runtimes
from classicnets.inference.formats import FORMATS, check, check_place, write
from classicnets.runs import identity
from classicnets.runs.run import Run

if TYPE_CHECKING:
    import keras

Batch = dict[str, np.ndarray]  # by the names of a network's inputs

TOLERANCE = 1e-4
BATCHES = (5, 1)  # examples: a size that no file is made with, and the usual one


def export(
    run: Run,
    part: str,
    format_: str,
    path: str | os.PathLike[str] | None = None,
) -> tuple[Path, float]:
    """Write a network of a run as a file for another program.

    Its inputs are those of the run's own file: `pixels` (batch, height, width,
    channels) uint8, `tokens` (batch, length) int32, or `codes` (batch, latent_size)
    float32.

    Args:
        run: A finished run.
        part: "model", "encoder", "decoder", "generator" or "critic".
        format_: A key of `FORMATS`.
        path: The file; by default PART.onnx and the like in the run's folder. What
            was there is replaced.

    Returns:
        Where it is, and the largest difference of an output from Keras's. Pixels that
        come out count in [0, 1], and as different only where Keras's value would not
        be rounded so; a regressor's values as a share of the largest, if that is
        above 1.

    Raises:
        UserError: For a format that this backend does not write, and a network that
            the run does not have, or that the format cannot hold.
        RunError: If the file cannot be written or opened, or its outputs differ by
            more than 1e-4; there is no file then.
    """
    import keras

    check(format_, keras.backend.backend())
    suffix = FORMATS[format_].suffix
    path = Path(path) if path else run.path / f"{part}{suffix}"
    check_place(path, format_)
    if run.tokenizer is not None and keras.backend.backend() == "torch":
        # Keras writes the LSTM's loop out there, for texts of one length.
        raise UserError(
            f"{format_} of a network on texts cannot be written by torch: add --backend"
            " tensorflow" + (" --format onnx." if format_ == "torch" else ".")
        )
    network = with_names(run.load(part), part, run.recipe.kind.parts[part])
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".exporting-") as folder:
        file = Path(folder) / f"{part}{suffix}"
        write(network, format_, file)
        difference = compare(network, format_, file, examples(run, network))
        if not difference <= TOLERANCE:  # NaN is not
            raise RunError(
                f"{path} is not kept: its outputs differ from Keras's by"
                f" {difference:.1e}, more than {TOLERANCE:.0e}."
            )
        if path.is_dir():
            path.replace(Path(folder) / "old")
        if file.is_file():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        file.replace(path)
    _remember(run, part, path, format_=format_)
    return path, difference


def _remember(run: Run, part: str, path: Path, *, format_: str) -> None:
    """Write down of which network a file is, and of which data."""
    path = path.resolve()
    name = path.name if path.parent == run.path else str(path)
    entry = {
        "part": part,
        "format": format_,
        "sha256": identity.digest(path) if path.is_file() else None,  # no folder's
        "model": run.digest(part),
        "data": identity.of_data(run.environment).get("data_fingerprint"),
    }
    run.save_json("exports.json", run.exports | {name: entry})


def with_names(
    network: "keras.Model", part: str, names: Sequence[str]
) -> "keras.Model":
    """Return a network of a run whose pixels are uint8, and its outputs a dict.

    Args:
        network: As it is saved; it becomes untrainable.
        part: Its name in the run's folder.
        names: What its outputs are called.

    Returns:
        A model whose outputs are `logits` of a classifier, `codes`, or `mean` and
        `log_variance`, of an encoder, uint8 `images` of a decoder or a generator,
        `scores` of a critic, and `log_odds`, of a VAE with `posterior`, otherwise.
    """
    import keras
    from keras import ops

    inputs, outputs = network.input, network.output
    if any(x.name == "pixels" for x in network.inputs):
        raw = [
            keras.Input(
                x.shape[1:],
                dtype="uint8" if x.name == "pixels" else x.dtype,
                name=x.name,
            )
            for x in network.inputs
        ]
        cast = [ops.cast(x, old.dtype) for x, old in zip(raw, network.inputs)]
        inputs = keras.tree.pack_sequence_as(network.input, raw)
        outputs = network(keras.tree.pack_sequence_as(network.input, cast))
    if not isinstance(outputs, dict):
        outputs = dict(zip(names, keras.tree.flatten(outputs)))
    named = keras.Model(inputs, outputs, name=part)
    named.trainable = False  # PyTorch's exporter takes no constants with gradients
    return named


def compare(
    network: "keras.Model", format_: str, path: Path, batches: Sequence[Batch]
) -> float:
    """Return the largest difference between a file's outputs and a network's.

    The file is opened in a new process.

    Args:
        network: With outputs by name.
        format_: A key of `FORMATS`.
        path: The file.
        batches: Inputs of both.

    Raises:
        RunError: If the file cannot be opened and run.
    """
    import keras

    largest = 0.0
    exact = _before_rounding(network)
    for batch, outputs in zip(batches, _outputs(format_, path, batches)):
        inputs = [batch[x.name] for x in exact.inputs]
        expected = exact(
            keras.tree.pack_sequence_as(exact.input, inputs), training=False
        )
        if set(outputs) != set(expected):
            return math.inf
        for name, array in expected.items():
            values = keras.ops.convert_to_numpy(array)
            # Not `max`, which would leave NaN out.
            apart = _difference(outputs[name], values)
            if name == "value":  # float32 has 7 digits, in whatever unit
                apart /= max(1.0, float(np.abs(values).max()))
            largest = float(np.maximum(largest, apart))
    return largest


def _difference(outputs: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference of two arrays; see `export`."""
    if outputs.shape != expected.shape:
        return math.inf
    apart = np.abs(outputs.astype("float64") - expected)
    if outputs.dtype == np.uint8:  # `expected` are 0..255, not rounded yet
        return float(np.maximum(apart - 0.5, 0.0).max()) / 255.0
    return float(apart.max())


def _before_rounding(network: "keras.Model") -> "keras.Model":
    """Return the network with its uint8 images as they were before they were rounded.

    Two programs that differ by 1e-7 may well round one pixel in thousands differently.
    """
    import keras

    rounding = [step for step in network.operations if type(step).__name__ == "Round"]
    if not rounding:
        return network
    return keras.Model(network.input, {"images": rounding[-1].input})


def _outputs(format_: str, path: Path, batches: Sequence[Batch]) -> list[Batch]:
    """Return the outputs by name for each batch, as a new process computes them."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs = Path(folder) / "inputs.npz", Path(folder) / "outputs.npz"
        runtimes.save(inputs, batches)
        module = ["-m", "classicnets.inference.runtimes"]
        result = subprocess.run(
            [sys.executable, *module, format_, path, inputs, outputs],
            capture_output=True,
            text=True,
        )
        if result.returncode:
            last = (result.stderr.strip().splitlines() or ["no message"])[-1]
            raise RunError(f"{path.name} is not kept, it does not run: {last}")
        return runtimes.read(outputs)


def examples(run: Run, network: "keras.Model") -> list[Batch]:
    """Draw batches of inputs: noise, pixels, classes, or tokens with padding."""
    source = np.random.default_rng(0)
    return [
        {x.name: _draw(source, run, x, count) for x in network.inputs}
        for count in BATCHES
    ]


def _draw(source: np.random.Generator, run: Run, x: Any, count: int) -> np.ndarray:
    """Draw one batch of an input of a run's network."""
    if x.dtype == "uint8":
        return source.integers(256, size=(count, *x.shape[1:]), dtype=np.uint8)
    if x.name == "tokens":
        words = run.tokenizer.get_vocab_size() if run.tokenizer else 2
        tokens = source.integers(1, words, size=(count, run.recipe.max_tokens))
        length = source.integers(1, run.recipe.max_tokens + 1, size=(count, 1))
        within = np.arange(run.recipe.max_tokens) < length
        return np.where(within, tokens, 0).astype(np.int32)
    if "int" in x.dtype:
        classes = len(run.class_names)
        return source.integers(classes, size=(count, *x.shape[1:])).astype(x.dtype)
    return source.standard_normal((count, *x.shape[1:]), dtype=np.float32)
