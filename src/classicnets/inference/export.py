"""A run's networks as files that other programs open.

Keras writes the file. Before it is kept, a new process opens it by the program that it
is for, and what comes out is compared with Keras.
"""

import contextlib
import importlib.util
import math
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from classicnets.errors import RunError, UserError, nearest
from classicnets.runs.run import Run

if TYPE_CHECKING:
    import keras

TOLERANCE = 1e-4
BATCHES = (5, 1)  # examples: a size that no file is made with, and the usual one


@dataclass(frozen=True)
class Format:
    """How a file ends, which backends write it, and the packages each needs for it."""

    suffix: str
    backends: Mapping[str, tuple[str, ...]]


FORMATS = {
    "onnx": Format(
        ".onnx",
        {
            "tensorflow": ("onnx", "onnxruntime", "tf2onnx"),
            "torch": ("onnx", "onnxruntime"),
        },
    ),
    "saved_model": Format(".saved_model", {"tensorflow": ()}),  # a folder
    "litert": Format(".tflite", {"tensorflow": ("ai_edge_litert",)}),
    "torch": Format(".pt2", {"torch": ()}),
}


def check(format_: str, backend: str) -> None:
    """Refuse a format that does not exist, or that cannot be written here.

    Args:
        format_: A key of `FORMATS`.
        backend: Keras's.

    Raises:
        UserError: With what to do instead.
    """
    if format_ not in FORMATS:
        raise UserError(
            f"format must be one that exists, got {format_!r}. "
            + nearest(format_, FORMATS)
        )
    backends = FORMATS[format_].backends
    if backend not in backends:
        raise UserError(
            f"{format_} cannot be written by {backend}: a run opens on every backend,"
            f" so add {' or '.join(f'--backend {name}' for name in backends)}."
        )
    missing = [name for name in backends[backend] if not importlib.util.find_spec(name)]
    if missing:
        raise UserError(
            f"{format_} needs {', '.join(missing)}: pip install 'classicnets[export]'."
        )


def export(
    run: Run,
    part: str,
    format_: str,
    path: str | os.PathLike[str] | None = None,
) -> tuple[Path, float]:
    """Write a network of a run as a file for another program.

    It takes what the run's own file does: `pixels` (batch, height, width, channels)
    uint8, `tokens` (batch, length) int32, or `codes` (batch, latent_size) float32.

    Args:
        run: A finished run.
        part: "model", "encoder", "decoder", "generator" or "critic".
        format_: A key of `FORMATS`.
        path: The file; by default PART.onnx and the like in the run's folder. What
            was there is replaced.

    Returns:
        Where it is, and the largest difference of an output from Keras's. Pixels that
        come out count in [0, 1], and as different only where Keras's value would not
        be rounded so.

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
    _check_place(path, format_)
    if run.tokenizer is not None and keras.backend.backend() == "torch":
        # Keras writes the LSTM's loop out there, for texts of one length.
        raise UserError(
            f"{format_} of a network on texts cannot be written by torch: add --backend"
            " tensorflow" + (" --format onnx." if format_ == "torch" else ".")
        )
    network = with_names(run.load(part), part, run.recipe.kind.parts[part])
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".exporting-") as folder:
        made = Path(folder) / f"{part}{suffix}"
        write(network, format_, made)
        difference = compare(network, format_, made, examples(run, network))
        if not difference <= TOLERANCE:  # NaN is not
            raise RunError(
                f"{path} is not kept: its outputs differ from Keras's by"
                f" {difference:.1e}, more than {TOLERANCE:.0e}."
            )
        if path.is_dir():
            path.replace(Path(folder) / "old")
        if made.is_file():
            with made.open("rb") as file:
                os.fsync(file.fileno())
        made.replace(path)
    return path, difference


def with_names(
    network: "keras.Model", part: str, names: Sequence[str]
) -> "keras.Model":
    """Return a network of a run from uint8 pixels, or what else it takes, to a dict.

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

    given = network.inputs[0]
    if given.name == "pixels":
        inputs = keras.Input(given.shape[1:], dtype="uint8", name="pixels")
        outputs = network(ops.cast(inputs, "float32"))
    else:
        inputs, outputs = given, network.output
    if not isinstance(outputs, dict):
        outputs = dict(zip(names, keras.tree.flatten(outputs)))
    named = keras.Model(inputs, outputs, name=part)
    named.trainable = False  # PyTorch's exporter takes no constants with gradients
    return named


def write(network: "keras.Model", format_: str, path: Path) -> None:
    """Let Keras write a network as a file.

    Batches are of any size, and texts of any length. LiteRT has no loop over batches of
    any size: an LSTM for it takes one example a call.

    Args:
        network: With outputs by name.
        format_: A key of `FORMATS` that this backend writes.
        path: The file, or of a SavedModel the folder.

    Raises:
        RunError: If it cannot, with what to do instead.
    """
    import keras

    backend = keras.backend.backend()
    try:
        with _quiet():
            given = network.inputs[0]
            shape = [size or 2 for size in given.shape]
            network(np.zeros(shape, given.dtype))  # Keras writes what has been called
            options = _options(format_)
            kind = "tf_saved_model" if format_ == "saved_model" else format_
            if format_ == "litert" and _has_loops(network):
                one = (1, *given.shape[1:])
                spec = keras.InputSpec(dtype=given.dtype, shape=one, name=given.name)
                options["input_signature"] = [spec]
            network.export(path, format=kind, verbose=False, **options)
            if format_ == "onnx":
                # Exporters lay out what a dict holds by the alphabet.
                _name_dimensions(path, sorted(network.output))
    except OSError:
        raise
    except Exception as error:  # whatever a converter raises
        others = [name for name in FORMATS[format_].backends if name != backend]
        instead = f"--backend {others[0]}" if others else "--format onnx"
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise RunError(
            f"{path.name} cannot be written by {backend}, try {instead}: {reason}"
        ) from None


