"""The command `classicnets`: one thin function a command.

Nothing here imports a backend before a command needs it: `--help` and `list` are quick.
"""

import contextlib
import importlib.util
import itertools
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from classicnets.errors import RunError, Stopped, UserError, nearest

BACKENDS = ("tensorflow", "jax", "torch")


class _Commands(click.Group):
    def resolve_command(self, context, arguments):
        name = arguments[0]
        if name not in self.commands:
            known = nearest(name, self.commands)
            raise click.UsageError(f"no command {name!r}. {known}")
        return super().resolve_command(context, arguments)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="classicnets")
def commands() -> None:
    """Classic neural networks on Keras 3: readable, proven, trained, fast."""


@commands.command("list")
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


@commands.command()
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
    with _backend(backend):
        from classicnets.networks.summary import summary

    parts: tuple
    try:
        if network in networks.PAIRS:
            parts = networks.create_pair(network, input_shape, **given)
        else:
            parts = (networks.create(network, input_shape, classes, **given),)
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
            from classicnets import figures

            # The padding before a convolution is no stage of its own.
            layers = [
                (row.layer, row.output_shape)
                for row in rows
                if "Padding" not in row.layer
            ]
            figures.architecture(layers).save(plot)


@commands.command()
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
    with _backend(backend):
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


@commands.command()
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
    with _backend(backend):
        from classicnets import training
    overrides = {"data": data, "seed": seed}
    run = training.train(
        loaded,
        runs=runs,
        name=name or Path(recipe).stem,
        **{key: value for key, value in overrides.items() if value is not None},
    )
    click.echo(run.path)


@commands.command()
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
    from classicnets import crossval_folder
    from classicnets import recipe as recipes

    if crossval_folder.is_one(recipe):
        raise UserError(f"{recipe} has begun: classicnets resume {recipe}")
    loaded = recipes.load(recipe, changes)
    with _backend(backend):
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


@commands.command()
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
    from classicnets import crossval_folder

    if crossval_folder.is_one(run):
        _resume_folds(run, changes or allow_changed, backend)
        return
    opened = _open(run)
    from classicnets import recipe as recipes

    loaded = recipes.load(opened.path / "recipe.toml", changes)
    keys = {key.partition(".")[0] for key in recipes.options(changes)}
    with _backend(backend or opened.environment.get("backend")):
        from classicnets import training
    training.resume(
        opened,
        allow_changed=allow_changed,
        **{key: getattr(loaded, key) for key in keys},
    )
    click.echo(opened.path)


@commands.command()
@click.argument("run")
@click.option("--split", default="test", help="test, validation or train.")
@click.option("--data", help="Other data with the same classes.")
@click.option("--json", "as_json", is_flag=True)
@click.option("--backend", type=click.Choice(BACKENDS))
def evaluate(run, split, data, as_json, backend) -> None:
    """Judge a RUN's model on every example of a split."""
    opened = _open(run)
    with _backend(backend):
        from classicnets import evaluation, report
    metrics = evaluation.evaluate(opened, split, data=data)
    if data is None:
        report.write(opened)
    if as_json:
        click.echo(json.dumps(metrics))
        return
    width = max(len(key) for key in metrics) + 2
    for key, value in metrics.items():
        if isinstance(value, int | str) or value is None:
            click.echo(f"{key:{width}}{value}")
        elif isinstance(value, float):
            click.echo(f"{key:{width}}{value:.4f}")


@commands.command()
@click.argument("run")
@click.argument("inputs", nargs=-1)
@click.option("--text", "texts", multiple=True, help="A text to classify.")
@click.option("--top", default=3, type=click.IntRange(1), help="Classes an input.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line an input.")
@click.option("--backend", type=click.Choice(BACKENDS))
def predict(run, inputs, texts, top, as_json, backend) -> None:
    """Classify files, folders of them, or - for standard input.

    A network on texts takes a file as one text, and standard input as a text a line.
    """
    opened = _open(run)
    if not inputs and not texts:
        raise UserError("predict needs files, - for standard input, or --text.")
    with _backend(backend):
        from classicnets import evaluation
    failed = 0
    paths = [sys.stdin.buffer if path == "-" else path for path in inputs]
    if opened.tokenizer is None:
        if texts:
            raise UserError(
                f"{opened.name} classifies images: --text is for texts, whose runs have"
                " a tokenizer.json."
            )
        results = evaluation.image_predictions(opened, paths, top=top)
    else:
        typed = [(text, text) for text in texts]
        named = itertools.chain(typed, evaluation.texts_in(paths))
        results = evaluation.text_predictions(opened, named, top=top)
    for result in results:
        failed += "error" in result
        if as_json:
            click.echo(json.dumps(result, ensure_ascii=False))
        elif "error" in result:
            click.echo(f"classicnets: {result['error']}", err=True)
        else:
            best = "  ".join(
                f"{found['name']} {found['probability']:.1%}"
                for found in result["classes"]
            )
            click.echo(f"{result['input']}  {best}")
    if failed:
        sys.exit(2)


