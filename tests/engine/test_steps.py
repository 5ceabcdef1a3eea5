"""Steps of learning, against closed forms."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from classicnets import engine, optimization, recipe


def linear_network(weights):
    x = keras.Input((2,))
    network = keras.Model(x, layers.Dense(1, use_bias=False)(x))
    network.set_weights([np.reshape(weights, (2, 1)).astype("float32")])
    return network


def least_squares(network, optimizer):
    """Return a step of gradient descent on the mean square of network(x) - y."""
    optimizer.build(network.trainable_variables)
    state = [*network.variables, *optimizer.variables]

    def step(arrays, batch):
        def loss_function():
            outputs = network(batch["x"], training=True)
            return ops.mean(ops.square(outputs - batch["y"])), outputs

        (loss, outputs), gradients = engine.value_and_gradients(
            loss_function, network.trainable_variables, state
        )
        optimizer.apply(gradients, network.trainable_variables)
        return {"loss": loss, "output": ops.sum(outputs)}

    return step, state


def examples(steps):
    random = np.random.default_rng(1)
    x = random.normal(size=(steps, 5, 2)).astype("float32")
    y = random.normal(size=(steps, 5, 1)).astype("float32")
    return {"x": x, "y": y}


def test_steps_of_descent_match_their_closed_form():
    batches, rate, start = examples(4), 0.1, np.array([[3.0], [-1.0]])
    network = linear_network(start)
    step, state = least_squares(network, keras.optimizers.SGD(rate))
    sums = engine.compile_steps(step, state, ["loss", "output"])({}, batches, 3)

    weights, loss, output = start, 0.0, 0.0
    for x, y in zip(batches["x"][:3], batches["y"][:3]):
        error = x @ weights - y
        loss += np.mean(error**2)
        output += np.sum(x @ weights)
        weights = weights - rate * 2 * x.T @ error / len(x)
    assert sums["loss"] == pytest.approx(loss, rel=1e-5)
    assert sums["output"] == pytest.approx(output, rel=1e-4)
    np.testing.assert_allclose(network.get_weights()[0], weights, rtol=1e-5)


def test_rows_beyond_the_count_are_not_run():
    batches = examples(4)
    network = linear_network([1.0, 1.0])
    step, state = least_squares(network, keras.optimizers.SGD(0.1))
    run = engine.compile_steps(step, state, ["loss", "output"])
    run({}, batches, 0)
    np.testing.assert_array_equal(network.get_weights()[0], [[1.0], [1.0]])


def test_many_steps_in_one_call_are_the_same_as_one_by_one():
    batches = examples(6)
    result = []
    for rows in (1, 2, 6):
        network = linear_network([0.5, 2.0])
        optimizer = keras.optimizers.Adam(0.05)
        step, state = least_squares(network, optimizer)
        run = engine.compile_steps(step, state, ["loss", "output"])
        for first in range(0, 6, rows):
            part = {key: value[first : first + rows] for key, value in batches.items()}
            run({}, part, rows)
        result.append(network.get_weights()[0])
    np.testing.assert_allclose(result[1], result[0], rtol=1e-5)
    np.testing.assert_allclose(result[2], result[0], rtol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="only JAX could freeze it")
def test_a_variable_left_out_of_the_state_is_refused():
    network = linear_network([0.5, 2.0])
    step, _ = least_squares(network, keras.optimizers.SGD(0.05))
    run = engine.compile_steps(step, network.variables, ["loss", "output"])
    with pytest.raises(ValueError, match="missing from its state"):
        run({}, examples(1), 1)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_weight_decay_adds_to_the_gradient_as_in_the_papers(name):
    batches, decay, rate, momentum = examples(3), 0.3, 0.1, 0.9
    start = np.array([[3.0], [-1.0]])
    network = linear_network(start)
    chosen = recipe.build(
        {
            "network": "resnet20",
            "data": "none",
            "epochs": 1,
            "optimizer": name,
            "learning_rate": rate,
            "weight_decay": decay,
            "momentum": momentum,
        }
    )
    step, state = least_squares(network, optimization.optimizer(chosen))
    engine.compile_steps(step, state, ["loss", "output"])({}, batches, 3)

    weights, velocity = start, np.zeros((2, 1))
    first, second = np.zeros((2, 1)), np.zeros((2, 1))
    for k, (x, y) in enumerate(zip(batches["x"], batches["y"]), start=1):
        gradient = 2 * x.T @ (x @ weights - y) / len(x) + decay * weights
        if (
            name == "sgd"
        ):  # Sutskever et al. 2013, eq. 3 and 4, as Nesterov's look-ahead
            velocity = momentum * velocity + gradient
            weights = weights - rate * (gradient + momentum * velocity)
        else:  # Kingma & Ba 2015, algorithm 1
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            unbiased = first / (1 - 0.9**k), second / (1 - 0.999**k)
            weights = weights - rate * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
    np.testing.assert_allclose(network.get_weights()[0], weights, rtol=1e-4)


def test_a_forward_function_returns_numpy_and_changes_nothing():
    network = linear_network([3.0, -1.0])
    forward = engine.compile_function(
        lambda arrays, batch: network(batch["x"], training=False), network.variables
    )
    x = np.array([[1.0, 2.0]], "float32")
    result = forward({}, {"x": x})
    assert isinstance(result, np.ndarray)
    np.testing.assert_allclose(result, [[1.0]])


def test_gradients_by_the_input_can_be_differentiated_again():
    """f(x) = sum (x w)^3: its gradient is 3 x^2 w^3, the gradient's by w 9 x^2 w^2."""
    weight = keras.Variable(2.0, dtype="float32")
    x = np.array([1.0, -2.0, 3.0], "float32")

    def loss_function():
        inputs = ops.convert_to_tensor(x)
        result = engine.input_gradients(
            lambda inputs: ops.power(inputs * weight, 3.0), inputs
        )
        return ops.sum(result), result

    (_, result), (by_weight,) = engine.value_and_gradients(
        loss_function, [weight], [weight]
    )
    result = ops.convert_to_numpy(ops.stop_gradient(result))
    np.testing.assert_allclose(result, 3 * x**2 * 8, rtol=1e-5)
    expected = (9 * x**2 * 4).sum()
    assert float(ops.convert_to_numpy(by_weight)) == pytest.approx(expected, rel=1e-5)


