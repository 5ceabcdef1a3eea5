"""Commands that train: once, once per fold, and on from where a run stopped."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from classicnets.cli.backend import backend_option, open_run, start_backend
from classicnets.errors import UserError
from classicnets.terminal import echo

if TYPE_CHECKING:
    from classicnets.runs.folds import CrossValidation

_changes_option = click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the recipe.",
)


def _takes_a_recipe(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the arguments of those that begin to train."""
    for add in (
        click.option("--name", help="Name of the new folder; the recipe's by default."),
        click.option("--runs", default="runs", help="Where the new folder is made."),
        backend_option,
        click.option("--seed", type=click.IntRange(0)),
        click.option("--learning-rate", "--lr", type=float, help="The highest one."),
        click.option("--batch-size", type=int),
        click.option("--epochs", type=int, help="As --set epochs=N, and the like."),
        _changes_option,
        click.option("--data", help="A set's name, a file, or a folder of classes."),
        click.argument("recipe"),
    ):
        command = add(command)
    return command


@click.command()
@_takes_a_recipe
def train(recipe: str, *, changes: tuple[str, ...], **options: Any) -> None:
    """Train a network as a RECIPE (a name or a TOML file) says."""
    from classicnets import recipe as recipes

    loaded = recipes.load(recipe, changes)  # wrong input is reported before the wait
    start_backend()
    from classicnets import training

    run = training.train(loaded, **_arguments(recipe, **options))
    echo(run.path)


@click.command()
@_takes_a_recipe
@click.option("--folds", default=5, help="How many; 5 by default.")
@click.option(
    "--groups",
    default="",
    help="Whose examples stay in one fold: a table's column, or a file of lines.",
)
def crossval(
    recipe: str, *, changes: tuple[str, ...], folds: int, groups: str, **options: Any
) -> None:
    """Train a RECIPE once per fold, and judge each on the fold held out.

    The same command again goes on where an unfinished one was stopped.
    """
    from classicnets import recipe as recipes
    from classicnets.runs import folds as folders

    if folders.is_one(recipe):
        raise UserError(f"{recipe} has begun: classicnets resume {recipe}")
    loaded = recipes.load(recipe, changes)
    start_backend()
    from classicnets import crossval

    _print_folds(
        crossval.cross_validate(
            loaded, folds=folds, groups=groups, **_arguments(recipe, **options)
        )
    )


@click.command()
@click.argument("run")
@_changes_option
@click.option("--epochs", type=int, help="To make a training run longer.")
@click.option(
    "--allow-changed",
    multiple=True,
    type=click.Choice(["recipe", "data", "backend"]),
    help="Go on although it is not what the training run began with.",
)
@backend_option
def resume(
    run: str,
    *,
    changes: tuple[str, ...],
    epochs: int | None,
    allow_changed: tuple[str, ...],
) -> None:
    """Go on with a stopped RUN or cross-validation, exactly where it stopped.

    --epochs N makes a training run longer.
    """
    if epochs is not None:
        changes = (*changes, f"epochs={epochs}")
    from classicnets.runs import folds as folders

    if folders.is_one(run):
        _resume_folds(run, [*changes, *allow_changed])
        return
    from classicnets import recipe as recipes

    opened = open_run(run)
    loaded = recipes.reopen(opened.path / "recipe.toml", changes)
    keys = {key.partition(".")[0] for key in recipes.options(changes)}
    start_backend(opened.environment.get("backend"))
    from classicnets import training

    training.resume(
        opened,
        allow_changed=allow_changed,
        **{key: getattr(loaded, key) for key in keys},
    )
    echo(opened.path)


def _arguments(
    recipe: str, *, runs: str, name: str | None, **values: Any
) -> dict[str, Any]:
    """Return the arguments that only count where they are set, and the folder's."""
    return {
        "runs": runs,
        "name": name or Path(recipe).stem,
        **{key: value for key, value in values.items() if value is not None},
    }


def _resume_folds(path: str, changes: Sequence[str]) -> None:
    from classicnets.runs.folds import CrossValidation

    if changes:
        raise UserError(
            "a cross-validation goes on as it began: without --set and --allow-changed."
        )
    opened = CrossValidation(path)
    start_backend(opened.backend)
    from classicnets import crossval

    _print_folds(crossval.resume(opened))


def _print_folds(result: "CrossValidation") -> None:
    """Print the means over the folds, then the folder."""
    mean, std = result.content["mean"], result.content["std"]
    width = max(map(len, mean), default=0) + 2
    for key, value in mean.items():
        echo(f"{key:{width}}{value:.4f} ± {std[key]:.4f}")
    echo(result.path)
