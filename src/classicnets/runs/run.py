"""A run's folder: what is in it, how it is made, how it is opened.

    runs/NAME-SEED/
        recipe.toml         everything that decided the run, complete
        environment.json    versions, backend, device, command, commit, data
        status.json         running, finished, stopped or failed, and what is known
        history.csv         a row an epoch; events.out.tfevents.* says the same
        metrics.json        a block a split, with the number of examples counted
        checkpoints/        the exact state of the training; `checkpoint` writes it
        model.keras         the trained network; takes raw pixels, or tokens
        encoder.keras, decoder.keras, generator.keras, critic.keras: its parts, where
                            it has some; those that make images make uint8 pixels
        model.onnx and the like: what `export` wrote for other programs
        tokenizer.json      of a run on texts: the words and their numbers
        samples/            SPLIT.npz: right and wrong examples of a split; of a run
                            that makes images: epoch-0005.png and other pictures
        report.html         all of it as a page

The files are the truth: a property reads its file each time, so that a second
process (a report, a person) sees what the training has written so far. Every
file but TensorBoard's is written whole under a temporary name and then renamed:
a reader meets the old text or the new one, never a half.
"""

import contextlib
import csv
import difflib
import io
import json
import math
import os
import re
import secrets
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from classicnets import files, pictures
from classicnets.weights import saved
from classicnets.runs import tensorboard
from classicnets import recipe as recipes
from classicnets.errors import UserError

if TYPE_CHECKING:
    import keras
    import tokenizers

State = Literal["running", "finished", "stopped", "failed"]


