"""What a plain method scores on the splits of a run: a rival that has to be beaten.

Of texts it reads the TF-IDF of words and pairs of words, of images a few pixels, by
logistic regression of classes and labels, ridge regression of numbers. Or it answers
always the same, the largest class or the mean, where that is better. All of it is
scikit-learn's and takes seconds; whatever is chosen is chosen on the validation split.
"""

import shlex
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from classicnets import recipe as recipes
from classicnets.data import Examples, Splits
from classicnets.data.splitting import take
from classicnets.inference.plain_features import (
    Features,
    pixel_features,
    text_features,
)
from classicnets.kinds import CLASSES, NUMBERS, SETS
from classicnets.runs.run import Run
from classicnets.streams import Stream, subset
from classicnets.tasks import scores

MOST_IMAGES, MOST_TEXTS, MOST_WORDS = 5_000, 10_000, 1_000_000  # to learn from
# Pixels per side. 16 took four times as long: of 209 photographs of hands 74 % were
# right instead of 76 %, of CIFAR-100 13.9 instead of 13.4 %, of MNIST 91 instead of 90.
MOST_PIXELS = 8
_MOST_WEIGHTS = 2_000_000  # the optimizer keeps 20 of their size in float64
_ITERATIONS = {"images": 30, "texts": 100}  # of the optimizer, at most
_PRODUCTS = 3_000_000_000  # of a value and a weight, in all iterations
# By these a recipe for own data is recognised.
_OF_A_RECIPE = ("network", "network_options", "optimizer", "learning_rate")


class _Method(NamedTuple):
    """How a plain method learns labels of a kind.

    Args:
        name: Of it.
        same: What always the same answer is called, in words and in the result.
        score: The name of its score, the headline of the networks that it rivals.
        best: `max` or `min`: which score is better.
        strength: What the method calls the strength of its weights.
        strengths: Those that are tried, of images and of texts.
        constant: From the training labels to the answer that is always the same.
        judge: From answers and labels to the score.
        model: From a strength and iterations to scikit-learn's.
        answer: From the model and features to what `judge` takes.
    """

    name: str
    same: tuple[str, str]
    score: str
    best: Callable[..., Any]
    strength: str
    strengths: Mapping[str, tuple[float, ...]]
    constant: Callable[[np.ndarray], Any]
    judge: Callable[[Any, np.ndarray], float]
    model: Callable[[float, int], Any]
    answer: Callable[[Any, Any], Any] = lambda model, features: model.predict(features)


def _logistic_regression(strength: float, iterations: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=iterations)


def _one_for_each_label(strength: float, iterations: int) -> Any:
    from sklearn.multiclass import OneVsRestClassifier

    return OneVsRestClassifier(_logistic_regression(strength, iterations))


def _mean_average_precision(answers: Any, labels: np.ndarray) -> float:
    answers = np.broadcast_to(answers, labels.shape)
    return scores.judge_sets(answers, labels)["map"] or 0.0


def _ridge_regression(strength: float, iterations: int) -> Any:
    from sklearn.linear_model import Ridge

    return Ridge(alpha=strength)


_METHODS = {
    CLASSES: _Method(
        name="logistic regression",
        same=("always the largest class", "largest_class"),
        score="top1",
        best=max,
        strength="C",
        strengths={"images": (0.01, 0.1, 1.0), "texts": (1.0, 3.0, 10.0, 30.0, 100.0)},
        constant=lambda labels: np.bincount(labels).argmax(),
        judge=lambda answers, labels: float((answers == labels).mean()),
        model=_logistic_regression,
    ),
    NUMBERS: _Method(
        name="ridge regression",
        same=("always the mean of the training labels", "mean"),
        score="rmse",
        best=min,
        strength="alpha",
        strengths={"images": (1.0, 10.0, 100.0, 1_000.0), "texts": (0.1, 1.0, 10.0)},
        constant=np.mean,
        judge=lambda answers, labels: float(
            np.sqrt(np.square(answers - labels).mean())
        ),
        model=_ridge_regression,
    ),
    SETS: _Method(
        name="logistic regression for each label",
        same=("always the labels' shares", "shares"),
        score="map",
        best=max,
        strength="C",
        strengths={"images": (0.01, 0.1, 1.0), "texts": (1.0, 10.0, 100.0)},
        constant=lambda labels: labels.mean(axis=0),
        judge=_mean_average_precision,
        model=_one_for_each_label,
        answer=lambda model, features: model.decision_function(features),
    ),
}
LARGEST_CLASS = _METHODS[CLASSES].same[0]


