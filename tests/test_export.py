"""Networks as files of other programs, which open them and compute what Keras does."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

import classicnets as cn
from classicnets import networks, recipe
from classicnets.inference import export, formats
from classicnets.networks import resnet, vgg
from classicnets.tasks import plain

BACKEND = keras.backend.backend()
FORMATS = [name for name, kind in formats.FORMATS.items() if BACKEND in kind.backends]
pytestmark = pytest.mark.skipif(not FORMATS, reason="JAX writes no format")
if "onnx" in FORMATS:
    pytest.importorskip("onnxruntime")

CLASSES = 7
# A member of every family and variant; those with a dot are one of two networks.
NETWORKS = {
    "vgg11": {"hidden_units": (16, 16)},
    "vgg11_bn": {"hidden_units": (16, 16)},
    "resnet18": {"stem": "small"},
    "resnet50": {"stem": "imagenet"},
    "resnet20": {},
    "lstm": {"units": (8, 8), "bidirectional": True},
    "autoencoder.encoder": {"hidden_units": (32, 16)},
    "conv_vae.encoder": {"filters": (4, 8), "hidden_units": (16,)},
    "vae.decoder": {"hidden_units": (32, 16)},
    "conv_vae.decoder": {"filters": (4, 8), "hidden_units": (16,)},
    "gan.generator": {"generator_units": (16, 8), "discriminator_units": (16, 8)},
    "dcgan.generator": {"filters": 4},
    "wgan_gp.generator": {},
    "wgan_gp.critic": {},
    "wgan_gp_resnet.generator": {"filters": 4},
}


def build(name):
    """Return a network with random weights, and what it is in a run's folder."""
    family, _, part = name.partition(".")
    options, side = NETWORKS[name], 64 if family == "wgan_gp" else 32
    keras.utils.set_random_seed(1)
    with pytest.MonkeyPatch.context() as patch:
        thin = (8, 16, 32, 32, 32)
        patch.setattr(vgg, "FILTERS", thin)
        patch.setattr(resnet, "FILTERS", thin[:4])
        patch.setitem(resnet.BLOCKS, 18, (1, 1, 1, 1))
        patch.setitem(resnet.BLOCKS, 50, (1, 1, 1, 1))
        if family in networks.PAIRS:
            pair = networks.create_pair(family, (side, side, 3), **options)
            return pair[part == "critic"], part
        if part:
            both = networks.create(family, (side, side, 3), **options)
            return both.get_layer(part), part
        return networks.create(family, (side, side, 3), CLASSES, **options), "model"


def as_saved(name):
    """Return such a network as a run saves it, with outputs by name."""
    network, part = build(name)
    if part in ("decoder", "generator"):
        saved = plain.to_pixels(network, log_odds=part == "decoder")
    else:
        half = np.full(3, 0.5, "float32")
        saved = plain.with_scaling(network, half, half)
    family = name.partition(".")[0]
    return export.with_names(saved, part, networks.kind(family).parts[part])


def batches(network):
    """Return a batch of 5 examples and one of 1, as the network takes them."""
    source = np.random.default_rng(0)

    def draw(x, count):
        shape = (count, *x.shape[1:])
        if x.dtype == "uint8":
            return source.integers(256, size=shape, dtype=np.uint8)
        if x.dtype == "int32":
            return source.integers(CLASSES, size=shape, dtype=np.int32)
        return source.standard_normal(shape, dtype=np.float32)

    return [{x.name: draw(x, count) for x in network.inputs} for count in (5, 1)]


@pytest.mark.skipif("onnx" not in FORMATS, reason="for backends that write ONNX")
@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_of_every_network_computes_what_keras_does(name, tmp_path):
    network, path = as_saved(name), tmp_path / "network.onnx"
    export.write(network, "onnx", path)
    assert export.compare(network, "onnx", path, batches(network)) < 1e-4


