"""Predictions of a trained network on new inputs."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from classicnets import data
from classicnets.data import Splits
from classicnets.data.batches import in_batches
from classicnets.data.folder_files import IMAGES
from classicnets.errors import UserError
from classicnets.runs.run import Run


def load_data(run: Run, source: str | None = None) -> Splits:
    """Open a run's data again, or other data as the run's network takes them."""
    recipe = run.recipe
    changes: dict[str, Any] = {"tokenizer": run.tokenizer}
    if source:  # other data have no such folds
        changes |= {"folds": 0, "fold": 0, "groups": ""}
    if run.tokenizer is None:
        height, _, channels = _image_shape(run)
        changes |= {"image_size": height, "channels": channels}
    return data.load(source or recipe.data, data.from_recipe(recipe, **changes))


def logits(run: Run, inputs) -> np.ndarray:
    """Return (n, classes) for raw inputs: images (n, height, width, channels) or
    tokens (n, max_tokens)."""
    size = min(run.recipe.evaluation_batch_size, len(inputs))
    return in_batches(run.forward, inputs, size)


def predict(
    run: Run, inputs: Sequence[str | Path | BinaryIO], top: int = 5
) -> list[dict[str, Any]]:
    """Classify images or texts.

    Args:
        run: A finished run.
        inputs: For a network on images: files of any size, folders of them, or open
            binary files. For one on texts: the texts.
        top: How many classes to return an input.

    Returns:
        A dict an input: `input`, and `classes`, a list of {"name", "probability"},
        the most probable first.

    Raises:
        UserError: For what is not an image, or no text.
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
    """Yield what `predict` returns, with `error` for what is no text.

    Args:
        run: A finished run on texts.
        named: What to call each input, and its text or the error of reading it.
        top: How many classes to return a text.
    """
    recipe, tokenizer, inputs = run.recipe, run.tokenizer, iter(named)
    if tokenizer is None:
        raise UserError(f"{run.name} classifies images, not texts.")
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
                classes = _most_probable(run, next(rows), top)
                yield {"input": name, "classes": classes}
            else:
                yield {"input": name, "error": f"{name} is no text: {text}"}


def texts_in(paths: Iterable[str | Path | BinaryIO]) -> Iterator[tuple[str, Any]]:
    """Yield the name and the text, or the error of reading it, of every input.

    Args:
        paths: Files, each one text; folders of `.txt` files; open binary files, a text
            a line.
    """
    for path in paths:
        if not isinstance(path, str | Path):
            lines = data.read_text(path).splitlines()
            yield from ((line, line) for line in lines if line.strip())
            continue
        files = sorted(Path(path).rglob("*.txt")) if Path(path).is_dir() else [path]
        if not files:
            raise UserError(f"{path} has no .txt files to classify.")
        for file in files:
            try:
                yield str(file), data.read_text(file)
            except UserError as error:
                yield str(file), error


def image_predictions(
    run: Run, paths: Sequence[str | Path | BinaryIO], *, top: int
) -> Iterator[dict[str, Any]]:
    """Yield what `predict` returns, with `error` for what is not an image."""
    if not run.recipe.kind.labelled:
        raise UserError(
            f"{run.name} has no classes to predict, it is {run.recipe.kind.name}."
        )
    height, _, channels = _image_shape(run)
    files = iter(_files(paths))
    while some := list(itertools.islice(files, 100)):
        results, images = [], []
        for path in some:
            result: dict[str, Any] = {"input": getattr(path, "name", str(path))}
            try:
                images.append(
                    data.read_image(
                        path,
                        image_size=height,
                        channels=channels,
                        resize=run.recipe.resize,
                    )
                )
            except UserError as error:
                result["error"] = str(error)
            results.append(result)
        rows = iter(logits(run, np.stack(images)) if images else ())
        for result in results:
            if "error" not in result:
                result["classes"] = _most_probable(run, next(rows), top)
            yield result


def images(
    run: Run, paths: Sequence[str | Path | BinaryIO], *, most: int
) -> np.ndarray:
    """Read images as a run's network takes them.

    Args:
        run: A finished run on images.
        paths: Files and folders of them; without any, images of the validation split.
        most: How many at most.

    Returns:
        (n, height, width, channels) uint8.

    Raises:
        UserError: For what is not an image.
    """
    if not paths:
        return np.asarray(load_data(run).validation.inputs[:most])
    height, _, channels = _image_shape(run)
    return np.stack(
        [
            data.read_image(
                path, image_size=height, channels=channels, resize=run.recipe.resize
            )
            for path in itertools.islice(_files(paths), most)
        ]
    )


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of (..., classes)."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _image_shape(run: Run) -> tuple[int, int, int]:
    network = run.load(run.recipe.kind.reads)
    if len(network.input_shape) != 4:
        raise UserError(
            f"{run.name} reads texts, for which {run.path / 'tokenizer.json'} must be"
            " there."
        )
    return network.input_shape[1:]


def _most_probable(run: Run, row: np.ndarray, top: int) -> list[dict[str, Any]]:
    """Name the classes of one row (classes,) of logits."""
    names, shares = run.class_names, probabilities(row)
    order = np.argsort(-shares, kind="stable")[:top]
    return [{"name": names[k], "probability": float(shares[k])} for k in order]


def _files(paths):
    """Walk folders; yield the images in them and every other path as it is."""
    for path in paths:
        if isinstance(path, str | Path) and Path(path).is_dir():
            found = [
                p for p in Path(path).rglob("*") if p.suffix.lower() in IMAGES.endings
            ]
            if not found:
                raise UserError(f"{path} has no images to classify.")
            yield from sorted(found)
        else:
            yield path
