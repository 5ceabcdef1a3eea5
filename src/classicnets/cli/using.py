"""Commands that use a run: judge, predict, draw, export, report."""

import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from classicnets.cli.backend import (
    backend_name,
    backend_option,
    open_run,
    start_backend,
)
from classicnets.errors import UserError
from classicnets.terminal import echo

if TYPE_CHECKING:
    import numpy as np

    from classicnets.runs.run import Run

_NAMED = 5  # inputs without an answer, of many


def _file_option(*endings: str, help: str) -> Callable:
    """Return the option -o of a file, which is checked before the work."""

    def check(_: click.Context, __: click.Parameter, path: str | None) -> Path | None:
        if path is None:
            return None
        if not path.lower().endswith(endings):
            raise UserError(
                f"-o must name a {' or '.join(endings)} file, got {path!r}."
            )
        if not Path(path).absolute().parent.is_dir():
            raise UserError(
                f"-o must name a file in a folder that exists, got {path!r}."
            )
        return Path(path)

    return click.option("-o", "--output", callback=check, help=help)


_picture_option = _file_option(
    ".png", help="PNG file; in the run's samples/ by default."
)


_changed_option = click.option(
    "--allow-changed",
    multiple=True,
    type=click.Choice(["data"]),
    help="Go on although they are not what the RUN learned from.",
)


@click.command()
@click.argument("run")
@click.option("--split", default="test", help="test, validation or train.")
@click.option("--data", help="Other data, of the same classes or some of them.")
@click.option("--json", "as_json", is_flag=True)
@_changed_option
@backend_option
def evaluate(
    run: str,
    *,
    split: str,
    data: str | None,
    as_json: bool,
    allow_changed: tuple[str, ...],
) -> None:
    """Judge a RUN's model on every example of a split."""
    opened = open_run(run)
    start_backend()
    from classicnets.inference import evaluation, predicting, rival
    from classicnets.reports import report

    splits = None
    if data:
        splits = predicting.load_data(opened, data)
        for note in splits.notes:
            echo(note, err=True)
    metrics = evaluation.evaluate(
        opened, split, data=data, splits=splits, allow_changed=allow_changed
    )
    if data is None:
        report.write(opened)
    if as_json:
        echo(json.dumps(metrics))
        return
    width = max(len(key) for key in metrics) + 2
    for key, value in metrics.items():
        if isinstance(value, int | str) or value is None:
            echo(f"{key:{width}}{value}")
        elif isinstance(value, float):
            echo(f"{key:{width}}{value:.4f}")
    if plain := metrics.get("rival"):
        score = plain[opened.recipe.kind.scores[0]]
        echo(f"{'rival':{width}}{score:.4f}  {rival.in_words(plain)}")


@click.command()
@click.argument("run")
@click.argument("inputs", nargs=-1)
@click.option("--text", "texts", multiple=True, help="A text instead of a file.")
@click.option("--column", default="", help="Of a table: that of the texts or paths.")
@click.option("--top", default=3, type=click.IntRange(1), help="Classes per input.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line per input.")
@_file_option(
    *(".csv", ".jsonl"),
    help="A .csv or .jsonl file with all columns of a table and the answers.",
)
@backend_option
def predict(
    run: str,
    inputs: tuple[str, ...],
    *,
    texts: tuple[str, ...],
    column: str,
    top: int,
    as_json: bool,
    output: Path | None,
) -> None:
    """Predict classes, labels or numbers of files, folders, tables, or - for stdin.

    A network on texts takes a file as one text, and standard input as one per line.
    Answers come in the order of the inputs. What has none does not end the others: it
    is named, and the exit code is then 2.
    """
    opened = open_run(run)
    _check_inputs(opened, inputs, texts)
    start_backend()
    from classicnets.inference import answers, predicting

    sources: list[Any] = [p if p != "-" else sys.stdin.buffer for p in inputs]
    results = itertools.chain(
        predicting.predictions(opened, texts, top=top) if texts else (),
        predicting.predictions(opened, sources, top=top, column=column, as_texts=False),
    )
    if output:
        errors = list(answers.write(results, output))
        for error in errors[:_NAMED]:
            echo(f"classicnets: {error}", err=True)
        if len(errors) > _NAMED:
            echo(f"classicnets: and {len(errors) - _NAMED:,} more", err=True)
        echo(output)
    else:
        errors = list(_printed(results, as_json=as_json))
    if errors:
        sys.exit(2)


def _check_inputs(run: "Run", inputs: Sequence[str], texts: Sequence[str]) -> None:
    if not inputs and not texts:
        raise UserError("predict needs files, - for standard input, or --text.")
    if "-" in inputs and sys.stdin is None:
        raise UserError("- is standard input, which is closed.")
    if texts and run.tokenizer is None:
        raise UserError(
            f"{run.name} takes images: --text is for texts, whose runs have"
            " a tokenizer.json."
        )


