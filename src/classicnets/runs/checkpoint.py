"""The state of a training run, saved in a folder and restored from it, bit for bit.

    checkpoints/
        step-00001200.safetensors   every variable of the task; the last two stay
        best-0007.safetensors       the network's weights after its best epoch

A file holds the variables in their order, and in its header the progress of the loop as
JSON and a digest of all of it. It is written under a temporary name, flushed to the
disk and renamed: there is either the old one or the new one. The weights of an epoch
stay as long as a checkpoint calls it the best.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import safetensors
from keras import ops
from safetensors.numpy import load, save

from classicnets import files
from classicnets.errors import RunError, UserError

FOLDER = "checkpoints"
MOST = 2  # checkpoints; older ones are removed


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: The run's `checkpoints`; made when the first one is saved.
        state: Every variable that a training run must keep.
        weights: Those of the network.
    """

    def __init__(
        self,
        folder: Path,
        state: Sequence[keras.Variable],
        weights: Sequence[keras.Variable],
    ) -> None:
        self.folder, self.state, self.weights = folder, state, weights
        # The best epoch of each checkpoint, by its path, oldest first.
        self._best_epochs: dict[Path, int] = {}
        self._best_digest = ""  # of the file of the best epoch so far
        self._newest: tuple[Path, dict[str, np.ndarray]] | None = None
        self.bytes = sum(math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in state)

    def check_space(self, count: int = 1) -> None:
        """Refuse to go on where `count` more checkpoints have no room."""
        free = shutil.disk_usage(self.folder.parent).free
        if free < count * self.bytes:
            raise RunError(
                f"{count} checkpoint{'s' * (count > 1)} need"
                f" {count * self.bytes / 1e6:,.0f} MB in {self.folder.parent},"
                f" {free / 1e6:,.0f} MB are free."
            )

    def save(self, step: int, progress: dict[str, Any]) -> None:
        """Save the state after `step` steps, then remove what nothing needs any more.

        Args:
            step: Counted from the start of the run.
            progress: Plain data; `best` has the key `epoch`.
        """
        self.check_space()
        path = self._path(step)
        write(path, self.state, progress | {"best_digest": self._best_digest})
        self._best_epochs.pop(path, None)
        self._best_epochs[path] = progress["best"]["epoch"]
        # That of before the first step is none to fall back on.
        older = {*list(self._best_epochs)[:-MOST], self._path(0)}
        for old in older - {path}:
            self._best_epochs.pop(old, None)
        best = {self._best(epoch) for epoch in self._best_epochs.values()}
        for file in self.folder.glob("*.safetensors"):
            if file not in self._best_epochs and file not in best:
                file.unlink()

    def find_newest(self) -> tuple[dict[str, Any], list[str]]:
        """Find the newest whole checkpoint, for `restore`.

        Returns:
            Its progress, empty where there is none yet; and a line on each damaged one.

        Raises:
            UserError: If all are damaged.
        """
        damaged: list[str] = []
        for path in sorted(self.folder.glob("step-*.safetensors"), reverse=True):
            try:
                tensors, progress = read(path)
                if best := progress["best"]["epoch"]:
                    self._check_best(best, progress.get("best_digest", ""))
            except DamagedError as error:
                damaged.append(str(error))
                continue
            except (KeyError, TypeError, ValueError):
                damaged.append(f"{path} holds the progress of another version.")
                continue
            self._newest = path, tensors
            self._best_epochs = {path: best}
            return progress, damaged
        if damaged:
            raise UserError(
                f"no checkpoint is whole: {' '.join(damaged)} classicnets train"
                f" {files.as_typed(self.folder.parent)}/recipe.toml begins a new run."
            )
        return {}, []

    def restore(self) -> None:
        """Give the state the values of the newest checkpoint, if there is one."""
        if self._newest:
            _assign(*self._newest, variables=self.state)
            self._newest = None

    def save_best(self, epoch: int) -> None:
        """Save the weights of the network, which are the best so far."""
        path = self._best(epoch)
        self._best_digest = write(path, self.weights, {"epoch": epoch})

    def restore_best(self, epoch: int) -> None:
        """Give the network the weights of its best epoch."""
        restore(self._best(epoch), self.weights)

    def _check_best(self, epoch: int, digest: str) -> None:
        """Refuse other weights of an epoch than those that a checkpoint calls best."""
        path = self._best(epoch)
        tensors, progress = read(path)
        own = _digest(tensors, json.dumps(progress))
        if digest not in ("", own):  # checkpoints of earlier versions name none
            raise DamagedError(f"{path} has the weights of another training run.")
        self._best_digest = own

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}.safetensors"

    def _best(self, epoch: int) -> Path:
        return self.folder / f"best-{epoch:04d}.safetensors"


