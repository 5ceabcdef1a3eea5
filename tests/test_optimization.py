"""Learning rates, against their formulas."""

import numpy as np
import pytest

from classicnets import optimization, recipe


def rates(steps_per_epoch=10, **changes):
    values = {"network": "resnet20", "data": "d", "epochs": 10, "learning_rate": 0.2}
    return optimization.learning_rates(recipe.build(values | changes), steps_per_epoch)


def test_cosine_is_half_way_in_the_middle_and_ends_near_zero():
    result = rates(schedule="cosine")
    assert len(result) == 100
    assert result[0] == pytest.approx(0.2)
    assert result[50] == pytest.approx(0.1)
    assert result[-1] < 0.001


def test_one_cycle_rises_and_falls_in_straight_lines():
    result = rates(schedule="one_cycle", warmup_epochs=2.0)
    np.testing.assert_allclose(result[:20], 0.2 * np.arange(1, 21) / 20, rtol=1e-6)
    np.testing.assert_allclose(result[20:], 0.2 * (80 - np.arange(80)) / 80, rtol=1e-5)


def test_step_divides_at_the_milestones_of_the_residual_network_paper():
    result = rates(schedule="step", milestones=[5, 8], step_factor=0.1)
    np.testing.assert_allclose(result[::10], [0.2] * 5 + [0.02] * 3 + [0.002] * 2)


def test_warm_up_goes_before_a_constant_rate():
    result = rates(schedule="constant", warmup_epochs=0.5)
    np.testing.assert_allclose(result[:5], 0.2 * np.arange(1, 6) / 5, rtol=1e-6)
    np.testing.assert_allclose(result[5:], 0.2)