class Run:
    """A run's folder, opened.

    Args:
        path: the folder, `runs/NAME-SEED`. Nothing is read before it is asked for.

    Raises:
        UserError: the folder is not there, or is no run.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).resolve()
        if not self.path.is_dir():
            raise UserError(f"a run is a folder, got {path}.{_nearest_run(self.path)}")
        if not (self.path / "recipe.toml").is_file():
            raise UserError(
                f"a run's folder holds recipe.toml, {path} does not."
                f"{_nearest_run(self.path)}"
            )
        self._events: Path | None = None  # this opening's TensorBoard file

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def name(self) -> str:
        """The folder's own name, `NAME-SEED`."""
        return self.path.name

    @property
    def shown(self) -> str:
        """The folder as a person would type it."""
        return files.as_typed(self.path)

    @cached_property
    def recipe(self) -> recipes.Recipe:
        """Everything that decided the run."""
        return recipes.reopen(self.path / "recipe.toml")

    @property
    def environment(self) -> dict[str, Any]:
        """Where the run was made: what `environment.describe` returned then."""
        return self._read_json("environment.json")

    @property
    def class_names(self) -> list[str]:
        """The names of a classifier's classes, by their numbers."""
        names = self.environment.get("class_names")
        if not isinstance(names, list) or not names:
            path = self.path / "environment.json"
            raise UserError(f"{path} must have class_names, or no class has a name.")
        return names

    @property
    def status(self) -> dict[str, Any]:
        """`state`, `updated` (UTC), `process`, and the facts of the last `set_status`.

        `process` is the number of the one that set it.
        """
        return self._read_json("status.json")

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics by split; empty before the first evaluation."""
        return self._read_json("metrics.json")

    @property
    def history(self) -> list[dict[str, float]]:
        """The rows of history.csv; a value that was not measured has no key."""
        path = self.path / "history.csv"
        if not path.exists():
            return []
        try:
            with path.open(newline="", encoding="utf-8") as lines:
                return [
                    {name: float(cell) for name, cell in row.items() if cell}
                    for row in csv.DictReader(lines)
                ]
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}.") from None
        except (TypeError, ValueError, csv.Error) as error:
            raise UserError(
                f"every cell of {path} must be a number: {error}."
            ) from None

    @cached_property
    def model(self) -> "keras.Model":
        """The trained network, loaded from model.keras without running its code."""
        return self.load("model")

    @cached_property
    def forward(self) -> "Callable[[np.ndarray], np.ndarray]":
        """The trained network as a compiled function of raw NumPy inputs."""
        from classicnets import engine

        return engine.forward(self.model, self.recipe.fast_kernels)

    def load(self, name: str) -> "keras.Model":
        """Loads a network of the run, such as "decoder", without running its code."""
        path = self.path / f"{name}.keras"
        if not path.is_file():
            state = self.status.get("state", "in an unknown state")
            raise UserError(
                f"{self.name} has no {path.name}: "
                + (
                    f"{self.recipe.kind.name} makes none, or it was removed."
                    if state == "finished"
                    else f"a finished run has one, it is {state}."
                )
            )
        import keras

        try:
            saved.check_size(path)
            return keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # whatever a damaged file makes its readers raise
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            if "Lambda" in str(error):
                reason = "it carries code, in a Lambda layer, which is never run"
            elif not zipfile.is_zipfile(path):  # Keras would say that it is not there
                reason = "it is not a whole .keras file"
            raise UserError(f"{path} cannot be opened: {reason}.") from None

    @cached_property
    def tokenizer(self) -> "tokenizers.Tokenizer | None":
        """What turns texts into tokens; None for a run on images."""
        path = self.path / "tokenizer.json"
        if not path.exists():
            return None
        from classicnets import data

        return data.load_tokenizer(path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps every other process from training in this folder.

        The lock ends with the process, however that ends. Files that a killed process
        left half-written are removed.

        Raises:
            UserError: another process trains here, or nobody may write here.
        """
        with files.lock(
            self.path, lambda: f"process {self.status.get('process', 'unknown')}"
        ):
            files.remove_half_written(self.path.rglob(".*"))
            yield

    def save_model(self, name: str, model: "keras.Model") -> None:
        """Writes NAME.keras, whole or not at all."""
        with files.replacing(self.path / f"{name}.keras") as temporary:
            model.save(temporary)

    def evaluate(self, split: str = "test", data: str | None = None) -> dict[str, Any]:
        """Measures the network on a split and writes metrics.json.

        Args:
            split: "validation" or "test".
            data: a data set's name or path instead of the recipe's own.

        Returns:
            The metrics of the split.
        """
        # The one import that points up: a person expects it of a run in hand, and
        # evaluation knows runs, so it can only happen when it is called.
        from classicnets.inference import evaluation

        return evaluation.evaluate(self, split, data=data)

    def set_status(self, state: State, **facts: Any) -> None:
        """Replaces status.json by `state`, the time, the process and `facts`.

        Facts of an earlier state do not stay: a failure's reason would otherwise
        outlive the resume that got past it.
        """
        if state not in get_args(State):
            raise ValueError(f"state must be one of {get_args(State)}, got {state!r}.")
        own = {"state": state, "updated": _now(), "process": os.getpid()}
        self.save_json("status.json", own | facts)

    def append_history(self, row: Mapping[str, Any]) -> None:
        """Adds a row to history.csv and the same numbers to TensorBoard.

        The first row fixes the columns; a later one may leave some out, and None stands
        for what was not measured. With a
        column `epoch`, rows of this epoch and later ones are replaced: they are
        what a training wrote after the checkpoint it has since resumed from.
        """
        rows: list[Mapping[str, Any]] = list(self.history)
        columns = self._history_columns() or list(row)
        if unknown := set(row) - set(columns):
            raise UserError(
                f"{self.path / 'history.csv'}: the first row fixed the columns"
                f" {', '.join(columns)}, got also {', '.join(sorted(unknown))}."
            )
        before = len(rows)
        if "epoch" in row:
            rows = [old for old in rows if old.get("epoch", 0) < row["epoch"]]
        rows.append(row)
        text = io.StringIO()
        table = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows({k: _cell(v) for k, v in old.items()} for old in rows)
        self.save_text("history.csv", text.getvalue())

        step = int(row.get("epoch") or len(rows))
        if len(rows) <= before:
            tensorboard.forget_from(self._event_file(), step)
        scalars = {
            name: value
            for name, value in row.items()
            if name != "epoch" and value is not None
        }
        tensorboard.write_scalars(self._event_file(), scalars, step)

    def save_pictures(self, shown: Mapping[str, np.ndarray], epoch: int) -> None:
        """Writes what a task shows after an epoch, for people and for TensorBoard.

        Args:
            shown: images (n, height, width, channels) uint8: `samples` become
                samples/epoch-0005.png; `originals` and `reconstructions` together
                samples/reconstructions.png.
            epoch: counts from 1.
        """
        drawn = {}
        if "samples" in shown:
            drawn[f"epoch-{epoch:04d}"] = "samples", pictures.grid(shown["samples"])
        if "reconstructions" in shown:
            pairs = pictures.pairs(shown["originals"], shown["reconstructions"])
            drawn["reconstructions"] = "reconstructions", pairs
        for file, (tag, picture) in drawn.items():
            self.save_picture(file, pictures.encode_png(picture))
            tensorboard.write_image(self._event_file(), tag, picture, epoch)

    def save_picture(self, name: str, content: bytes) -> Path:
        """Writes samples/NAME.png and returns its path."""
        path = self.path / "samples" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        files.write(path, content)
        return path

    def _event_file(self) -> Path:
        if self._events is None:
            self._events = tensorboard.new_file(self.path)
        return self._events

    def save_metrics(self, split: str, metrics: Mapping[str, Any]) -> None:
        """Puts `metrics` under the split's name in metrics.json."""
        self.save_json("metrics.json", {**self.metrics, split: metrics})

    def save_samples(self, split: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Writes samples/SPLIT.npz: images, labels, predicted, probability."""
        data = io.BytesIO()
        np.savez_compressed(data, allow_pickle=False, **dict(arrays))
        (self.path / "samples").mkdir(exist_ok=True)
        files.write(self.path / "samples" / f"{split}.npz", data.getvalue())

    def samples(self, split: str) -> dict[str, np.ndarray]:
        """The arrays of samples/SPLIT.npz; empty when there are none."""
        path = self.path / "samples" / f"{split}.npz"
        if not path.exists():
            return {}
        from classicnets.data.npz import read_array, read_shapes

        return {key: read_array(path, key) for key in read_shapes(path)}

    def save_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Writes a file of the folder as JSON; NumPy's numbers are understood."""
        files.write_json(self.path / name, content)

    def save_text(self, name: str, text: str) -> None:
        """Writes a file of the folder, whole or not at all."""
        files.write(self.path / name, text.encode())

    def _read_json(self, name: str) -> dict[str, Any]:
        path = self.path / name
        if not path.exists():
            return {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}.") from None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} must be JSON: {error}.") from None
        if not isinstance(content, dict):
            raise UserError(f"{path} must be a JSON object, got {content!r:.60}.")
        return content

    def _history_columns(self) -> list[str]:
        path = self.path / "history.csv"
        if not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as lines:
            return next(csv.reader(lines), [])


