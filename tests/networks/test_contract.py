"""The contract that every network keeps, whatever its family."""

import importlib.util
import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

from classicnets.networks import (
    AUTOENCODERS,
    CLASSIFIERS,
    NETWORKS,
    PAIRS,
    VAES,
    create,
    create_pair,
    paper,
    resnet,
    vgg,
)
from classicnets.verification import small as smalls

RESNETS = [name for name in NETWORKS if name.startswith("resnet")]
# One classifier of each kind of block, for what needs values.
MEMBERS = list(dict.fromkeys(map(smalls.member_of, CLASSIFIERS)))
# Those that learn without labels. A pair is two networks, "dcgan.generator" and
# "dcgan.critic"; `wgan_gp_resnet` has one shape up to 32x32 and another above.
PARTS = [
    *(*AUTOENCODERS, *VAES),
    *(f"{name}.{part}" for name in PAIRS for part in ("generator", "critic")),
    *("wgan_gp_resnet.generator at 64", "wgan_gp_resnet.critic at 64"),
]
EVERY = [*MEMBERS, *PARTS]
ROBUST = ("resnet18", "resnet50", "resnet20", "lstm")  # learn at a high rate, faster
CLASSES = smalls.CLASSES
BY_HEART = np.log(CLASSES) / 10  # a tenth of the loss of guessing


def images(count=8, side=32):
    source = np.random.default_rng(0)
    return source.normal(size=(count, side, side, 3)).astype("float32")


def small(name, side=None, seed=1):
    """A member with fewer filters and blocks: full ones take minutes on JAX."""
    keras.utils.set_random_seed(seed)
    name, _, large = name.partition(" at ")
    name, _, part = name.partition(".")
    shape, options, *_ = smalls.of(name)
    if side or large:
        shape = (side or int(large),) * 2 + (3,)
    if part:
        return create_pair(name, shape, **options)[part == "critic"]
    with pytest.MonkeyPatch.context() as patch:
        thin = (8, 16, 32, 32, 32)
        patch.setattr(vgg, "FILTERS", thin)
        patch.setattr(resnet, "FILTERS", thin[:4])
        patch.setitem(resnet.BLOCKS, 18, (1, 1, 1, 1))
        patch.setitem(resnet.BLOCKS, 50, (1, 1, 1, 1))
        return create(name, shape, CLASSES, **options)