@commands.command()
@click.argument("run")
@click.option("-n", "count", default=64, type=click.IntRange(1, 10_000))
@click.option("--seed", default=0, type=click.IntRange(0), help="Of the noise.")
@click.option("-o", "--output", help="PNG file; in the run's samples/ by default.")
@click.option("--backend", type=click.Choice(BACKENDS))
def sample(run, count, seed, output, backend) -> None:
    """Draw new images with a RUN of a GAN or a VAE."""
    opened, output = _open(run), _png(output)
    with _backend(backend):
        from classicnets import pictures, sampling
    sheet = pictures.grid(sampling.sample(opened, count, seed))
    click.echo(_write(opened, sheet, output, f"sample-{seed}"))


@commands.command()
@click.argument("run")
@click.argument("inputs", nargs=-1)
@click.option("-o", "--output", help="PNG file; in the run's samples/ by default.")
@click.option("--backend", type=click.Choice(BACKENDS))
def reconstruct(run, inputs, output, backend) -> None:
    """Give images back with a RUN of an autoencoder or a VAE.

    INPUTS are image files and folders of them; without any, validation images.
    """
    opened, output = _open(run), _png(output)
    with _backend(backend):
        from classicnets import evaluation, pictures, sampling
    images = evaluation.images(opened, inputs, most=64)
    sheet = pictures.pairs(images, sampling.reconstruct(opened, images))
    click.echo(_write(opened, sheet, output, "reconstructed"))


@commands.command()
@click.argument("run")
@click.option("-n", "rows", default=8, type=click.IntRange(1, 100), help="Ways.")
@click.option("--steps", default=10, type=click.IntRange(2, 100), help="Images a way.")
@click.option("--seed", default=0, type=click.IntRange(0), help="Of the ends.")
@click.option("-o", "--output", help="PNG file; in the run's samples/ by default.")
@click.option("--backend", type=click.Choice(BACKENDS))
def interpolate(run, rows, steps, seed, output, backend) -> None:
    """Go from one random image to another with a RUN of a GAN or a VAE."""
    opened, output = _open(run), _png(output)
    with _backend(backend):
        from classicnets import pictures, sampling
    images = sampling.interpolate(opened, rows, steps, seed)
    sheet = pictures.grid(images, columns=steps)
    click.echo(_write(opened, sheet, output, f"interpolation-{seed}"))


@commands.command()
@click.argument("run")
@click.option(
    "--format", "format_", required=True, help="onnx, saved_model, litert or torch."
)
@click.option("--part", help="One network of several: encoder, decoder, critic, model.")
@click.option("-o", "--output", help="File; in the run's folder by default.")
@click.option("--backend", type=click.Choice(BACKENDS))
def export(run, format_, part, output, backend) -> None:
    """Write a RUN's network as a file for another program.

    Before it is kept, that program opens it in a new process, and its outputs are
    compared with Keras's. Of an autoencoder or a VAE, encoder and decoder are written.
    """
    opened = _open(run)
    from classicnets import export as exports

    exports.check(format_, _chosen(backend))  # wrong input is told before the wait
    parts = (part,) if part else exports.PARTS[opened.recipe.task]
    if output and len(parts) > 1:
        raise UserError(f"-o is for one file: add --part {' or --part '.join(parts)}.")
    with _backend(backend):
        import keras  # noqa: F401
    for name in parts:
        path, difference = exports.export(opened, name, format_, output)
        click.echo(f"{path}  largest difference from Keras {difference:.1e}")


@commands.command()
@click.argument("run")
def report(run) -> None:
    """Write the page of a RUN or a cross-validation anew."""
    from classicnets import crossval_folder, report_crossval
    from classicnets import report as pages

    if crossval_folder.is_one(run):
        click.echo(report_crossval.write(crossval_folder.CrossValidation(run)))
    else:
        click.echo(pages.write(_open(run)))


@commands.command()
@click.argument("run")
@click.option("--to", default="docs/results.csv", help="CSV; docs/results.csv if not.")
@click.option("--shared", is_flag=True, help="Other programs used the machine too.")
def record(run, to, shared) -> None:
    """Append the results of a finished and evaluated RUN to a table."""
    from classicnets import record as records

    rows = records.record(_open(run), Path(to), shared=shared)
    for row in rows:
        click.echo(f"{row['recipe']} {row['split']} {row['metric']} {row['value']}")


