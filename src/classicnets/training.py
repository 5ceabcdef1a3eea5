"""The story of a run: recipe, data, network, task, loop, run folder."""

import contextlib
import dataclasses
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from classicnets import data, engine, kinds, networks
from classicnets import recipe as recipes
from classicnets.errors import RunError, Stopped, UserError
from classicnets.loop import Loop
from classicnets.networks.options import follows_from_data
from classicnets.recipe import Recipe
from classicnets.reports import report
from classicnets.runs import earlier, environment, new, resuming
from classicnets.runs.checkpoint import has_checkpoint
from classicnets.runs.run import Run
from classicnets.tasks import TASKS, Task, judging
from classicnets.tasks.callbacks import prepare
from classicnets.weights import loading


def train(
    recipe: str | Path | Recipe,
    *,
    runs: str | Path = "runs",
    name: str | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: bool = True,
    fingerprint: str = "",
    **changes: Any,
) -> Run:
    """Train a network as a recipe says.

    Args:
        recipe: Name of a shipped recipe, path of a TOML file, or a `Recipe`.
        runs: Folder in which the run's folder is made.
        name: Name of the run; the recipe's name by default.
        callbacks: Keras callbacks; logs have Keras's names (`val_loss`) beside ours.
        verbose: Show the progress on stderr.
        fingerprint: Of the data, where they must be the same as those of another run.
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
    recipe = recipes.adapt(recipe, changes)
    with _precision(recipe.precision):
        ready = _prepare(recipe, verbose)
        watched = prepare(callbacks, ready.task.logs, ready.task.validated)
        resuming.check_content(fingerprint, ready.splits)
        facts = {"class_names": list(ready.splits.class_names)}
        if recipe.weights:
            facts |= {"fresh_layers": ready.fresh, "pixel_scaling": ready.scaling}
        run = new.create(
            runs,
            name or recipe.network,
            ready.recipe,
            environment=_describe(ready.splits) | facts,
        )
        _save_data(run, ready.splits)
        with run.locked():
            loop = ready.loop(run, watched)
            return _run(loop, [*ready.splits.notes, *ready.notes], verbose=verbose)


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
            `identity.HARMLESS`.

    Raises:
        UserError: If the run is finished, or is being trained, or anything changed that
            must not; if no checkpoint is whole.
        RunError, Stopped: As `train`.
    """
    run = run if isinstance(run, Run) else Run(run)
    with run.locked(), _stoppable(run):
        recipe = recipes.change(recipes.reopen(run.path / "recipe.toml"), changes)
        # Needed after an epoch and at the end: what is wrong with them is said now.
        _ = run.history, run.metrics
        if _lacks_its_report(run) and not changes:
            path = report.write(run)
            if verbose:
                print(f"it was over, all but its report {path}", file=sys.stderr)
            return run
        with _precision(recipe.precision):
            ready = _prepare(recipe, verbose, run)
            watched = prepare(callbacks, ready.task.logs, ready.task.validated)
            loop = ready.loop(run, watched)
            notes = ready.notes + loop.find_checkpoint()
            resuming.check(
                run,
                ready.splits,
                before=loop.saved_recipe,
                fingerprint=loop.saved_data,
                now=ready.recipe,
                allowed=allow_changed,
            )
            _check_unfinished(run, loop)
            if not loop.is_over:
                notes += earlier.keep(run)
            loop.checkpoints.restore()
            _save_resuming(run, loop, ready.splits)
            if not loop.is_over:
                earlier.clear(run)
            return _run(loop, notes, verbose=verbose)


@contextlib.contextmanager
def _stoppable(run: Run) -> Iterator[None]:
    """Say how to go on, where a signal comes before the first step."""
    try:
        yield
    except KeyboardInterrupt as error:
        if "go on with" in str(error):
            raise
        number = error.signal if isinstance(error, Stopped) else 2
        line = f"stopped; go on with: classicnets resume {run.typed_path}"
        raise Stopped(line, number) from None


def _lacks_its_report(run: Run) -> bool:
    """Return whether a process was killed between a run's end and its report."""
    with contextlib.suppress(UserError):  # a damaged status is written anew
        return run.status.get("state") == "finished" and not report.is_current(run)
    return False


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
        "test_fingerprint": splits.test_fingerprint,
        **_words_unknown(splits),
    }


