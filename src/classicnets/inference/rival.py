"""What a plain method scores on the splits of a run: a rival that has to be beaten.

Of texts: TF-IDF of words and pairs of words with logistic regression. Of images:
logistic regression on a few pixels. Or always the largest class, where that is better.
All of it is scikit-learn's and takes seconds; whatever is chosen is chosen on the
validation split.
"""

import shlex
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from classicnets import recipe as recipes
from classicnets.data import Examples, Splits
from classicnets.data.images.decoding import resize_array
from classicnets.data.splitting import take
from classicnets.data.texts.words import Words, split_words, word_rules
from classicnets.runs.run import Run
from classicnets.streams import Stream, subset

LARGEST_CLASS = "always the largest class"
MOST_IMAGES, MOST_TEXTS, MOST_WORDS = 5_000, 10_000, 1_000_000  # to learn from
# Pixels per side. 16 took four times as long: of 209 photographs of hands 74 % were
# right instead of 76 %, of CIFAR-100 13.9 instead of 13.4 %, of MNIST 91 instead of 90.
MOST_PIXELS = 8
MOST_TERMS = 200_000  # words and pairs of words
_MOST_WEIGHTS = 2_000_000  # the optimizer keeps 20 of their size in float64
_STRENGTHS = {"images": (0.01, 0.1, 1.0), "texts": (1.0, 3.0, 10.0, 30.0, 100.0)}
_ITERATIONS = {"images": 30, "texts": 100}  # of the optimizer, at most
_PRODUCTS = 3_000_000_000  # of a value and a weight, in all iterations
# By these a recipe for own data is recognised.
_OF_A_RECIPE = ("network", "network_options", "optimizer", "learning_rate")
_BLOCK = 1_000  # examples made into features at a time

# From examples to a row of numbers each, dense or sparse.
_Features = Callable[[Examples], Any]


def measure(splits: Splits, examples: Examples, seed: int) -> dict[str, Any]:
    """Train the plain methods on a part of the training split, and judge the better.

    Args:
        splits: Of labelled images or texts, opened.
        examples: Those that are judged: the validation split of `splits`, or its test.
        seed: Of the draw of what is learned from.

    Returns:
        `name` of the method that was better on the validation split, and its accuracy
        on the examples, `top1`; `C`, the strength of its weights, None for the largest
        class; `train_examples`, how many it learned from, and `of` how many; and
        `largest_class`, the accuracy of the answer that is always the same.
    """
    from threadpoolctl import threadpool_limits

    train, validation = splits.train, splits.validation
    same = int(np.bincount(train.labels).argmax())
    constant = float((examples.labels == same).mean())
    result: dict[str, Any] = {
        "name": LARGEST_CLASS,
        "top1": constant,
        "C": None,
        "train_examples": len(train),
        "of": len(train),
        "largest_class": constant,
    }
    sample = _sample(train, seed)
    # The optimizer may stop before it has converged, and says so. Its steps are short:
    # beside another program two threads took ten times as long as one.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        name, features = _learn_features(sample, len(splits.class_names))
        if features is None or len(np.unique(sample.labels)) < 2:
            return result
        strength, model, share = _fit(features, sample, validation)
        if share <= (validation.labels == same).mean():
            return result
        if examples is not validation:
            share = model.score(features(examples), examples.labels)
    learned = {"C": strength, "train_examples": len(sample)}
    return result | {"name": name, "top1": float(share)} | learned


def in_words(rival: Mapping[str, Any]) -> str:
    """Return the name of what `measure` has judged, and how much it learned from."""
    if rival["train_examples"] == rival["of"]:
        return str(rival["name"])
    count = f"{rival['train_examples']:,} of {rival['of']:,}"
    return f"{rival['name']} on {count} training examples"


def advice(run: Run, metrics: Mapping[str, Any]) -> str:
    """Return a line on what to try, where a run's network is worse; else "".

    Args:
        run: Of a classifier.
        metrics: Of its network on the validation split.
    """
    rival = metrics.get("rival")
    if not rival or metrics["top1"] >= rival["top1"]:
        return ""
    name = "photos" if run.tokenizer is None else "texts"
    tries = [
        f"classicnets resume {run.typed_path} --set epochs={2 * run.recipe.epochs}"
    ]
    own = recipes.load(name)
    if any(getattr(run.recipe, key) != getattr(own, key) for key in _OF_A_RECIPE):
        command = ["classicnets", "train", name, "--data", run.recipe.data]
        tries.insert(0, shlex.join(command))
    return (
        f"a plain rival is better on the validation split: {in_words(rival)} has"
        f" {rival['top1']:.2%} right, this network {metrics['top1']:.2%}. Try"
        f" {', or '.join(tries)}"
    )


def _sample(train: Examples, seed: int) -> Examples:
    """Draw the examples to learn from: all of them, where they are few and short."""
    most = MOST_IMAGES
    if train.lengths is not None:
        most = min(MOST_TEXTS, int(MOST_WORDS / train.lengths.mean()))
    return take(train, subset(len(train), max(most, 1), seed, Stream.RIVAL))


