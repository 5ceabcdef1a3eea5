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
from classicnets.runs import environment
from classicnets.runs import run as runs_
from classicnets.runs.run import Run
from classicnets.tasks import TASKS
from classicnets.weights import loading

# What may be changed where a training goes on: none of it decides what is learned next.
HARMLESS = (
    *("epochs", "early_stopping", "sample_epochs", "evaluation_batch_size"),
    *("checkpoint_minutes", "checkpoint_steps"),
)

_NAMED_CLASSES = 4  # of those that changed


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
        run = runs_.create(
            Path(runs),
            name or recipe.network,
            recipe.seed,
            recipes.to_toml(recipe),
            _describe(splits) | {"class_names": list(splits.class_names)},
        )
        _save_tokenizer(run, splits)
        with run.locked():
            loop = Loop(run, task, recipe, splits, callbacks, verbose)
            return _run(loop, [*splits.notes, *notes])


def resume(
    run: str | Path | Run,
    *,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: bool = True,
    allow_changed: Sequence[str] = (),
    **changes: Any,
) -> Run:
    """Go on with a run where its newest whole checkpoint was written.

    On the same machine and backend the weights become, bit for bit, those of a training
    that was never stopped, if its recipe has `deterministic = true`.

    Args:
        run: The run, or its folder.
        callbacks: Standard Keras callbacks; their own state starts anew.
        verbose: Show the progress on stderr.
        allow_changed: Which of "recipe", "data" and "backend" may differ from those
            that the training began with.
        **changes: Keys of the recipe to change: `epochs` and others of `HARMLESS`.

    Raises:
        UserError: If the run is finished, or is being trained, or anything changed that
            must not; if no checkpoint is whole.
        RunError, Stopped: As `train`.
    """
    run = run if isinstance(run, Run) else Run(run)
    with run.locked():
        recipe = recipes.change(recipes.reopen(run.path / "recipe.toml"), changes)
        # Needed after an epoch and at the end: what is wrong with them is told now.
        _ = run.history, run.metrics
        with _precision(recipe.precision):
            recipe, splits, task, notes = _prepare(recipe, verbose, run.tokenizer)
            loop = Loop(run, task, recipe, splits, callbacks, verbose)
            notes += loop.find()
            _check_unchanged(run, loop, splits, allow_changed)
            _check_unfinished(run, loop)
            loop.restore()
            described = _describe(splits)
            # Written anew if somebody removed it, as is tokenizer.json below.
            names = {"class_names": list(splits.class_names)}
            known = names | (run.environment or described)
            resumed = [*known.get("resumed", []), {"step": loop.step, **described}]
            run.save_json("environment.json", known | {"resumed": resumed})
            run.save_text("recipe.toml", recipes.to_toml(recipe))
            _save_tokenizer(run, splits)
            return _run(loop, notes)


def _run(loop: Loop, notes: list[str]) -> Run:
    """Run the loop to its end; say in the folder how it ended otherwise."""
    run, go_on = loop.run, f"classicnets resume {loop.run.shown}"
    try:
        loop.checkpoints.check_space(2)
        loop.introduce(notes)
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
    """Say what the training depends on, for environment.json."""
    return environment.describe(splits.fingerprint, engine.device()) | {
        "train_examples": len(splits.train),
        "validation_examples": len(splits.validation),
    }


def _save_tokenizer(run: Run, splits: data.Splits) -> None:
    if splits.tokenizer:
        run.save_text("tokenizer.json", splits.tokenizer.to_str(pretty=True))


def _prepare(
    recipe: Recipe, verbose: bool, tokenizer: Any = None
) -> tuple[Recipe, data.Splits, Any, list]:
    """Load the data and build the network and its task, with its seed's weights."""
    # Keras draws the seeds of initializers and dropout from Python's generator;
    # keras.utils.set_random_seed would import TensorFlow on every backend.
    random.seed(recipe.seed)
    if recipe.deterministic:
        engine.make_deterministic()
    networks.check_options(recipe.network, recipe.network_options)
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
    notes += _slow_precision(recipe, engine.device(), environment.processor_flags())
    return recipe, splits, task, notes + fresh


def _check_unchanged(
    run: Run, loop: Loop, splits: data.Splits, allowed: Sequence[str]
) -> None:
    """Refuse to go on with another recipe, other data or another backend."""
    began, backend = run.environment, keras.backend.backend()
    if loop.recipe.kind.labelled:
        names = list(splits.class_names)
        _check_classes(began.get("class_names", names), names)
    changed = [
        f"{key} is {new!r}, was {old!r}"
        for key, (old, new) in loop.changed_keys().items()
        if key not in HARMLESS
    ]
    differences = {"recipe": changed, "data": [], "backend": []}
    known = began.get("data_fingerprint", splits.fingerprint)
    if known != splits.fingerprint:
        fingerprints = f"{splits.fingerprint:.12}, was {known:.12}"
        differences["data"] = [f"{splits.name} is {fingerprints}"]
        for part in ("train", "validation"):
            count = len(getattr(splits, part))
            if (was := began.get(f"{part}_examples", count)) != count:
                differences["data"].append(f"{count} {part} examples, were {was}")
    if began.get("backend", backend) != backend:
        differences["backend"] = [f"it is {backend}, was {began['backend']}"]
    for what, found in differences.items():
        if found and what not in allowed:
            raise UserError(
                f"the {what} must be that of the training until now:"
                f" {'; '.join(found)}. --allow-changed {what} goes on all the same."
            )


def _check_classes(was: Sequence[str], now: Sequence[str]) -> None:
    """Refuse to go on with classes that the network's outputs do not stand for."""
    if was != now:
        found = [f"{name!r} is new" for name in now if name not in was]
        found += [f"{name!r} is gone" for name in was if name not in now]
        raise UserError(
            "the classes must be those of the training until now:"
            f" {'; '.join(found[:_NAMED_CLASSES]) or 'their order is another'}."
        )


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


def _slow_precision(recipe: Recipe, device: str, flags: Sequence[str]) -> list[str]:
    """Say so where bfloat16 takes many times as long as float32."""
    if "bfloat16" not in recipe.precision or device != "CPU":
        return []
    if not flags or environment.has_bfloat16_units(flags):
        return []
    return [
        f"precision {recipe.precision}: this processor has no quick units for"
        " bfloat16, --set precision=float32 may be many times quicker."
    ]


def _start_with_word_vectors(network: Any, splits: data.Splits) -> None:
    """Let the embedding start from the training texts (`data.word_vectors`)."""
    table = network.get_layer("embedding").embeddings
    table.assign(data.word_vectors(splits.train, *table.shape))


def _network(recipe: Recipe, splits: data.Splits) -> tuple[Any, list[str]]:
    """Build the network, or the pair of a GAN; and say what fits given weights."""
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