def has_checkpoint(run: Path) -> bool:
    """Return whether the folder of a run has a checkpoint, whole or not."""
    return any((run / FOLDER).glob("step-*.safetensors"))


class DamagedError(UserError):
    """A checkpoint is not there, or is not what was written."""


def write(
    path: Path, variables: Sequence[keras.Variable], progress: dict[str, Any]
) -> str:
    """Save the values of `variables` and `progress`, plain data, at `path`.

    Returns:
        Their digest, which is in the file's header.

    Raises:
        RunError: If a value is not finite; nothing is written.
    """
    tensors = {  # safetensors takes memory as it lies, which PyTorch's kernels permute
        name: np.asarray(ops.convert_to_numpy(variable), order="C")
        for name, variable in zip(_names(variables), variables)
    }
    for name, value in tensors.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise RunError(
                f"{path.stem} is not saved, {name[6:]} of the network or its optimizer"
                " is not finite: try a lower learning_rate, warmup_epochs, or"
                " gradient_clip."
            )
    text = json.dumps(progress)
    metadata = {"progress": text, "sha256": _digest(tensors, text)}
    path.parent.mkdir(exist_ok=True)
    files.write(path, save(tensors, metadata=metadata))
    return metadata["sha256"]


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the values saved at `path`, by their names, and the progress.

    Raises:
        DamagedError: If the file is not there, or not what was written.
    """
    try:
        content = path.read_bytes()
        tensors = load(content)
        # A file begins with the length of its header, which is JSON.
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata = header["__metadata__"]
        text = metadata["progress"]
        is_whole = metadata["sha256"] == _digest(tensors, text)
        progress = json.loads(text)
    except OSError as error:
        raise DamagedError(
            f"{path} cannot be read: {error.strerror or error}."
        ) from None
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise DamagedError(f"{path} is not a whole checkpoint: {reason}.") from None
    if not is_whole:
        raise DamagedError(f"{path} is damaged: its digest is another one.")
    return tensors, progress


def restore(path: Path, variables: Sequence[keras.Variable]) -> dict[str, Any]:
    """Give `variables` the values saved at `path` and return the progress.

    Raises:
        DamagedError: If the file is not there, or not what was written.
        UserError: If it holds other variables than these.
    """
    tensors, progress = read(path)
    _assign(path, tensors, variables=variables)
    return progress


def _assign(
    path: Path,
    tensors: Mapping[str, np.ndarray],
    *,
    variables: Sequence[keras.Variable],
) -> None:
    names = _names(variables)
    fits = set(names) == set(tensors) and all(
        tensors[name].shape == tuple(variable.shape)
        for name, variable in zip(names, variables)
    )
    if not fits:
        raise UserError(f"{path} holds the state of another network.")
    for name, variable in zip(names, variables):
        variable.assign(tensors[name])


def _digest(tensors: Mapping[str, np.ndarray], text: str) -> str:
    sha = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        value = tensors[name]
        sha.update(f"{name} {value.dtype} {value.shape};".encode())
        sha.update(np.ascontiguousarray(value).data)
    return sha.hexdigest()


def _names(variables: Sequence[keras.Variable]) -> list[str]:
    # Automatic layer names count up within a process, so the place is the name.
    return [f"{place:05d}.{v.name}" for place, v in enumerate(variables)]
