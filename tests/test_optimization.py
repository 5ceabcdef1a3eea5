"""Learning rates, against their formulas; optimizers, against PyTorch's."""

import keras
import numpy as np
import pytest
from keras import ops

from classicnets import engine, optimization, recipe


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


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("size", [1e-2, 1e-5, 1e-8])
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
def test_optimizers_take_the_steps_of_pytorch(name, size, fast, monkeypatch):
    """Also where gradients are small, and epsilon is no longer nothing beside them."""
    torch = pytest.importorskip("torch")
    if not fast:  # as on a GPU
        monkeypatch.setattr(engine, "fast_step", lambda name: None)
    rate = 0.1 / size if name == "sgd" else 0.1  # every step moves weights by about 0.1
    decay = 0.1 if name == "adamw" else size / 2
    random = np.random.default_rng(0)
    start, gradients = random.normal(size=(4, 3)), size * random.normal(size=(5, 4, 3))

    settings = {"optimizer": name, "learning_rate": rate, "weight_decay": decay}
    optimizer = optimization.optimizer(
        recipe.build({"network": "resnet20", "data": "d", "epochs": 1, **settings})
    )
    variable = keras.Variable(start, dtype="float32")
    optimizer.build([variable])

    weight = torch.tensor(start, requires_grad=True)
    options = {"lr": rate, "weight_decay": decay}
    if name == "sgd":
        options |= {"momentum": 0.9, "nesterov": True}
    kinds = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop"}
    reference = getattr(torch.optim, kinds[name])([weight], **options)
    for gradient in gradients:
        tensor = ops.convert_to_tensor(gradient.astype("float32"))
        engine.apply_gradients(optimizer, [tensor], [variable])
        weight.grad = torch.tensor(gradient)
        reference.step()
        moved = ops.convert_to_numpy(variable) - start
        expected = weight.detach().numpy() - start
        atol = 1e-6 + 1e-4 * np.abs(expected).max()
        np.testing.assert_allclose(moved, expected, atol=atol)
