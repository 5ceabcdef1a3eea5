"""What networks are trained for, against closed forms: losses, penalties, updates."""

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from classicnets import networks, objectives, optimization
from classicnets import recipe as recipes
from classicnets.kinds import AUTOENCODER, CLASSIFIER, GAN, VAE
from classicnets.verification.proof import Proof, near

RATE, MOMENTUM, DECAY = 0.1, 0.9, 0.3
STEPS = 3


Rows = Iterator[tuple[str, float, Any]]  # what it is, as it must be, a tensor of it


def of_objective(network: str) -> Iterator[Proof]:
    """Compare the losses that the network is trained for with numbers known before."""
    for rows in OBJECTIVES[networks.kind(network)]:
        for what, expected, tensor in rows():
            yield near(network, what, expected, _number(tensor))


def of_updates(network: str) -> Iterator[Proof]:
    """Compare three updates of each optimizer, L2 in the gradient, with equations."""
    for name in OPTIMIZERS[networks.kind(network)]:
        expected, values = _by_equations(name), _by_optimizer(name)
        for place, what in enumerate(("kernel", "bias")):
            yield near(
                network,
                f"a {what} after {STEPS} steps of {name} with coupled L2",
                expected[place],
                values[place],
            )


def _cross_entropy() -> Rows:
    even, targets = _tensor(np.zeros((4, 100))), _tensor(np.eye(100)[:4])
    loss = objectives.cross_entropy(even, targets)
    yield "cross-entropy of even logits of 100 classes: ln 100", math.log(100), loss
    loss = objectives.cross_entropy(_tensor([[1000, 0]]), _tensor([[0, 1]]))
    yield "cross-entropy of logits 1000 against the other class", 1000.0, loss
    share = objectives.smooth(targets, 0.1)[0, 0]
    yield "smoothing by 0.1: 0.9 + 0.1 / 100 at the label", 0.901, share


def _reconstruct() -> Rows:
    even, grey = _tensor(np.zeros((1, 8, 12, 1))), _tensor(np.full((1, 8, 12, 1), 0.5))
    loss = objectives.bernoulli_reconstruction(even, grey)
    yield "96 grey pixels at even odds: 96 ln 2 nats", 96 * math.log(2), loss
    odds, white = _tensor([[math.log(3)]]), _tensor([[1.0]])
    loss = objectives.bernoulli_reconstruction(odds, white)
    yield "one white pixel at odds of 3: ln (4 / 3)", math.log(4 / 3), loss
    yield (
        "N(2, 0.5^2) at 1: 2 + ln 0.5 + ln(2 pi) / 2",
        2 + math.log(0.5) + math.log(2 * math.pi) / 2,
        objectives.gaussian_reconstruction(_tensor([[2.0]]), white, 0.5),
    )


def _latent() -> Rows:
    mean, log_variance = _tensor([[2.0]]), _tensor([[math.log(0.25)]])
    yield (
        "KL(N(2, 0.25) || N(0, 1)) = (4 + 0.25 - 1 - ln 0.25) / 2",
        (4 + 0.25 - 1 - math.log(0.25)) / 2,
        objectives.kl_to_standard_normal(mean, log_variance),
    )
    code = objectives.draw_code(mean, log_variance, _tensor([[3.0]]))
    yield "a code at noise 3: 2 + 0.5 x 3", 3.5, code

    def log_normal(value: Any, mean: Any, variance: float) -> Any:
        return -0.5 * (np.log(2 * np.pi * variance) + (value - mean) ** 2 / variance)

    # z ~ N(0, 1), x ~ N(z, 0.5^2): every draw of the posterior weighs p(x).
    x, z = 2.0, 1.6 + math.sqrt(0.2) * np.linspace(-2, 2, 5)
    weights = log_normal(x, z, 0.25) + log_normal(z, 0, 1) - log_normal(z, 1.6, 0.2)
    yield (
        "log p(x) by 5 draws of the true posterior of a linear Gaussian",
        float(log_normal(x, 0, 1.25)),
        objectives.importance_weighted_bound(_tensor(weights[:, None])),
    )


