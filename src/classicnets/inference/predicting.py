"""Predictions of a trained network on new inputs."""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit, softmax

from classicnets import data
from classicnets.data import Rows, Splits
from classicnets.data.batches import in_batches
from classicnets.errors import UserError
from classicnets.inference import inputs as given
from classicnets.kinds import NUMBERS, SETS
from classicnets.runs import identity
from classicnets.runs.run import Run


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
        changes |= {"folds": 0, "fold": 0, "groups": "", "whole": True}
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


def predict(run: Run, inputs: Any, top: int = 5, *, column: str = "") -> Any:
    """Predict the class, the labels or the number of images or texts.

    Args:
        run: A finished run.
        inputs: One input, or a list of them. For a network on images: a file of any
            size, a folder, a table with a column of paths, an open binary file, an
            array (height, width) or (height, width, channels) of 0..255, a Pillow
            image. For one on texts: a text as a string; a `Path` of a file that is one
            text, of a folder, or of a table with a column of texts; an open binary
            file, one text per line.
        top: How many classes to return per input.
        column: Of a table; "" guesses it by its name.

    Returns:
        A dict for one input: `input`, and of a classifier `classes`, a list of
        {"name", "probability"}, the most probable first; of a multi-label classifier
        also `labels`, the names of those with a probability of 1/2 or more; of a
        regressor `value` alone; of a table also its `row`. A list of them for a list, a
        folder, a table, an open file of lines, or a batch (n, height, width, channels).

    Raises:
        UserError: For what is not an image, or not a text.
    """
    one = given.is_one(inputs)
    sources = [inputs] if one else list(inputs)
    results = list(predictions(run, sources, top=top, column=column))
    for result in results:
        if "error" in result:
            raise UserError(result["error"])
    if not one or given.has_several(inputs, reads_texts=run.tokenizer is not None):
        return results
    return results[0]


def predictions(
    run: Run,
    sources: Iterable[given.Source],
    *,
    top: int,
    column: str = "",
    as_texts: bool = True,
) -> Iterator[dict[str, Any]]:
    """Yield what `predict` returns, in order, with `error` for what has no answer.

    Args:
        run: A finished run.
        sources: See `predict`.
        top: How many classes to return per input.
        column: Of a table; "" guesses it by its name.
        as_texts: Whether strings are texts for a network on texts, or else paths.
    """
    if run.tokenizer is None:
        yield from _image_predictions(run, given.images_of(sources, column), top)
        return
    named = itertools.chain.from_iterable(
        [given.Input(source, source)]
        if as_texts and isinstance(source, str)
        else given.texts_of([source], column)
        for source in sources
    )
    yield from _text_predictions(run, named, top)


def _text_predictions(
    run: Run, inputs: Iterable[given.Input], top: int
) -> Iterator[dict[str, Any]]:
    recipe, tokenizer, waiting = run.recipe, run.tokenizer, iter(inputs)
    assert tokenizer is not None
    while some := list(itertools.islice(waiting, 1000)):
        texts = [each.value for each in some if isinstance(each.value, str)]
        tokens, _ = data.encode(
            tokenizer,
            texts,
            max_tokens=recipe.max_tokens,
            keep_tokens=recipe.keep_tokens,
        )
        answers = iter(logits(run, tokens) if texts else ())
        for each in some:
            is_text = isinstance(each.value, str)
            yield _result(run, each, next(answers) if is_text else each.value, top)


def _image_predictions(
    run: Run, inputs: Iterable[given.Input], top: int
) -> Iterator[dict[str, Any]]:
    if not run.recipe.kind.labelled:
        raise UserError(
            f"{run.name} has no classes to predict, it is {run.recipe.kind.name}."
        )
    read, waiting = _image_reader(run), iter(inputs)
    while some := list(itertools.islice(waiting, 100)):
        values: list[Any] = []
        for each in some:
            try:
                wrong = isinstance(each.value, UserError)
                values.append(each.value if wrong else read(each.value))
            except UserError as error:
                values.append(error)
        pixels = [value for value in values if not isinstance(value, UserError)]
        answers = iter(logits(run, np.stack(pixels)) if pixels else ())
        for each, value in zip(some, values, strict=True):
            wrong = isinstance(value, UserError)
            yield _result(run, each, value if wrong else next(answers), top)


def _result(
    run: Run, each: given.Input, answer: UserError | np.ndarray, top: int
) -> dict[str, Any]:
    result: dict[str, Any] = {"input": each.name}
    if isinstance(answer, UserError):
        result["error"] = str(answer)
    else:
        result |= _answer(run, answer, top)
    return result if each.row is None else result | {"row": each.row}


def images(
    run: Run,
    paths: Sequence[given.Source],
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
    read = _image_reader(run)
    some = [each.value for each in itertools.islice(given.images_of(paths), most)]
    for wrong in (value for value in some if isinstance(value, UserError)):
        raise wrong
    return np.stack([read(value) for value in some])


def _image_reader(run: Run) -> Callable[[given.Source], np.ndarray]:
    """Return a function that reads an image as the run's network takes it."""
    return functools.partial(
        given.read_picture, **_image_shape(run), resize=run.recipe.resize
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
