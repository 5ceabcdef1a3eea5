"""The comparison on photos of one's own: what it trains, judges and says."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]


@pytest.fixture
def colours(tmp_path, monkeypatch):
    """Return a folder of forty photos of two colours that each learns at once."""
    monkeypatch.setenv("CLASSICNETS_CACHE", str(tmp_path / "cache"))
    for name, channel in (("blue", 2), ("red", 0)):
        (tmp_path / "colours" / name).mkdir(parents=True)
        for number in range(20):
            pixels = np.zeros((32, 32, 3), np.uint8)
            pixels[..., channel] = 150 + 5 * number
            file = tmp_path / "colours" / name / f"{number}.png"
            Image.fromarray(pixels).save(file)
    return tmp_path / "colours"


@pytest.mark.skipif(
    not importlib.util.find_spec("tensorflow"), reason="needs TensorFlow"
)
def test_photos_of_ones_own_are_learned_by_both(colours):
    command = [sys.executable, "-m", "benchmarks.photos", str(colours)]
    paths = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run(
        [*command, "--set", "epochs=3", "--set", "rival=false"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ours, script, *means = done.stdout.splitlines()
    # A fifth of 40 is the test, a tenth of what is left the validation.
    assert re.match(r"seed 0: ours \d+\.\d\d% of 8 test photos .* in 3 epochs", ours)
    assert re.match(r"seed 0: script 100\.00% of 8 test photos", script)
    assert ours.rpartition(", ")[2] == script.rpartition(", ")[2]  # the seconds
    assert [line.rpartition(", ")[2] for line in means] == ["seeds: 1"] * 2


def test_accuracies_on_photos_have_mean_and_deviation():
    from benchmarks import photos

    runs = [{"test": share, "examples": 50} for share in (0.9, 0.92, 0.94)]
    lines = photos.summary({"ours": runs, "script": runs[:1]}).splitlines()
    assert lines == [
        "ours: 92.00 % +- 2.00 of 50, seeds: 3",
        "script: 90.00 % of 50, seeds: 1",
    ]


@pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow",
    reason="the script is on TensorFlow",
)
def test_the_script_for_photos_keeps_its_best_epoch_until_time_is_up():
    from benchmarks.peers import keras_photos

    model = keras_photos.network((32, 32, 3), classes=2)
    # Weights and biases of 3, 32, 64 and 128 channels, and of 4x4x128 features.
    convolutions = sum(9 * a * b + b for a, b in ((3, 32), (32, 64), (64, 128)))
    assert model.count_params() == convolutions + 2 * 4 * 4 * 128 + 2
    best = keras_photos.BestEpoch(seconds=3600.0)
    best.set_model(model)
    best.on_train_begin()
    kept = model.get_weights()
    for epoch, accuracy in enumerate((0.5, 0.9, 0.9, 0.6)):
        if epoch == 1:
            model.set_weights([weights + 1.0 for weights in kept])
        if epoch == 2:
            model.set_weights([weights + 2.0 for weights in kept])
        best.on_epoch_end(epoch, {"val_accuracy": accuracy})
        assert not model.stop_training
    best.seconds = 0.0
    best.on_epoch_end(4, {"val_accuracy": 0.1})
    assert model.stop_training
    best.on_train_end()
    for weights, before in zip(model.get_weights(), kept):
        assert np.array_equal(weights, before + 1.0)
