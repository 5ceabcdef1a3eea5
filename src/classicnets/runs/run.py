"""A run's folder: what is in it, how it is made, how it is opened.

    runs/NAME-SEED/
        recipe.toml         everything that decided the run, complete
        environment.json    versions, backend, device, command, commit, data
        status.json         running, finished, stopped or failed, and what is known
        history.csv         one row per epoch; events.out.tfevents.* says the same
        metrics.json        one block per split, with the number of examples counted
        checkpoints/        the exact state of the training run; see `checkpoint`
        model.keras         the trained network; takes raw pixels, or tokens
        encoder.keras, decoder.keras, generator.keras, critic.keras: its parts, where
                            it has some; those that make images make uint8 pixels
        last/, averaged/    with averaging: the same files of the weights not chosen
        identity.json       the digests of these files, to know them by; see `identity`
        model.onnx and the like: what `export` wrote for other programs
        exports.json        of which network and data each of them is
        splits.json         for a run on a folder: which of its files are in which split
        tokenizer.json      for a run on texts: the words and their numbers
        predictions.csv     of a classifier: its answer to every example of the test
        samples/            SPLIT.npz: right and wrong examples of a split; for a run
                            that makes images: epoch-0005.png and other pictures
        report.html         all of it as a page
        earlier/epoch-0010  the run as it was finished then, before it was made longer

The files are the truth: a property reads its file each time, so that a second process
(a report, a person) sees what the training run has written so far. Every file but
TensorBoard's is written by `files`: a reader meets the old text or the new one, never
a half; history.csv has the old rows and perhaps the beginning of the new one.
"""

import contextlib
import difflib
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from classicnets import files, pictures
from classicnets import recipe as recipes
from classicnets.errors import UserError
from classicnets.runs import history, identity, tensorboard
from classicnets.weights import saved

if TYPE_CHECKING:
    import keras
    import tokenizers

State = Literal["running", "finished", "stopped", "failed"]


