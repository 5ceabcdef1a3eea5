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


def of_objective(network: str) -> Iterator[Proof]:
    """Compare the losses that the network is trained for with numbers known before."""
    for proofs in OBJECTIVES[networks.kind(network)]:
        yield from proofs(network)


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


def _cross_entropy(network: str) -> Iterator[Proof]:
    even = _tensor(np.zeros((4, 100)))
    targets = _tensor(np.eye(100)[:4])
    yield near(
        network,
        "cross-entropy of even logits of 100 classes: ln 100",
        math.log(100),
        _number(objectives.cross_entropy(even, targets)),
    )
    yield near(
        network,
        "cross-entropy of logits 1000 against the other class",
        1000.0,
        _number(objectives.cross_entropy(_tensor([[1000, 0]]), _tensor([[0, 1]]))),
    )
    smoothed = ops.convert_to_numpy(objectives.smooth(targets, 0.1))
    yield near(
        network, "smoothing by 0.1: 0.9 + 0.1 / 100 at the label", 0.901, smoothed[0, 0]
    )


def _reconstruct(network: str) -> Iterator[Proof]:
    half = _tensor(np.full((1, 8, 12, 1), 0.5))
    yield near(
        network,
        "96 grey pixels at even odds: 96 ln 2 nats",
        96 * math.log(2),
        _number(
            objectives.bernoulli_reconstruction(_tensor(np.zeros(half.shape)), half)
        ),
    )
    yield near(
        network,
        "one white pixel at odds of 3: ln (4 / 3)",
        math.log(4 / 3),
        _number(
            objectives.bernoulli_reconstruction(
                _tensor([[math.log(3)]]), _tensor([[1.0]])
            )
        ),
    )
    yield near(
        network,
        "N(2, 0.5^2) at 1: 2 + ln 0.5 + ln(2 pi) / 2",
        2 + math.log(0.5) + math.log(2 * math.pi) / 2,
        _number(
            objectives.gaussian_reconstruction(_tensor([[2.0]]), _tensor([[1.0]]), 0.5)
        ),
    )


def _latent(network: str) -> Iterator[Proof]:
    mean, log_variance = _tensor([[2.0]]), _tensor([[math.log(0.25)]])
    yield near(
        network,
        "KL(N(2, 0.25) || N(0, 1)) = (4 + 0.25 - 1 - ln 0.25) / 2",
        (4 + 0.25 - 1 - math.log(0.25)) / 2,
        _number(objectives.kl_to_standard_normal(mean, log_variance)),
    )
    yield near(
        network,
        "a code at noise 3: 2 + 0.5 x 3",
        3.5,
        _number(objectives.draw_code(mean, log_variance, _tensor([[3.0]]))),
    )
    yield near(
        network,
        "log p(x) by 5 draws of the true posterior of a linear Gaussian",
        *_bound_of_a_linear_gaussian(),
    )


def _bound_of_a_linear_gaussian() -> tuple[float, float]:
    """Take z ~ N(0, 1), x ~ N(z, 0.5^2): every draw of the posterior weighs p(x)."""

    def log_normal(value: Any, mean: Any, variance: float) -> Any:
        return -0.5 * (np.log(2 * np.pi * variance) + (value - mean) ** 2 / variance)

    x, z = 2.0, 1.6 + math.sqrt(0.2) * np.linspace(-2, 2, 5)
    weights = log_normal(x, z, 0.25) + log_normal(z, 0, 1) - log_normal(z, 1.6, 0.2)
    bound = objectives.importance_weighted_bound(_tensor(weights[:, None]))
    return float(log_normal(x, 0, 1.25)), _number(bound)


def _adversarial(network: str) -> Iterator[Proof]:
    real, fake = _tensor([[math.log(3)]]), _tensor([[math.log(1 / 4)]])
    for what, expected, value in (  # probabilities of being real: 3/4 and 1/5
        (
            "the discriminator's loss at 3/4 and 1/5",
            -math.log(3 / 4) - math.log(4 / 5),
            objectives.gan_discriminator(real, fake),
        ),
        (
            "the generator's loss at 1/5: ln 5",
            math.log(5),
            objectives.gan_generator(fake),
        ),
        (
            "the generator's loss in the game itself: ln 4/5",
            math.log(4 / 5),
            objectives.gan_saturating_generator(fake),
        ),
        (
            "Wasserstein distance at scores 7 and 2",
            5.0,
            objectives.wasserstein_distance(_tensor([[7]]), _tensor([[2]])),
        ),
        (
            "the generator's loss of WGAN at score 2",
            -2.0,
            objectives.wasserstein_generator(_tensor([[2]])),
        ),
    ):
        yield near(network, what, expected, _number(value))


def _penalty(network: str) -> Iterator[Proof]:
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
    yield near(
        network,
        "penalty of a critic of slope (3, 4): (5 - 1)^2",
        16.0,
        _number(objectives.gradient_penalty(linear, *arguments)),
    )
    yield near(
        network,
        "penalty of |x|^2 / 2: a mix and a norm per example",
        float(np.mean((norms - 1) ** 2)),
        _number(objectives.gradient_penalty(square, *arguments)),
    )


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
                value -= RATE * gradient / math.sqrt(second + 1e-8)
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
