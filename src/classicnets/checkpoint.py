"""The state of a training, saved in one file and restored from it.

A checkpoint is a safetensors file: the variables of the task in their order, and the
progress of the loop as JSON in its header. It is written under a temporary name,
flushed to the disk and renamed, so there is either the old one or the new one.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import safetensors
from keras import ops
from safetensors.numpy import save

from classicnets.errors import UserError
from classicnets.run import write_atomically


def write(path: Path, variables: Sequence[keras.Variable], progress: dict) -> None:
    """Save the values of `variables` and `progress`, plain data, at `path`."""
    tensors = {
        name: ops.convert_to_numpy(variable)
        for name, variable in zip(_names(variables), variables)
    }
    metadata = {"progress": json.dumps(progress)}
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, save(tensors, metadata=metadata))


def restore(path: Path, variables: Sequence[keras.Variable]) -> dict[str, Any]:
    """Give `variables` the values saved at `path` and return the progress.

    Raises:
        UserError: If the file is damaged, or holds other variables than these.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            names = _names(variables)
            if set(names) != set(file.keys()):
                raise UserError(f"{path} holds the state of another network.")
            for name, variable in zip(names, variables):
                variable.assign(file.get_tensor(name))
            return json.loads(file.metadata()["progress"])
    except safetensors.SafetensorError as error:
        raise UserError(f"{path} is not a whole checkpoint: {error}.") from None


def _names(variables):
    # Automatic layer names count up within a process, so the place is the name.
    return [f"{place:05d}.{v.name}" for place, v in enumerate(variables)]
