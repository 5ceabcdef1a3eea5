"""Commands that use a run: judge, predict, draw, export, report."""

import itertools
import json
import sys
from pathlib import Path

import click

from classicnets.cli.backend import BACKENDS, backend_name, chosen_backend, open_run
from classicnets.errors import UserError


@click.command()
@click.argument("run")
@click.option("--split", default="test", help="test, validation or train.")
@click.option("--data", help="Other data with the same classes.")
@click.option("--json", "as_json", is_flag=True)
@click.option("--backend", type=click.Choice(BACKENDS))
def evaluate(run, split, data, as_json, backend) -> None:
    """Judge a RUN's model on every example of a split."""
    opened = open_run(run)
    with chosen_backend(backend):
        from classicnets.inference import evaluation
        from classicnets.reports import report
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


@click.command()
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
    opened = open_run(run)
    if not inputs and not texts:
        raise UserError("predict needs files, - for standard input, or --text.")
    with chosen_backend(backend):
        from classicnets.inference import predicting
    failed = 0
    paths = [sys.stdin.buffer if path == "-" else path for path in inputs]
    if opened.tokenizer is None:
        if texts:
            raise UserError(
                f"{opened.name} classifies images: --text is for texts, whose runs have"
                " a tokenizer.json."
            )
        results = predicting.image_predictions(opened, paths, top=top)
    else:
        typed = [(text, text) for text in texts]
        named = itertools.chain(typed, predicting.texts_in(paths))
        results = predicting.text_predictions(opened, named, top=top)
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


@click.command()
@click.argument("run")
@click.option("-n", "count", default=64, type=click.IntRange(1, 10_000))
@click.option("--seed", default=0, type=click.IntRange(0), help="Of the noise.")
@click.option("-o", "--output", help="PNG file; in the run's samples/ by default.")
@click.option("--backend", type=click.Choice(BACKENDS))
def sample(run, count, seed, output, backend) -> None:
    """Draw new images with a RUN of a GAN or a VAE."""
    opened, output = open_run(run), _png(output)
    with chosen_backend(backend):
        from classicnets import pictures
        from classicnets.inference import sampling
    sheet = pictures.grid(sampling.sample(opened, count, seed))
    click.echo(_write(opened, sheet, output, f"sample-{seed}"))


@click.command()
@click.argument("run")
@click.argument("inputs", nargs=-1)
@click.option("-o", "--output", help="PNG file; in the run's samples/ by default.")
@click.option("--backend", type=click.Choice(BACKENDS))
def reconstruct(run, inputs, output, backend) -> None:
    """Give images back with a RUN of an autoencoder or a VAE.

    INPUTS are image files and folders of them; without any, validation images.
    """
    opened, output = open_run(run), _png(output)
    with chosen_backend(backend):
        from classicnets import pictures
        from classicnets.inference import predicting, sampling
    images = predicting.images(opened, inputs, most=64)
    sheet = pictures.pairs(images, sampling.reconstruct(opened, images))
    click.echo(_write(opened, sheet, output, "reconstructed"))


@click.command()
@click.argument("run")
@click.option("-n", "rows", default=8, type=click.IntRange(1, 100), help="Ways.")
@click.option("--steps", default=10, type=click.IntRange(2, 100), help="Images a way.")
@click.option("--seed", default=0, type=click.IntRange(0), help="Of the ends.")
@click.option("-o", "--output", help="PNG file; in the run's samples/ by default.")
@click.option("--backend", type=click.Choice(BACKENDS))
def interpolate(run, rows, steps, seed, output, backend) -> None:
    """Go from one random image to another with a RUN of a GAN or a VAE."""
    opened, output = open_run(run), _png(output)
    with chosen_backend(backend):
        from classicnets import pictures
        from classicnets.inference import sampling
    images = sampling.interpolate(opened, rows, steps, seed)
    sheet = pictures.grid(images, columns=steps)
    click.echo(_write(opened, sheet, output, f"interpolation-{seed}"))


@click.command()
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
    opened = open_run(run)
    from classicnets.inference import export as exports

    exports.check(format_, backend_name(backend))  # wrong input is told before the wait
    parts = (part,) if part else opened.recipe.kind.exported
    if output and len(parts) > 1:
        raise UserError(f"-o is for one file: add --part {' or --part '.join(parts)}.")
    with chosen_backend(backend):
        import keras  # noqa: F401
    for name in parts:
        path, difference = exports.export(opened, name, format_, output)
        click.echo(f"{path}  largest difference from Keras {difference:.1e}")


@click.command()
@click.argument("run")
def report(run) -> None:
    """Write the page of a RUN or a cross-validation anew."""
    from classicnets.reports import crossval as report_crossval
    from classicnets.reports import report as pages
    from classicnets.runs import folds as crossval_folder

    if crossval_folder.is_one(run):
        click.echo(report_crossval.write(crossval_folder.CrossValidation(run)))
    else:
        click.echo(pages.write(open_run(run)))


@click.command()
@click.argument("run")
@click.option("--to", default="docs/results.csv", help="CSV; docs/results.csv if not.")
@click.option("--shared", is_flag=True, help="Other programs used the machine too.")
def record(run, to, shared) -> None:
    """Append the results of a finished and evaluated RUN to a table."""
    from classicnets.runs import record as records

    rows = records.record(open_run(run), Path(to), shared=shared)
    for row in rows:
        click.echo(f"{row['recipe']} {row['split']} {row['metric']} {row['value']}")


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
    from classicnets import files, pictures

    content = pictures.encode_png(sheet)
    if output is None:
        return run.save_picture(name, content)
    files.write(output, content)
    return output
