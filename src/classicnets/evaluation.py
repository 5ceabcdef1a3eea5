"""Metrics of a trained network on a named split, and its predictions on new inputs."""

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from classicnets import data, judging, sampling
from classicnets.data import Examples, Splits
from classicnets.data.batches import in_batches
from classicnets.data.images import EXTENSIONS
from classicnets.errors import UserError
from classicnets.recipe import Recipe
from classicnets.run import Run
from classicnets.tasks import bounds, classify

SPLITS = ("train", "validation", "test")
SHOWN = 24  # right, and as many wrong, examples kept for the report
SHOWN_TEXT = 600  # characters
IMPORTANCE_SAMPLES = 100  # codes an image for a VAE's likelihood
MOST_GENERATED = 10_000  # images, for FID and KID


def evaluate(
    run: Run,
    split: str = "test",
    *,
    data: str | None = None,
    splits: Splits | None = None,
) -> dict[str, Any]:
    """Judge a run's network on every example of a split.

    Args:
        run: A finished run.
        split: "train", "validation" or "test".
        data: Other data with the same classes; the result is then not kept in the run.
        splits: The run's own data, if they are already open.

    Returns:
        `examples` counted and `seconds`. Of a classifier `loss` in nats, `top1`,
        `top5`, `f1` and `auc` (means over the classes) in 0..1, `per_class`,
        `confusion` (rows are true classes), for texts `by_length`. Of an autoencoder or
        a VAE what `bounds.judge` returns, of a GAN what `judging.judge_generator` does:
        as many images are generated as the split has, 10,000 at most. Also in
        metrics.json.

    Raises:
        UserError: If there is no such split, no model yet, or the data do not fit.
    """
    if split not in SPLITS:
        raise UserError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
    splits = splits or load_data(run, data)
    examples = splits.open_test() if split == "test" else getattr(splits, split)
    judge = {
        "classify": _judge_classes,
        "reconstruct": _judge_reconstructions,
        "generate": _judge_samples,
    }[run.recipe.task]
    started = time.monotonic()
    metrics, shown = judge(run, split, splits, examples)
    metrics["seconds"] = time.monotonic() - started
    if data is None:
        run.save_metrics(split, metrics)
        if shown:
            run.save_samples(split, shown)
    return metrics


def _judge_classes(run, split, splits, examples):
    class_names = run.class_names
    if list(splits.class_names) != class_names:
        raise UserError(
            f"the model knows the classes {_short(class_names)},"
            f" {splits.name} has {_short(splits.class_names)}."
        )
    found = logits(run, examples.inputs)
    metrics = classify.judge(found, examples.labels, splits.class_names)
    if examples.lengths is not None:
        right = found.argmax(axis=1) == examples.labels
        metrics["by_length"] = _by_length(examples.lengths, right)
    return metrics, _samples(found, examples)


def _judge_reconstructions(run, split, splits, examples):
    network = run.model.layers[-1]  # under the scaling of pixels
    samples = IMPORTANCE_SAMPLES if split == "test" else 0
    return bounds.judge(network, run.recipe, examples.inputs, samples=samples), {}


def _judge_samples(run, split, splits, examples):
    count = min(len(examples), MOST_GENERATED)
    # Any of them: a set may be sorted by its classes.
    real = examples.inputs[sampling.some(len(examples), count, run.recipe.split_seed)]
    # What real images score against other real ones is the least one can hope for.
    other = splits.train if split != "train" else splits.validation
    fake = sampling.sample(run, count, seed=run.recipe.split_seed)
    return judging.judge_generator(real, fake, other.inputs), {}


def load_data(run: Run, source: str | None = None) -> Splits:
    """Open a run's data again, or other data as the run's network takes them."""
    recipe = run.recipe
    options: dict[str, Any] = {
        "text_column": recipe.text_column,
        "label_column": recipe.label_column,
        "keep_tokens": recipe.keep_tokens,
        "max_tokens": recipe.max_tokens,
        "tokenizer": run.tokenizer,
    }
    if run.tokenizer is None:
        height, _, channels = _image_shape(run)
        options = {
            "image_size": height,
            "channels": channels,
            "resize": recipe.resize,
            "labelled": recipe.task == "classify",
        }
    return data.load(
        source or recipe.data,
        validation_fraction=recipe.validation_fraction,
        split_seed=recipe.split_seed,
        allow_corrupt=recipe.allow_corrupt,
        **(options | _fold_of(recipe, source)),
    )


def _fold_of(recipe: Recipe, source: str | None) -> dict[str, Any]:
    """The options of a run of a cross-validation; other data have no such folds."""
    if source or not recipe.folds:
        return {}
    return {"folds": recipe.folds, "fold": recipe.fold, "groups": recipe.groups}


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
    if run.recipe.task != "classify":
        raise UserError(
            f"{run.name} has no classes to predict, its task is {run.recipe.task}."
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


def _image_shape(run: Run) -> tuple[int, int, int]:
    network = run.load("critic") if run.recipe.task == "generate" else run.model
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
            found = [p for p in Path(path).rglob("*") if p.suffix.lower() in EXTENSIONS]
            if not found:
                raise UserError(f"{path} has no images to classify.")
            yield from sorted(found)
        else:
            yield path


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of (..., classes)."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _samples(found: np.ndarray, examples: Examples) -> dict[str, np.ndarray]:
    """Keep the most certain wrong examples, and right ones: of images spread over the
    split, of texts the most certain."""
    predicted = found.argmax(axis=1)
    probability = probabilities(found).max(axis=1)
    wrong = np.flatnonzero(predicted != examples.labels)
    wrong = wrong[np.argsort(-probability[wrong], kind="stable")][:SHOWN]
    right = np.flatnonzero(predicted == examples.labels)
    if examples.texts is None:
        right = right[:: max(1, len(right) // SHOWN)][:SHOWN]
    else:
        right = right[np.argsort(-probability[right], kind="stable")][:SHOWN]
    rows = np.concatenate([wrong, right])
    if examples.texts is None:
        shown = {"images": np.asarray(examples.inputs[rows])}
    else:
        shown = {"texts": np.array([examples.texts[k][:SHOWN_TEXT] for k in rows])}
    return shown | {
        "labels": examples.labels[rows],
        "predicted": predicted[rows].astype("int32"),
        "probability": probability[rows].astype("float32"),
    }


def _by_length(lengths: np.ndarray, right: np.ndarray) -> list[dict[str, Any]]:
    """Count the right answers by the number of tokens, in eight about equal parts."""
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, 9)).astype(int))
    part = np.searchsorted(edges[1:-1], lengths, side="right")
    return [
        {
            "shortest": int(lengths[part == k].min()),
            "longest": int(lengths[part == k].max()),
            "examples": int((part == k).sum()),
            "accuracy": float(right[part == k].mean()),
        }
        for k in np.unique(part)
    ]


def _short(names) -> str:
    return ", ".join(list(names)[:4]) + (", …" if len(names) > 4 else "")
