"""What is installed, what runs, and what is wrong, in plain words."""

import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path

from classicnets.data.named import DATASETS, places
from classicnets.environment import BACKEND_PACKAGES, version

# A gradient on the backend, in a process of its own: a broken one cannot take us down.
TRIAL = """
from keras import ops
from classicnets import networks, engine
from classicnets.objectives import cross_entropy
network = networks.create("resnet20", (8, 8, 1), 2)
images, targets = ops.ones((2, 8, 8, 1)), ops.eye(2)
def step(arrays, batch):
    (loss, _), _ = engine.value_and_gradients(
        lambda: (cross_entropy(network(images, training=True), targets), ()),
        network.trainable_variables, network.variables)
    return {"loss": loss}
assert engine.compile_steps(step, network.variables, ["loss"])({}, {}, 1)["loss"] > 0
print(engine.device())
"""


def examine() -> tuple[list[str], bool]:
    """Return the lines to show, and whether training can work here."""
    lines = [f"Python {platform.python_version()} on {platform.platform()}"]
    for package in ("classicnets", "keras"):
        lines.append(f"{package} {version(package)}")
    runs = {}
    for backend, packages in BACKEND_PACKAGES.items():
        if importlib.util.find_spec(backend) is None:
            lines.append(
                f"{backend}: not installed (pip install 'classicnets[{backend}]')"
            )
            continue
        runs[backend], said = _try(backend)
        lines.append(f"{backend} {version(*packages) or 'of unknown version'}: {said}")
    chosen = os.environ.get("KERAS_BACKEND", "tensorflow")
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


def _try(backend: str) -> tuple[bool, str]:
    result = subprocess.run(
        [sys.executable, "-c", TRIAL],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        return False, f"does not run: {last}"
    return True, f"runs on {result.stdout.strip()}"
