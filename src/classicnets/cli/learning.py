"""Commands that train: once, once a fold, and on from where a run stopped."""

from pathlib import Path

import click

from classicnets.cli.backend import BACKENDS, chosen_backend, open_run
from classicnets.errors import UserError


@click.command()
@click.argument("recipe")
@click.option("--data", help="A set's name, a file, or a folder of classes.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change it.")
@click.option("--seed", type=click.IntRange(0))
@click.option("--backend", type=click.Choice(BACKENDS))
@click.option("--runs", default="runs", help="Folder for the run's folder.")
@click.option("--name", help="Name of the run; the recipe's by default.")
def train(recipe, data, changes, seed, backend, runs, name) -> None:
    """Train a network as a RECIPE (a name or a TOML file) says."""
    from classicnets import recipe as recipes

    loaded = recipes.load(recipe, changes)  # wrong input is told before the wait
    with chosen_backend(backend):
        from classicnets import training
    overrides = {"data": data, "seed": seed}
    run = training.train(
        loaded,
        runs=runs,
        name=name or Path(recipe).stem,
        **{key: value for key, value in overrides.items() if value is not None},
    )
    click.echo(run.path)


@click.command()
@click.argument("recipe")
@click.option("--folds", default=5, help="How many; 5 by default.")
@click.option(
    "--groups", default="", help="Kept in one fold: a table's column, a file of lines."
)
@click.option("--data", help="A set's name, a file, or a folder of classes.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change it.")
@click.option("--seed", type=click.IntRange(0))
@click.option("--backend", type=click.Choice(BACKENDS))
@click.option("--runs", default="runs", help="Folder for the folds' folder.")
@click.option("--name", help="Its name; the recipe's by default.")
def crossval(recipe, folds, groups, data, changes, seed, backend, runs, name) -> None:
    """Train a RECIPE once a fold, and judge each on the fold held out.

    The same command again goes on where an unfinished one was stopped.
    """
    from classicnets import recipe as recipes
    from classicnets.runs import folds as crossval_folder

    if crossval_folder.is_one(recipe):
        raise UserError(f"{recipe} has begun: classicnets resume {recipe}")
    loaded = recipes.load(recipe, changes)
    with chosen_backend(backend):
        from classicnets import crossval
    overrides = {"data": data, "seed": seed}
    found = crossval.cross_validate(
        loaded,
        folds=folds,
        groups=groups,
        runs=runs,
        name=name or Path(recipe).stem,
        **{key: value for key, value in overrides.items() if value is not None},
    )
    _print_folds(found)


@click.command()
@click.argument("run")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change it.")
@click.option(
    "--allow-changed",
    multiple=True,
    type=click.Choice(["recipe", "data", "backend"]),
    help="Go on although it is not what the training began with.",
)
@click.option("--backend", type=click.Choice(BACKENDS))
def resume(run, changes, allow_changed, backend) -> None:
    """Go on with a stopped RUN or cross-validation, exactly where it stopped.

    --set epochs=N makes a training longer.
    """
    from classicnets.runs import folds as crossval_folder

    if crossval_folder.is_one(run):
        _resume_folds(run, changes or allow_changed, backend)
        return
    opened = open_run(run)
    from classicnets import recipe as recipes

    loaded = recipes.reopen(opened.path / "recipe.toml", changes)
    keys = {key.partition(".")[0] for key in recipes.options(changes)}
    with chosen_backend(backend or opened.environment.get("backend")):
        from classicnets import training
    training.resume(
        opened,
        allow_changed=allow_changed,
        **{key: getattr(loaded, key) for key in keys},
    )
    click.echo(opened.path)


def _resume_folds(path: str, changes, backend: str | None) -> None:
    from classicnets.runs import folds as crossval_folder

    if changes:
        raise UserError(
            "a cross-validation goes on as it began: without --set and --allow-changed."
        )
    found = crossval_folder.CrossValidation(path)
    with chosen_backend(backend or found.backend):
        from classicnets import crossval
    _print_folds(crossval.resume(found))


def _print_folds(found) -> None:
    """Print the means over the folds, then the folder."""
    mean, std = found.content["mean"], found.content["std"]
    width = max(map(len, mean), default=0) + 2
    for key, value in mean.items():
        click.echo(f"{key:{width}}{value:.4f} ± {std[key]:.4f}")
    click.echo(found.path)
