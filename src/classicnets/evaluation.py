"""Metrics of a trained network on a named split, and its predictions on new images."""

import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from classicnets import data
from classicnets.data import Examples, Splits
from classicnets.data.images import EXTENSIONS
from classicnets.errors import UserError
from classicnets.run import Run
from classicnets.tasks import classify

SPLITS = ("train", "validation", "test")
SHOWN = 24  # right, and as many wrong, examples kept for the report


def evaluate(
    run: Run,
    split: str = "test",
    *,
    data: str | None = None,
    splits: Splits | None = None,
) -> dict[str, Any]:
    """Judge a run's model on every example of a split.

    Args:
        run: A finished run.
        split: "train", "validation" or "test".
        data: Other data with the same classes; the result is then not kept in the run.
        splits: The run's own data, if they are already open.

    Returns:
        `examples` counted, `loss` in nats, `top1` and `top5` in 0..1, `per_class`,
        `confusion` (rows are true classes), `seconds`. Also in metrics.json.

    Raises:
        UserError: If there is no such split, no model yet, or the data do not fit.
    """
    if split not in SPLITS:
        raise UserError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
    splits = splits or load_data(run, data)
    class_names = run.environment["class_names"]
    if list(splits.class_names) != class_names:
        raise UserError(
            f"the model knows the classes {_short(class_names)},"
            f" {splits.name} has {_short(splits.class_names)}."
        )
    examples = splits.open_test() if split == "test" else getattr(splits, split)
    started = time.monotonic()
    found = logits(run, examples.inputs)
    metrics = classify.judge(found, examples.labels, splits.class_names)
    metrics["seconds"] = time.monotonic() - started
    if data is None:
        run.save_metrics(split, metrics)
        run.save_samples(split, _samples(found, examples))
    return metrics


def load_data(run: Run, source: str | None = None) -> Splits:
    """Open a run's data again, or other data of the same image size."""
    recipe = run.recipe
    height, _, channels = run.model.input_shape[1:]
    return data.load(
        source or recipe.data,
        validation_fraction=recipe.validation_fraction,
        split_seed=recipe.split_seed,
        image_size=height,
        channels=channels,
        resize=recipe.resize,
        allow_corrupt=recipe.allow_corrupt,
    )


def logits(run: Run, images) -> np.ndarray:
    """Return (n, classes) for raw images (n, height, width, channels)."""
    size = min(run.recipe.evaluation_batch_size, len(images))
    return classify.in_batches(run.model.predict_on_batch, images, size)


def predict(
    run: Run, paths: Sequence[str | Path | BinaryIO], top: int = 5
) -> list[dict[str, Any]]:
    """Classify images.

    Args:
        run: A finished run.
        paths: Image files of any size, folders of them, or open binary files.
        top: How many classes to return an image.

    Returns:
        A dict an image: `input`, and `classes`, a list of {"name", "probability"},
        the most probable first.

    Raises:
        UserError: For what is not an image.
    """
    results = list(predictions(run, paths, top=top))
    for result in results:
        if "error" in result:
            raise UserError(result["error"])
    return results


def predictions(
    run: Run, paths: Sequence[str | Path | BinaryIO], *, top: int
) -> Iterator[dict[str, Any]]:
    """Yield what `predict` returns, with `error` for what is not an image."""
    height, _, channels = run.model.input_shape[1:]
    names = run.environment["class_names"]
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
        rows = iter(probabilities(logits(run, np.stack(images))) if images else ())
        for result in results:
            if "error" not in result:
                row = next(rows)
                result["classes"] = [
                    {"name": names[k], "probability": float(row[k])}
                    for k in np.argsort(-row, kind="stable")[:top]
                ]
            yield result


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
    """Return the softmax of (n, classes)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _samples(found: np.ndarray, examples: Examples) -> dict[str, np.ndarray]:
    """Keep the most certain wrong examples, and right ones spread over the split."""
    predicted = found.argmax(axis=1)
    probability = probabilities(found).max(axis=1)
    wrong = np.flatnonzero(predicted != examples.labels)
    wrong = wrong[np.argsort(-probability[wrong], kind="stable")][:SHOWN]
    right = np.flatnonzero(predicted == examples.labels)
    right = right[:: max(1, len(right) // SHOWN)][:SHOWN]
    rows = np.concatenate([wrong, right])
    return {
        "images": np.asarray(examples.inputs[rows]),
        "labels": examples.labels[rows],
        "predicted": predicted[rows].astype("int32"),
        "probability": probability[rows].astype("float32"),
    }


def _short(names) -> str:
    return ", ".join(list(names)[:4]) + (", …" if len(names) > 4 else "")
