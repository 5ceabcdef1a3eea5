"""Commands that show and check what there is: networks, data, the installation."""

import json
import math
import sys

import click

from classicnets.cli.backend import BACKENDS, chosen_backend
from classicnets.errors import UserError


@click.command("list")
def list_() -> None:
    """Show the networks, recipes and data sets."""
    from classicnets import recipe
    from classicnets.data import DATASETS
    from classicnets.networks import NETWORKS, PAIRS

    click.echo("networks")
    for family in dict.fromkeys(family for family, _ in NETWORKS.values()):
        names = [name for name, (home, _) in NETWORKS.items() if home == family]
        click.echo(f"  {family:18}{' '.join(names)}")
    click.echo("\npairs of a generator and a critic")
    click.echo(f"  {' '.join(PAIRS)}")
    click.echo("\nrecipes")
    for name in recipe.names():
        found = recipe.load(name)
        click.echo(f"  {name:24}{found.network} on {found.data}, {found.epochs} epochs")
    click.echo("\ndata sets")
    for name, dataset in DATASETS.items():
        click.echo(f"  {name:14}{dataset.title}")


@click.command()
@click.argument("network")
@click.option(
    "--input",
    "shape",
    default="224x224x3",
    help="HEIGHTxWIDTHxCHANNELS; for an lstm also LENGTH of tokens, STEPSxFEATURES.",
)
@click.option("--classes", default=1000, type=click.IntRange(1))
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE")
@click.option("--plot", type=click.Path(dir_okay=False), help="Draw it as a picture.")
@click.option("--backend", type=click.Choice(BACKENDS))
def show(network, shape, classes, options, plot, backend) -> None:
    """Show a network's layers, shapes, parameters and multiply-adds."""
    from classicnets import networks, recipe

    networks.find(network)
    input_shape, given = _shape(shape), recipe.options(options)
    with chosen_backend(backend):
        from classicnets.networks.summary import summary

    try:
        built = networks.build(network, input_shape, classes, **given)
        parts = built if isinstance(built, tuple) else (built,)
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from None
    click.echo(networks.paper(network))
    for part in parts:
        rows = summary(part)
        click.echo(f"{'layer':44}{'output':>18}{'parameters':>14}{'multiply-adds':>16}")
        for row in rows:
            size = "x".join(str(side) for side in row.output_shape)
            click.echo(
                f"{row.layer:44}{size:>18}{row.parameters:>14,}{row.multiply_adds:>16,}"
            )
        trained = sum(math.prod(v.shape) for v in part.trainable_variables)
        click.echo(
            f"{trained:,} trained parameters,"
            f" {sum(row.multiply_adds for row in rows):,} multiply-adds an image"
        )
        if plot and part is parts[0]:  # of a pair the generator
            from classicnets.reports import figures

            # The padding before a convolution is no stage of its own.
            layers = [
                (row.layer, row.output_shape)
                for row in rows
                if "Padding" not in row.layer
            ]
            figures.architecture(layers).save(plot)


@click.command()
@click.argument("network", required=False)
@click.option("--quick", is_flag=True, help="Without the steps on other backends.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line a proof.")
@click.option("--backend", type=click.Choice(BACKENDS))
def verify(network, quick, as_json, backend) -> None:
    """Prove that a NETWORK, or every one, is what its paper says.

    Exits with 1 if a proof fails.
    """
    from classicnets import networks

    if network:
        networks.find(network)
    with chosen_backend(backend):
        from classicnets import verification

    names = [network] if network else [*networks.NETWORKS, *networks.PAIRS]
    well, widths = True, (max(map(len, names)), 58, 22, 22)
    titles = ("network", "proof", "expected", "found", "ok")
    if not as_json:
        click.echo(_columns(titles, widths))
    for proof in verification.verify(names, quick=quick):
        well = well and proof.ok is not False
        if as_json:
            click.echo(json.dumps(proof._asdict(), ensure_ascii=False))
        else:
            answer = {True: "yes", False: "NO", None: "-"}[proof.ok]
            click.echo(_columns((*proof[:-1], answer), widths))
    if not well:
        sys.exit(1)


@click.command()
@click.argument("folders", nargs=-1)
def doctor(folders) -> None:
    """Say what is installed, what runs and what is wrong.

    With FOLDERS, or files of data, only what they hold and what is wrong with them.
    """
    from classicnets.cli import doctor

    well = True
    if not folders:
        lines, well = doctor.examine()
        click.echo("\n".join(lines))
    lines, readable = doctor.examine_data(folders)
    click.echo("\n".join(lines))
    if not (well and readable):
        sys.exit(1)


@click.command()
@click.argument("folder")
@click.option("--image-size", default=0, type=click.IntRange(0))
@click.option("--channels", default="0", type=click.Choice(["0", "1", "3"]))
@click.option("--resize", default="crop", help="crop, fit or stretch.")
@click.option("--allow-corrupt", is_flag=True)
@click.option("--unlabelled", is_flag=True, help="One heap, for tasks without labels.")
def prepare(folder, image_size, channels, resize, allow_corrupt, unlabelled) -> None:
    """Decode a FOLDER of images once, into the cache."""
    from classicnets import data

    splits = data.prepare(
        folder,
        image_size=image_size,
        channels=int(channels),
        resize=resize,
        allow_corrupt=allow_corrupt,
        labelled=not unlabelled,
    )
    for note in splits.notes:
        click.echo(note)
    classes = "" if unlabelled else f" {len(splits.class_names)} classes;"
    click.echo(
        f"{len(splits.train):,} to train on, {len(splits.validation):,} to validate;"
        f"{classes} images {'x'.join(map(str, splits.train.inputs.shape[1:]))}"
    )


def _columns(cells: tuple[str, ...], widths: tuple[int, ...]) -> str:
    """Join the cells of a table's line; the last column has no width."""
    padded = [f"{cell:{width}}" for cell, width in zip(cells, widths)]
    return " | ".join([*padded, *cells[len(widths) :]])


def _shape(text: str) -> tuple[int, ...]:
    sides = text.lower().split("x")
    if len(sides) > 3 or not all(side.isdigit() and int(side) for side in sides):
        raise UserError(f"--input must look like 32x32x3, got {text!r}.")
    return tuple(map(int, sides))