@pytest.fixture(scope="module", params=MEMBERS)
def member(request):
    """A network that learned one batch by heart with plain compile and train."""
    network = small(request.param)
    network.compile(
        keras.optimizers.Adam(1e-2 if request.param in ROBUST else 3e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        # Compiling takes longer than these steps; JAX cannot do without.
        run_eagerly=keras.backend.backend() == "tensorflow",
        jit_compile=keras.backend.backend() == "jax",
    )
    shape, labels = (8, *network.input_shape[1:]), np.arange(8) % CLASSES
    inputs = np.random.default_rng(0).normal(size=shape).astype("float32")
    before = [variable.numpy().copy() for variable in network.trainable_variables]
    losses = [float(network.train_on_batch(inputs, labels))]
    after = [variable.numpy().copy() for variable in network.trainable_variables]
    moved = [not np.array_equal(*pair) for pair in zip(before, after, strict=True)]
    while losses[-1] > BY_HEART and len(losses) < 100:
        losses.append(float(network.train_on_batch(inputs, labels)))
    return network, moved, losses


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_images_give_float32_logits(name, shapes_only):
    network = create(name, (32, 32, 3), CLASSES)
    assert network.output_shape == (None, CLASSES)
    assert network.output.dtype == "float32"
    assert network.layers[-1].name == "logits"
    assert network.name == name


@pytest.mark.parametrize("name", [*AUTOENCODERS, *VAES])
@pytest.mark.parametrize("shape", [(28, 28, 1), (16, 32, 3)])
def test_images_give_log_odds_through_a_code(name, shape, shapes_only):
    network = create(name, shape, latent_size=5)
    encoder, decoder = network.get_layer("encoder"), network.get_layer("decoder")
    assert encoder.input_shape == decoder.output_shape == (None, *shape)
    assert decoder.input_shape == (None, 5)
    assert decoder.layers[-1].name == "log_odds"
    assert network.name == name
    if name in VAES:
        assert encoder.output_shape == [(None, 5), (None, 5)]
        assert network.output["log_odds"].shape == (None, *shape)
        assert network.output["posterior"].shape == (None, 10)
    else:
        assert encoder.output_shape == (None, 5)
        assert network.output_shape == (None, *shape)


@pytest.mark.parametrize("name", PAIRS)
def test_noise_gives_images_and_images_give_scores(name, shapes_only):
    shape = (64, 64, 1)
    generator, critic = create_pair(name, shape, latent_size=9)
    assert generator.input_shape == (None, 9)
    assert generator.output_shape == critic.input_shape == (None, *shape)
    assert critic.output_shape == (None, 1)
    assert generator.name == f"{name}_generator"
    assert critic.layers[-1].name == "scores"
    assert critic.layers[-1].activation is keras.activations.linear


@pytest.mark.parametrize("name", EVERY)
def test_a_network_is_a_plain_keras_model(name, shapes_only):
    network = small(name)
    assert type(network).__module__.startswith("keras.")
    assert "classicnets" not in network.to_json()


@pytest.mark.parametrize("name", MEMBERS)
def test_grey_and_oblong_images_are_taken(name, shapes_only):
    assert create(name, (48, 32, 1), 2).output_shape == (None, 2)


@pytest.mark.parametrize("name", MEMBERS)
def test_features_are_the_network_without_its_head(name, shapes_only):
    features = create(name, (32, 32, 3), None)
    assert len(features.output_shape) == (2 if name == "lstm" else 4)
    assert not any(isinstance(layer, keras.layers.Dense) for layer in features.layers)


@pytest.mark.parametrize("name", EVERY)
def test_mixed_precision_is_the_callers_choice(name, shapes_only):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = small(name)
    finally:
        keras.config.set_dtype_policy(before)
    assert {output.dtype for output in network.outputs} == {"bfloat16"}
    assert {variable.dtype for variable in network.trainable_variables} == {"float32"}


@pytest.mark.parametrize("name", [*NETWORKS, *PAIRS])
def test_the_paper_is_named(name):
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|(19|20)\d\d, [A-Z]", paper(name))


@pytest.mark.parametrize("name", RESNETS)
def test_a_clone_on_another_size_shares_every_variable(name, shapes_only):
    network = create(name, (32, 32, 3), CLASSES)
    clone = share_layers(network, 16)
    assert clone.input_shape == (None, 16, 16, 3)
    assert clone.output_shape == (None, CLASSES)
    assert list(map(id, clone.variables)) == list(map(id, network.variables))


@pytest.mark.parametrize("name", [name for name in MEMBERS if name in RESNETS])
@pytest.mark.parametrize("side", [16, 32])
def test_a_clone_computes_what_a_network_of_that_size_does(name, side):
    network, of_that_size = small(name, side=24), small(name, side=side)
    of_that_size.set_weights(network.get_weights())
    inputs = images(2, side)
    (ours,) = outputs(share_layers(network, side), inputs)
    (theirs,) = outputs(of_that_size, inputs)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def outputs(network, inputs):
    """Like `network.predict`, without the seconds of compiling; a list of arrays."""
    tensors = keras.tree.flatten(network(inputs, training=False))
    return [keras.ops.convert_to_numpy(output) for output in tensors]


def share_layers(network, side):
    return keras.models.clone_model(
        network,
        input_tensors=keras.Input((side, side, 3)),
        clone_function=lambda layer: layer,
        call_function=lambda layer, *args, **kwargs: layer(*args, **kwargs),
    )


@pytest.mark.parametrize("name", EVERY)
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(name):
    first, second = small(name).get_weights(), small(name).get_weights()
    assert all(map(np.array_equal, first, second))
    kernels = [i for i, weight in enumerate(first) if weight.ndim > 1]
    others = small(name, seed=2).get_weights()
    assert not any(np.array_equal(first[i], others[i]) for i in kernels)


@pytest.mark.parametrize("name", EVERY)
def test_no_two_layers_start_alike(name):
    kernels = [weight for weight in small(name).get_weights() if weight.ndim > 1]
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels)


def test_gradients_reach_every_weight(member):
    network, moved, _ = member
    for variable, has_moved in zip(network.trainable_variables, moved, strict=True):
        # Batch norm subtracts the mean, and with it the bias before it.
        if network.name.endswith("_bn") and "conv" in variable.path:
            if variable.name == "bias":
                continue
        assert has_moved, variable.path


def test_one_batch_is_learned_by_heart(member):
    _, _, losses = member
    assert losses[0] == pytest.approx(np.log(CLASSES), rel=0.5)
    assert losses[-1] <= BY_HEART


def test_a_saved_network_gives_the_same_outputs_on_another_backend(tmp_path):
    expected = {}
    for number, name in enumerate(EVERY):
        network = small(name)
        network.save(tmp_path / f"{number}.keras")
        shape = (2, *network.input_shape[1:])
        inputs = np.random.default_rng(0).normal(size=shape).astype("float32")
        np.save(tmp_path / f"{number}.npy", inputs)
        expected[number] = outputs(network, inputs)
    script = (
        "import sys, keras, numpy as np\n"
        "for number in range(int(sys.argv[1])):\n"
        "    network = keras.saving.load_model(f'{number}.keras')\n"
        "    outputs = network(np.load(f'{number}.npy'), training=False)\n"
        "    arrays = map(keras.ops.convert_to_numpy, keras.tree.flatten(outputs))\n"
        "    np.savez(f'{number}.npz', *arrays)\n"
        "assert 'classicnets' not in sys.modules\n"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(len(EVERY))],
        cwd=tmp_path,
        env=os.environ | {"KERAS_BACKEND": another_backend()},
        check=True,
    )
    for number, here in expected.items():
        with np.load(tmp_path / f"{number}.npz") as there:
            for output, other in zip(here, there.values(), strict=True):
                scale = np.abs(output).max()
                np.testing.assert_allclose(
                    other, output, atol=1e-4 * scale, err_msg=EVERY[number]
                )


def another_backend():
    ours = keras.backend.backend()
    for other in ("torch", "tensorflow", "jax"):  # JAX compiles for longest
        if other != ours and importlib.util.find_spec(other):
            return other
    pytest.skip("needs a second backend installed")