def _learn_features(sample: Examples, classes: int) -> tuple[str, _Features | None]:
    """Return the method's name, and its features; None where there is nothing."""
    if sample.texts is not None:
        name = "TF-IDF of words and pairs of words with logistic regression"
        return name, _text_features(sample.texts, _MOST_WEIGHTS // classes)
    height, width = (min(side, MOST_PIXELS) for side in sample.inputs.shape[1:3])
    name = f"logistic regression on {height}x{width} pixels"
    return name, _pixel_features(sample, (height, width))


def _fit(
    features: _Features, sample: Examples, validation: Examples
) -> tuple[float, Any, float]:
    """Return the best C, the smaller one of equals, its model and its accuracy."""
    from sklearn.linear_model import LogisticRegression

    inputs, held_out = features(sample), features(validation)
    kind = "images" if sample.texts is None else "texts"
    classes = len(np.unique(sample.labels))
    products = inputs.size * (classes if classes > 2 else 1)  # sparse: of what is there
    iterations = int(np.clip(_PRODUCTS // products, 5, _ITERATIONS[kind]))
    best: tuple[float, Any, float] = (0.0, None, -1.0)
    for strength in _STRENGTHS[kind]:
        model = LogisticRegression(C=strength, max_iter=iterations)
        share = model.fit(inputs, sample.labels).score(held_out, validation.labels)
        if share > best[2]:
            best = strength, model, share
    return best


def _pixel_features(sample: Examples, size: tuple[int, int]) -> _Features:
    """Return what makes images (n, pixels) float32, standardised by the sample's."""
    from sklearn.preprocessing import StandardScaler

    def pixels(examples: Examples) -> np.ndarray:
        images = examples.inputs
        blocks = [
            resize_array(images[start : start + _BLOCK], size, 0, "stretch")
            for start in range(0, len(images), _BLOCK)
        ]
        return np.concatenate(blocks).reshape(len(images), -1).astype(np.float32)

    scaler = StandardScaler().fit(pixels(sample))
    return lambda examples: scaler.transform(pixels(examples))


def _text_features(texts: Sequence[str], most_terms: int) -> _Features | None:
    """Return what makes texts (n, terms) sparse; None where no term is in two texts.

    Counted by NumPy, a term a number: scikit-learn's own counting, which its
    `TfidfVectorizer` does by Python's dicts, takes five times as long.
    """
    from scipy.sparse import vstack
    from sklearn.feature_extraction.text import TfidfTransformer

    rules = word_rules()
    words = split_words(rules, texts)
    numbers = {name: number for number, name in enumerate(words.names)}
    terms = _frequent_terms(words, numbers, min(most_terms, MOST_TERMS))
    if not len(terms):
        return None
    tfidf = TfidfTransformer(sublinear_tf=True).fit(_count(words, numbers, terms))

    def features(examples: Examples) -> Any:
        assert examples.texts is not None
        blocks = [
            _count(split_words(rules, examples.texts[i : i + _BLOCK]), numbers, terms)
            for i in range(0, len(examples), _BLOCK)
        ]
        return tfidf.transform(vstack(blocks, format="csr"))

    return features


def _frequent_terms(words: Words, numbers: Mapping[str, int], most: int) -> np.ndarray:
    """Return the terms that are in two texts or more, ascending, the most frequent."""
    rows, terms = _terms(words, numbers)
    distinct, place = np.unique(terms, return_inverse=True)
    pairs = np.unique(place * len(words.offsets) + rows)
    texts = np.bincount(pairs // len(words.offsets), minlength=len(distinct))
    counts = np.bincount(place, minlength=len(distinct)) * (texts > 1)
    order = np.argsort(-counts, kind="stable")[:most]
    return np.sort(distinct[order[counts[order] > 0]])


def _count(words: Words, numbers: Mapping[str, int], terms: np.ndarray) -> Any:
    """Return how often each of the ascending terms is in each text, sparse."""
    from scipy.sparse import csr_matrix

    rows, all_terms = _terms(words, numbers)
    place = np.minimum(np.searchsorted(terms, all_terms), len(terms) - 1)
    is_known = terms[place] == all_terms
    cells = (rows[is_known], place[is_known])
    shape = (len(words.offsets) - 1, len(terms))
    # It adds up what is there twice.
    return csr_matrix((np.ones(len(cells[0])), cells), shape)


def _terms(words: Words, numbers: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the text of every word and pair of words, and its number, both int64.

    A word's is that of `numbers`, and a pair's lies above them all. What is not among
    them is left out.
    """
    own = np.array([numbers.get(name, -1) for name in words.names], np.int64)
    word = own[words.numbers]
    row = np.repeat(np.arange(len(words.offsets) - 1), np.diff(words.offsets))
    first, second = word[:-1], word[1:]
    pair = (first + 1) * len(numbers) + second
    is_pair = (row[:-1] == row[1:]) & (first >= 0) & (second >= 0)
    rows = np.concatenate([row[word >= 0], row[:-1][is_pair]])
    return rows, np.concatenate([word[word >= 0], pair[is_pair]])
