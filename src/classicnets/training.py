"""The story of a run: recipe, data, network, task, loop, run folder."""

import dataclasses
import math
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from classicnets import (
    checkpoint,
    data,
    engine,
    environment,
    evaluation,
    networks,
    report,
)
from classicnets import recipe as recipes
from classicnets import run as runs_
from classicnets.errors import RunError, UserError
from classicnets.networks import convert
from classicnets.optimization import learning_rates
from classicnets.progress import Bar
from classicnets.recipe import Recipe
from classicnets.run import Run
from classicnets.tasks import TASKS


def train(
    recipe: str | Path | Recipe,
    *,
    runs: str | Path = "runs",
    name: str | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: bool = True,
    **changes: Any,
) -> Run:
    """Train a network as a recipe says.

    Args:
        recipe: Name of a shipped recipe, path of a TOML file, or a `Recipe`.
        runs: Folder in which the run's folder is made.
        name: Name of the run; the recipe's name by default.
        callbacks: Standard Keras callbacks.
        verbose: Show the progress on stderr.
        **changes: Keys of the recipe to change, such as `epochs=2` or `data="photos"`.

    Returns:
        The finished run: `run.model`, `run.metrics`, `run.evaluate()`.

    Raises:
        UserError: If the recipe, a change or the data are wrong.
        RunError: If the loss is not finite.
    """
    if not isinstance(recipe, Recipe):
        name = name or Path(recipe).stem
        recipe = recipes.load(recipe)
    recipe = recipes.build(dataclasses.asdict(recipe) | changes)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.precision)
    try:
        return _train(recipe, Path(runs), name or recipe.network, callbacks, verbose)
    finally:
        keras.config.set_dtype_policy(policy)


def _train(recipe, runs, name, callbacks, verbose):
    # Keras draws the seeds of initializers and dropout from Python's generator;
    # keras.utils.set_random_seed would import TensorFlow on every backend.
    random.seed(recipe.seed)
    if recipe.deterministic:
        engine.make_deterministic()
    splits = data.load(
        recipe.data,
        validation_fraction=recipe.validation_fraction,
        split_seed=recipe.split_seed,
        image_size=recipe.image_size,
        channels=recipe.channels,
        resize=recipe.resize,
        vocabulary_size=recipe.vocabulary_size,
        skip_top=recipe.skip_top,
        max_tokens=recipe.max_tokens,
        keep_tokens=recipe.keep_tokens,
        text_column=recipe.text_column,
        label_column=recipe.label_column,
        allow_corrupt=recipe.allow_corrupt,
        progress=verbose,
    )
    recipe, notes = _fit_batch(recipe, splits)
    network, fresh = _network(recipe, splits)
    notes += fresh
    try:
        task = TASKS[recipe.task](network, recipe, splits)
    except ValueError as error:
        raise UserError(str(error)) from None
    run = runs_.create(
        runs,
        name,
        recipe.seed,
        recipes.to_toml(recipe),
        environment.describe(splits.fingerprint, engine.device())
        | {"class_names": list(splits.class_names)},
    )
    if splits.tokenizer:
        run.save_text("tokenizer.json", splits.tokenizer.to_str(pretty=True))
    loop = _Loop(run, task, recipe, splits, callbacks, verbose)
    loop.introduce([*splits.notes, *notes])
    run.set_status("running", epoch=0)
    try:
        loop.run_epochs()
    except KeyboardInterrupt:
        run.set_status("stopped", epoch=loop.epoch)
        raise
    except Exception as error:
        run.set_status("failed", epoch=loop.epoch, reason=str(error))
        raise
    loop.finish()
    return run


def _fit_batch(recipe: Recipe, splits: data.Splits) -> tuple[Recipe, list[str]]:
    """Make the batch no larger than the training split."""
    examples = len(splits.train)
    if recipe.batch_size <= examples:
        return recipe, []
    note = f"batch_size {recipe.batch_size} is more than the data: {examples} instead."
    return dataclasses.replace(recipe, batch_size=examples), [note]


