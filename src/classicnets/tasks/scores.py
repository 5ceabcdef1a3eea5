"""How what learns from labels is judged: by classes, numbers, sets of classes."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from scipy.special import log_softmax, logsumexp


def judge(
    logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str] = ()
) -> dict[str, Any]:
    """Measure the answers of a classifier.

    Args:
        logits: (n, classes).
        labels: (n,) int32.
        class_names: To be judged class by class too, the names of the classes.

    Returns:
        `loss` (nats), `top1` and `top5` accuracy. With `class_names` also `examples`,
        `f1` and `auc`, the means over the classes that occur, be it as an answer alone
        (whose F1 is 0); `per_class`, the same for each; `confusion`, whose rows are
        true classes. The AUC of a class is the chance that one of its examples gets a
        higher probability of it than one of the others.

        Ties share: `top1` and `top5` are what is right on average if equal logits are
        ranked at random, and equal probabilities count half in an AUC. 100 equal logits
        score 0.01, 0.05 and 0.5. `confusion`, and the F1 of its counts, know one answer
        per example, the one that `predict` gives: the first of equal ones.
    """
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    # Logits that are no numbers rank above the label's: nothing is right by them.
    above = (~(logits <= own)).sum(axis=1)
    level = np.maximum((logits == own).sum(axis=1), 1)
    own_log = np.take_along_axis(log_softmax(logits, axis=1), labels[:, None], axis=1)
    top1, top5 = (np.clip((k - above) / level, 0.0, 1.0) for k in (1, 5))
    measures = {
        "loss": float(-own_log.mean()),
        "top1": float(top1.mean()),
        "top5": float(top5.mean()),
    }
    if not class_names:
        return measures
    return {
        "examples": len(labels),
        **measures,
        **_by_class(logits, labels, class_names),
    }


def judge_numbers(values: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Measure the answers of a regressor.

    Args:
        values: (n,), in the unit of the labels.
        labels: (n,).

    Returns:
        `rmse` and `mae`, the root of the mean squared error and the mean absolute
        error, in the unit of the labels; `r2`, the share of the labels' variance that
        is explained: 0 for always their mean, negative for worse, None where they are
        all the same. Computed in float64.
    """
    labels = labels.astype(np.float64)
    errors = values.astype(np.float64) - labels
    squares, variance = np.square(errors).mean(), labels.var()
    return {
        "rmse": float(np.sqrt(squares)),
        "mae": float(np.abs(errors).mean()),
        "r2": float(1.0 - squares / variance) if np.ptp(labels) else None,
    }


def judge_sets(
    logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str] = ()
) -> dict[str, Any]:
    """Measure the answers of a multi-label classifier.

    Args:
        logits: (n, classes); a label is answered where its probability is 1/2 or more.
        labels: (n, classes), 1 for those that are there, else 0.
        class_names: To be judged label by label too, their names.

    Returns:
        `loss` (nats per example); `map`, the mean of the average precisions of the
        labels that an example has, None where there are none; `f1`, the mean over the
        labels that an example has or is given; `exact`, the share of examples whose
        labels are all right. With `class_names` also `examples`, and `per_class`, the
        same for each label.

        The average precision is the sum of the precisions at each threshold, weighed by
        what recall rises there: equal logits are one threshold.
    """
    is_true, is_said = labels > 0, logits >= 0
    hits, true = (is_true & is_said).sum(axis=0), is_true.sum(axis=0)
    said = is_said.sum(axis=0)
    per_class: list[dict[str, Any]] = [
        {
            "examples": int(true[k]),
            "recall": _share(hits[k], true[k]),
            "precision": _share(hits[k], said[k]),
            "f1": _share(2 * hits[k], true[k] + said[k]),
            "average_precision": _average_precision(logits[:, k], is_true[:, k]),
        }
        for k in range(labels.shape[1])
    ]
    measures = {
        "loss": float(losses_of_sets(logits, labels).mean()),
        "map": _mean(row["average_precision"] for row in per_class),
        "f1": _mean(row["f1"] for row in per_class),
        "exact": float((is_true == is_said).all(axis=1).mean()),
    }
    if not class_names:
        return measures
    named = [{"name": name, **row} for name, row in zip(class_names, per_class)]
    return {"examples": len(labels), **measures, "per_class": named}


def losses_of_sets(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the binary cross-entropy of each example, (n,) nats."""
    terms = np.logaddexp(0, logits.astype(np.float64)) - logits * (labels > 0)
    return terms.sum(axis=1)


def _average_precision(score: np.ndarray, positive: np.ndarray) -> float | None:
    """Return the area under precision over recall, in steps; None without positives."""
    if not positive.any():
        return None
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(positive[order])
    # Where the score falls next: equal ones are told apart by nothing.
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    precision = hits[last] / (last + 1)
    return float((np.diff(hits[last], prepend=0) * precision).sum() / hits[-1])


def _by_class(
    logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> dict[str, Any]:
    classes = len(class_names)
    predicted = logits.argmax(axis=1)
    confusion = np.bincount(labels * classes + predicted, minlength=classes**2)
    confusion = confusion.reshape(classes, classes)
    right, of_class = confusion.diagonal(), confusion.sum(axis=1)
    called = confusion.sum(axis=0)
    per_class: list[dict[str, Any]] = [
        {
            "name": name,
            "examples": int(of_class[k]),
            "recall": _share(right[k], of_class[k]),
            "precision": _share(right[k], called[k]),
            "f1": _share(2 * right[k], of_class[k] + called[k]),
            "auc": _area(logits[:, k] - _others(logits, k), labels == k),
        }
        for k, name in enumerate(class_names)
    ]
    return {
        "f1": _mean(row["f1"] for row in per_class),
        "auc": _mean(row["auc"] for row in per_class),
        "per_class": per_class,
        "confusion": confusion.tolist(),
    }


def _share(count: int, of: int) -> float | None:
    return float(count / of) if of else None


def _mean(values: Iterable[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if numbers else None


def _others(logits: np.ndarray, k: int) -> np.ndarray:
    """Return the log of the sum of the powers of all classes but `k`, (n,)."""
    return logsumexp(np.delete(logits, k, axis=1), axis=1)


def _area(score: np.ndarray, positive: np.ndarray) -> float | None:
    """Return the area under the ROC curve by ranks (Mann & Whitney); ties share."""
    count = int(positive.sum())
    if count in (0, len(positive)):
        return None
    _, place, ties = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(ties) - (ties - 1) / 2)[place]
    above = rank[positive].sum() - count * (count + 1) / 2
    return float(above / (count * (len(positive) - count)))
