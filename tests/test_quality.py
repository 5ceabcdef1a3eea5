"""The races to a quality: what ends them, and how they are compared."""

import csv
import dataclasses
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import quality
from benchmarks.races import RACES, Clock
from classicnets import data, recipe

ROOT = Path(__file__).parents[1]
on_tensorflow = pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow",
    reason="the scripts of 2021 are on TensorFlow",
)


def test_a_clock_stops_at_the_first_validation_that_is_good_enough():
    accuracy, nats = Clock(RACES["resnet20"]), Clock(RACES["vae"])
    for clock in (accuracy, nats):
        clock.start()
    assert [accuracy.is_over(value) for value in (0.1, 0.29, 0.3)] == [0, 0, 1]
    assert [nats.is_over(value) for value in (150.0, 110.1, 110.0)] == [0, 0, 1]
    assert [value for _, value in nats.validations] == [150.0, 110.1, 110.0]
    assert sorted(accuracy.validations) == accuracy.validations  # time goes on
    impatient = Clock(dataclasses.replace(RACES["vae"], max_seconds=0.0))
    impatient.start()
    assert impatient.is_over(150.0)


def test_a_race_to_a_quality_is_compared_seed_by_seed():
    result = quality.Result(RACES["lstm"])
    result.runs = {
        "ours-torch": [[(10.0, 0.85)], [(5.0, 0.8), (20.0, 0.85)], [(5.0, 0.85)]],
        quality.SCRIPT: [[(30.0, 0.85)], [(40.0, 0.85)], [(50.0, 0.7), (99.0, 0.8)]],
    }
    assert result.seconds(quality.SCRIPT) == [30.0, 40.0, math.inf]
    page = quality.page([result])
    assert "## lstm: 0.84 validation accuracy, on imdb" in page
    ours = next(line for line in page.splitlines() if line.startswith("| ours"))
    # The last is 99 s and more, by 5.
    cells = "10.0 20.0 5.0 | over 3.00 (2.00..19.80) | 1 2 1 | 0.85 0.85 0.85 |"
    assert ours == f"| ours-torch | {cells}"
    script = next(line for line in page.splitlines() if "30.0 40.0 over 99.0" in line)
    # The seed that the script missed does not compare it with itself.
    assert "| 1.00 (1.00..1.00) |" in script
    rows = list(csv.DictReader(quality.table([result]).splitlines()))
    assert len(rows) == 8
    assert rows[1] == {
        "network": "lstm",
        "contender": "ours-torch",
        "seed": "1",
        "epoch": "1",
        "seconds": "5.00",
        "quality": "0.8000",
    }


@pytest.mark.parametrize("race", RACES.values(), ids=RACES)
def test_ours_learns_from_the_examples_that_the_script_does(race):
    settings = recipe.load(race.recipe)
    assert settings.network == race.network
    assert settings.data == race.data
    assert settings.validation_fraction == race.validation
    assert settings.split_seed == 0  # data.load's default, which the script takes


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    """A hundred digits of noise, where MNIST is looked for."""
    random = np.random.default_rng(0)
    images = random.integers(256, size=(120, 28, 28), dtype=np.uint8)
    labels = np.arange(120) % 10
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    np.savez(tmp_path / "mnist.npz", **arrays)
    monkeypatch.setenv("CLASSICNETS_DATA", str(tmp_path))


@on_tensorflow
@pytest.mark.usefixtures("mnist")
def test_the_vae_of_2021_is_judged_in_nats_a_digit():
    from benchmarks import quality_2021

    clock = Clock(dataclasses.replace(RACES["vae"], max_seconds=0.0))
    quality_2021.train(clock, seed=0)
    # Noise is far from the goal: patience ends it. A decoder that knows nothing
    # answers log-odds near 0: 784 log 2 nats, and hardly any KL divergence.
    assert len(clock.validations) == 1
    assert clock.validations[0][1] == pytest.approx(784 * math.log(2), rel=0.02)


@on_tensorflow
@pytest.mark.usefixtures("mnist")
def test_ours_is_timed_until_it_is_good_enough():
    race = dataclasses.replace(RACES["vae"], goal=1e6)  # the first epoch is enough
    clock = Clock(race)
    quality.train_ours(clock, seed=0)
    assert len(clock.validations) == 1
    # No decoder takes less: the entropy of a pixel of grey noise is half a nat.
    assert 784 / 2 < clock.validations[0][1] < 10_000
    validation = data.load("mnist", labelled=False, validation_fraction=0.2).validation
    assert len(validation) == 20  # two of each of the ten digits' twelve


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--backends", "theano"), "backends must be among"),
        (("--rows", "resnet21"), "Did you mean 'resnet20'?"),
        (("--runs", "0"), "runs at least 1"),
    ],
)
def test_a_wrong_race_is_refused(arguments, message):
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.quality", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 2
    assert message in found.stderr
