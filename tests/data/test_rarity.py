"""Rarities of words and pairs against scikit-learn's."""

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from classicnets.data import Examples, rarities
from classicnets.networks.lstm import pair_numbers

TEXTS = [[2, 3, 2, 3, 4], [3, 4, 5], [2, 3], [6]]
PAIRS = 10_007


def examples():
    tokens = np.zeros((len(TEXTS), 5), np.int32)
    for row, text in zip(tokens, TEXTS):
        row[: len(text)] = text
    return Examples(tokens, np.zeros(len(TEXTS), np.int32))


def test_rarities_are_the_inverse_document_frequencies_of_scikit_learn():
    words, pairs = rarities(examples(), 7, PAIRS)
    vectorizer = TfidfVectorizer(analyzer=lambda text: text).fit(TEXTS)
    expected = np.zeros(7)
    for token, place in vectorizer.vocabulary_.items():
        expected[token] = vectorizer.idf_[place]
    expected[[5, 6]] = 0.0  # in one text only
    np.testing.assert_allclose(words[:, 0], expected, rtol=1e-6)
    # Of all pairs (2, 3) and (3, 4) stand in two texts, and 4 with 3 across two texts.
    rows = [int(pair_numbers(*pair, PAIRS)) for pair in ((2, 3), (3, 4))]
    assert sorted(np.flatnonzero(pairs)) == sorted(rows)
    np.testing.assert_allclose(pairs[rows, 0], np.log(5 / 3) + 1, rtol=1e-6)
