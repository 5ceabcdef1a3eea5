"""Weights bring along how the pixels were scaled that they know."""

import shutil

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

import classicnets as cn
from classicnets.networks import create
from classicnets.verification.drawing import fill
from classicnets.weights import loading, scaling


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Dark pictures of three classes, and bright ones of two."""
    random, paths = np.random.default_rng(0), []
    for classes, low, high in ((3, 0, 100), (2, 120, 256)):
        path = tmp_path_factory.mktemp("sets") / f"{classes}.npz"
        x = random.integers(low, high, size=(30, 16, 16, 3), dtype=np.uint8)
        np.savez(path, x_train=x, y_train=np.arange(30) % classes)
        paths.append(str(path))
    return paths


def train(tmp_path, data, **changes):
    given = {"epochs": 1, "batch_size": 8, "crop_padding": 0, "rival": False}
    given |= {"runs": tmp_path / "runs", "name": "s", "verbose": False}
    return cn.train("resnet20-digits", data=data, **(given | changes))


@pytest.fixture(scope="module")
def old(sets, tmp_path_factory):
    """Return a run on dark pictures."""
    return train(tmp_path_factory.mktemp("old"), sets[0])


def features(model, pixels):
    """Return what the last pooling makes of raw pixels."""
    inner = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    pool = keras.Model(inner.inputs, inner.get_layer("pool").output)
    scaled = next(x for x in model.layers if isinstance(x, keras.layers.Rescaling))
    return to_numpy(pool(scaled(pixels.astype("float32")), training=False))


def test_features_of_a_runs_weights_are_the_old_runs(tmp_path, sets, old, capsys):
    bright = sets[1]
    shutil.copy(old.path / "model.keras", tmp_path / "old.keras")
    weights = {"weights": str(tmp_path / "old.keras"), "freeze": True}
    new = train(tmp_path, bright, **weights, verbose=True)
    assert "pixels are scaled as for the weights, mean 0.1" in capsys.readouterr().err
    picture = np.random.default_rng(1).integers(256, size=(2, 16, 16, 3))
    before = features(old.model, picture)
    np.testing.assert_allclose(features(new.model, picture), before, rtol=1e-4)
    alone = train(tmp_path, bright)
    means = [scaling.of_model(run.model).mean for run in (old, new, alone)]
    np.testing.assert_allclose(means[0], means[1], rtol=1e-5)
    assert (np.array(means[2]) > np.array(means[0]) + 0.3).all()
    # The scaling stays where a run goes on without the file.
    (tmp_path / "old.keras").unlink()
    longer = cn.resume(new.path, epochs=2, verbose=False)
    np.testing.assert_allclose(features(longer.model, picture), before, rtol=1e-4)


def test_weights_that_tell_nothing_are_noted(tmp_path, sets, capsys):
    path = tmp_path / "bare.weights.h5"
    create("resnet20", (16, 16, 3), 3).save_weights(path)
    run = train(tmp_path, sets[0], weights=str(path), verbose=True)
    assert "by the training split: the weights do not say" in capsys.readouterr().err
    pixels = np.asarray(cn.data.load(sets[0]).train.inputs) / 255
    mean = scaling.of_model(run.model).mean
    np.testing.assert_allclose(mean, pixels.mean((0, 1, 2)), rtol=1e-4)


def test_unscaled_pixels_stay_unscaled(tmp_path, sets, old):
    weights = str(old.path / "model.keras")
    first = train(tmp_path, sets[1], normalize=False, weights=weights)
    new = train(tmp_path, sets[0], weights=str(first.path / "model.keras"))
    plain = scaling.Scaling((0, 0, 0), (1, 1, 1))
    for run in (first, new):
        np.testing.assert_allclose(scaling.of_model(run.model), plain, atol=1e-6)


def test_torchvisions_weights_get_torchvisions_pixels(tmp_path):
    network = create("vgg11", (32, 32, 3), None)
    fill(network)
    kernels = {
        f"features.{index}.{name}": array.transpose(3, 2, 0, 1).copy()
        if name == "weight"
        else array
        for layer, index in zip(
            (x for x in network.layers if isinstance(x, keras.layers.Conv2D)),
            (0, 3, 6, 8, 11, 13, 16, 18),
        )
        for name, array in zip(("weight", "bias"), layer.get_weights())
    }
    path = tmp_path / "vgg11.safetensors"
    save_file(kernels, path)
    fresh, known = loading.load_with_scaling(create("vgg11", (32, 32, 3), None), path)
    assert fresh == []
    # transforms.Normalize of torchvision.models.VGG11_Weights.
    assert known.mean == (0.485, 0.456, 0.406)
    assert known.deviation == (0.229, 0.224, 0.225)


@pytest.mark.parametrize("name", ["VGG16", "ResNet50"])
def test_keras_applications_get_the_pixels_of_their_preprocess_input(name, tmp_path):
    module = {"VGG16": "vgg16", "ResNet50": "resnet"}[name]
    prepare = getattr(keras.applications, module).preprocess_input
    shape = (32, 32, 3)
    source = getattr(keras.applications, name)(
        weights=None, include_top=False, input_shape=shape
    )
    fill(source)
    source.save(tmp_path / "source.keras")
    options = {"stride_on": "1x1", "convolution_bias": True, "epsilon": 1.001e-5}
    network = create(name.lower(), shape, None, **(options if "R" in name else {}))
    path = tmp_path / "source.keras"
    fresh, (mean, deviation) = loading.load_with_scaling(network, path)
    assert fresh == []
    pixels = np.random.default_rng(0).integers(256, size=(2, *shape)).astype("float32")
    expected = to_numpy(source(prepare(pixels.copy()), training=False))
    scaled = ((pixels / 255 - mean) / deviation).astype("float32")
    result = to_numpy(network(scaled, training=False))
    np.testing.assert_allclose(result, expected, atol=1e-4 * np.abs(expected).max())


def test_a_vgg_of_ones_own_is_not_keras_applications():
    assert not scaling.is_of_keras_applications(create("vgg16", (32, 32, 3), None))
