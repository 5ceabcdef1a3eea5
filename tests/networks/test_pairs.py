"""What every generator and its opponent keep, whatever the paper."""

import keras
import numpy as np
import pytest
from keras import ops

from classicnets import engine
from classicnets.networks import create_pair

# Small ones; `wgan_gp` has one size.
PAIRS = {
    "gan": ("gan", (8, 8, 1), {"generator_units": (32,), "discriminator_units": (16,)}),
    "dcgan": ("dcgan", (16, 16, 1), {"filters": 8}),
    "dcgan with layer norm": (
        "dcgan",
        (16, 16, 1),
        {"filters": 8, "normalization": "layer"},
    ),
    "dcgan without norm": (
        "dcgan",
        (16, 16, 1),
        {"filters": 8, "normalization": "none"},
    ),
    "wgan_gp": ("wgan_gp", (64, 64, 3), {}),
    "wgan_gp_resnet": ("wgan_gp_resnet", (16, 16, 3), {"filters": 8}),
    "wgan_gp_resnet at 64": ("wgan_gp_resnet", (64, 64, 3), {"filters": 4}),
}
CRITICS = [name for name in PAIRS if name not in ("gan", "dcgan")]


@pytest.fixture(scope="module", params=PAIRS)
def pair(request):
    return built(request.param)


@pytest.fixture(scope="module", params=CRITICS)
def critic(request):
    return built(request.param)[1]


def built(name):
    keras.utils.set_random_seed(0)
    name, shape, options = PAIRS[name]
    return create_pair(name, shape, **options)


def noise(generator, count=3):
    shape = (count, *generator.input_shape[1:])
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def images(critic, count=3):
    shape = (count, *critic.input_shape[1:])
    return np.random.default_rng(0).uniform(-1, 1, size=shape).astype("float32")


def test_images_lie_between_minus_one_and_one_and_differ(pair):
    generator, _ = pair
    result = ops.convert_to_numpy(generator(10 * noise(generator), training=False))
    assert np.abs(result).max() <= 1
    assert result.std(axis=0).max() > 0.01


def test_gradients_of_the_scores_reach_every_weight_of_both(pair):
    generator, critic = pair
    variables = [*generator.trainable_variables, *critic.trainable_variables]
    state = [*generator.variables, *critic.variables]
    start = noise(generator)

    def loss_function():
        scores = critic(generator(start, training=True), training=True)
        return ops.sum(scores), ()

    _, gradients = engine.value_and_gradients(loss_function, variables, state)
    for variable, gradient in zip(variables, gradients, strict=True):
        values = ops.convert_to_numpy(gradient)
        assert np.isfinite(values).all(), variable.path
        assert np.abs(values).max() > 0, variable.path


def test_gradients_of_gradients_reach_every_kernel_of_a_critic(critic):
    kernels = [v for v in critic.trainable_variables if v.name == "kernel"]
    inputs = ops.convert_to_tensor(images(critic))

    def loss_function():
        slopes = engine.input_gradients(lambda x: critic(x, training=True), inputs)
        return ops.mean(ops.sum(ops.square(slopes), axis=(1, 2, 3))), ()

    _, gradients = engine.value_and_gradients(loss_function, kernels, critic.variables)
    for kernel, gradient in zip(kernels, gradients, strict=True):
        values = ops.convert_to_numpy(gradient)
        assert np.isfinite(values).all(), kernel.path
        assert np.abs(values).max() > 0, kernel.path


def test_the_score_of_an_image_does_not_depend_on_the_others(critic):
    inputs = images(critic)
    together = ops.convert_to_numpy(critic(inputs, training=True))
    alone = ops.convert_to_numpy(critic(inputs[:1], training=True))
    scale = np.abs(together).max()
    np.testing.assert_allclose(together[:1], alone, atol=1e-4 * scale)


def test_under_batch_norm_it_does():
    _, discriminator = built("dcgan")
    inputs = images(discriminator)
    together = ops.convert_to_numpy(discriminator(inputs, training=True))
    alone = ops.convert_to_numpy(discriminator(inputs[:1], training=True))
    assert np.abs(together[:1] - alone).max() > 0.01 * np.abs(together).max()


@pytest.mark.parametrize(
    "name, before, after",
    [
        ("dcgan with layer norm", "conv2", "norm2"),
        ("wgan_gp", "conv2", "norm2"),
        ("wgan_gp_resnet at 64", "conv", "block1_norm1"),
    ],
)
def test_layer_norm_is_over_an_image_with_a_scale_for_each_channel(name, before, after):
    _, critic = built(name)
    norm = critic.get_layer(after)
    channels = norm.gamma.shape[0]
    assert channels == critic.get_layer(before).filters
    gamma, beta = np.random.default_rng(1).normal(size=(2, channels)).astype("float32")
    norm.set_weights([gamma, beta])
    both = [critic.get_layer(before).output, norm.output]
    x, result = map(
        ops.convert_to_numpy, keras.Model(critic.input, both)(images(critic))
    )
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    variance = x.var(axis=(1, 2, 3), keepdims=True)
    expected = (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    np.testing.assert_allclose(result, expected, atol=1e-4)