def _network(recipe: Recipe, splits: data.Splits) -> tuple[keras.Model, list[str]]:
    """Build the network, on given weights if the recipe has some; and say what fits."""
    fresh: list[str] = []
    if recipe.freeze and not recipe.weights:
        raise UserError("freeze trains the head alone, so it needs weights = FILE.")
    try:
        network = networks.create(
            recipe.network,
            splits.input_shape,
            len(splits.class_names),
            **recipe.network_options | splits.network_options,
        )
        if recipe.weights:
            fresh = convert.load_weights(network, recipe.weights)
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from None
    if recipe.freeze:
        # Layers that the weights do not fit are random: frozen, they would stay so.
        convert.freeze(network, trained=tuple(fresh) or ("logits",))
    return network, [f"{name} starts anew: the weights do not fit" for name in fresh]


class _Loop:
    """The epochs of one run and what they leave in its folder."""

    def __init__(self, run, task, recipe, splits, callbacks, verbose):
        self.run, self.task, self.recipe, self.splits = run, task, recipe, splits
        self.examples = len(splits.train)
        # The rest of an epoch's order is left out; it is another rest every epoch.
        self.steps = self.examples // recipe.batch_size
        self.rates = learning_rates(recipe, self.steps)
        self.callbacks = keras.callbacks.CallbackList(
            list(callbacks), model=task.network
        )
        self.callbacks.set_params({"epochs": recipe.epochs, "steps": self.steps})
        self.bar = Bar(recipe.epochs * self.steps, recipe.batch_size, shown=verbose)
        self.epoch = 0
        self.best: dict[str, float] = {"top1": -1.0, "epoch": 0}
        self.saved_at = time.monotonic()
        self.started = time.monotonic()

    def introduce(self, notes):
        """Say what is trained on what."""
        parameters = sum(
            math.prod(v.shape) for v in self.task.network.trainable_variables
        )
        self.bar.say(
            f"{self.recipe.network} with {parameters:,} trained parameters"
            f" on {self.splits.name}: {self.examples:,} {self.splits.kind} to train on,"
            f" {len(self.splits.validation):,} to validate,"
            f" {len(self.splits.class_names)} classes"
        )
        self.bar.say(
            f"{keras.backend.backend()} on {engine.device()},"
            f" {self.recipe.precision}; run folder {self.run.path}"
        )
        for note in notes:
            self.bar.say(note)

    def run_epochs(self):
        """Train every epoch, stopping early where the recipe or a callback asks."""
        self.task.network.stop_training = False
        self.callbacks.on_train_begin()
        with self.bar:
            for epoch in range(self.recipe.epochs):
                self.epoch = epoch
                self.callbacks.on_epoch_begin(self.epoch)
                row = self._train_epoch() | self._validate()
                self.run.append_history(row)
                self._keep(row)
                logs = {k: v for k, v in row.items() if k != "epoch"}
                self.callbacks.on_epoch_end(self.epoch, logs)
                patience = self.recipe.early_stopping
                if patience and self.epoch + 1 - self.best["epoch"] >= patience:
                    self.bar.say(
                        f"no better validation for {patience} epochs: stopped."
                    )
                    break
                if self.task.network.stop_training:
                    break
        self.callbacks.on_train_end()

    def _train_epoch(self):
        started = time.monotonic()
        totals = {"loss": 0.0, "accuracy": 0.0}
        done = 0
        for batches, steps in self._batches():
            self.callbacks.on_train_batch_begin(done)
            sums = self.task.train(batches, steps, self._image_size())
            done += steps
            totals = {key: totals[key] + value for key, value in sums.items()}
            self._check(totals["loss"], done)
            means = {key: value / done for key, value in totals.items()}
            self.callbacks.on_train_batch_end(done - 1, means)
            label = f"epoch {self.epoch + 1}/{self.recipe.epochs}"
            self.bar.advance(steps, label, f"loss {means['loss']:.3f}")
        return {
            "epoch": self.epoch + 1,
            "learning_rate": float(self.rates[(self.epoch + 1) * self.steps - 1]),
            "seconds": time.monotonic() - started,
            **means,
        }

    def _batches(self):
        """Yield (batches, steps): always `steps_per_call` rows, of which some count."""
        recipe, rows = self.recipe, self.recipe.steps_per_call
        order = self.task.order(self.epoch, self.steps * recipe.batch_size)
        first_step = self.epoch * self.steps
        epoch = {
            "index": order.astype("int32").reshape(self.steps, recipe.batch_size),
            "learning_rate": self.rates[first_step : first_step + self.steps],
            **self.task.draws(self.steps, self.epoch),
        }
        for first in range(0, self.steps, rows):
            taken = np.arange(first, first + rows).clip(max=self.steps - 1)
            batches = {key: value[taken] for key, value in epoch.items()}
            yield batches, min(rows, self.steps - first)

    def _image_size(self):
        sizes = [s for first, s in self.recipe.progressive_sizes if first <= self.epoch]
        full = self.splits.input_shape[0]
        return sizes[-1] if sizes and sizes[-1] != full else 0

    def _check(self, loss, step):
        if not math.isfinite(loss):
            raise RunError(
                f"the loss is {loss} in epoch {self.epoch + 1}, at or before step"
                f" {step}: try a lower learning_rate, warmup_epochs, or gradient_clip."
            )

    def _validate(self):
        started = time.monotonic()
        values = self.task.validate()
        self.bar.say(
            f"epoch {self.epoch + 1}/{self.recipe.epochs}  validation"
            f" loss {values['loss']:.3f}  top-1 {values['top1']:.2%}"
        )
        return {
            **{f"validation_{key}": value for key, value in values.items()},
            "validation_seconds": time.monotonic() - started,
            "total_seconds": time.monotonic() - self.started,
        }

    def _keep(self, row):
        """Save the best weights, and the whole state on schedule."""
        folder = self.run.path / "checkpoints"
        last = self.epoch + 1 == self.recipe.epochs
        if row["validation_top1"] > self.best["top1"]:
            self.best = {"top1": row["validation_top1"], "epoch": self.epoch + 1}
            with self.task.averaged_weights():
                weights = self.task.network.variables
                checkpoint.write(folder / "best.safetensors", weights, self.best)
        if (
            last
            or time.monotonic() - self.saved_at > self.recipe.checkpoint_minutes * 60
        ):
            progress = {"epochs_done": self.epoch + 1, "best": self.best}
            checkpoint.write(folder / "last.safetensors", self.task.state, progress)
            self.saved_at = time.monotonic()
        self.run.set_status("running", epoch=self.epoch + 1, best=self.best)

    def finish(self):
        """Export the best weights and judge them on the validation split."""
        best = self.run.path / "checkpoints" / "best.safetensors"
        self.task.averages = []  # the best weights are the averaged ones
        checkpoint.restore(best, self.task.network.variables)
        model = self.task.export()
        _save_model(model, self.run.path / "model.keras")
        seconds = time.monotonic() - self.started
        self.run.set_status(
            "finished", epoch=self.epoch + 1, best=self.best, seconds=seconds
        )
        evaluation.evaluate(self.run, "validation", splits=self.splits)
        page = report.write(self.run)
        self.bar.say(
            f"best epoch {self.best['epoch']} with validation top-1"
            f" {self.best['top1']:.2%}; {seconds:.0f} s; report {page}"
        )


def _save_model(model: keras.Model, path: Path) -> None:
    """Write a .keras file whole or not at all."""
    temporary = path.with_name(".model.keras")
    model.save(temporary)
    temporary.replace(path)