def measure(
    splits: Splits, examples: Examples, seed: int, labels: str = CLASSES
) -> dict[str, Any]:
    """Train the plain methods on a part of the training split, and judge the better.

    Args:
        splits: Of labelled images or texts, opened.
        examples: Those that are judged: the validation split of `splits`, or its test.
        seed: Of the draw of what is learned from.
        labels: What a label is, a key of `_METHODS`.

    Returns:
        `name` of the method that was better on the validation split, and its score on
        the examples, `top1`, `rmse` or `map`; `C` or `alpha`, the strength of its
        weights, None where it answers always the same; `train_examples`, how many it
        learned from, and `of` how many; and `largest_class`, `mean` or `shares`, the
        score of the answer that is always the same.
    """
    from threadpoolctl import threadpool_limits

    method, train, validation = _METHODS[labels], splits.train, splits.validation
    same = method.constant(train.labels)
    constant = method.judge(same, examples.labels)
    result: dict[str, Any] = {
        "name": method.same[0],
        method.score: constant,
        method.strength: None,
        "train_examples": len(train),
        "of": len(train),
        method.same[1]: constant,
    }
    sample = _sample(train, seed)
    outputs = len(splits.class_names) or 1
    # The optimizer may stop before it has converged, and says so. Its steps are short:
    # beside another program two threads took ten times as long as one.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        name, features = _learn_features(sample, method, outputs)
        if features is None or len(np.unique(sample.labels)) < 2:
            return result
        strength, model, score = _fit(features, sample, validation, method)
        least = method.judge(same, validation.labels)
        if method.best(score, least) == least:
            return result
        if examples is not validation:
            answers = method.answer(model, features(examples))
            score = method.judge(answers, examples.labels)
    learned = {method.strength: strength, "train_examples": len(sample)}
    return result | {"name": name, method.score: score} | learned


def in_words(rival: Mapping[str, Any]) -> str:
    """Return the name of what `measure` has judged, and how much it learned from."""
    if rival["train_examples"] == rival["of"]:
        return str(rival["name"])
    count = f"{rival['train_examples']:,} of {rival['of']:,}"
    return f"{rival['name']} on {count} training examples"


def advice(run: Run, metrics: Mapping[str, Any]) -> str:
    """Return a line on what to try, where a run's network is worse; else "".

    Args:
        run: Of a network that learned from labels.
        metrics: Of its network on the validation split.
    """
    rival, kind = metrics.get("rival"), run.recipe.kind
    if not rival:
        return ""
    method = _METHODS[kind.labels]
    own, its = metrics[method.score], rival[method.score]
    if own == its or method.best(own, its) == own:
        return ""
    name = "photos" if run.tokenizer is None else "texts"
    tries = [
        f"classicnets resume {run.typed_path} --set epochs={2 * run.recipe.epochs}"
    ]
    shipped = recipes.load(name)
    if any(getattr(run.recipe, key) != getattr(shipped, key) for key in _OF_A_RECIPE):
        command = ["classicnets", "train", name, "--data", run.recipe.data]
        if kind.labels != CLASSES:
            command += ["--set", f"task={kind.task}"]
        tries.insert(0, shlex.join(command))
    says = "{:.2%} right" if kind.labels == CLASSES else f"{method.score} {{:.4g}}"
    return (
        f"a plain rival is better on the validation split: {in_words(rival)} has"
        f" {says.format(its)}, this network {says.format(own).removesuffix(' right')}."
        f" Try {', or '.join(tries)}"
    )


def _sample(train: Examples, seed: int) -> Examples:
    """Draw the examples to learn from: all of them, where they are few and short."""
    most = MOST_IMAGES
    if train.lengths is not None:
        most = min(MOST_TEXTS, int(MOST_WORDS / train.lengths.mean()))
    return take(train, subset(len(train), max(most, 1), seed, Stream.RIVAL))


def _learn_features(
    sample: Examples, method: _Method, outputs: int
) -> tuple[str, Features | None]:
    """Return the method's name, and its features; None where there is nothing."""
    if sample.texts is not None:
        name = f"TF-IDF of words and pairs of words with {method.name}"
        return name, text_features(sample.texts, _MOST_WEIGHTS // outputs)
    height, width = (min(side, MOST_PIXELS) for side in sample.inputs.shape[1:3])
    name = f"{method.name} on {height}x{width} pixels"
    return name, pixel_features(sample, (height, width))


def _fit(
    features: Features, sample: Examples, validation: Examples, method: _Method
) -> tuple[float, Any, float]:
    """Return the best strength, the first of equals, its model and its score."""
    inputs, held_out = features(sample), features(validation)
    kind = "images" if sample.texts is None else "texts"
    labels = sample.labels
    classes = len(np.unique(labels)) if labels.ndim == 1 else labels.shape[1]
    products = inputs.size * (classes if classes > 2 else 1)  # sparse: of what is there
    iterations = int(np.clip(_PRODUCTS // products, 5, _ITERATIONS[kind]))
    tried = []
    for strength in method.strengths[kind]:
        model = method.model(strength, iterations).fit(inputs, sample.labels)
        score = method.judge(method.answer(model, held_out), validation.labels)
        tried.append((strength, model, score))
    return method.best(tried, key=lambda each: each[2])
