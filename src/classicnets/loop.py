"""The epochs of one run, and what they leave in its folder."""

import math
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from classicnets import engine
from classicnets import recipe as recipes
from classicnets.data import Splits
from classicnets.errors import RunError, Stopped
from classicnets.inference import evaluation, sampling
from classicnets.optimization import learning_rates
from classicnets.recipe import Recipe
from classicnets.reports import report
from classicnets.runs.checkpoint import Checkpoints
from classicnets.runs.run import Run
from classicnets.terminal import Bar, Watch

_NAMED_ROWS = 8  # of the examples of a step that went wrong


class Loop:
    """A training in progress.

    Attributes:
        epoch: Epochs done, each with its row in history.csv.
        done: Steps done of the next one, and `totals` the sums over them.
        best: The best epoch, from 1 on (0: none yet), and its validation score.
    """

    def __init__(
        self,
        run: Run,
        task: Any,
        recipe: Recipe,
        splits: Splits,
        callbacks: Sequence[keras.callbacks.Callback],
        verbose: bool,
    ):
        self.run, self.task, self.recipe, self.splits = run, task, recipe, splits
        self.examples = len(splits.train)
        # The rest of an epoch's order is left out; it is another rest every epoch.
        self.batch = math.prod(task.batch_shape)
        self.steps = self.examples // self.batch
        self.rates = learning_rates(recipe, self.steps)
        self.callbacks = keras.callbacks.CallbackList(
            list(callbacks), model=task.network
        )
        self.callbacks.set_params({"epochs": recipe.epochs, "steps": self.steps})
        self.checkpoints = Checkpoints(
            run.path / "checkpoints", task.state, task.network.variables
        )
        self.verbose = verbose
        self.epoch = self.done = 0
        self.totals = dict.fromkeys(task.logs, 0.0)
        self.best: dict[str, float] = {"epoch": 0}
        self.epoch_seconds = self.seconds = 0.0  # of earlier processes
        self._recipe_was = recipe

    @property
    def step(self) -> int:
        """Steps done since the start of the training."""
        return self.epoch * self.steps + self.done

    # -- going on ------------------------------------------------------------

    def find(self) -> list[str]:
        """Find the newest whole checkpoint, for `restore`; say what was found."""
        progress, notes = self.checkpoints.find()
        if not progress:
            return [*notes, "no checkpoint yet: the run begins anew."]
        for key in ("epoch", "done", "totals", "best", "epoch_seconds", "seconds"):
            setattr(self, key, progress[key])
        self._recipe_was = recipes.build(progress["recipe"])
        return [*notes, f"going on after {self.step:,} steps."]

    def restore(self) -> None:
        """Give the task's variables the values of the checkpoint that was found."""
        self.checkpoints.restore()

    @property
    def is_over(self) -> bool:
        """Whether no epoch is left."""
        return self.epoch >= self.recipe.epochs or self._waited_enough()

    def changed_keys(self) -> dict[str, tuple[Any, Any]]:
        """Return key -> (value of the checkpoint, value now) of what differs."""
        was, now = vars(self._recipe_was), vars(self.recipe)
        return {key: (was[key], now[key]) for key in was if was[key] != now[key]}

    def _save(self) -> None:
        progress = {
            "epoch": self.epoch,
            "done": self.done,
            "totals": self.totals,
            "best": self.best,
            "epoch_seconds": self._epoch_seconds(),
            "seconds": self._seconds(),
            "recipe": vars(self.recipe),
        }
        self.checkpoints.save(self.step, progress)
        self._saved_at, self._saved_step = time.monotonic(), self.step

    def _save_if_due(self) -> None:
        """Save on schedule, after the last step, and where a signal asks to stop."""
        every = self.recipe.checkpoint_steps
        minutes = (time.monotonic() - self._saved_at) / 60
        due = (
            minutes >= self.recipe.checkpoint_minutes
            or (every and self.step // every > self._saved_step // every)
            or self.is_over
        )
        signal = self.watch.received
        if due or signal:
            self._save()
        if signal:
            raise Stopped("", signal)

    # -- the epochs ----------------------------------------------------------

    def introduce(self, notes: Sequence[str]) -> None:
        """Say what is trained on what, and start the clock."""
        self._started = self._saved_at = time.monotonic()
        self._saved_step = self.step
        self.bar = Bar(
            self.recipe.epochs * self.steps, self.batch, self.step, self.verbose
        )
        parameters = sum(
            math.prod(v.shape) for v in self.task.network.trainable_variables
        )
        classes = len(self.splits.class_names)
        self.bar.say(
            f"{self.recipe.network} with {parameters:,} trained parameters"
            f" on {self.splits.name}: {self.examples:,} {self.splits.kind} to train on,"
            f" {len(self.splits.validation):,} to validate"
            + (f", {classes} classes" if self.recipe.kind.labelled else "")
        )
        self.bar.say(
            f"{keras.backend.backend()} on {engine.device()},"
            f" {self.recipe.precision}; run folder {self.run.path}"
        )
        for note in notes:
            self.bar.say(note)

    def run_epochs(self) -> None:
        """Train every epoch, stopping early where the recipe or a callback asks."""
        self.task.network.stop_training = False
        self.callbacks.on_train_begin()
        with self.bar, Watch() as self.watch:
            while not (self.is_over or self.task.network.stop_training):
                self._run_epoch()
        self.callbacks.on_train_end()

    def _waited_enough(self) -> bool:
        patience = self.recipe.early_stopping
        return bool(patience) and self.epoch - self.best["epoch"] >= patience

    def _run_epoch(self):
        self._epoch_started = time.monotonic()
        self.callbacks.on_epoch_begin(self.epoch)
        row = self._train_epoch() | self._validate()
        self.run.append_history(row)
        self.epoch, self.done = self.epoch + 1, 0
        self.totals, self.epoch_seconds = dict.fromkeys(self.task.logs, 0.0), 0.0
        self._epoch_started = time.monotonic()
        self._keep_best(row)
        self._show()
        self.run.set_status("running", epoch=self.epoch, best=self.best)
        logs = {k: v for k, v in row.items() if k != "epoch" and v is not None}
        self.callbacks.on_epoch_end(self.epoch - 1, logs)
        if self._waited_enough():
            patience = self.recipe.early_stopping
            self.bar.say(f"no better validation for {patience} epochs: stopped.")
        self._save_if_due()

    def _train_epoch(self):
        for batches, steps in self._batches():
            self.callbacks.on_train_batch_begin(self.done)
            sums = self.task.train(
                batches, steps, first=self.step, image_size=self._image_size()
            )
            sound = sums.pop("sound")
            if sound < steps:
                self._fail(sums, batches, sound)
            self.done += steps
            self.totals = {key: self.totals[key] + sums[key] for key in self.totals}
            means = self._means()
            self.callbacks.on_train_batch_end(self.done - 1, means)
            shown = "  ".join(
                f"{key.replace('_', ' ')} {value:.3f}" for key, value in means.items()
            )
            label = f"epoch {self.epoch + 1}/{self.recipe.epochs}"
            self.bar.advance(steps, label, shown)
            self._save_if_due()
        return {
            "epoch": self.epoch + 1,
            "learning_rate": float(self.rates[(self.epoch + 1) * self.steps - 1]),
            "seconds": self._epoch_seconds(),
            **self._means(),
        }

    def _batches(self):
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
        first = self.done
        while first < self.steps:
            taken = np.arange(first, first + rows).clip(max=self.steps - 1)
            batches = {key: value[taken] for key, value in epoch.items()}
            # A run's first call is one step: that it has begun is soon seen.
            steps = 1 if first == self.epoch == 0 else min(rows, self.steps - first)
            yield batches, steps
            first += steps

    def _image_size(self):
        sizes = [s for first, s in self.recipe.progressive_sizes if first <= self.epoch]
        full = self.splits.input_shape[0]
        return sizes[-1] if sizes and sizes[-1] != full else 0

    def _fail(self, sums, batches, sound):
        """Say which step went wrong, and on which examples."""
        wrong = [key for key, value in sums.items() if not math.isfinite(value)]
        key, value = wrong[0], sums[wrong[0]]
        rows = batches["index"][sound].ravel()
        named = ", ".join(map(str, rows[:_NAMED_ROWS]))
        more = f" and {len(rows) - _NAMED_ROWS} more" * (len(rows) > _NAMED_ROWS)
        raise RunError(
            f"the {key.replace('_', ' ')} is {value} in epoch {self.epoch + 1}, step"
            f" {self.done + sound + 1} of it, on the training examples {named}{more}:"
            " try a lower learning_rate, warmup_epochs, or gradient_clip."
        )

    def _validate(self):
        started = time.monotonic()
        values = self.task.validate(self.epoch)
        told = "  ".join(
            f"{key} {_told(key, value)}"
            for key, value in values.items()
            if value is not None and key != "top5"
        )
        if told:
            self.bar.say(
                f"epoch {self.epoch + 1}/{self.recipe.epochs}  validation  {told}"
            )
        return {
            **{f"validation_{key}": value for key, value in values.items()},
            "validation_seconds": time.monotonic() - started,
            "total_seconds": self._seconds(),
        }

    def _keep_best(self, row):
        """Save the weights of an epoch that is better than those before it."""
        if not self.recipe.kind.chosen:
            return
        key, best_of = self.recipe.kind.chosen
        value = row[f"validation_{key}"]
        known = self.best.get(key, value)
        if not self.best["epoch"] or (
            value != known and value == best_of(value, known)
        ):
            self.best = {key: value, "epoch": self.epoch}
            with self.task.averages.in_use():
                self.checkpoints.save_best(self.epoch)

    def _show(self):
        """Write the task's pictures, every few epochs and in the last one."""
        last = self.epoch == self.recipe.epochs
        if self.epoch % self.recipe.sample_epochs == 0 or last:
            self.run.save_pictures(self.task.show(), self.epoch)

    def _means(self):
        return {key: value / self.done for key, value in self.totals.items()}

    def _epoch_seconds(self):
        return self.epoch_seconds + time.monotonic() - self._epoch_started

    def _seconds(self):
        return self.seconds + time.monotonic() - self._started

    # -- the end -------------------------------------------------------------

    def finish(self) -> None:
        """Export the networks and judge them on the validation split."""
        if self.recipe.kind.chosen:
            self.task.averages.clear()  # the best weights are the averaged ones
            self.checkpoints.restore_best(int(self.best["epoch"]))
        for name, model in self.task.plain_models().items():
            self.run.save_model(name, model)
        sampling.write_pictures(self.run, self.splits)
        evaluation.evaluate(self.run, "validation", splits=self.splits)
        seconds = self._seconds()
        self.run.set_status(
            "finished", epoch=self.epoch, best=self.best, seconds=seconds
        )
        page = report.write(self.run)
        self.bar.say(f"{self._outcome()}{seconds:.0f} s; report {page}")

    def _outcome(self):
        if not self.recipe.kind.chosen:
            return ""
        key, _ = self.recipe.kind.chosen
        value = _told(key, self.best[key])
        return f"best epoch {self.best['epoch']} with validation {key} {value}; "


def _told(key: str, value: float) -> str:
    return f"{value:.2%}" if key.startswith("top") else f"{value:.3f}"
