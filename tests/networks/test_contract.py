"""The contract that every network keeps, whatever its family."""

import importlib.util
import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

from classicnets.networks import NETWORKS, create, paper, resnet, vgg

RESNETS = [name for name in NETWORKS if name.startswith("resnet")]

# One member of each family and variant, made small, for what needs values.
MEMBERS = {
    "vgg11": {"hidden_units": (64, 64), "dropout": 0.0},
    "vgg11_bn": {"hidden_units": (64, 64), "dropout": 0.0},
    "resnet18": {"stem": "small"},
    "resnet50": {"stem": "imagenet"},
    "resnet20": {},
    "lstm": {"units": (16, 16)},  # reads an image row by row
}
CLASSES = 7
BY_HEART = np.log(CLASSES) / 10  # a tenth of the loss of guessing


def images(count=8, side=32):
    draw = np.random.default_rng(0)
    return draw.normal(size=(count, side, side, 3)).astype("float32")


def small(name, side=32, seed=1):
    """A member with fewer filters and blocks: whole ones take minutes on JAX."""
    keras.utils.set_random_seed(seed)
    with pytest.MonkeyPatch.context() as patch:
        thin = (8, 16, 32, 32, 32)
        patch.setattr(vgg, "FILTERS", thin)
        patch.setattr(resnet, "FILTERS", thin[:4])
        patch.setitem(resnet.BLOCKS, 18, (1, 1, 1, 1))
        patch.setitem(resnet.BLOCKS, 50, (1, 1, 1, 1))
        return create(name, (side, side, 3), CLASSES, **MEMBERS[name])


@pytest.fixture(scope="module", params=MEMBERS)
def member(request):
    """A network that learned one batch by heart with plain compile and train."""
    is_vgg = request.param.startswith("vgg")
    network = small(request.param, side=32 if is_vgg else 16)
    network.compile(
        keras.optimizers.Adam(3e-3 if is_vgg else 1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        # Compiling takes longer than these steps; JAX cannot do without.
        run_eagerly=keras.backend.backend() == "tensorflow",
        jit_compile=keras.backend.backend() == "jax",
    )
    inputs, labels = images(8, network.input_shape[1]), np.arange(8) % CLASSES
    before = [variable.numpy().copy() for variable in network.trainable_variables]
    losses = [float(network.train_on_batch(inputs, labels))]
    after = [variable.numpy().copy() for variable in network.trainable_variables]
    moved = [not np.array_equal(*pair) for pair in zip(before, after, strict=True)]
    while losses[-1] > BY_HEART and len(losses) < 100:
        losses.append(float(network.train_on_batch(inputs, labels)))
    return network, moved, losses


@pytest.mark.parametrize("name", NETWORKS)
def test_images_give_float32_logits_in_a_plain_keras_model(name, shapes_only):
    network = create(name, (32, 32, 3), CLASSES)
    assert network.output_shape == (None, CLASSES)
    assert network.output.dtype == "float32"
    assert network.layers[-1].name == "logits"
    assert network.name == name
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


@pytest.mark.parametrize("name", MEMBERS)
def test_mixed_precision_is_the_callers_choice(name, shapes_only):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = create(name, (32, 32, 3), CLASSES)
    finally:
        keras.config.set_dtype_policy(before)
    assert network.output.dtype == "bfloat16"
    assert {variable.dtype for variable in network.trainable_variables} == {"float32"}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_paper_is_named(name):
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|19\d\d, Neural Comp", paper(name))


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
    ours = logits(share_layers(network, side), inputs)
    np.testing.assert_allclose(ours, logits(of_that_size, inputs), atol=1e-5)


def logits(network, inputs):
    """Like `network.predict`, without the seconds of compiling."""
    return keras.ops.convert_to_numpy(network(inputs, training=False))


def share_layers(network, side):
    return keras.models.clone_model(
        network,
        input_tensors=keras.Input((side, side, 3)),
        clone_function=lambda layer: layer,
        call_function=lambda layer, *args, **kwargs: layer(*args, **kwargs),
    )


@pytest.mark.parametrize("name", MEMBERS)
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(name):
    first, second = small(name).get_weights(), small(name).get_weights()
    assert all(map(np.array_equal, first, second))
    kernels = [i for i, weight in enumerate(first) if weight.ndim > 1]
    others = small(name, seed=2).get_weights()
    assert not any(np.array_equal(first[i], others[i]) for i in kernels)


@pytest.mark.parametrize("name", MEMBERS)
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
    inputs = images(2)
    np.save(tmp_path / "inputs.npy", inputs)
    expected = {}
    for name in MEMBERS:
        network = small(name)
        network.save(tmp_path / f"{name}.keras")
        expected[name] = logits(network, inputs)
    script = (
        "import sys, keras, numpy as np\n"
        "for name in sys.argv[1:]:\n"
        "    network = keras.saving.load_model(name + '.keras')\n"
        "    outputs = network(np.load('inputs.npy'), training=False)\n"
        "    np.save(name + '.npy', keras.ops.convert_to_numpy(outputs))\n"
        "assert 'classicnets' not in sys.modules\n"
    )
    subprocess.run(
        [sys.executable, "-c", script, *MEMBERS],
        cwd=tmp_path,
        env=os.environ | {"KERAS_BACKEND": another_backend()},
        check=True,
    )
    for name, outputs in expected.items():
        scale = np.abs(outputs).max()
        there = np.load(tmp_path / f"{name}.npy")
        np.testing.assert_allclose(there, outputs, atol=1e-4 * scale, err_msg=name)


def another_backend():
    ours = keras.backend.backend()
    for other in ("torch", "tensorflow", "jax"):  # JAX compiles for longest
        if other != ours and importlib.util.find_spec(other):
            return other
    pytest.skip("needs a second backend installed")