def _adversarial() -> Rows:
    real, fake = _tensor([[math.log(3)]]), _tensor([[math.log(1 / 4)]])
    yield (  # probabilities of being real: 3/4 and 1/5
        "the discriminator's loss at 3/4 and 1/5",
        -math.log(3 / 4) - math.log(4 / 5),
        objectives.gan_discriminator(real, fake),
    )
    loss = objectives.gan_generator(fake)
    yield "the generator's loss at 1/5: ln 5", math.log(5), loss
    loss = objectives.gan_saturating_generator(fake)
    yield "the generator's loss in the game itself: ln 4/5", math.log(4 / 5), loss
    distance = objectives.wasserstein_distance(_tensor([[7]]), _tensor([[2]]))
    yield "Wasserstein distance at scores 7 and 2", 5.0, distance
    loss = objectives.wasserstein_generator(_tensor([[2]]))
    yield "the generator's loss of WGAN at score 2", -2.0, loss


def _penalty() -> Rows:
    source = np.random.default_rng(0)
    real, fake = source.normal(size=(2, 7, 2, 2, 1)).astype("float32")
    mix = np.linspace(0, 1, 7, dtype="float32")
    slope = _tensor(np.reshape([3, 0, 0, 4], (1, 2, 2, 1)))

    def linear(images: Any) -> Any:
        return ops.sum(images * slope, axis=(1, 2, 3))[:, None]

    def square(images: Any) -> Any:
        return ops.sum(ops.square(images), axis=(1, 2, 3))[:, None] / 2

    places = mix[:, None, None, None]
    norms = np.sqrt(
        np.square(places * real + (1 - places) * fake).sum(axis=(1, 2, 3))
    )  # that of the square is the image itself
    arguments = [_tensor(array) for array in (real, fake, mix)]
    penalty = objectives.gradient_penalty(linear, *arguments)
    yield "penalty of a critic of slope (3, 4): (5 - 1)^2", 16.0, penalty
    penalty, expected = objectives.gradient_penalty(square, *arguments), norms - 1
    what = "penalty of |x|^2 / 2: a mix and a norm per example"
    yield what, float(np.mean(expected**2)), penalty


def _by_optimizer(name: str) -> list[float]:
    recipe = recipes.build(
        {
            "network": "resnet20",
            "data": "none",
            "epochs": 1,
            "optimizer": name,
            "learning_rate": RATE,
            "momentum": MOMENTUM,
            "weight_decay": DECAY,
        }
    )
    optimizer = optimization.optimizer(recipe)
    variables = [
        keras.Variable(np.reshape(value, shape), dtype="float32", name=part)
        for value, shape, part in ((2.0, (1, 1), "kernel"), (-1.0, (1,), "bias"))
    ]
    optimizer.build(variables)
    for step in range(STEPS):
        gradients = [ops.ones(v.shape) * (1.0 - 0.4 * step) for v in variables]
        optimizer.apply(gradients, variables)
    return [float(ops.convert_to_numpy(v).ravel()[0]) for v in variables]


def _by_equations(name: str) -> list[float]:
    values = []
    for value in (2.0, -1.0):
        first = second = 0.0
        for step in range(STEPS):
            gradient = 1.0 - 0.4 * step + DECAY * value
            if name == "sgd":  # Sutskever et al. 2013, as Nesterov's look-ahead
                first = MOMENTUM * first + gradient
                value -= RATE * (gradient + MOMENTUM * first)
            elif name == "adam":  # 1412.6980, algorithm 1
                first = 0.9 * first + 0.1 * gradient
                second = 0.999 * second + 0.001 * gradient**2
                power = step + 1
                mean, square = first / (1 - 0.9**power), second / (1 - 0.999**power)
                value -= RATE * mean / (math.sqrt(square) + 1e-8)
            else:  # RMSprop with PyTorch's decay
                second = 0.99 * second + 0.01 * gradient**2
                value -= RATE * gradient / (math.sqrt(second) + 1e-8)
        values.append(value)
    return values


def _tensor(values: Any) -> Any:
    return ops.convert_to_tensor(np.asarray(values, "float32"))


def _number(tensor: Any) -> float:
    return float(ops.convert_to_numpy(tensor).ravel()[0])


# By kind: what its networks are trained for, and by.
OBJECTIVES = {
    CLASSIFIER: (_cross_entropy,),
    AUTOENCODER: (_reconstruct,),
    VAE: (_reconstruct, _latent),
    GAN: (_adversarial, _penalty),
}
OPTIMIZERS = {
    CLASSIFIER: ("sgd", "adam"),
    AUTOENCODER: ("adam",),
    VAE: ("adam",),
    GAN: ("adam", "rmsprop"),
}
