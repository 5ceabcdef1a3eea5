"""The story of a run: recipe, data, network, task, loop, run folder."""

import contextlib
import dataclasses
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras

from classicnets import data, engine, networks
from classicnets import recipe as recipes
from classicnets.errors import RunError, Stopped, UserError
from classicnets.loop import Loop
from classicnets.recipe import Recipe
from classicnets.runs import environment, new, resuming
from classicnets.runs.run import Run
from classicnets.tasks import TASKS, Task
from classicnets.weights import loading


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
        RunError: If the loss is not finite, or the disk is full.
        Stopped: On Ctrl-C or SIGTERM, after the step; `resume` goes on from there.
    """
    if not isinstance(recipe, Recipe):
        name = name or Path(recipe).stem
        recipe = recipes.load(recipe)
    recipe = recipes.change(recipe, changes)
    with _precision(recipe.precision):
        recipe, splits, task, notes = _prepare(recipe, verbose)
        run = new.create(
            runs,
            name or recipe.network,
            recipe,
            environment=_describe(splits) | {"class_names": list(splits.class_names)},
        )
        _save_tokenizer(run, splits)
        with run.locked():
            loop = Loop(run, task, recipe=recipe, splits=splits, callbacks=callbacks)
            return _run(loop, [*splits.notes, *notes], verbose=verbose)


def resume(
    run: str | Path | Run,
    *,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: bool = True,
    allow_changed: Sequence[str] = (),
    **changes: Any,
) -> Run:
    """Go on with a run where its newest whole checkpoint was written.

    On the same machine and backend the weights become, bit for bit, those of a run that
    was never stopped, if its recipe has `deterministic = true`.

    Args:
        run: The run, or its folder.
        callbacks: Standard Keras callbacks; their own state starts anew.
        verbose: Show the progress on stderr.
        allow_changed: Which of "recipe", "data" and "backend" may differ from those
            that the run began with.
        **changes: Keys of the recipe to change: `epochs` and others of
            `resuming.HARMLESS`.

    Raises:
        UserError: If the run is finished, or is being trained, or anything changed that
            must not; if no checkpoint is whole.
        RunError, Stopped: As `train`.
    """
    run = run if isinstance(run, Run) else Run(run)
    with run.locked():
        recipe = recipes.change(recipes.reopen(run.path / "recipe.toml"), changes)
        # Needed after an epoch and at the end: what is wrong with them is said now.
        _ = run.history, run.metrics
        with _precision(recipe.precision):
            recipe, splits, task, notes = _prepare(recipe, verbose, run.tokenizer)
            loop = Loop(run, task, recipe=recipe, splits=splits, callbacks=callbacks)
            notes += loop.find_checkpoint()
            resuming.check(
                run, splits, before=loop.saved_recipe, now=recipe, allowed=allow_changed
            )
            _check_unfinished(run, loop)
            loop.checkpoints.restore()
            _save_resuming(run, loop, splits)
            return _run(loop, notes, verbose=verbose)


def _run(loop: Loop, notes: list[str], *, verbose: bool) -> Run:
    """Run the loop to its end; say in the folder how it ended otherwise."""
    run, go_on = loop.run, f"classicnets resume {loop.run.typed_path}"
    try:
        loop.checkpoints.check_space(2)
        loop.introduce(notes, verbose)
        run.set_status("running", epoch=loop.epoch)
        loop.run_epochs()
        loop.finish()
    except KeyboardInterrupt as error:
        with contextlib.suppress(OSError, UserError):
            run.set_status("stopped", epoch=loop.epoch)
        number = error.signal if isinstance(error, Stopped) else 2
        where = f"stopped after {loop.step:,} steps"
        raise Stopped(f"{where}; go on with: {go_on}", number) from None
    except Exception as error:
        # A full disk may hold no status either.
        with contextlib.suppress(OSError, UserError):
            run.set_status("failed", epoch=loop.epoch, reason=str(error))
        if isinstance(error, OSError):
            file = f" {error.filename}" if error.filename else ""
            raise RunError(
                f"{error.strerror or error}:{file}. The checkpoints are whole; once"
                f" that is mended, go on with: {go_on}"
            ) from error
        raise
    return run


@contextlib.contextmanager
def _precision(policy: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _describe(splits: data.Splits) -> dict[str, Any]:
    """Return what the run depends on, for environment.json."""
    return environment.describe(splits.fingerprint, engine.device()) | {
        "train_examples": len(splits.train),
        "validation_examples": len(splits.validation),
    }


def _save_resuming(run: Run, loop: Loop, splits: data.Splits) -> None:
    """Say in the folder where and how the run goes on."""
    now = _describe(splits)
    # Written anew if somebody removed it, as is tokenizer.json below.
    names = {"class_names": list(splits.class_names)}
    began = names | (run.environment or now)
    resumed = [*began.get("resumed", []), {"step": loop.step, **now}]
    run.save_json("environment.json", began | {"resumed": resumed})
    run.save_text("recipe.toml", recipes.to_toml(loop.recipe))
    _save_tokenizer(run, splits)


def _save_tokenizer(run: Run, splits: data.Splits) -> None:
    if splits.tokenizer:
        run.save_text("tokenizer.json", splits.tokenizer.to_str(pretty=True))


def _prepare(
    recipe: Recipe, verbose: bool, tokenizer: Any = None
) -> tuple[Recipe, data.Splits, Task, list[str]]:
    """Load the data and build the network and its task, with its seed's weights."""
    # Keras draws the seeds of initializers and dropout from Python's generator;
    # keras.utils.set_random_seed would import TensorFlow on every backend.
    random.seed(recipe.seed)
    if recipe.deterministic:
        engine.make_deterministic()
    networks.check_options(recipe.network, recipe.network_options)
    if recipe.weights:  # a wrong path is refused before the data are decoded
        loading.check_file(recipe.weights)
    options = data.from_recipe(recipe, tokenizer=tokenizer, progress=verbose)
    splits = data.load(recipe.data, options)
    recipes.check_inputs(recipe, splits.inputs, splits.name)
    recipe, notes = _fit_batch(recipe, splits)
    try:
        network, fresh = _network(recipe, splits)
        # Those of a run that goes on are in its checkpoint.
        if recipe.word_vectors and tokenizer is None:
            _start_with_word_vectors(network, splits)
        task = TASKS[recipe.task](network, recipe, splits)
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from None
    flags = environment.processor_flags()
    notes += _slow_precision(recipe, engine.device(), flags=flags)
    return recipe, splits, task, notes + fresh


