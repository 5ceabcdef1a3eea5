"""The same steps on every backend, and in two processes as in one."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("first_steps.py")
OURS = keras.backend.backend()
OTHERS = [
    name
    for name in ("tensorflow", "jax", "torch")
    if name != OURS and importlib.util.find_spec(name)
]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """48 blurry pictures of 16x16."""
    random = np.random.default_rng(0)
    coarse = random.integers(256, size=(48, 4, 4, 1))
    fine = coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)
    path = tmp_path_factory.mktemp("images") / "blocks.npz"
    np.savez(path, x_train=fine, x_test=fine[:8])
    return path


@pytest.fixture(scope="module")
def four_steps(images, tmp_path_factory):
    """What four steps in one process leave."""
    return take_steps(images, (0, 4), tmp_path_factory.mktemp("whole"))


def take_steps(images, steps, folder, backend=OURS):
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, str(SCRIPT), str(images), *map(str, steps), str(folder)]
    subprocess.run(command, check=True, env=environment, timeout=600)
    return {name: np.load(folder / f"{name}.npz") for name in ("vae", "wgan_gp")}


@pytest.mark.parametrize("backend", OTHERS)
def test_the_first_steps_are_the_same_on_another_backend(
    backend, images, four_steps, tmp_path
):
    other = take_steps(images, (0, 4), tmp_path, backend)
    for name, ours in four_steps.items():
        for key in ours.files:
            np.testing.assert_allclose(
                other[name][key],
                ours[key],
                rtol=1e-3,
                atol=1e-3,
                err_msg=f"{name} {key}",
            )


def test_a_second_process_goes_on_where_the_first_one_stopped(
    images, four_steps, tmp_path
):
    """With the moments of both optimizers and the averages: else Adam starts anew."""
    take_steps(images, (0, 2), tmp_path)
    found = take_steps(images, (2, 4), tmp_path)
    for name, whole in four_steps.items():
        for key in whole.files:
            if key.startswith("weight"):
                np.testing.assert_allclose(
                    found[name][key], whole[key], rtol=1e-5, atol=1e-6
                )
