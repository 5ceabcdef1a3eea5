"""Exported files, opened by the programs they are for; no Keras is needed here.

    python -m classicnets.inference.runtimes FORMAT FILE INPUTS.npz OUTPUTS.npz

runs the file on every batch of INPUTS.npz and writes OUTPUTS.npz. In both, "0 NAME" is
the first batch's array of an input, or an output, of that name. It is a process of its
own, so that a file that needs something of the process that wrote it fails.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]


def main(format_: str, file: str, inputs: str, outputs: str) -> None:
    """Run a file on batches of examples."""
    compute = RUNTIMES[format_](file)
    save(Path(outputs), [compute(batch) for batch in read(Path(inputs))])


def save(path: Path, batches: Sequence[Arrays]) -> None:
    """Write batches of arrays by name to an .npz."""
    arrays: dict[str, Any] = {
        f"{number} {name}": array
        for number, batch in enumerate(batches)
        for name, array in batch.items()
    }
    np.savez(path, allow_pickle=False, **arrays)


def read(path: Path) -> list[dict[str, np.ndarray]]:
    """Read what `save` wrote."""
    batches: dict[str, dict[str, np.ndarray]] = {}
    with np.load(path) as arrays:
        for key, array in arrays.items():
            number, _, name = key.partition(" ")
            batches.setdefault(number, {})[name] = array
    return list(batches.values())


def _only(arrays: Mapping[str, Any]) -> Any:
    """Return the array of an only input, as Keras has it, or all by name."""
    return dict(arrays) if len(arrays) > 1 else next(iter(arrays.values()))


def _onnx(file: str) -> Callable[[Arrays], Arrays]:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda batch: dict(zip(names, session.run(None, dict(batch))))


def _saved_model(file: str) -> Callable[[Arrays], Arrays]:
    import tensorflow

    loaded = tensorflow.saved_model.load(file)  # collected, were it not kept
    return lambda batch: {
        name: array.numpy() for name, array in loaded.serve(_only(batch)).items()
    }


def _litert(file: str) -> Callable[[Arrays], Arrays]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(file)
    (signature,) = interpreter.get_signature_list().values()
    names = signature["inputs"]
    one_by_one = interpreter.get_input_details()[0]["shape_signature"][0] == 1
    runner = interpreter.get_signature_runner()

    def compute(batch: Arrays) -> Arrays:
        # An only input has a name of LiteRT's own.
        by_name = batch if len(names) > 1 else {names[0]: _only(batch)}
        if not one_by_one:
            return {**runner(**by_name)}
        rows = [
            runner(**{name: array[k : k + 1] for name, array in by_name.items()})
            for k in range(len(next(iter(by_name.values()))))
        ]
        return {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}

    return compute


def _torch(file: str) -> Callable[[Arrays], Arrays]:
    import torch

    module = torch.export.load(file).module()

    def compute(batch: Arrays) -> Arrays:
        tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
        with torch.no_grad():
            outputs = module(_only(tensors))
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    return compute


RUNTIMES: dict[str, Callable[[str], Callable[[Arrays], Arrays]]] = {
    "onnx": _onnx,
    "saved_model": _saved_model,
    "litert": _litert,
    "torch": _torch,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