@pytest.mark.skipif("onnx" not in FORMATS, reason="for backends that write ONNX")
def test_outputs_that_are_no_numbers_are_not_close(tmp_path):
    network, path = as_saved("autoencoder.encoder"), tmp_path / "network.onnx"
    export.write(network, "onnx", path)
    network.set_weights([np.full_like(w, np.nan) for w in network.get_weights()])
    assert not export.compare(network, "onnx", path, batches(network)) <= 1e-4


@pytest.mark.skipif("onnx" not in FORMATS, reason="for backends that write ONNX")
@pytest.mark.parametrize("name", ["vae.decoder", "wgan_gp.generator"])
def test_images_are_the_same_before_they_are_rounded(name, tmp_path):
    """Rounded pixels could hide what is smaller than half of one."""
    network, _ = build(name)
    network = export.with_names(network, "critic", ["scores"])  # not rounded
    path = tmp_path / "network.onnx"
    export.write(network, "onnx", path)
    assert export.compare(network, "onnx", path, batches(network)) < 1e-4
    (outputs,) = network.predict_on_batch(*batches(network)[0].values()).values()
    assert np.any(outputs != np.round(outputs))


@pytest.mark.parametrize("format_", [name for name in FORMATS if name != "onnx"])
@pytest.mark.parametrize("name", ["resnet20", "conv_vae.encoder", "dcgan.generator"])
def test_other_formats_compute_what_keras_does(name, format_, tmp_path):
    network = as_saved(name)
    path = tmp_path / f"network{formats.FORMATS[format_].suffix}"
    export.write(network, format_, path)
    assert export.compare(network, format_, path, batches(network)) < 1e-4


@pytest.mark.parametrize("part", ["critic", "generator"])
@pytest.mark.parametrize("format_", FORMATS)
def test_images_and_labels_reach_their_inputs(format_, part, tmp_path):
    saved = with_labels(part)
    network = export.with_names(
        saved, part, ["images" if part == "generator" else part]
    )
    dtypes = {x.name: x.dtype for x in network.inputs}
    image = {"codes": "float32"} if part == "generator" else {"pixels": "uint8"}
    assert dtypes == {"labels": "int32", **image}
    path = tmp_path / f"network{formats.FORMATS[format_].suffix}"
    export.write(network, format_, path)
    assert export.compare(network, format_, path, batches(network)) < 1e-4
    if format_ == "onnx":
        import onnx

        assert {x.name for x in onnx.load(path).graph.input} == dtypes.keys()


def with_labels(part):
    """Return a network of images, or of noise, and of labels, as a run saves it."""
    keras.utils.set_random_seed(1)
    labels = keras.Input((), dtype="int32", name="labels")
    embedded = layers.Embedding(CLASSES, 4)(labels)
    if part == "critic":
        images = keras.Input((4, 4, 3), name="images")
        x = layers.Concatenate()([layers.Flatten()(images), embedded])
        network = keras.Model([images, labels], layers.Dense(1)(x))
        half = np.full(3, 0.5, "float32")
        return plain.with_scaling(network, half, half)
    noise = keras.Input((6,), name="noise")
    x = layers.Dense(48, activation="tanh")(layers.Concatenate()([noise, embedded]))
    network = keras.Model([noise, labels], layers.Reshape((4, 4, 3))(x))
    return plain.to_pixels(network, log_odds=False)


@pytest.mark.parametrize("name", ["vgg11", "vae.decoder"])
def test_a_file_of_other_weights_is_found(name, tmp_path):
    network = as_saved(name)
    path = tmp_path / f"network{formats.FORMATS[FORMATS[0]].suffix}"
    export.write(network, FORMATS[0], path)
    network.set_weights([1.5 * weight for weight in network.get_weights()])
    assert export.compare(network, FORMATS[0], path, batches(network)) > 1e-3


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    return cn.train(
        "vae-digits",
        runs=tmp_path_factory.mktemp("vae"),
        verbose=False,
        **{"epochs": 1, "sample_epochs": 1, "image_size": 8, "batch_size": 64},
    )


