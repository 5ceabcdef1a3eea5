"""The engine asks for no device before a run starts: processes must be joined first."""

import os
import subprocess
import sys

import keras

# Keras's own import may ask, so that its functions are replaced after it.
GUARDS = {
    "tensorflow": "import tensorflow; tensorflow.config.list_physical_devices = refuse",
    "torch": "import torch; torch.cuda.is_available = refuse",
    "jax": "from jax._src import xla_bridge; xla_bridge.backends = refuse",
}
SCRIPT = """
import keras

def refuse(*_, **__):
    raise SystemExit("a device was asked for")

{guard}
from classicnets import engine, objectives, optimization, tasks
{ask}
"""


def imported(ask=""):
    """Import what learns in a process of its own, and do what `ask` says."""
    script = SCRIPT.format(guard=GUARDS[keras.backend.backend()], ask=ask)
    return subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"KERAS_BACKEND": keras.backend.backend()},
        capture_output=True,
        text=True,
    )


def test_importing_asks_for_no_device():
    result = imported()
    assert result.returncode == 0, result.stderr


def test_a_device_that_is_asked_for_is_noticed():
    assert "a device was asked for" in imported("engine.device_bytes()").stderr
