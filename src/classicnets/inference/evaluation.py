"""Metrics of a trained network on every example of a named split."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit, softmax

from classicnets import kinds
from classicnets.data import Examples, Splits, count_copies, words_read
from classicnets.errors import UserError
from classicnets.inference import rival, sampling
from classicnets.inference.answers import save_predictions
from classicnets.inference.predicting import load_data, logits
from classicnets.runs import identity
from classicnets.runs.run import Run
from classicnets.streams import Stream, subset
from classicnets.tasks import scores
from classicnets.tasks.bounds import Bounds
from classicnets.tasks.judging import LEAST, ImageJudge

SPLITS = ("train", "validation", "test")
SAMPLES = 24  # right, and as many wrong, examples for the report
TEXT_LENGTH = 4_000  # characters of a text among them
IMPORTANCE_SAMPLES = 100  # codes per image for a VAE's likelihood
MAX_GENERATED = 10_000  # images, for FID and KID


def evaluate(
    run: Run,
    split: str = "test",
    *,
    data: str | None = None,
    splits: Splits | None = None,
    allow_changed: Sequence[str] = (),
) -> dict[str, Any]:
    """Judge a run's network on every example of a split.

    Args:
        run: A finished run.
        split: "train", "validation" or "test".
        data: Other data, of some or all of the classes; without a test of their own
            all of them are judged. The result is then not kept in the run.
        splits: The run's own data, if they are already open.
        allow_changed: ("data",) judges on the run's own data though they have changed;
            the metrics then say how, as `data_changed`.

    Returns:
        `examples` counted and `seconds`; `model`, the digest of the network that was
        judged, and `data`, the fingerprint of what it was judged on; of a classifier
        what `scores.judge` returns, and `by_length` for texts; of a regressor what
        `scores.judge_numbers` does, of a multi-label classifier `scores.judge_sets`; of
        an autoencoder or a VAE what `Bounds.judge` returns; of a GAN what
        `ImageJudge.judge` does: as many images are generated as the split has, 10,000
        at most. Also in metrics.json.
        `rival` is what `rival.measure` returns: of a classifier's validation and test;
        `copies`, of the same splits, how many examples are training examples, too.

    Raises:
        UserError: If there is no such split, no model yet, or the data do not fit.
    """
    if split not in SPLITS:
        raise UserError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
    splits = splits or load_data(run, data, allow_changed=allow_changed)
    model = run.digest(run.recipe.kind.judged)
    examples = splits.open_test() if split == "test" else getattr(splits, split)
    judge = _JUDGES[run.recipe.kind]
    started = time.monotonic()
    metrics, samples = judge(run, split, splits, examples)
    answers, names = samples.pop("answers", None), splits.names.get(split, ())
    if names and "rows" in samples:
        samples["names"] = np.array([names[row] for row in samples["rows"]])
    metrics |= {"seconds": time.monotonic() - started, "model": model}
    metrics["data"] = splits.fingerprint
    # Of what it has learned from, or of other data, a rival's score says nothing.
    recipe, is_own = run.recipe, data is None and split != "train"
    if is_own:
        metrics["copies"] = count_copies(splits.train, examples)
    if is_own and recipe.rival and recipe.kind.labelled:
        labels = recipe.kind.labels
        metrics["rival"] = rival.measure(splits, examples, recipe.split_seed, labels)
    if data is None:
        if lines := identity.data_differences(run.environment, splits):
            kept = ["files of before keep their splits"] if run.files else []
            metrics["data_changed"] = "; ".join([*lines, *kept])
        run.save_metrics(split, metrics)
        if samples:
            run.save_samples(split, samples | {"model": np.array(model)})
        if split == "test" and answers is not None:
            save_predictions(run, answers, examples, names)
    return metrics


# What a judge returns: metrics, and examples that the report shows.
_Judgement = tuple[dict[str, Any], dict[str, np.ndarray]]


def _judge_classes(
    run: Run, split: str, splits: Splits, examples: Examples
) -> _Judgement:
    labels = _known_classes(run, splits)[examples.labels]
    examples = dataclasses.replace(examples, labels=labels)
    answers = logits(run, examples.inputs)
    metrics = scores.judge(answers, labels, run.class_names)
    if examples.lengths is not None:
        right = answers.argmax(axis=1) == examples.labels
        metrics["by_length"] = _by_length(examples.lengths, right)
    samples = _samples(run, splits, answers, examples)
    return metrics, samples | {"answers": answers}


def _known_classes(run: Run, splits: Splits) -> np.ndarray:
    """Return the numbers that the run has for the classes of data, which may be fewer.

    Raises:
        UserError: If the run does not know one of them.
    """
    if unknown := [name for name in splits.class_names if name not in run.class_names]:
        raise UserError(
            f"the model knows the classes {_short(run.class_names)},"
            f" {splits.name} has {_short(unknown)}."
        )
    numbers = [run.class_names.index(name) for name in splits.class_names]
    return np.array(numbers, np.int32)


def _judge_numbers(
    run: Run, split: str, splits: Splits, examples: Examples
) -> _Judgement:
    values = logits(run, examples.inputs)[:, 0]
    errors = values.astype(np.float64) - examples.labels
    largest = np.argsort(-np.abs(errors), kind="stable")
    rows = np.concatenate([largest[:SAMPLES], _spread(largest[SAMPLES:])])
    samples = _inputs(run, splits, examples, rows) | {
        "answers": values[:, None],
        "rows": rows,
        "labels": examples.labels[rows],
        "values": values[rows],
        "all_labels": examples.labels,  # of every example: for the picture of them
        "all_values": values,
        "squared_errors": np.square(errors),  # and runs are compared by them
    }
    metrics = scores.judge_numbers(values, examples.labels)
    return {"examples": len(examples), **metrics}, samples


def _judge_sets(run: Run, split: str, splits: Splits, examples: Examples) -> _Judgement:
    labels = np.zeros((len(examples), len(run.class_names)), examples.labels.dtype)
    labels[:, _known_classes(run, splits)] = examples.labels
    answers = logits(run, examples.inputs)
    losses = scores.losses_of_sets(answers, labels)
    largest = np.argsort(-losses, kind="stable")
    rows = np.concatenate([largest[:SAMPLES], _spread(largest[SAMPLES:])])
    samples = _inputs(run, splits, examples, rows) | {
        "answers": answers,
        "rows": rows,
        "labels": labels[rows],
        "probabilities": expit(answers[rows]),
        "losses": losses,  # of every example: runs are compared by them
    }
    return scores.judge_sets(answers, labels, run.class_names), samples


def _judge_reconstructions(
    run: Run, split: str, splits: Splits, examples: Examples
) -> _Judgement:
    network = run.model.layers[-1]  # under the scaling of pixels
    samples = IMPORTANCE_SAMPLES if split == "test" else 0
    bounds = Bounds(network, run.recipe)
    terms = bounds.terms(examples.inputs)
    measures = bounds.judge(examples.inputs, terms=terms, samples=samples)
    return measures, {"nats": terms.sum(axis=1).astype("float32")}


def _judge_generated(
    run: Run, split: str, splits: Splits, examples: Examples
) -> _Judgement:
    count = min(len(examples), MAX_GENERATED)
    if count < LEAST:
        return {"examples": count}, {}  # too few to be judged by
    # Any of them: a set may be sorted by its classes.
    rows = subset(len(examples), count, run.recipe.split_seed, Stream.REAL)
    real = examples.inputs[rows]
    # What real images score against other real ones is the least one can hope for.
    other = splits.train if split != "train" else splits.validation
    fake = sampling.sample(run, count, seed=run.recipe.split_seed)
    return ImageJudge(real).judge(fake, other.inputs), {}


_JUDGES = {
    kinds.CLASSIFIER: _judge_classes,
    kinds.REGRESSOR: _judge_numbers,
    kinds.TAGGER: _judge_sets,
    kinds.AUTOENCODER: _judge_reconstructions,
    kinds.VAE: _judge_reconstructions,
    kinds.GAN: _judge_generated,
}


def _samples(
    run: Run, splits: Splits, answers: np.ndarray, examples: Examples
) -> dict[str, np.ndarray]:
    """Return the most certain wrong examples, and right ones: of images spread over the
    split, of texts the most certain."""
    predicted, texts = answers.argmax(axis=1), examples.texts
    probability = softmax(answers, axis=1).max(axis=1)
    is_right = predicted == examples.labels
    certain = np.argsort(-probability, kind="stable")
    wrong, right = certain[~is_right[certain]], certain[is_right[certain]]
    if texts is None:
        right = _spread(right)
    rows = np.concatenate([wrong[:SAMPLES], right[:SAMPLES]])
    return _inputs(run, splits, examples, rows) | {
        "rows": rows,
        "labels": examples.labels[rows],
        "predicted": predicted[rows].astype("int32"),
        "probability": probability[rows].astype("float32"),
        "right": is_right,  # of every example: runs are compared by them
    }


def _spread(rows: np.ndarray) -> np.ndarray:
    """Return some of the rows of examples, spread over the split."""
    return np.sort(rows)[:: max(1, len(rows) // SAMPLES)][:SAMPLES]


def _inputs(
    run: Run, splits: Splits, examples: Examples, rows: np.ndarray
) -> dict[str, np.ndarray]:
    """Return some images, or what the network read of some texts."""
    texts = examples.texts
    if texts is None:
        return {"images": np.asarray(examples.inputs[rows])}
    return {"texts": np.array([_read(run, splits, texts[row]) for row in rows])}


def _read(run: Run, splits: Splits, text: str) -> str:
    """Return what the network read of a text, without its middle if that is long."""
    recipe = run.recipe
    assert splits.tokenizer is not None
    read = words_read(
        splits.tokenizer,
        text,
        max_tokens=recipe.max_tokens,
        keep_tokens=recipe.keep_tokens,
    )
    half = TEXT_LENGTH // 2
    return read if len(read) <= TEXT_LENGTH else f"{read[:half]} … {read[-half:]}"


def _by_length(lengths: np.ndarray, right: np.ndarray) -> list[dict[str, Any]]:
    """Return the accuracy by the number of tokens, in eight parts of about one size."""
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


def _short(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
