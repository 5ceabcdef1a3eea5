"""Predictions of a trained network on new inputs."""

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from scipy.special import expit, softmax

from classicnets import data
from classicnets.data import Rows, Splits
from classicnets.data.batches import in_batches
from classicnets.data.folder_files import IMAGES, TEXTS, FileKind, files_below
from classicnets.errors import UserError
from classicnets.kinds import NUMBERS, SETS
from classicnets.runs import identity
from classicnets.runs.run import Run

Source = str | Path | BinaryIO


def load_data(
    run: Run, source: str | None = None, *, allow_changed: Sequence[str] = ()
) -> Splits:
    """Open a run's data again, or other data as the run's network takes them.

    Args:
        run: A finished run.
        source: Other data; None for the run's own.
        allow_changed: ("data",) opens the run's own though they are no longer what it
            learned from.

    Raises:
        UserError: If the run's own data have changed.
    """
    recipe = run.recipe
    changes: dict[str, Any] = {"tokenizer": run.tokenizer}
    if source is None:
        changes["files"] = run.files
    if source:  # other data have no such folds
        changes |= {"folds": 0, "fold": 0, "groups": ""}
    if run.tokenizer is None:
        changes |= _image_shape(run)
    splits = data.load(source or recipe.data, data.from_recipe(recipe, **changes))
    if source is None:
        identity.check_data(run.environment, splits, allowed=allow_changed)
    return splits


def logits(run: Run, inputs: np.ndarray | Rows) -> np.ndarray:
    """Return what a run's network answers, (n, outputs), to raw inputs: images (n,
    height, width, channels) or tokens (n, max_tokens)."""
    size = min(run.recipe.evaluation_batch_size, len(inputs))
    return in_batches(run.forward, inputs, size)


def predict(run: Run, inputs: Sequence[Source], top: int = 5) -> list[dict[str, Any]]:
    """Predict the class, the labels or the number of images or texts.

    Args:
        run: A finished run.
        inputs: For a network on images: files of any size, folders of them, or open
            binary files. For one on texts: the texts.
        top: How many classes to return per input.

    Returns:
        A dict per input: `input`, and of a classifier `classes`, a list of {"name",
        "probability"}, the most probable first; of a multi-label classifier also
        `labels`, the names of those with a probability of 1/2 or more; of a regressor
        `value` alone.

    Raises:
        UserError: For what is not an image, or not a text.
    """
    if run.tokenizer is None:
        results = list(image_predictions(run, inputs, top=top))
    else:
        named = ((str(text), text) for text in inputs)
        results = list(text_predictions(run, named, top=top))
    for result in results:
        if "error" in result:
            raise UserError(result["error"])
    return results


def text_predictions(
    run: Run, named: Iterable[tuple[str, Any]], *, top: int
) -> Iterator[dict[str, Any]]:
    """Yield what `predict` returns, with `error` for what is not a text.

    Args:
        run: A finished run on texts.
        named: What to call each input, and its text or the error of reading it.
        top: How many classes to return per text.
    """
    recipe, tokenizer, inputs = run.recipe, run.tokenizer, iter(named)
    if tokenizer is None:
        raise UserError(f"{run.name} takes images, not texts.")
    while some := list(itertools.islice(inputs, 1000)):
        texts = [text for _, text in some if isinstance(text, str)]
        tokens, _ = data.encode(
            tokenizer,
            texts,
            max_tokens=recipe.max_tokens,
            keep_tokens=recipe.keep_tokens,
        )
        rows = iter(logits(run, tokens) if texts else ())
        for name, text in some:
            if isinstance(text, str):
                yield {"input": name, **_answer(run, next(rows), top)}
            else:
                yield {"input": name, "error": f"{name} is not a text: {text}"}


def texts_in(paths: Iterable[Source]) -> Iterator[tuple[str, Any]]:
    """Yield the name and the text, or the error of reading it, of every input.

    Args:
        paths: Files, each one text; folders of `.txt` files; open binary files, one
            text per line.
    """
    for file in _files(paths, TEXTS):
        if isinstance(file, str | Path):
            try:
                yield str(file), data.read_text(file)
            except UserError as error:
                yield str(file), error
        else:
            lines = data.read_text(file).splitlines()
            yield from ((line, line) for line in lines if line.strip())


