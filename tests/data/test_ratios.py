"""Log-count ratios against the paper's formula, counted by hand."""

from itertools import pairwise

import numpy as np
import pytest

from classicnets.data import Examples, log_count_ratios
from classicnets.networks.lstm import pair_numbers

TEXTS = [[2, 3, 2, 3, 4], [3, 4, 5], [2, 3], [6]]
PAIRS = 10_007


def examples(labels):
    tokens = np.zeros((len(TEXTS), 5), np.int32)
    for row, text in zip(tokens, TEXTS):
        row[: len(text)] = text
    return Examples(tokens, np.array(labels, np.int32))


def by_hand(terms, labels, rows, classes):
    """The ratios of each term: `terms` are those of each text, each once."""
    result = np.zeros((rows, classes))
    for label in range(classes):
        inside, outside = np.ones(rows), np.ones(rows)
        for text, of in zip(terms, labels):
            for term in set(text):
                (inside if of == label else outside)[term] += 1
        result[:, label] = np.log((inside / inside.sum()) / (outside / outside.sum()))
    return result - result.mean(axis=1, keepdims=True)


@pytest.mark.parametrize("labels", [[0, 1, 0, 1], [2, 0, 1, 1]])
def test_ratios_are_those_of_the_paper(labels):
    classes = max(labels) + 1
    words, pairs = log_count_ratios(examples(labels), classes, 7, PAIRS)
    expected = by_hand(TEXTS, labels, 7, classes)
    np.testing.assert_allclose(words, expected, atol=1e-6)
    terms = [[int(pair_numbers(*pair, PAIRS)) for pair in pairwise(t)] for t in TEXTS]
    expected = by_hand(terms, labels, PAIRS + 1, classes)
    np.testing.assert_allclose(pairs, expected, atol=1e-6)


def test_of_two_classes_one_says_what_the_other_denies():
    words, _ = log_count_ratios(examples([0, 1, 0, 1]), 2, 7, PAIRS)
    np.testing.assert_allclose(words[:, 0], -words[:, 1], atol=1e-6)
    assert words[2, 0] > 0 > words[5, 0]  # 2 stands in texts of class 0 alone
