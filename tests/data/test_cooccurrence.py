"""Word vectors: small corpora whose counts one can write down."""

import numpy as np
import pytest

from classicnets import data
from classicnets.data.examples import Examples
from classicnets.data.texts import cooccurrence


def texts(*rows, all_tokens=None):
    longest = max(map(len, rows))
    padded = [[*row, *[0] * (longest - len(row))] for row in rows]
    labels = np.zeros(len(rows), np.int32)
    return Examples(np.array(padded, np.int32), labels, all_tokens=all_tokens)


def test_near_words_count_by_their_distance_and_texts_are_apart():
    running = cooccurrence.running(texts([1, 2, 3], [4], [2, 1]))
    near = cooccurrence._near(*running, 5).toarray()
    expected = np.zeros((5, 5))
    expected[1, 2] = 1 + 1  # in the first text and in the last
    expected[2, 3] = 1
    expected[1, 3] = 1 / 2
    assert np.array_equal(near, expected + expected.T)


def test_texts_are_read_before_they_were_cut():
    tokens, offsets = np.array([1, 2, 3, 4], np.int32), np.array([0, 3, 4])
    running = cooccurrence.running(texts([2, 3], [4], all_tokens=(tokens, offsets)))
    assert [part.tolist() for part in running] == [[1, 2, 3, 4], [0, 0, 0, 1]]


def test_the_products_of_the_vectors_are_the_mutual_information():
    rng = np.random.default_rng(0)
    train = texts(*rng.integers(1, 12, (40, 30)).tolist())
    near = cooccurrence._near(*cooccurrence.running(train), 12)
    information = cooccurrence._mutual_information(near).toarray()

    counts = near.toarray()
    share = counts.sum(axis=0) ** 0.75 / (counts.sum(axis=0) ** 0.75).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.log(counts / counts.sum(axis=1, keepdims=True) / share)
    expected = np.where(counts > 0, np.maximum(expected, 0), 0)
    assert np.allclose(information, expected)

    vectors = data.word_vectors(train, 12, 11)
    left, singular, _ = np.linalg.svd(information)
    exact = left[:, :11] * np.sqrt(singular[:11])
    exact *= 0.1 / np.sqrt(np.mean(exact**2))
    # Up to a sign each: what does not depend on it are the products.
    assert np.allclose(vectors @ vectors.T, exact @ exact.T, atol=1e-4)


def test_words_in_like_company_have_like_vectors():
    """Good and fine stand beside film, sad and dull beside rain."""
    good, fine, sad, dull, film, rain = range(1, 7)
    rng = np.random.default_rng(0)
    rows = [[good, film], [fine, film], [sad, rain], [dull, rain]]
    train = texts(*(rows[i] for i in rng.integers(0, 4, 200)))
    vectors = data.word_vectors(train, 7, 3)
    lengths = np.linalg.norm(vectors, axis=1)
    likeness = vectors @ vectors.T / np.outer(lengths, lengths + 1e-9)
    assert likeness[good, fine] > 0.99
    assert likeness[good, sad] < 0.01
    assert np.abs(vectors[0]).max() < 1e-6  # the padding


@pytest.mark.parametrize("size", [3, 8, 20])
def test_the_shape_is_that_of_the_table(size):
    vectors = data.word_vectors(texts([1, 2, 3], [3, 2, 1]), 8, size)
    assert vectors.shape == (8, size)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert np.mean(vectors**2) == pytest.approx(0.01)


def test_texts_of_one_word_have_no_neighbours():
    assert (data.word_vectors(texts([1], [2]), 4, 2) == 0).all()
