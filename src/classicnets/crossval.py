"""Cross-validation: one run per fold, each judged on examples that it never saw.

A fold's run carves its validation split from the training examples of the other folds
and chooses its best epoch there. The fold itself is opened once, when the run is over:
it takes the place of the test split, and the test split stays closed.
"""

import contextlib
import dataclasses
import shutil
import sys
from pathlib import Path
from typing import Any

import keras

from classicnets import data, kinds, training
from classicnets import recipe as recipes
from classicnets.errors import RunError, Stopped, UserError
from classicnets.inference import evaluation
from classicnets.recipe import Recipe
from classicnets.reports import crossval as report_crossval
from classicnets.reports import report
from classicnets.runs.folds import FILE, CrossValidation, find_or_create
from classicnets.runs.run import Run


def cross_validate(
    recipe: str | Path | Recipe,
    *,
    folds: int = 5,
    groups: str = "",
    runs: str | Path = "runs",
    name: str | None = None,
    verbose: bool = True,
    **changes: Any,
) -> CrossValidation:
    """Train and judge a recipe on every fold of its training split.

    The same call again goes on where an unfinished one was stopped or killed.

    Args:
        recipe: Name of a shipped recipe, path of a TOML file, or a `Recipe`.
        folds: How many, 2 or more. Where a label is one class, classes are spread
            evenly over them.
        groups: Whose examples stay together in one fold: the column of a table, or a
            text file with one line per example; see `data.load`.
        runs: Folder in which the folder of the cross-validation is made.
        name: Its name; the recipe's by default.
        verbose: Show the progress on stderr.
        **changes: Keys of the recipe to change.

    Returns:
        The finished cross-validation; its `content` has `results`, `mean` and `std`.

    Raises:
        UserError: If the recipe, the data or the folds are wrong.
        RunError, Stopped: As `training.train`; `resume` goes on from there.
    """
    if not isinstance(recipe, Recipe):
        name = name or Path(recipe).stem
        recipe = recipes.load(recipe)
    recipe = recipes.adapt(recipe, changes)
    if folds < 2:
        raise UserError(f"folds must be at least 2, got {folds}.")
    if recipe.kind.curve is None:
        raise UserError(
            f"a cross-validation needs a score of examples held out, {recipe.network}"
            f" gives none: {recipe.kind.name} is judged by the images it makes."
        )
    for key in ("folds", "fold", "groups"):
        if getattr(recipe, key):
            raise UserError(f"{key} is for the folds to set, not for the recipe.")
    folder = find_or_create(
        runs,
        name or recipe.network,
        {
            "recipe": dataclasses.asdict(recipe),
            "folds": folds,
            "groups": groups,
            "splitter": data.splitter_name(
                recipe.kind.labels == kinds.CLASSES, bool(groups)
            ),
            "backend": keras.backend.backend(),
        },
    )
    return resume(folder, verbose=verbose)


def resume(
    folder: CrossValidation | str | Path, verbose: bool = True
) -> CrossValidation:
    """Go on with a cross-validation: the fold that was cut, then those that are left.

    Folds that are over are not trained again.

    Raises:
        UserError: If a fold was trained by another recipe, or by another process now.
        RunError, Stopped: As `training.train`.
    """
    if not isinstance(folder, CrossValidation):
        folder = CrossValidation(folder)
    backend = keras.backend.backend()
    if folder.backend != backend:
        raise UserError(
            f"{folder.path.name} began on {folder.backend}, this is {backend}."
        )
    with folder.locked():
        for number in range(1, folder.folds + 1):
            try:
                run = _finish(folder, number, verbose=verbose)
                if "test" not in run.metrics:
                    evaluation.evaluate(run, "test")
                    report.write(run)
            except KeyboardInterrupt as error:
                raise _stopped(folder, number, error=error) from None
            except RunError as error:
                raise RunError(f"fold {number} of {folder.folds}: {error}") from error
            except UserError:
                _forget_if_new(folder)
                raise
            folder.save("running")
            if verbose:
                print(_line(folder, number), file=sys.stderr)
        folder.save("finished")
        report_crossval.write(folder)
    return folder


def _finish(folder: CrossValidation, number: int, *, verbose: bool) -> Run:
    """Return a fold's run, trained to its end."""
    recipe, run = folder.fold_recipe(number), folder.fold(number)
    fingerprint = folder.fingerprint
    if run is None:
        # A process that was killed while it made the folder.
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder.fold_path(number))
        return training.train(
            recipe,
            runs=folder.path,
            name=f"fold-{number}",
            verbose=verbose,
            fingerprint=fingerprint,
        )
    examples = int(run.environment.get("train_examples", recipe.batch_size))
    was, now = vars(run.recipe), vars(recipes.fit(recipe, examples)[0])
    changed = [key for key in now if was[key] != now[key]]
    if changed:
        raise UserError(
            f"{run.typed_path} was trained by another recipe, {changed[0]} is"
            f" {was[changed[0]]!r} there and {now[changed[0]]!r} here."
        )
    if run.status.get("state") == "finished":
        return run
    return training.resume(run, verbose=verbose)


def _stopped(
    folder: CrossValidation, number: int, *, error: KeyboardInterrupt
) -> KeyboardInterrupt:
    where = f"stopped in fold {number} of {folder.folds}"
    signal = error.signal if isinstance(error, Stopped) else 2
    return Stopped(
        f"{where}; go on with: classicnets resume {folder.typed_path}", signal
    )


def _forget_if_new(folder: CrossValidation) -> None:
    """Leave no folder behind where not even the first fold could begin."""
    if {path.name for path in folder.path.iterdir()} <= {FILE, ".lock"}:
        shutil.rmtree(folder.path, ignore_errors=True)


def _line(folder: CrossValidation, number: int) -> str:
    row = next(row for row in folder.content["results"] if row["fold"] == number)
    scores = "  ".join(f"{key} {value:.4f}" for key, value in row["scores"].items())
    return f"fold {number} of {folder.folds}, {row['examples']} held out: {scores}"
