"""The epochs of one run, and what they leave in its folder."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import keras
import numpy as np

from classicnets import engine, kinds
from classicnets import recipe as recipes
from classicnets.data import Splits
from classicnets.errors import RunError, Stopped, UserError
from classicnets.inference import evaluation, rival, sampling
from classicnets.optimization import learning_rates
from classicnets.recipe import Recipe
from classicnets.reports import report
from classicnets.reports.stands_out import stands_out
from classicnets.runs import checkpoint
from classicnets.runs.checkpoint import Checkpoints
from classicnets.runs.run import Run
from classicnets.tasks import Task
from classicnets.tasks.callbacks import with_keras_names
from classicnets.terminal import Bar, Watch

_NAMED_ROWS = 8  # of the examples of a step that went wrong
_NAMED_CLASSES, _NAME_LENGTH = 12, 30  # a line of an ordinary terminal, about


class Loop:
    """A training run in progress.

    Attributes:
        epoch: Epochs that are over, each with its row in history.csv.
        position: Steps taken in the epoch after them, and `totals` the sums over these.
        best: The best epoch, from 1 on (0: none yet), and its validation score.
        saved_recipe: That of the checkpoint; the run's own where there is none.
        saved_data: The fingerprint of what the checkpoint has learned from.
    """

    def __init__(
        self,
        run: Run,
        task: Task,
        *,
        recipe: Recipe,
        splits: Splits,
        callbacks: keras.callbacks.CallbackList,
    ) -> None:
        self.run, self.task, self.recipe, self.splits = run, task, recipe, splits
        # The rest of an epoch's order is left out; it is another rest every epoch.
        self.step_size = math.prod(task.batch_shape)
        self.steps = len(splits.train) // self.step_size
        self.rates = learning_rates(recipe, self.steps)
        self.callbacks = callbacks
        self.callbacks.set_model(task.network)
        self.callbacks.set_params({"epochs": recipe.epochs, "steps": self.steps})
        self.checkpoints = Checkpoints(
            run.path / checkpoint.FOLDER, task.state, task.network.variables
        )
        self.epoch = self.position = 0
        self.totals = dict.fromkeys(task.logs, 0.0)
        self.best: dict[str, float] = {"epoch": 0}
        self.epoch_seconds = self.seconds = 0.0  # of earlier processes
        self.saved_recipe, self.saved_data = recipe, splits.fingerprint

    @property
    def step(self) -> int:
        """Steps since the start of the run."""
        return self.epoch * self.steps + self.position

    @property
    def is_over(self) -> bool:
        """Whether no epoch is left."""
        return self.epoch >= self.recipe.epochs or self._waited_enough()

    def find_checkpoint(self) -> list[str]:
        """Go to where the newest whole checkpoint is; return notes on it.

        Raises:
            UserError: If all are damaged, or are gone though the run has got on.
        """
        progress, notes = self.checkpoints.find_newest()
        if not progress:
            self._refuse_lost_checkpoints()
            return [*notes, "no checkpoint yet: the run begins anew."]
        for key in ("epoch", "totals", "best", "epoch_seconds", "seconds"):
            setattr(self, key, progress[key])
        self.position = progress["done"]
        self.saved_recipe = recipes.rebuild(progress["recipe"])
        self.saved_data = progress.get("data_fingerprint", self.saved_data)
        if (rows := len(self.run.history)) < self.epoch:
            notes.append(f"history.csv has {rows} of {self.epoch} epochs.")
        return [*notes, f"going on after {self.step:,} steps."]

    def _refuse_lost_checkpoints(self) -> None:
        """Refuse to begin anew over what a run has left: its first step was saved."""
        folder, run = self.checkpoints.folder, self.run
        epochs = max(len(run.history), int(run.status.get("epoch", 0)))
        left = [f"{epochs} epochs of history"] if epochs else []
        left += sorted(path.name for path in folder.glob("best-*.safetensors"))
        left += sorted(path.name for path in run.path.glob("*.keras"))
        if left:
            raise UserError(
                f"{run.typed_path} cannot go on: checkpoints/step-*.safetensors are"
                f" gone, what is left is {', '.join(left)}. classicnets train"
                f" {run.typed_path}/recipe.toml begins a new run."
            )

    def _save(self) -> None:
        progress = {
            "epoch": self.epoch,
            "done": self.position,
            "totals": self.totals,
            "best": self.best,
            "epoch_seconds": self._epoch_seconds(),
            "seconds": self._seconds(),
            "recipe": vars(self.recipe),
            "data_fingerprint": self.splits.fingerprint,
        }
        self.checkpoints.save(self.step, progress)
        self._saved_at, self._saved_step = time.monotonic(), self.step

    def _save_if_due(self) -> None:
        """Save on schedule, after the last step, and where a signal asks to stop."""
        every = self.recipe.checkpoint_steps
        minutes = (time.monotonic() - self._saved_at) / 60
        is_due = (
            minutes >= self.recipe.checkpoint_minutes
            or (every > 0 and self.step // every > self._saved_step // every)
            or self.is_over
        )
        signal = self.watch.received
        if is_due or signal:
            self._save()
        if signal:
            raise Stopped("", signal)

    def introduce(self, notes: Sequence[str], verbose: bool) -> None:
        """Say what is trained on what, and start the clock."""
        self._started = self._saved_at = self._epoch_started = time.monotonic()
        self._saved_step = self.step
        recipe, splits = self.recipe, self.splits
        steps = recipe.epochs * self.steps
        self.bar = Bar(steps, self.step_size, step=self.step, is_visible=verbose)
        variables = self.task.network.trainable_variables
        parameters = sum(math.prod(variable.shape) for variable in variables)
        names = splits.class_names if recipe.kind.labelled else ()
        classes = f", {len(names)} classes" if names else ""
        self.bar.say(
            f"{recipe.network} with {parameters:,} trained parameters"
            f" on {splits.name}: {len(splits.train):,} {splits.kind} to train on,"
            f" {len(splits.validation):,} to validate{classes}"
        )
        if names:
            self.bar.say(f"classes: {_short(names)}")
        elif recipe.kind.labelled:
            labels = splits.train.labels
            low, high, mean = labels.min(), labels.max(), labels.mean()
            self.bar.say(f"labels: {low:g} to {high:g}, {mean:g} on average")
        self.bar.say(
            f"{keras.backend.backend()} on {engine.device()},"
            f" {recipe.precision}; run folder {self.run.path}"
        )
        for note in notes:
            self.bar.say(note)

    def run_epochs(self) -> None:
        """Train every epoch, stopping early where the recipe or a callback asks."""
        self.task.network.stop_training = False
        self.callbacks.on_train_begin()
        with self.bar, Watch() as self.watch:
            if not self.step:  # whatever comes later, there is a checkpoint
                self._save()
            while not (self.is_over or self.task.network.stop_training):
                self._run_epoch()
        self.callbacks.on_train_end()

    def _waited_enough(self) -> bool:
        patience = self.recipe.early_stopping
        return bool(patience) and self.epoch - self.best["epoch"] >= patience

    def _run_epoch(self) -> None:
        self._epoch_started = time.monotonic()
        self.callbacks.on_epoch_begin(self.epoch)
        row = self._train_epoch() | self._validate()
        self.run.append_history(row)
        self.epoch, self.position = self.epoch + 1, 0
        self.totals, self.epoch_seconds = dict.fromkeys(self.task.logs, 0.0), 0.0
        self._epoch_started = time.monotonic()
        self._save_if_best(row)
        self._save_pictures()
        self.run.set_status("running", epoch=self.epoch, best=self.best)
        logs = {k: v for k, v in row.items() if k != "epoch" and v is not None}
        self.callbacks.on_epoch_end(self.epoch - 1, with_keras_names(logs))
        if self._waited_enough():
            patience = self.recipe.early_stopping
            self.bar.say(f"no better validation for {patience} epochs: stopped.")
        self._save_if_due()

    def _train_epoch(self) -> dict[str, Any]:
        for batches, steps in self._batches():
            self.callbacks.on_train_batch_begin(self.position)
            sums = self.task.train(
                batches, steps, first=self.step, image_size=self._image_size()
            )
            sound = sums.pop("sound")
            if sound < steps:
                self._fail(sums, batches, step=int(sound))
            self.position += steps
            self.totals = {key: self.totals[key] + sums[key] for key in self.totals}
            means = self._means()
            self.callbacks.on_train_batch_end(self.position - 1, means)
            note = "  ".join(
                f"{key.replace('_', ' ')} {value:.3f}" for key, value in means.items()
            )
            self.bar.advance(steps, self._label(), note=note)
            self._save_if_due()
        return {
            "epoch": self.epoch + 1,
            "learning_rate": float(self.rates[(self.epoch + 1) * self.steps - 1]),
            "seconds": self._epoch_seconds(),
            **self._means(),
        }

    def _batches(self) -> Iterator[tuple[dict[str, np.ndarray], int]]:
        """Yield (batches, steps): always `steps_per_call` rows, of which some count."""
        rows = self.recipe.steps_per_call
        shape = (self.steps, *self.task.batch_shape)
        order = self.task.order(self.epoch, math.prod(shape))
        first_step = self.epoch * self.steps
        epoch = {
            "index": order.astype("int32").reshape(shape),
            "learning_rate": self.rates[first_step : first_step + self.steps],
            **self.task.draws(self.steps, self.epoch),
        }
        first = self.position
        while first < self.steps:
            places = np.arange(first, first + rows).clip(max=self.steps - 1)
            batches = {key: value[places] for key, value in epoch.items()}
            # A run's first call is one step: that it has begun is soon visible.
            steps = 1 if first == self.epoch == 0 else min(rows, self.steps - first)
            yield batches, steps
            first += steps

    def _image_size(self) -> int:
        sizes = [s for first, s in self.recipe.progressive_sizes if first <= self.epoch]
        full = self.splits.input_shape[0]
        return sizes[-1] if sizes and sizes[-1] != full else 0

    def _fail(self, sums: dict, batches: dict, *, step: int) -> NoReturn:
        """Say which step of a call went wrong, and on which examples."""
        key = next(key for key, value in sums.items() if not math.isfinite(value))
        rows = batches["index"][step].ravel()
        names = ", ".join(map(str, rows[:_NAMED_ROWS]))
        more = f" and {len(rows) - _NAMED_ROWS} more" * (len(rows) > _NAMED_ROWS)
        raise RunError(
            f"the {key.replace('_', ' ')} is {sums[key]} in epoch {self.epoch + 1},"
            f" step {self.position + step + 1} of it, on the training examples"
            f" {names}{more}: try a lower learning_rate, warmup_epochs, or"
            " gradient_clip."
        )

    def _validate(self) -> dict[str, Any]:
        started = time.monotonic()
        values = self.task.validate(self.epoch)
        text = "  ".join(
            f"{key} {_score(key, value)}"
            for key, value in values.items()
            if value is not None and key != "top5"
        )
        if text:
            self.bar.say(f"{self._label()}  validation  {text}")
        return {
            **{f"validation_{key}": value for key, value in values.items()},
            "validation_seconds": time.monotonic() - started,
            "total_seconds": self._seconds(),
        }

    def _save_if_best(self, row: Mapping[str, Any]) -> None:
        """Save the weights of an epoch that is better than those before it.

        A small validation split is soon answered without a mistake, long before a
        network has learned all it can: of equal scores the lowest loss is best.
        """
        if not self.recipe.kind.best_by:
            return
        key, best_of = self.recipe.kind.best_by
        value, loss = row[f"validation_{key}"], row["validation_loss"]
        best = self.best.get(key, value)
        is_better = (
            value == best_of(value, best)
            if value != best
            else (loss < self.best.get("loss", -math.inf))
        )
        if not self.best["epoch"] or is_better:
            self.best = {key: value, "loss": loss, "epoch": self.epoch}
            with self.task.averages.in_use():
                self.checkpoints.save_best(self.epoch)

    def _save_pictures(self) -> None:
        """Write the task's pictures, every few epochs and in the last one."""
        every, last = self.recipe.sample_epochs, self.recipe.epochs
        if self.epoch % every == 0 or self.epoch == last:
            self.run.save_pictures(self.task.show(), self.epoch)

    def _label(self) -> str:
        return f"epoch {self.epoch + 1}/{self.recipe.epochs}"

    def _means(self) -> dict[str, float]:
        return {key: value / self.position for key, value in self.totals.items()}

    def _epoch_seconds(self) -> float:
        return self.epoch_seconds + time.monotonic() - self._epoch_started

    def _seconds(self) -> float:
        return self.seconds + time.monotonic() - self._started

    def finish(self) -> None:
        """Save the networks and judge them on the validation split."""
        outcome = self._save_networks()
        sampling.write_pictures(self.run, self.splits)
        metrics = evaluation.evaluate(self.run, "validation", splits=self.splits)
        seconds = self._seconds()
        self.run.set_status(
            "finished", epoch=self.epoch, best=self.best, seconds=seconds
        )
        self.bar.say(f"{outcome}{seconds:.0f} s; report {report.write(self.run)}")
        for finding in stands_out(self.run):
            self.bar.say(f"stands out: {finding}")
        if line := rival.advice(self.run, metrics):
            self.bar.say(line)

    def _save_networks(self) -> str:
        """Save the networks of the best epoch, or of the last; say which.

        Of averaged weights and the last ones as they are, those with the better
        validation are the run's; the others are saved beside them.
        """
        network, averages = self.task.network, self.task.averages
        last_weights = [keras.ops.convert_to_numpy(v).copy() for v in network.variables]
        is_last, outcome = self._compare_last()
        if self.recipe.kind.best_by:
            averages.clear()  # the best weights are the averaged ones
            self.checkpoints.restore_best(int(self.best["epoch"]))
        self._save_models("averaged" if is_last else "")
        if self.recipe.ema:
            averages.clear()
            for variable, value in zip(network.variables, last_weights, strict=True):
                variable.assign(value)
            self._save_models("" if is_last else "last")
        return outcome

    def _compare_last(self) -> tuple[bool, str]:
        """Return whether the last weights are better than averaged ones, in words too.

        Without averaging they are not compared.
        """
        best_by, outcome = self.recipe.kind.best_by, ""
        key, best_of = best_by or (self.recipe.kind.scores[0], min)
        score = None
        if best_by:
            epoch, score = int(self.best["epoch"]), self.best[key]
            outcome = f"best epoch {epoch} with validation {key} {_score(key, score)}; "
        elif rows := self.run.history:
            score = rows[-1].get(f"validation_{key}")
        if not self.recipe.ema or score is None:
            return False, outcome
        with self.task.averages.unused():
            last = self.task.validate(self.epoch - 1)[key]
        if last is None or last == score or last != best_of(last, score):
            return False, outcome
        return True, (
            f"the last weights are better than averaged ones: validation {key}"
            f" {_score(key, last)}, not {_score(key, score)}; "
        )

    def _save_models(self, folder: str) -> None:
        for name, model in self.task.plain_models().items():
            self.run.save_model(name, model, folder)


def _short(names: Sequence[str]) -> str:
    """Return the names of classes on a line, the first ones if they are many."""
    shown = [name[:_NAME_LENGTH] for name in names[:_NAMED_CLASSES]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def _score(key: str, value: float) -> str:
    return f"{value:.2%}" if key in kinds.SHARES else f"{value:.3f}"