@commands.group(cls=_Commands)
def data() -> None:
    """Prepare data."""


@data.command()
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


@commands.command()
@click.argument("folders", nargs=-1)
def doctor(folders) -> None:
    """Say what is installed, what runs and what is wrong.

    With FOLDERS, or files of data, only what they hold and what is wrong with them.
    """
    from classicnets import doctor

    well = True
    if not folders:
        lines, well = doctor.examine()
        click.echo("\n".join(lines))
    lines, readable = doctor.examine_data(folders)
    click.echo("\n".join(lines))
    if not (well and readable):
        sys.exit(1)


def main() -> None:
    """Run the command; a wrong input is one line and exit code 2."""
    try:
        commands.main(standalone_mode=False)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except UserError as error:
        _fail(str(error), 2)
    except (RunError, OSError) as error:
        _fail(str(error), 1)
    except (KeyboardInterrupt, click.Abort) as end:
        stopped = end.__cause__ if isinstance(end, click.Abort) else end
        if isinstance(stopped, Stopped):
            _fail(str(stopped), 128 + stopped.signal)
        _fail("stopped.", 130)


def _fail(message: str, code: int) -> None:
    line = " ".join(message.split())
    click.echo(f"classicnets: {line}", err=True)
    sys.exit(code)


def _chosen(backend: str | None) -> str:
    from classicnets import environment

    return backend or environment.backend()


@contextlib.contextmanager
def _backend(name: str | None) -> Iterator[None]:
    """Choose Keras's backend, and keep its chatter at import off the terminal."""
    from classicnets.environment import lean_imports

    chosen = _chosen(name)
    if chosen not in BACKENDS:
        raise UserError(f"backend must be one of {', '.join(BACKENDS)}, got {chosen}.")
    if importlib.util.find_spec(chosen) is None:
        installed = [b for b in BACKENDS if importlib.util.find_spec(b)]
        raise UserError(
            f"backend {chosen} is not installed: pip install 'classicnets[{chosen}]'"
            + (f", or --backend {installed[0]}." if installed else ".")
        )
    if name:
        os.environ["KERAS_BACKEND"] = name
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow writes its greeting straight to the file descriptor.
    with tempfile.TemporaryFile("w+") as kept, lean_imports():
        terminal = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(terminal, kept.read().encode())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def _columns(cells: tuple[str, ...], widths: tuple[int, ...]) -> str:
    """Join the cells of a table's line; the last column has no width."""
    padded = [f"{cell:{width}}" for cell, width in zip(cells, widths)]
    return " | ".join([*padded, *cells[len(widths) :]])


def _open(path: str):
    from classicnets.run import Run

    return Run(path)


def _resume_folds(path: str, changes, backend: str | None) -> None:
    from classicnets import crossval_folder

    if changes:
        raise UserError(
            "a cross-validation goes on as it began: without --set and --allow-changed."
        )
    found = crossval_folder.CrossValidation(path)
    with _backend(backend or found.backend):
        from classicnets import crossval
    _print_folds(crossval.resume(found))


def _print_folds(found) -> None:
    """Print the means over the folds, then the folder."""
    mean, std = found.content["mean"], found.content["std"]
    width = max(map(len, mean), default=0) + 2
    for key, value in mean.items():
        click.echo(f"{key:{width}}{value:.4f} ± {std[key]:.4f}")
    click.echo(found.path)


def _png(path: str | None) -> Path | None:
    """Check where a picture shall go, before the work."""
    if path is None:
        return None
    if not path.lower().endswith(".png"):
        raise UserError(f"-o must name a .png file, got {path!r}.")
    if not Path(path).absolute().parent.is_dir():
        raise UserError(f"-o must name a file in a folder that exists, got {path!r}.")
    return Path(path)


def _write(run, sheet, output: Path | None, name: str) -> Path:
    """Write a picture whole or not at all, and return its path."""
    from classicnets import pictures
    from classicnets.run import write_atomically

    content = pictures.encode_png(sheet)
    if output is None:
        return run.save_picture(name, content)
    write_atomically(output, content)
    return output


def _shape(text: str) -> tuple[int, ...]:
    sides = text.lower().split("x")
    if len(sides) > 3 or not all(side.isdigit() and int(side) for side in sides):
        raise UserError(f"--input must look like 32x32x3, got {text!r}.")
    return tuple(map(int, sides))