class Run:
    """A run's folder, opened.

    Args:
        path: The folder, `runs/NAME-SEED`. A file is read when its property is.

    Raises:
        UserError: If the folder is not there, or is no run.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).resolve()
        self._contents: dict[str, tuple[Any, Any]] = {}  # by the file's name
        self._forward: tuple[Any, Callable] | None = None
        if not self.path.is_dir():
            raise UserError(f"a run is a folder, got {path}.{_nearest_run(self.path)}")
        if not (self.path / "recipe.toml").is_file():
            raise UserError(
                f"a run's folder holds recipe.toml, {path} does not."
                f"{_nearest_run(self.path)}"
            )

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def name(self) -> str:
        """The folder's own name, `NAME-SEED`."""
        return self.path.name

    @property
    def typed_path(self) -> str:
        """The folder as a person would type it."""
        return files.as_typed(self.path)

    @property
    def recipe(self) -> recipes.Recipe:
        """Everything that decided the run."""
        return self._opened("recipe.toml", recipes.reopen)

    @property
    def environment(self) -> dict[str, Any]:
        """Where the run was made: what `environment.describe` returned then."""
        return files.read_json(self.path / "environment.json")

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
        return files.read_json(self.path / "status.json")

    @property
    def identity(self) -> dict[str, Any]:
        """Digests of what the run wrote; empty for a run of an earlier version."""
        path = self.path / identity.FILE
        content = files.read_json(path)
        for key in ("networks", "recipe"):
            if not isinstance(content.get(key, {}), dict):
                raise UserError(f"{path} must have an object as {key}.")
        return content

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics of the run's network by split; empty before the first evaluation.

        Those of another network, in a file that somebody put there, are left out.
        """
        metrics = files.read_json(self.path / "metrics.json")
        if not (networks := self.identity.get("networks")):
            return metrics
        return {
            split: values
            for split, values in metrics.items()
            if isinstance(values, dict) and values.get("model") in networks.values()
        }

    @property
    def files(self) -> dict[str, Any]:
        """Which files of its folder a run learned from; empty where nothing says so."""
        return files.read_json(self.path / "splits.json")

    @property
    def exports(self) -> dict[str, Any]:
        """What `export` wrote: by file, its digest, and those of network and data."""
        return files.read_json(self.path / "exports.json")

    @property
    def history(self) -> list[dict[str, float]]:
        """The rows of history.csv; a value that was not measured has no key."""
        return history.read(self.path / "history.csv")

    @property
    def model(self) -> "keras.Model":
        """The trained network, loaded from model.keras without running its code."""
        return self._opened("model.keras", lambda path: self.load("model"))

    @property
    def forward(self) -> Callable[[np.ndarray], np.ndarray]:
        """The trained network as a compiled function of raw NumPy inputs."""
        from classicnets import engine

        model = self.model
        if self._forward is None or self._forward[0] is not model:
            function = engine.forward(model, self.recipe.fast_kernels)
            self._forward = model, function
        return self._forward[1]

    def load(self, name: str) -> "keras.Model":
        """Load a network of the run, such as "decoder", without running its code.

        Raises:
            UserError: If it is not there, or is not what this run wrote.
        """
        self.digest(name)
        return saved.load(self.path / f"{name}.keras")

    def digest(self, name: str) -> str:
        """Return the SHA-256 of a network's file, such as that of "decoder".

        Raises:
            UserError: As `load`.
        """
        path = self.path / f"{name}.keras"
        if not path.is_file():
            state = self.status.get("state", "in an unknown state")
            if state == "finished":
                reason = f"{self.recipe.kind.name} makes none, or it was removed."
            else:
                reason = f"a finished run has one, it is {state}."
            raise UserError(f"{self.name} has no {path.name}: {reason}")
        return identity.check(path, self.identity, self._identity_now())

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
        """Keep every other process from training in this folder.

        The lock ends with the process, however that ends. Files that a killed process
        left half-written are removed.

        Raises:
            UserError: If another process trains here, or nobody may write here.
        """
        with files.lock(
            self.path, lambda: f"process {self.status.get('process', 'unknown')}"
        ):
            files.remove_half_written(self.path.rglob(".*"))
            yield

    def evaluate(
        self,
        split: str = "test",
        data: str | None = None,
        *,
        allow_changed: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Measure the network on a split and write metrics.json.

        Args:
            split: "validation" or "test".
            data: A data set's name or path instead of the recipe's own.
            allow_changed: ("data",) judges on data that have changed since.

        Returns:
            The metrics of the split.
        """
        # The one import that points up: a person expects it of a run in hand, and
        # evaluation knows runs, so it can only happen when it is called.
        from classicnets.inference import evaluation

        return evaluation.evaluate(self, split, data=data, allow_changed=allow_changed)

    def set_status(self, state: State, **facts: Any) -> None:
        """Replace status.json by `state`, the time, the process and `facts`.

        Facts of an earlier state do not stay: a failure's reason would otherwise
        outlive the resume that got past it.
        """
        if state not in get_args(State):
            raise ValueError(f"state must be one of {get_args(State)}, got {state!r}.")
        updated = datetime.now(UTC).isoformat(timespec="seconds")
        own = {"state": state, "updated": updated, "process": os.getpid()}
        self.save_json("status.json", own | facts)

    def append_history(self, row: Mapping[str, Any]) -> None:
        """Add a row to history.csv and the same numbers to TensorBoard.

        The first row fixes the columns; a later one may leave some out, and None stands
        for what was not measured. With a column `epoch`, rows of this epoch and later
        ones are replaced: a training run wrote them after the checkpoint that it has
        since resumed from.
        """
        step, replaces_rows = history.append(self.path / "history.csv", row)
        if replaces_rows:
            tensorboard.forget_from(self._event_file, step)
        values = {k: v for k, v in row.items() if k != "epoch" and v is not None}
        tensorboard.write_scalars(self._event_file, values, step)

    def save_model(self, name: str, model: "keras.Model", folder: str = "") -> None:
        """Write NAME.keras, and its digest.

        Args:
            name: A part of the run's kind.
            model: That takes raw inputs.
            folder: `last` or `averaged` for the weights that are not the run's.
        """
        path = self.path / folder / f"{name}.keras"
        path.parent.mkdir(exist_ok=True)
        with files.replacing(path) as temporary:
            model.save(temporary)
        if folder:
            return
        networks = self.identity.get("networks", {}) | {name: identity.digest(path)}
        self.save_json(identity.FILE, self._identity_now() | {"networks": networks})

    def save_pictures(self, images: Mapping[str, np.ndarray], epoch: int) -> None:
        """Write the pictures of a task after an epoch, for people and for TensorBoard.

        Args:
            images: Each (n, height, width, channels) uint8: `samples` become
                samples/epoch-0005.png; `originals` and `reconstructions` together
                samples/reconstructions.png.
            epoch: Counts from 1.
        """
        sheets = {}
        if "samples" in images:
            sheets[f"epoch-{epoch:04d}"] = "samples", pictures.grid(images["samples"])
        if "reconstructions" in images:
            pairs = pictures.pairs(images["originals"], images["reconstructions"])
            sheets["reconstructions"] = "reconstructions", pairs
        for file, (tag, sheet) in sheets.items():
            self.save_picture(file, pictures.encode_png(sheet))
            tensorboard.write_image(self._event_file, tag, sheet, epoch)

    def save_picture(self, name: str, content: bytes) -> Path:
        """Write samples/NAME.png and return its path."""
        return self._save_sample(f"{name}.png", content)

    def save_metrics(self, split: str, metrics: Mapping[str, Any]) -> None:
        """Put `metrics` under the split's name in metrics.json.

        Args:
            split: "train", "validation" or "test".
            metrics: With `model`, the digest of the network that they are of.
        """
        self.save_json("metrics.json", {**self.metrics, split: metrics})

    def save_samples(self, split: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write samples/SPLIT.npz: images, labels, predicted, probability, model.

        And of every example of the split whether it was `right`, or its `nats`.
        """
        data = io.BytesIO()
        np.savez_compressed(data, allow_pickle=False, **dict(arrays))
        self._save_sample(f"{split}.npz", data.getvalue())

    def samples(self, split: str) -> dict[str, np.ndarray]:
        """Return the arrays of samples/SPLIT.npz; empty when there are none.

        Those that another network than the split's metrics answered are left out.
        """
        path = self.path / "samples" / f"{split}.npz"
        if not path.exists():
            return {}
        from classicnets.data.npz import read_array, read_shapes

        arrays = {key: read_array(path, key) for key in read_shapes(path)}
        model = str(arrays.pop("model", ""))
        is_of_it = model == self.metrics.get(split, {}).get("model", "")
        return arrays if is_of_it else {}

    def save_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a file of the folder as JSON; NumPy's numbers are understood."""
        files.write_json(self.path / name, content)

    def save_text(self, name: str, text: str) -> None:
        """Write a file of the folder."""
        files.write(self.path / name, text.encode())

    @cached_property
    def _event_file(self) -> Path:
        return tensorboard.new_file(self.path)

    def recipe_differences(self) -> list[str]:
        """Say in which keys recipe.toml is not what the run was finished with."""
        return identity.recipe_differences(self.identity, self._identity_now())

    def _identity_now(self) -> dict[str, Any]:
        recipe = self.recipe
        environment = self.environment if recipe.kind.labelled else {}
        return identity.of_files(self.path, recipe, environment)

    def _opened(self, name: str, open_: Callable[[Path], Any]) -> Any:
        """Return what a file holds, opened again only where it is another file."""
        path = self.path / name
        with contextlib.suppress(OSError):
            status = path.stat()
            key = status.st_mtime_ns, status.st_size, status.st_ino
            if self._contents.get(name, (None,))[0] != key:
                self._contents[name] = key, open_(path)
            return self._contents[name][1]
        return open_(path)  # which says what is wrong

    def _save_sample(self, name: str, content: bytes) -> Path:
        path = self.path / "samples" / name
        path.parent.mkdir(exist_ok=True)
        files.write(path, content)
        return path


def _nearest_run(path: Path) -> str:
    """Return a hint: the newest run inside the folder, or one beside it."""
    for folder in (path, path.parent):
        runs = {file.parent.name: file for file in folder.glob("*/recipe.toml")}
        if runs:
            newest = max(runs, key=lambda name: runs[name].stat().st_mtime)
            close = difflib.get_close_matches(path.name, runs, n=1)
            nearest = folder / (close[0] if close else newest)
            return f" Did you mean {files.as_typed(nearest)}?"
    return ""