def compare(
    network: "keras.Model", format_: str, path: Path, batches: Sequence[np.ndarray]
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
    for batch, found in zip(batches, _outputs(format_, path, batches)):
        expected = exact(batch, training=False)
        if set(found) != set(expected):
            return math.inf
        for name, array in expected.items():
            values = keras.ops.convert_to_numpy(array)
            # Not `max`, which would leave NaN out.
            largest = float(np.maximum(largest, _difference(found[name], values)))
    return largest


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference of two arrays; see `export`."""
    if found.shape != expected.shape:
        return math.inf
    apart = np.abs(found.astype("float64") - expected)
    if found.dtype == np.uint8:  # `expected` are 0..255, not rounded yet
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
    return keras.Model(network.inputs[0], {"images": rounding[-1].input})


def examples(run: Run, network: "keras.Model") -> list[np.ndarray]:
    """Draw batches of inputs: noise, or tokens with padding at their ends."""
    source, given = np.random.default_rng(0), network.inputs[0]
    if given.dtype == "uint8":
        return [
            source.integers(256, size=(count, *given.shape[1:]), dtype=np.uint8)
            for count in BATCHES
        ]
    if given.dtype == "int32":
        tokenizer = run.tokenizer
        words = tokenizer.get_vocab_size() if tokenizer else 2
        batches = []
        for count in BATCHES:
            tokens = source.integers(1, words, size=(count, run.recipe.max_tokens))
            length = source.integers(1, run.recipe.max_tokens + 1, size=(count, 1))
            within = np.arange(run.recipe.max_tokens) < length
            batches.append(np.where(within, tokens, 0).astype(np.int32))
        return batches
    return [
        source.standard_normal((count, given.shape[-1]), dtype=np.float32)
        for count in BATCHES
    ]


def _has_loops(network: "keras.Model") -> bool:
    from keras import layers

    return any(isinstance(layer, layers.RNN) for layer in network._flatten_layers())


def _options(format_: str) -> dict[str, Any]:
    """Return what Keras's exporter must be told."""
    if format_ == "torch":
        import torch

        return {"dynamic_shapes": {0: torch.export.Dim("batch")}}
    if format_ == "litert":
        import tensorflow

        # Others are not in the interpreter that phones have.
        builtin = tensorflow.lite.OpsSet.TFLITE_BUILTINS
        return {"target_spec": {"supported_ops": [builtin]}}
    return {}


def _name_dimensions(path: Path, outputs: Sequence[str]) -> None:
    """Call an ONNX file's free dimensions batch and length, and its outputs by name."""
    import onnx

    model = onnx.load(path)
    graph = model.graph
    for value in [*graph.input, *graph.output]:
        for size, name in zip(value.type.tensor_type.shape.dim, ("batch", "length")):
            if not size.dim_value:
                size.dim_param = name
    if {output.name for output in graph.output} != set(outputs):
        for output, name in zip(graph.output, outputs):
            for node in graph.node:
                for places in (node.input, node.output):
                    places[:] = [name if old == output.name else old for old in places]
            output.name = name
    onnx.save(model, path)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what converters say of themselves off the terminal.

    They write to the file descriptors; and warn of what is old in their own code.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {number: os.dup(number) for number in (1, 2)}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in kept:
            os.dup2(nowhere, number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, old in kept.items():
            os.dup2(old, number)
            os.close(old)
        os.close(nowhere)


def _outputs(
    format_: str, path: Path, batches: Sequence[np.ndarray]
) -> list[dict[str, np.ndarray]]:
    """Return the outputs by name for each batch, as a new process computes them."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs = Path(folder) / "inputs.npz", Path(folder) / "outputs.npz"
        np.savez(inputs, *batches)
        module = ["-m", "classicnets.inference.runtimes"]
        result = subprocess.run(
            [sys.executable, *module, format_, path, inputs, outputs],
            capture_output=True,
            text=True,
        )
        if result.returncode:
            last = (result.stderr.strip().splitlines() or ["no message"])[-1]
            raise RunError(f"{path.name} is not kept, it does not run: {last}")
        with np.load(outputs) as found:
            arrays = dict(found)
    return [
        {
            name.partition(" ")[2]: array
            for name, array in arrays.items()
            if name.partition(" ")[0] == f"arr_{number}"
        }
        for number in range(len(batches))
    ]


def _check_place(path: Path, format_: str) -> None:
    """Refuse a path where the file must not go, before the work."""
    suffix = FORMATS[format_].suffix
    if not path.absolute().parent.is_dir():
        raise UserError(f"-o must name a file in a folder that exists, got {path}.")
    if format_ == "saved_model":  # a folder, and only one of these is replaced
        free = not path.exists() or (path / "saved_model.pb").is_file()
        if not free:
            raise UserError(f"-o must name a new folder or a SavedModel, got {path}.")
    elif path.suffix != suffix or path.is_dir():
        raise UserError(f"-o must name a {suffix} file, got {path}.")
