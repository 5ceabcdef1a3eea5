"""Rows of numbers for plain methods: small pixels of images, TF-IDF of texts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from classicnets.data import Examples
from classicnets.data.images.decoding import resize_array
from classicnets.data.texts.words import Words, split_words, word_rules

MOST_TERMS = 200_000  # words and pairs of words
_BLOCK = 1_000  # examples made into features at a time

# From examples to a row of numbers each, dense or sparse.
Features = Callable[[Examples], Any]


def pixel_features(sample: Examples, size: tuple[int, int]) -> Features:
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


def text_features(texts: Sequence[str], most_terms: int) -> Features | None:
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
