"""Word vectors from texts alone: what stands near a word, in a few numbers.

Levy & Goldberg 2014 (NIPS, "Neural Word Embedding as Implicit Matrix Factorization"):
the skip-grams of word2vec factorize a matrix of mutual information; here it is
factorized outright.
"""

from typing import Any

import numpy as np

from classicnets.data.batches import lengths
from classicnets.data.examples import Examples

_WINDOW = 5  # words on each side of a word that stand near it
# Neighbours count by their frequency to this power (Levy, Goldberg & Dagan 2015).
_SMOOTHING = 0.75
_SIZE = 0.1  # root mean square of the numbers: some times that of a random start


def word_vectors(train: Examples, vocabulary_size: int, size: int) -> np.ndarray:
    """Return a vector for each word of the training texts.

    Words a and b that stand at distance d <= 5 count 1/d. The positive mutual
    information max(0, log(p(a, b) / (p(a) q(b)))), where q(b) goes as p(b)^0.75, is
    factorized by a truncated singular value decomposition U S V^T; the vectors are the
    rows of U S^(1/2), scaled.

    Args:
        train: Examples whose inputs are tokens.
        vocabulary_size: Tokens are below it.
        size: Numbers per vector.

    Returns:
        (vocabulary_size, size) float32; zeros for what stands beside nothing, as the
        padding does.
    """
    from sklearn.utils.extmath import randomized_svd

    information = _mutual_information(_near(*running(train), vocabulary_size))
    vectors = np.zeros((vocabulary_size, size), np.float32)
    if not information.nnz:  # texts of one word
        return vectors
    left, singular, _ = randomized_svd(information, size, random_state=0)
    vectors[:, : len(singular)] = left * np.sqrt(singular)
    return vectors * (_SIZE / np.sqrt(np.mean(vectors**2)))


def running(train: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens of all texts, one after another, and the text of each."""
    if train.all_tokens:
        tokens, offsets = train.all_tokens
        counts = np.diff(offsets)
    else:
        counts = lengths(train.inputs)
        inputs = np.asarray(train.inputs)
        tokens = inputs[np.arange(inputs.shape[1]) < counts[:, None]]
    return tokens, np.repeat(np.arange(len(counts)), counts)


def _near(tokens: np.ndarray, texts: np.ndarray, size: int) -> Any:
    """Count how often words stand near each other, (size, size), sparse."""
    from scipy import sparse

    near = sparse.csr_array((size, size), dtype=np.float64)
    for distance in range(1, _WINDOW + 1):
        together = texts[:-distance] == texts[distance:]
        pairs = tokens[:-distance][together], tokens[distance:][together]
        counts = np.full(len(pairs[0]), 1 / distance)
        near += sparse.csr_array((counts, pairs), shape=(size, size))
    return near + near.T


def _mutual_information(near: Any) -> Any:
    """Return the positive mutual information of counts, where it is not 0."""
    from scipy import sparse

    near = near.tocoo()
    words = near.sum(axis=1)
    neighbours = words**_SMOOTHING
    expected = words[near.row] * neighbours[near.col] / neighbours.sum()
    information = np.log(near.data / expected)
    positive = information > 0
    places = near.row[positive], near.col[positive]
    return sparse.csr_array((information[positive], places), shape=near.shape)