def _check_unfinished(run: Run, loop: Loop) -> None:
    """Refuse to train a finished run again."""
    if (loop.step and not loop.is_over) or run.status.get("state") != "finished":
        return
    raise UserError(
        f"{run.name} has been trained for all of its {loop.recipe.epochs} epochs"
        + (": --set epochs=N adds some." if loop.step else ", no checkpoint is left.")
    )


def _fit_batch(recipe: Recipe, splits: data.Splits) -> tuple[Recipe, list[str]]:
    """Make the batches of a step no larger than the training split."""
    most = len(splits.train) // recipe.critic_steps
    if recipe.batch_size <= most:
        return recipe, []
    if not most:
        raise UserError(
            f"critic_steps {recipe.critic_steps} need as many images,"
            f" {splits.name} has {len(splits.train)} to train on."
        )
    note = f"batch_size {recipe.batch_size} is more than the data: {most} instead."
    return dataclasses.replace(recipe, batch_size=most), [note]


def _slow_precision(recipe: Recipe, device: str, *, flags: Sequence[str]) -> list[str]:
    """Return a note where bfloat16 takes many times as long as float32."""
    if "bfloat16" not in recipe.precision or device != "CPU":
        return []
    if not flags or environment.has_bfloat16_units(flags):
        return []
    return [
        f"precision {recipe.precision}: this processor has no fast units for"
        " bfloat16, --set precision=float32 may be many times faster."
    ]


def _start_with_word_vectors(network: Any, splits: data.Splits) -> None:
    """Let the embedding start from the training texts (`data.word_vectors`)."""
    table = network.get_layer("embedding").embeddings
    table.assign(data.word_vectors(splits.train, *table.shape))


def _network(recipe: Recipe, splits: data.Splits) -> tuple[Any, list[str]]:
    """Build the network, or the pair of a GAN; note what the weights do not fit."""
    options = recipe.network_options | splits.network_options
    if splits.inputs == recipes.TEXTS and not networks.reads_texts(recipe.network):
        raise UserError(f"{recipe.network} takes images, {splits.name} has texts.")
    if recipe.weights and splits.inputs == recipes.TEXTS:
        # Another vocabulary has other numbers for the same words.
        raise UserError(f"weights are for images, and {splits.name} has texts.")
    network = networks.build(
        recipe.network, splits.input_shape, len(splits.class_names), **options
    )
    if not recipe.weights:
        return network, []
    fresh = loading.load_weights(network, recipe.weights)
    if recipe.freeze:
        # Layers that the weights do not fit are random: frozen, they would stay so.
        loading.freeze(network, trained=tuple(fresh) or ("logits",))
    return network, [f"{name} starts anew: the weights do not fit" for name in fresh]
