"""Losses, against their formulas."""

import numpy as np
import pytest
from keras import ops

from classicnets import objectives


def test_cross_entropy_of_even_logits_is_the_logarithm_of_the_classes():
    logits = ops.zeros((4, 100))
    targets = ops.one_hot(ops.convert_to_tensor([1, 5, 7, 99]), 100)
    loss = objectives.cross_entropy(logits, targets)
    assert float(ops.convert_to_numpy(loss)) == pytest.approx(np.log(100))


def test_cross_entropy_survives_large_logits():
    logits = ops.convert_to_tensor([[1000.0, 0.0], [0.0, 1000.0]])
    targets = ops.convert_to_tensor([[1.0, 0.0], [1.0, 0.0]])
    loss = objectives.cross_entropy(logits, targets)
    assert float(ops.convert_to_numpy(loss)) == pytest.approx(500.0)


def test_smoothed_targets_are_a_distribution_with_the_amount_spread_evenly():
    smoothed = objectives.smooth(ops.convert_to_tensor(np.eye(5, dtype="float32")), 0.1)
    expected = np.full((5, 5), 0.02) + 0.9 * np.eye(5)
    np.testing.assert_allclose(ops.convert_to_numpy(smoothed), expected, rtol=1e-6)