def test_the_command_writes_encoder_and_decoder_of_a_vae(vae):
    command = [sys.executable, "-m", "classicnets", "export", str(vae.path)]
    result = subprocess.run(
        [*command, "--format", FORMATS[0], "--backend", BACKEND],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert len(lines) == 2
    for part, line in zip(("encoder", "decoder"), lines):
        path, _, said = line.partition("  largest difference from Keras ")
        assert os.path.samefile(
            path, vae.path / f"{part}{formats.FORMATS[FORMATS[0]].suffix}"
        )
        assert float(said) < 1e-4
    assert not list(vae.path.glob(".*exporting*"))


def test_no_file_is_left_when_the_outputs_differ(vae, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", -1.0)  # no file is as good as that
    path = tmp_path / f"decoder{formats.FORMATS[FORMATS[0]].suffix}"
    with pytest.raises(cn.RunError, match=r"not kept: its outputs differ from Keras's"):
        export.export(vae, "decoder", FORMATS[0], path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format_", FORMATS[:1])
def test_a_file_is_written_again_and_nothing_else_is_replaced(vae, format_, tmp_path):
    path = tmp_path / f"decoder{formats.FORMATS[format_].suffix}"
    for _ in range(2):
        written, _ = export.export(vae, "decoder", format_, path)
        assert list(tmp_path.iterdir()) == [written]
    folder = tmp_path / f"mine{formats.FORMATS[format_].suffix}"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(cn.UserError, match="-o must name"):
        export.export(vae, "decoder", format_, folder)
    with pytest.raises(cn.UserError, match="in a folder that exists"):
        export.export(vae, "decoder", format_, tmp_path / "no" / path.name)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the others write loops out")
@pytest.mark.parametrize(
    "format_", ["onnx", pytest.param("saved_model", marks=pytest.mark.thorough)]
)
def test_an_lstm_takes_tokens_of_any_length(format_, tiny_texts, tmp_path):
    options = {"units": [6, 6], "embedding_size": 5, "bidirectional": True}
    built = recipe.build(
        {
            "network": "lstm",
            "network_options": options | {"pooling": "mean"},
            "data": str(tiny_texts()),
            "epochs": 1,
            "batch_size": 8,
            "optimizer": "adam",
            "learning_rate": 0.01,
            "max_tokens": 12,
        }
    )
    run = cn.train(built, runs=tmp_path, name="texts", verbose=False)
    path, difference = export.export(run, "model", format_)
    assert difference < 1e-4
    network = export.with_names(run.model, "model", ["logits"])
    shorter = np.array([[3, 4, 5, 0], [1, 0, 0, 0], [0, 0, 0, 0]], np.int32)
    assert export.compare(network, format_, path, [{"tokens": shorter}]) < 1e-4


REFUSED = {
    ("onnx", "jax"): "onnx cannot be written by jax: .* --backend tensorflow or",
    ("saved_model", "torch"): "so add --backend tensorflow",
    ("litert", "jax"): "so add --backend tensorflow",
    ("torch", "tensorflow"): "so add --backend torch",
    ("onxn", "tensorflow"): "Did you mean 'onnx'",
}


@pytest.mark.parametrize("format_, backend", REFUSED)
def test_what_a_backend_does_not_write_is_refused_with_what_to_do(format_, backend):
    with pytest.raises(cn.UserError, match=REFUSED[format_, backend]):
        formats.check(format_, backend)


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as if it were not there
    with pytest.raises(cn.UserError, match=r"pip install 'classicnets\[export\]'"):
        formats.check("onnx", "torch")


def test_a_network_that_the_run_has_not_is_refused(vae):
    with pytest.raises(cn.UserError, match=r"has no generator\.keras"):
        export.export(vae, "generator", FORMATS[0])