def create(
    runs_folder: str | os.PathLike[str],
    name: str,
    seed: int,
    recipe_toml: str,
    environment: Mapping[str, Any],
) -> Run:
    """Makes the folder of a new run and opens it.

    Args:
        runs_folder: where runs are kept; made when it is not there.
        name: of the run. The folder is NAME-SEED, or NAME-SEED-2, -3, … when that
            is taken: no run is ever written over.
        seed: of the run.
        recipe_toml: the complete recipe.
        environment: what `environment.describe` returned.

    Raises:
        UserError: the name cannot be a folder's name, or the folder cannot be made.
    """
    files.check_name(name)
    folder = files.take_folder(Path(runs_folder), f"{name}-{seed}")
    files.write(folder / "recipe.toml", recipe_toml.encode())
    run = Run(folder)
    run.save_json("environment.json", environment)
    run.set_status("running")
    return run


def _nearest_run(path: Path) -> str:
    """A hint: the newest run inside the folder, or one beside it, by name or age."""
    for folder in (path, path.parent):
        runs = {file.parent.name: file for file in folder.glob("*/recipe.toml")}
        if runs:
            newest = max(runs, key=lambda name: runs[name].stat().st_mtime)
            close = difflib.get_close_matches(path.name, runs, n=1)
            found = folder / (close[0] if close else newest)
            return f" Did you mean {files.as_typed(found)}?"
    return ""


def _cell(value: float | None) -> str:
    """The shortest text that reads back as the same number; empty for None."""
    if value is None:
        return ""
    number = float(value)
    return str(int(number)) if number.is_integer() else repr(number)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
