"""The formats of other programs: which can be written where, and how Keras does it."""

import contextlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from classicnets.errors import RunError, UserError, nearest
from classicnets.networks import private

if TYPE_CHECKING:
    import keras


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


def check_place(path: Path, format_: str) -> None:
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


def write(network: "keras.Model", format_: str, path: Path) -> None:
    """Let Keras write a network as a file.

    Batches are of any size, and texts of any length. LiteRT has no loop over batches of
    any size: an LSTM for it takes one example per call.

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
            examples = [
                np.zeros([size or 2 for size in x.shape], x.dtype)
                for x in network.inputs
            ]
            # Keras writes what has been called.
            network(keras.tree.pack_sequence_as(network.input, examples))
            kind = "tf_saved_model" if format_ == "saved_model" else format_
            options = _options(network, format_)
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


def _options(network: "keras.Model", format_: str) -> dict[str, Any]:
    """Return what Keras's exporter must be told."""
    import keras

    if format_ == "torch":
        import torch

        # One of each: PyTorch finds out by itself that the batches are as large.
        def sizes(x: Any) -> dict[int, Any]:
            return {0: torch.export.Dim("batch")}

        shapes = keras.tree.map_structure(sizes, network.input)
        return {"dynamic_shapes": shapes if len(network.inputs) == 1 else [(shapes,)]}
    if format_ != "litert":
        return {}
    import tensorflow

    # Others are not in the interpreter that phones have.
    builtin = tensorflow.lite.OpsSet.TFLITE_BUILTINS
    options: dict[str, Any] = {"target_spec": {"supported_ops": [builtin]}}
    layers = private.every_layer(network)
    if any(isinstance(layer, keras.layers.RNN) for layer in layers):

        def one(x: Any) -> Any:
            return keras.InputSpec(x.dtype, shape=(1, *x.shape[1:]), name=x.name)

        options["input_signature"] = [keras.tree.map_structure(one, network.input)]
    return options


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

    They write to the file descriptors, and warn of what is old in their own code.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    copies = {number: os.dup(number) for number in (1, 2)}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in copies:
            os.dup2(nowhere, number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in copies.items():
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)
