"""Exported files, opened by the programs they are for; no Keras is needed here.

    python -m classicnets.inference.runtimes FORMAT FILE INPUTS.npz OUTPUTS.npz

runs the file on every array of INPUTS.npz and writes OUTPUTS.npz: what the array called
"arr_0" gives as "logits" is "arr_0 logits" there. It is a process of its own, so that a
file that needs something of the process that wrote it fails.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

Outputs = Mapping[str, np.ndarray]


def main(format_: str, file: str, inputs: str, outputs: str) -> None:
    """Run a file on arrays of examples."""
    compute = RUNTIMES[format_](file)
    found = {}
    with np.load(inputs) as batches:
        for key in batches.files:
            for name, array in compute(batches[key]).items():
                found[f"{key} {name}"] = np.asarray(array)
    np.savez(Path(outputs), allow_pickle=False, **found)


def _onnx(file: str) -> Callable[[np.ndarray], Outputs]:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    names = [given.name for given in session.get_outputs()]
    return lambda batch: dict(zip(names, session.run(None, {taken.name: batch})))


def _saved_model(file: str) -> Callable[[np.ndarray], Outputs]:
    import tensorflow

    loaded = tensorflow.saved_model.load(file)  # collected, were it not kept
    return lambda batch: {
        name: array.numpy() for name, array in loaded.serve(batch).items()
    }


def _litert(file: str) -> Callable[[np.ndarray], Outputs]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(file)
    (signature,) = interpreter.get_signature_list().values()
    (name,) = signature["inputs"]
    (taken,) = interpreter.get_input_details()
    compute = interpreter.get_signature_runner()

    def one_by_one(batch: np.ndarray) -> Outputs:
        rows = [{**compute(**{name: batch[k : k + 1]})} for k in range(len(batch))]
        return {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}

    if taken["shape_signature"][0] == 1:
        return one_by_one
    return lambda batch: {**compute(**{name: batch})}


def _torch(file: str) -> Callable[[np.ndarray], Outputs]:
    import torch

    module = torch.export.load(file).module()

    def compute(batch: np.ndarray) -> Outputs:
        with torch.no_grad():
            return {
                name: tensor.numpy()
                for name, tensor in module(torch.from_numpy(batch)).items()
            }

    return compute


RUNTIMES: dict[str, Callable[[str], Callable[[np.ndarray], Outputs]]] = {
    "onnx": _onnx,
    "saved_model": _saved_model,
    "litert": _litert,
    "torch": _torch,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