def _words_unknown(splits: data.Splits) -> dict[str, Any]:
    """Return what `stands_out` asks of texts."""
    if splits.tokenizer is None:
        return {}
    tokens = np.asarray(splits.validation.inputs)
    return {
        "unknown_words": data.unknown_share(tokens, splits.tokenizer),
        "known_words": splits.tokenizer.get_vocab_size(),
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
    run.set_status("running", epoch=loop.epoch)
    _save_data(run, splits)


def _save_data(run: Run, splits: data.Splits) -> None:
    """Keep what the data decided: the words of texts, the splits of a folder."""
    if splits.files:
        run.save_json("splits.json", splits.files)
    if splits.tokenizer:
        run.save_text("tokenizer.json", splits.tokenizer.to_str(pretty=True))


@dataclasses.dataclass(frozen=True)
class _Ready:
    """What a loop is made of.

    Args:
        recipe: With the batch that fits the data.
        splits: The data.
        task: With the network, and its seed's weights.
        notes: For the user.
        fresh: The layers that `weights = FILE` did not fit.
        scaling: Of the pixels that these weights know; None: by the training split.
    """

    recipe: Recipe
    splits: data.Splits
    task: Task
    notes: list[str]
    fresh: list[str]
    scaling: Any

    def loop(self, run: Run, callbacks: keras.callbacks.CallbackList) -> Loop:
        """Return the loop of a run."""
        return Loop(
            run, self.task, recipe=self.recipe, splits=self.splits, callbacks=callbacks
        )


def _prepare(recipe: Recipe, verbose: bool, run: Run | None = None) -> _Ready:
    """Load the data, build the network and its task; of a run that goes on, if any."""
    # Keras draws the seeds of initializers and dropout from Python's generator;
    # keras.utils.set_random_seed would import TensorFlow on every backend.
    random.seed(recipe.seed)
    if recipe.deterministic:
        engine.make_deterministic()
    if reason := follows_from_data(recipe.network_options):
        raise UserError(reason)
    networks.check_options(recipe.network, recipe.network_options)
    # Its checkpoint has all weights: it needs the file that it began from no more.
    fresh = (
        run.environment.get("fresh_layers")
        if run and has_checkpoint(run.path)
        else None
    )
    scaling = (
        run.environment.get("pixel_scaling") if run and fresh is not None else None
    )
    if recipe.weights and fresh is None:  # refused before the data are decoded
        loading.check_file(recipe.weights)
    tokenizer, files = (run.tokenizer, run.files) if run else (None, None)
    options = data.from_recipe(
        recipe, tokenizer=tokenizer, files=files, progress=verbose
    )
    splits = data.load(recipe.data, options)
    recipes.check_inputs(recipe, splits.inputs, splits.name)
    recipe, notes = recipes.fit(recipe, len(splits.train), splits.name)
    try:
        network = _network(recipe, splits)
        if recipe.weights and fresh is None:
            fresh, scaling, said = _load_weights(network, recipe)
            notes += said
        if recipe.freeze:
            # Layers that the weights do not fit are random: frozen, they would stay so.
            loading.freeze(network, trained=tuple(fresh or ()) or ("logits",))
        # Those of a run that goes on are in its checkpoint.
        if splits.inputs == recipes.TEXTS and tokenizer is None:
            _start_from_texts(network, recipe, splits)
        options_of_task = {"scaling": scaling} if scaling else {}
        task = TASKS[recipe.task](network, recipe, splits, **options_of_task)
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from None
    if recipe.kind.labels == kinds.SETS:
        seen = splits.train.labels.sum(axis=0).tolist()
        absent = [n for n, count in zip(splits.class_names, seen) if not count]
        if absent:
            some = ", ".join(absent[:4]) + ", …" * (len(absent) > 4)
            notes.append(f"labels without a training example: {len(absent)} ({some})")
    flags = environment.processor_flags()
    notes += _slow_precision(recipe, engine.device(), flags=flags)
    if "kid" in recipe.kind.scores and len(splits.validation) < judging.LEAST:
        notes.append(
            f"no KID: it needs {judging.LEAST} images to validate on, there are"
            f" {len(splits.validation)}."
        )
    return _Ready(recipe, splits, task, notes, fresh or [], scaling)


def _load_weights(network: Any, recipe: Recipe) -> tuple[list[str], Any, list[str]]:
    """Read `weights`; return the layers they do not fit, their scaling, and notes."""
    fresh, scaling = loading.load_with_scaling(network, recipe.weights)
    notes = [f"{name} starts anew: the weights do not fit" for name in fresh]
    if not recipe.normalize:
        return fresh, None, notes
    how = f"as for the weights, {scaling}"
    if scaling is None:
        how = "by the training split: the weights do not say how they knew them"
    return fresh, scaling, [*notes, f"pixels are scaled {how}"]


def _check_unfinished(run: Run, loop: Loop) -> None:
    """Refuse to train a finished run again."""
    if (loop.step and not loop.is_over) or run.status.get("state") != "finished":
        return
    raise UserError(
        f"{run.name} has been trained for all of its {loop.recipe.epochs} epochs:"
        " --set epochs=N adds some."
    )


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


def _start_from_texts(network: Any, recipe: Recipe, splits: data.Splits) -> None:
    """Put into an LSTM what the training texts say before it is trained."""
    if recipe.word_vectors:
        table = network.get_layer("embedding").embeddings
        table.assign(data.word_vectors(splits.train, *table.shape))
    pairs = recipe.network_options.get("votes")
    if pairs and recipe.kind.labels == kinds.CLASSES:
        words = network.get_layer("word_ratios").embeddings
        classes = len(splits.class_names)
        tables = data.log_count_ratios(splits.train, classes, words.shape[0], pairs)
        words.assign(tables[0])
        network.get_layer("pair_ratios").embeddings.assign(tables[1])


def _network(recipe: Recipe, splits: data.Splits) -> Any:
    """Build the network, or the pair of a GAN."""
    options = recipe.network_options | splits.network_options
    if splits.inputs == recipes.TEXTS and not networks.reads_texts(recipe.network):
        raise UserError(f"{recipe.network} takes images, {splits.name} has texts.")
    if recipe.weights and splits.inputs == recipes.TEXTS:
        # Another vocabulary has other numbers for the same words.
        raise UserError(f"weights are for images, and {splits.name} has texts.")
    outputs = len(splits.class_names) or 1  # a number has no classes
    return networks.build(recipe.network, splits.input_shape, outputs, **options)
