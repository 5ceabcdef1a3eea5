"""A penalty's gradient by a critic's weights, against float64 and differences."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from classicnets import engine, objectives

EPSILON = 1e-5
# A layer that normalizes: its axes, and the shape of its scale and its shift.
NORMS = {
    "all of an image, as in our critics": (
        lambda: layers.GroupNormalization(1, epsilon=EPSILON),
        *((1, 2, 3), (5,)),
    ),
    "each pixel": (lambda: layers.LayerNormalization(epsilon=EPSILON), (3,), (5,)),
    "all of an image, a scale per pixel": (
        lambda: layers.LayerNormalization((1, 2, 3), epsilon=EPSILON),
        *((1, 2, 3), (2, 2, 5)),
    ),
}


def normalized(x, axes):
    """Return x with mean 0 and variance 1, and what it was divided by."""
    deviation = np.sqrt(x.var(axis=axes, keepdims=True) + EPSILON)
    return (x - x.mean(axis=axes, keepdims=True)) / deviation, deviation


def loss_in_numpy(weights, images, axes):
    """Return the mean score plus the penalty, the images' gradient taken by hand."""
    kernel, bias, gamma, beta, last = weights
    unit, deviation = normalized(images @ kernel + bias, axes)
    active = np.tanh(unit * gamma + beta)
    scores = active.reshape(len(images), -1) @ last
    upstream = last.reshape(active.shape[1:]) * (1 - active**2) * gamma
    means = (
        upstream.mean(axis=axes, keepdims=True),
        unit * (upstream * unit).mean(axis=axes, keepdims=True),
    )
    by_images = ((upstream - sum(means)) / deviation) @ kernel.T
    norms = np.sqrt(np.square(by_images).sum(axis=(1, 2, 3)))
    return scores.mean() + np.mean((norms - 1) ** 2)


def differences(weights, images, axes, step=1e-5):
    """Return the gradient of `loss_in_numpy` by every weight, in float64."""
    gradients = [np.empty_like(w) for w in weights]
    for weight, gradient in zip(weights, gradients):
        for place in np.ndindex(weight.shape):
            value, losses = weight[place], []
            for moved in (value + step, value - step):
                weight[place] = moved
                losses.append(loss_in_numpy(weights, images, axes))
            weight[place] = value
            gradient[place] = (losses[0] - losses[1]) / (2 * step)
    return gradients


@pytest.mark.parametrize("norm", NORMS)
def test_the_penalty_has_its_exact_gradient_through_layers_that_normalize(norm):
    make, axes, shape = NORMS[norm]
    random = np.random.default_rng(0)
    images = random.normal(size=(4, 2, 2, 3))
    shapes = ((3, 5), (5,), shape, shape, (20, 1))
    weights = [random.normal(size=shape) for shape in shapes]

    x = keras.Input((2, 2, 3))
    y = layers.Activation("tanh")(make()(layers.Dense(5)(x)))
    scores = layers.Dense(1, use_bias=False)(layers.Flatten()(y))
    critic = keras.Model(x, scores)
    critic.set_weights(weights)
    tensor = ops.convert_to_tensor(images.astype("float32"))
    mix = ops.convert_to_tensor(np.linspace(0, 1, 4, dtype="float32"))

    def loss_function():
        penalty = objectives.gradient_penalty(critic, tensor, tensor, mix)
        return ops.mean(critic(tensor, training=True)) + penalty, ()

    (loss, _), gradients = engine.value_and_gradients(
        loss_function, critic.trainable_variables, critic.variables
    )
    expected = loss_in_numpy(weights, images, axes)
    assert float(ops.convert_to_numpy(loss)) == pytest.approx(expected, rel=1e-5)
    exact = differences(weights, images, axes)
    size = np.linalg.norm(np.concatenate([gradient.ravel() for gradient in exact]))
    for result, gradient in zip(gradients, exact):
        error = np.linalg.norm(ops.convert_to_numpy(result) - gradient)
        assert error < 1e-5 * size
