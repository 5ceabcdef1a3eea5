"""The same steps on every backend, and in two processes as in one."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from classicnets.verification import first_steps
from classicnets.verification.backends import installed

OURS = keras.backend.backend()
NETWORKS = ("vae", "dcgan")


@pytest.fixture(scope="module")
def four_steps(tmp_path_factory):
    """What four steps in one process leave."""
    folder = tmp_path_factory.mktemp("at_once")
    first_steps.write_images(folder, *NETWORKS)
    return take_steps((0, 4), folder)


def take_steps(steps, folder, backend=OURS):
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, "-m", first_steps.__name__, str(folder)]
    command += [*map(str, steps), *NETWORKS, "--keep"]
    subprocess.run(command, check=True, env=environment, timeout=600)
    return {name: np.load(folder / f"{name}.npz") for name in NETWORKS}


@pytest.mark.parametrize("backend", [name for name in installed() if name != OURS])
def test_the_first_steps_are_the_same_on_another_backend(backend, four_steps, tmp_path):
    first_steps.write_images(tmp_path, *NETWORKS)
    other = take_steps((0, 4), tmp_path, backend)
    for name, ours in four_steps.items():
        for key in ours.files:
            np.testing.assert_allclose(
                other[name][key],
                ours[key],
                rtol=1e-3,
                atol=1e-3,
                err_msg=f"{name} {key}",
            )


def test_a_second_process_goes_on_where_the_first_one_stopped(four_steps, tmp_path):
    """With the moments of both optimizers and the averages: else Adam starts anew."""
    first_steps.write_images(tmp_path, *NETWORKS)
    take_steps((0, 2), tmp_path)
    resumed = take_steps((2, 4), tmp_path)
    for name, at_once in four_steps.items():
        for key in at_once.files:
            if key.startswith("weight"):
                np.testing.assert_allclose(
                    resumed[name][key], at_once[key], rtol=1e-5, atol=1e-6
                )
