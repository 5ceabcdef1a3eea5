"""What is installed, what runs, and what is wrong, in plain words."""

import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path

from classicnets.data.named import DATASETS, places
from classicnets.environment import BACKEND_PACKAGES, version

# Gradients on the backend, in a process of its own: a broken one cannot take us down.
TRIAL = """
import sys, time
from keras import ops
from classicnets import networks, engine
from classicnets.objectives import cross_entropy
network = networks.create("resnet20", (32, 32, 3), 2)
images, targets = ops.ones((16, 32, 32, 3)), ops.one_hot(ops.arange(16) % 2, 2)
def step(arrays, batch):
    (loss, _), _ = engine.value_and_gradients(
        lambda: (cross_entropy(network(images, training=True), targets), ()),
        network.trainable_variables, network.variables)
    return {"loss": loss}
run = engine.compile_steps(step, network.variables, ["loss"])
assert run({}, {}, 1)["loss"] > 0
started, steps = time.monotonic(), 0
while time.monotonic() - started < float(sys.argv[1]):
    run({}, {}, 1)
    steps += 1
speed = steps * 16 / (time.monotonic() - started)
told = f": {speed:,.0f} images/s through a ResNet-20 and back" if steps else ""
print(engine.device() + told)
"""
SECONDS = 5  # of the chosen backend's trial, after it has been compiled


def examine() -> tuple[list[str], bool]:
    """Return the lines to show, and whether training can work here."""
    lines = [f"Python {platform.python_version()} on {platform.platform()}"]
    for package in ("classicnets", "keras"):
        lines.append(f"{package} {version(package)}")
    runs = {}
    chosen = os.environ.get("KERAS_BACKEND", "tensorflow")
    for backend, packages in BACKEND_PACKAGES.items():
        if importlib.util.find_spec(backend) is None:
            lines.append(
                f"{backend}: not installed (pip install 'classicnets[{backend}]')"
            )
            continue
        runs[backend], said = _try(backend, SECONDS if backend == chosen else 0)
        lines.append(f"{backend} {version(*packages) or 'of unknown version'}: {said}")
    well = runs.get(chosen, False)
    lines.append(f"chosen backend: {chosen}" + ("" if well else ", which does not run"))
    folder = os.environ.get("CLASSICNETS_DATA")
    if folder and not Path(folder).is_dir():
        lines.append(f"CLASSICNETS_DATA is {folder}, which is not a folder")
        return lines, False
    for name in DATASETS:
        if name == "digits":
            continue
        found = [place for place in places(name) if os.access(place, os.R_OK)]
        lines.append(f"data {name}: {found[0] if found else 'will be downloaded'}")
    return lines, well


def _try(backend: str, seconds: float) -> tuple[bool, str]:
    """Whether a backend runs, and what there is to say of it."""
    result = subprocess.run(
        [sys.executable, "-c", TRIAL, str(seconds)],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        return False, f"does not run: {last}"
    return True, f"runs on {result.stdout.strip()}"