def _printed(results: Iterable[dict[str, Any]], *, as_json: bool) -> Iterator[str]:
    """Print results as they come; yield the errors."""
    from classicnets.inference import predicting

    for result in results:
        if "error" in result:
            yield result["error"]
        if as_json:
            echo(json.dumps(result, ensure_ascii=False, default=str))
        elif "error" in result:
            echo(f"classicnets: {result['error']}", err=True)
        else:
            echo(f"{result['input']}  {predicting.in_words(result)}")


@click.command()
@click.argument("run")
@click.option("-n", "count", default=64, type=click.IntRange(1, 10_000))
@click.option("--seed", default=0, type=click.IntRange(0), help="Of the noise.")
@_picture_option
@backend_option
def sample(run: str, *, count: int, seed: int, output: Path | None) -> None:
    """Draw new images with a RUN of a GAN or a VAE."""
    opened = open_run(run)
    start_backend()
    from classicnets import pictures
    from classicnets.inference import sampling

    sheet = pictures.grid(sampling.sample(opened, count, seed))
    _write(opened, sheet, output, f"sample-{seed}")


@click.command()
@click.argument("run")
@click.argument("inputs", nargs=-1)
@_picture_option
@_changed_option
@backend_option
def reconstruct(
    run: str,
    inputs: tuple[str, ...],
    *,
    output: Path | None,
    allow_changed: tuple[str, ...],
) -> None:
    """Encode images and decode them again with a RUN of an autoencoder or a VAE.

    INPUTS are image files and folders of them; without any, validation images.
    """
    opened = open_run(run)
    start_backend()
    from classicnets import pictures
    from classicnets.inference import predicting, sampling

    images = predicting.images(opened, inputs, most=64, allow_changed=allow_changed)
    sheet = pictures.pairs(images, sampling.reconstruct(opened, images))
    _write(opened, sheet, output, "reconstructed")


@click.command()
@click.argument("run")
@click.option("-n", "rows", default=8, type=click.IntRange(1, 100), help="Paths.")
@click.option(
    "--steps", default=10, type=click.IntRange(2, 100), help="Images per path."
)
@click.option("--seed", default=0, type=click.IntRange(0), help="Of the ends.")
@_picture_option
@backend_option
def interpolate(
    run: str, *, rows: int, steps: int, seed: int, output: Path | None
) -> None:
    """Go from one random image to another with a RUN of a GAN or a VAE."""
    opened = open_run(run)
    start_backend()
    from classicnets import pictures
    from classicnets.inference import sampling

    images = sampling.interpolate(opened, rows, steps, seed)
    sheet = pictures.grid(images, columns=steps)
    _write(opened, sheet, output, f"interpolation-{seed}")


@click.command()
@click.argument("run")
@click.option(
    "--format", "format_", required=True, help="onnx, saved_model, litert or torch."
)
@click.option("--part", help="One network of several: encoder, decoder, critic, model.")
@click.option("-o", "--output", help="File; in the run's folder by default.")
@backend_option
def export(run: str, *, format_: str, part: str | None, output: str | None) -> None:
    """Write a RUN's network as a file for another program.

    Before it is kept, that program opens it in a new process, and its outputs are
    compared with Keras's. Of an autoencoder or a VAE, encoder and decoder are written.
    """
    opened = open_run(run)
    from classicnets.inference import export as exports

    exports.check(format_, backend_name())  # wrong input: before the wait
    parts = (part,) if part else opened.recipe.kind.exported
    if output and len(parts) > 1:
        raise UserError(f"-o is for one file: add --part {' or --part '.join(parts)}.")
    start_backend()
    for name in parts:
        path, difference = exports.export(opened, name, format_, output)
        echo(f"{path}  largest difference from Keras {difference:.1e}")


@click.command()
@click.argument("run")
def report(run: str) -> None:
    """Write the page of a RUN or a cross-validation anew."""
    from classicnets.reports import crossval, report
    from classicnets.runs import folds

    if folds.is_one(run):
        echo(crossval.write(folds.CrossValidation(run)))
    else:
        echo(report.write(open_run(run)))


@click.command()
@click.argument("run")
@click.option("--to", default="docs/results.csv", help="CSV; docs/results.csv if not.")
@click.option("--shared", is_flag=True, help="Other programs used the machine too.")
def record(run: str, *, to: str, shared: bool) -> None:
    """Append the results of a finished and evaluated RUN to a table."""
    from classicnets.runs import record as records

    rows = records.record(open_run(run), Path(to), shared=shared)
    for row in rows:
        echo(f"{row['recipe']} {row['split']} {row['metric']} {row['value']}")


def _write(run: "Run", sheet: "np.ndarray", output: Path | None, name: str) -> None:
    """Write a picture, completely or not at all, and print its path."""
    from classicnets import files, pictures

    part = run.recipe.kind.samples_from or "decoder"
    content = pictures.encode_png(sheet, {"model": run.digest(part)})
    if output:
        files.write(output, content)
    echo(output or run.save_picture(name, content))