def image_predictions(
    run: Run, paths: Iterable[Source], *, top: int
) -> Iterator[dict[str, Any]]:
    """Yield what `predict` returns, with `error` for what is not an image."""
    if not run.recipe.kind.labelled:
        raise UserError(
            f"{run.name} has no classes to predict, it is {run.recipe.kind.name}."
        )
    read, files = _image_reader(run), _files(paths, IMAGES)
    while some := list(itertools.islice(files, 100)):
        results, pixels = [], []
        for path in some:
            result: dict[str, Any] = {"input": getattr(path, "name", str(path))}
            try:
                pixels.append(read(path))
            except UserError as error:
                result["error"] = str(error)
            results.append(result)
        rows = iter(logits(run, np.stack(pixels)) if pixels else ())
        for result in results:
            if "error" not in result:
                result |= _answer(run, next(rows), top)
            yield result


def images(
    run: Run,
    paths: Sequence[Source],
    *,
    most: int,
    allow_changed: Sequence[str] = (),
) -> np.ndarray:
    """Read images as a run's network takes them.

    Args:
        run: A finished run on images.
        paths: Files and folders of them; without any, images of the validation split.
        most: How many at most.
        allow_changed: See `load_data`.

    Returns:
        (n, height, width, channels) uint8.

    Raises:
        UserError: For what is not an image, and where `load_data` does.
    """
    if not paths:
        splits = load_data(run, allow_changed=allow_changed)
        return np.asarray(splits.validation.inputs[:most])
    read, files = _image_reader(run), _files(paths, IMAGES)
    return np.stack([read(path) for path in itertools.islice(files, most)])


def _image_reader(run: Run) -> Callable[[Source], np.ndarray]:
    """Return a function that reads an image as the run's network takes it."""
    return functools.partial(
        data.read_image, **_image_shape(run), resize=run.recipe.resize
    )


def _image_shape(run: Run) -> dict[str, Any]:
    part = run.recipe.kind.reads
    network = run.model if part == "model" else run.load(part)  # loaded once
    if len(network.input_shape) != 4:
        raise UserError(
            f"{run.name} reads texts, for which {run.path / 'tokenizer.json'} must be"
            " there."
        )
    _, height, width, channels = network.input_shape
    return {"image_size": (height, width), "channels": channels}


def _answer(run: Run, row: np.ndarray, top: int) -> dict[str, Any]:
    """Return what one row (outputs,) of a network says."""
    labels = run.recipe.kind.labels
    if labels == NUMBERS:
        return {"value": float(row[0])}
    if labels == SETS:
        names = [name for name, logit in zip(run.class_names, row) if logit >= 0]
        return {"labels": names, "classes": _most_probable(run, expit(row), top)}
    return {"classes": _most_probable(run, softmax(row), top)}


def in_words(answer: Mapping[str, Any]) -> str:
    """Return what `predict` says of one input, on a line."""
    if "value" in answer:
        return f"{answer['value']:g}"
    classes = (f"{c['name']} {c['probability']:.1%}" for c in answer["classes"])
    words = "  ".join(classes)
    if "labels" in answer:
        return f"{', '.join(answer['labels']) or 'no label'}  ({words})"
    return words


def _most_probable(run: Run, shares: np.ndarray, top: int) -> list[dict[str, Any]]:
    """Name the classes of one row (classes,) of probabilities."""
    names = run.class_names
    order = np.argsort(-shares, kind="stable")[:top]
    return [{"name": names[k], "probability": float(shares[k])} for k in order]


def _files(paths: Iterable[Source], kind: FileKind) -> Iterator[Source]:
    """Yield the files of a kind below folders, and every other path as it is."""
    for path in paths:
        if isinstance(path, str | Path) and Path(path).is_dir():
            files = [entry.path for entry in files_below(Path(path), kind, Counter())]
            if not files:
                raise UserError(f"{path} must hold {', '.join(kind.endings)} files.")
            yield from sorted(map(Path, files))
        else:
            yield path