def test_steps_within_a_step_are_the_same_as_one_by_one():
    batches = examples(6)
    network = linear_network([0.5, 2.0])
    step, state = least_squares(network, keras.optimizers.Adam(0.05))
    run = engine.compile_steps(step, state, ["loss", "output"])
    alone = run({}, batches, 6)

    inner_network = linear_network([0.5, 2.0])
    inner, inner_state = least_squares(inner_network, keras.optimizers.Adam(0.05))

    def outer(arrays, batch):
        return engine.repeat(
            lambda rows: inner(arrays, rows), batch, 3, inner_state, ["loss", "output"]
        )

    run = engine.compile_steps(outer, inner_state, ["loss", "output"])
    threes = {key: rows.reshape(2, 3, *rows.shape[1:]) for key, rows in batches.items()}
    sums = run({}, threes, 2)
    np.testing.assert_allclose(
        inner_network.get_weights()[0], network.get_weights()[0], rtol=1e-5
    )
    assert sums["loss"] == pytest.approx(alone["loss"] / 3, rel=1e-5)


@pytest.mark.parametrize("wrong", [0, 2, 4, None])
def test_the_steps_before_a_number_that_is_not_finite_are_counted(wrong):
    values = np.arange(5, dtype="float32")
    if wrong is not None:
        values[wrong] = np.inf
    run = engine.compile_steps(lambda arrays, batch: {"a": batch["x"]}, [], ["a"])
    sums = run({}, {"x": values}, 5)
    assert sums["sound"] == (5 if wrong is None else wrong)
    assert sums["a"] == values.sum()
