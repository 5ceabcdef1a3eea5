"""Commands that show and check what there is: networks, data, the installation."""

import itertools
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from classicnets.cli.backend import backend_option, start_backend
from classicnets.errors import UserError
from classicnets.terminal import echo

if TYPE_CHECKING:
    from classicnets.networks.summary import Row

_PROOF_WIDTHS = (58, 22, 22)


@click.command("list")
def list_() -> None:
    """Show the networks by their kinds, the recipes and the data sets."""
    from classicnets import networks, recipe
    from classicnets.data import DATASETS

    for members, own in networks.KINDS:
        echo(", ".join(f"{kind.name.split(' ', 1)[1]}s" for kind in own))
        for _, names in itertools.groupby(members, lambda name: networks.find(name)[0]):
            echo(f"  {' '.join(names)}")
    echo("\nrecipes")
    for name in recipe.names():
        loaded = recipe.load(name)
        most = "at most " if loaded.examples_seen else ""
        on, epochs = loaded.data or "your own data", f"{most}{loaded.epochs} epochs"
        echo(f"  {name:24}{loaded.network} on {on}, {epochs}")
    echo("\ndata sets")
    for name, dataset in DATASETS.items():
        echo(f"  {name:14}{dataset.title}")


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
@backend_option
def show(
    network: str,
    *,
    shape: str,
    classes: int,
    options: tuple[str, ...],
    plot: str | None,
) -> None:
    """Show a network's layers, shapes, parameters and multiply-adds."""
    from classicnets import networks, recipe

    networks.find(network)
    input_shape, values = _shape(shape), recipe.options(options)
    start_backend()
    from classicnets.networks.summary import summary

    try:
        built = networks.build(network, input_shape, classes, **values)
        parts = built if isinstance(built, tuple) else (built,)
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from None
    echo(networks.paper(network))
    layers = [summary(part) for part in parts]
    for part, rows in zip(parts, layers):
        _print_layers(rows)
        trained = sum(math.prod(v.shape) for v in part.trainable_variables)
        echo(
            f"{trained:,} trained parameters,"
            f" {sum(row.multiply_adds for row in rows):,} multiply-adds per image"
        )
    if plot:
        from classicnets.reports import figures

        # The padding before a convolution is no stage of its own; of a pair the
        # generator is drawn.
        stages = [row for row in layers[0] if "Padding" not in row.layer]
        drawing = figures.architecture([(s.layer, s.output_shape) for s in stages])
        drawing.save(plot)


@click.command()
@click.argument("network", required=False)
@click.option("--quick", is_flag=True, help="Without the steps on other backends.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line per proof.")
@backend_option
def verify(network: str | None, *, quick: bool, as_json: bool) -> None:
    """Prove that a NETWORK, or every one, is what its paper says.

    Exits with 1 if a proof fails.
    """
    from classicnets import networks

    if network:
        networks.find(network)
    start_backend()
    from classicnets import verification

    names = [network] if network else [*networks.NETWORKS, *networks.PAIRS]
    all_hold, widths = True, (max(map(len, names)), *_PROOF_WIDTHS)
    if not as_json:
        titles = ("network", "proof", "expected", "found", "ok")
        echo(_columns(titles, widths))
    for proof in verification.verify(names, quick=quick):
        all_hold = all_hold and proof.ok is not False
        if as_json:
            echo(json.dumps(proof._asdict(), ensure_ascii=False))
        else:
            answer = {True: "yes", False: "NO", None: "-"}[proof.ok]
            echo(_columns((*proof[:-1], answer), widths))
    if not all_hold:
        sys.exit(1)


@click.command()
@click.argument("runs", nargs=-1, metavar="RUN RUN...")
@click.option(
    "-o",
    "--output",
    default="comparison.html",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
)
def compare(runs: tuple[str, ...], output: Path) -> None:
    """Say in what RUNs differ, what they score, and whether chance can make that.

    Writes a page and prints its table. Each run is compared with the first.
    """
    from classicnets.cli.backend import open_run
    from classicnets.reports import comparison

    if output.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"-o must name a .html file, got {str(output)!r}.")
    found = comparison.compare([open_run(run) for run in runs])
    comparison.write(found, output)
    for line in comparison.table(found):
        echo(line)
    echo(output)


@click.command()
@click.argument("folders", nargs=-1)
def doctor(folders: tuple[str, ...]) -> None:
    """Say what is installed, what runs and what is wrong.

    With FOLDERS, or files of data, only what they hold and what is wrong with them.
    """
    from classicnets.cli import doctor

    works = True
    if not folders:
        lines, works = doctor.examine()
        echo("\n".join(lines))
    lines, readable = doctor.examine_data(folders)
    echo("\n".join(lines))
    if not (works and readable):
        sys.exit(1)


@click.command()
@click.argument("folder")
@click.option("--image-size", default=0, type=click.IntRange(0))
@click.option("--channels", default="0", type=click.Choice(["0", "1", "3"]))
@click.option("--resize", default="crop", help="crop, fit or stretch.")
@click.option("--allow-corrupt", is_flag=True)
@click.option("--unlabelled", is_flag=True, help="Pooled, for tasks without labels.")
def prepare(
    folder: str,
    *,
    image_size: int,
    channels: str,
    resize: str,
    allow_corrupt: bool,
    unlabelled: bool,
) -> None:
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
        echo(note)
    classes = "" if unlabelled else f" {len(splits.class_names)} classes;"
    echo(
        f"{len(splits.train):,} to train on, {len(splits.validation):,} to validate;"
        f"{classes} images {_sides(splits.train.inputs.shape[1:])}"
    )


def _print_layers(rows: "list[Row]") -> None:
    echo(f"{'layer':44}{'output':>18}{'parameters':>14}{'multiply-adds':>16}")
    for row in rows:
        echo(
            f"{row.layer:44}{_sides(row.output_shape):>18}{row.parameters:>14,}"
            f"{row.multiply_adds:>16,}"
        )


def _columns(cells: tuple[str, ...], widths: tuple[int, ...]) -> str:
    """Join the cells of a table's line; the last column has no width."""
    padded = [f"{cell:{width}}" for cell, width in zip(cells, widths)]
    return " | ".join([*padded, *cells[len(widths) :]])


def _sides(shape: tuple[int | None, ...]) -> str:
    return "x".join(map(str, shape))


def _shape(text: str) -> tuple[int, ...]:
    sides = text.lower().split("x")
    if len(sides) > 3 or not all(side.isdigit() and int(side) for side in sides):
        raise UserError(f"--input must look like 32x32x3, got {text!r}.")
    return tuple(map(int, sides))
