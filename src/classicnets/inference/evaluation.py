"""Metrics of a trained network on a named split, and its predictions on new inputs."""

import time
from typing import Any

import numpy as np

from classicnets import kinds
from classicnets.data import Examples, Splits
from classicnets.errors import UserError
from classicnets.inference import sampling
from classicnets.inference.predicting import load_data, logits, probabilities
from classicnets.runs.run import Run
from classicnets.streams import Stream, subset
from classicnets.tasks import scores
from classicnets.tasks.bounds import Bounds
from classicnets.tasks.judging import ImageJudge

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
    judge = _JUDGES[run.recipe.kind]
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
    metrics = scores.judge(found, examples.labels, splits.class_names)
    if examples.lengths is not None:
        right = found.argmax(axis=1) == examples.labels
        metrics["by_length"] = _by_length(examples.lengths, right)
    return metrics, _samples(found, examples)


def _judge_reconstructions(run, split, splits, examples):
    network = run.model.layers[-1]  # under the scaling of pixels
    samples = IMPORTANCE_SAMPLES if split == "test" else 0
    return Bounds(network, run.recipe).judge(examples.inputs, samples=samples), {}


def _judge_samples(run, split, splits, examples):
    count = min(len(examples), MOST_GENERATED)
    # Any of them: a set may be sorted by its classes.
    rows = subset(len(examples), count, run.recipe.split_seed, Stream.REAL)
    real = examples.inputs[rows]
    # What real images score against other real ones is the least one can hope for.
    other = splits.train if split != "train" else splits.validation
    fake = sampling.sample(run, count, seed=run.recipe.split_seed)
    return ImageJudge(real).judge(fake, other.inputs), {}


_JUDGES = {
    kinds.CLASSIFIER: _judge_classes,
    kinds.AUTOENCODER: _judge_reconstructions,
    kinds.VAE: _judge_reconstructions,
    kinds.GAN: _judge_samples,
}


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
