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
    sampling,
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
        labelled=recipe.task == "classify",
        allow_corrupt=recipe.allow_corrupt,
        progress=verbose,
    )
    recipe, notes = _fit_batch(recipe, splits)
    try:
        network, fresh = _network(recipe, splits)
        task = TASKS[recipe.task](network, recipe, splits)
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from None
    notes += fresh
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
    """Make the batches of a step no larger than the training split."""
    turns = recipe.critic_steps if recipe.task == "generate" else 1
    most = len(splits.train) // turns
    if recipe.batch_size <= most:
        return recipe, []
    if not most:
        raise UserError(
            f"critic_steps {recipe.critic_steps} need as many images,"
            f" {splits.name} has {len(splits.train)} to train on."
        )
    note = f"batch_size {recipe.batch_size} is more than the data: {most} instead."
    return dataclasses.replace(recipe, batch_size=most), [note]


def _network(recipe: Recipe, splits: data.Splits) -> tuple[Any, list[str]]:
    """Build the network, or the pair of a GAN; and say what fits given weights."""
    options = recipe.network_options | splits.network_options
    needed = networks.task(recipe.network)
    if needed != recipe.task:
        raise UserError(
            f"{recipe.network} is for the task {needed}, got task {recipe.task}."
        )
    if recipe.task != "classify":
        if recipe.weights or recipe.freeze:
            raise UserError("weights and freeze are for classifiers.")
        if splits.on_texts:
            raise UserError(f"{recipe.network} makes images, {splits.name} has texts.")
    if recipe.task == "generate":
        shape = splits.train.inputs.shape[1:]
        pair = networks.create_pair(recipe.network, shape, **options)
        return pair, []
    if recipe.task == "reconstruct":
        built = networks.create(recipe.network, splits.input_shape, **options)
        return built, []
    if recipe.freeze and not recipe.weights:
        raise UserError("freeze trains the head alone, so it needs weights = FILE.")
    fresh: list[str] = []
    network = networks.create(
        recipe.network, splits.input_shape, len(splits.class_names), **options
    )
    if recipe.weights:
        fresh = convert.load_weights(network, recipe.weights)
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
        batch = math.prod(task.batch_shape)
        self.steps = self.examples // batch
        self.rates = learning_rates(recipe, self.steps)
        self.callbacks = keras.callbacks.CallbackList(
            list(callbacks), model=task.network
        )
        self.callbacks.set_params({"epochs": recipe.epochs, "steps": self.steps})
        self.bar = Bar(recipe.epochs * self.steps, batch, shown=verbose)
        self.epoch = 0
        self.best: dict[str, float] = {"epoch": 0}
        self.saved_at = time.monotonic()
        self.started = time.monotonic()

    def introduce(self, notes):
        """Say what is trained on what."""
        parameters = sum(
            math.prod(v.shape) for v in self.task.network.trainable_variables
        )
        classes = len(self.splits.class_names)
        self.bar.say(
            f"{self.recipe.network} with {parameters:,} trained parameters"
            f" on {self.splits.name}: {self.examples:,} {self.splits.kind} to train on,"
            f" {len(self.splits.validation):,} to validate"
            + (f", {classes} classes" if self.recipe.task == "classify" else "")
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
                self._show()
                logs = {k: v for k, v in row.items() if k != "epoch" and v is not None}
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
        totals = dict.fromkeys(self.task.logs, 0.0)
        done = 0
        for batches, steps in self._batches():
            self.callbacks.on_train_batch_begin(done)
            first = self.epoch * self.steps + done
            sums = self.task.train(
                batches, steps, first=first, image_size=self._image_size()
            )
            done += steps
            totals = {key: totals[key] + value for key, value in sums.items()}
            self._check(totals, done)
            means = {key: value / done for key, value in totals.items()}
            self.callbacks.on_train_batch_end(done - 1, means)
            label = f"epoch {self.epoch + 1}/{self.recipe.epochs}"
            shown = "  ".join(
                f"{key.replace('_', ' ')} {value:.3f}" for key, value in means.items()
            )
            self.bar.advance(steps, label, shown)
        return {
            "epoch": self.epoch + 1,
            "learning_rate": float(self.rates[(self.epoch + 1) * self.steps - 1]),
            "seconds": time.monotonic() - started,
            **means,
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
        for first in range(0, self.steps, rows):
            taken = np.arange(first, first + rows).clip(max=self.steps - 1)
            batches = {key: value[taken] for key, value in epoch.items()}
            yield batches, min(rows, self.steps - first)

    def _image_size(self):
        sizes = [s for first, s in self.recipe.progressive_sizes if first <= self.epoch]
        full = self.splits.input_shape[0]
        return sizes[-1] if sizes and sizes[-1] != full else 0

    def _check(self, totals, step):
        for key, value in totals.items():
            if not math.isfinite(value):
                raise RunError(
                    f"the {key.replace('_', ' ')} is {value} in epoch {self.epoch + 1},"
                    f" at or before step {step}: try a lower learning_rate,"
                    " warmup_epochs, or gradient_clip."
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
            "total_seconds": time.monotonic() - self.started,
        }

    def _keep(self, row):
        """Save the best weights, and the whole state on schedule."""
        folder = self.run.path / "checkpoints"
        last = self.epoch + 1 == self.recipe.epochs
        if self.task.chosen:
            key, best_of = self.task.chosen
            value = row[f"validation_{key}"]
            known = self.best.get(key, value)
            if not self.best["epoch"] or (
                value != known and value == best_of(value, known)
            ):
                self.best = {key: value, "epoch": self.epoch + 1}
                with self.task.averages.in_use():
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

    def _show(self):
        """Write the task's pictures, every few epochs and in the last one."""
        done = self.epoch + 1
        if done % self.recipe.sample_epochs == 0 or done == self.recipe.epochs:
            self.run.save_pictures(self.task.show(), done)

    def finish(self):
        """Export the networks and judge them on the validation split."""
        if self.task.chosen:
            best = self.run.path / "checkpoints" / "best.safetensors"
            self.task.averages.clear()  # the best weights are the averaged ones
            checkpoint.restore(best, self.task.network.variables)
        for name, model in self.task.export().items():
            _save_model(model, self.run.path / f"{name}.keras")
        seconds = time.monotonic() - self.started
        self.run.set_status(
            "finished", epoch=self.epoch + 1, best=self.best, seconds=seconds
        )
        if self.recipe.task != "classify":
            sampling.write_pictures(self.run, self.splits)
        evaluation.evaluate(self.run, "validation", splits=self.splits)
        page = report.write(self.run)
        self.bar.say(f"{self._outcome()}{seconds:.0f} s; report {page}")

    def _outcome(self):
        if not self.task.chosen:
            return ""
        key, _ = self.task.chosen
        value = _told(key, self.best[key])
        return f"best epoch {self.best['epoch']} with validation {key} {value}; "


def _told(key: str, value: float) -> str:
    return f"{value:.2%}" if key.startswith("top") else f"{value:.3f}"


def _save_model(model: keras.Model, path: Path) -> None:
    """Write a .keras file whole or not at all."""
    temporary = path.with_name(f".{path.name}")
    model.save(temporary)
    temporary.replace(path)
