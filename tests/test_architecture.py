"""The arrows of the design: who may import whom. They point down only."""

import importlib.util
import re
from pathlib import Path

import pytest

import classicnets

ROOT = Path(__file__).parents[1]
PACKAGE = Path(classicnets.__file__).parent
specification = importlib.util.spec_from_file_location(
    "architecture", ROOT / "tools" / "architecture.py"
)
architecture = importlib.util.module_from_spec(specification)
specification.loader.exec_module(architecture)

# The files of networks/ that bring the families together.
GATHERING = {"__init__.py", "summary.py"}
BACKENDS = {"tensorflow", "jax", "torch"}
# Files beside the engine that need a backend of their own, inside a function.
OTHER_PROGRAMS = {
    "weights/from_torch.py": {"torch"},  # reads torchvision's files
    "inference/formats.py": {"tensorflow", "torch"},
    "inference/runtimes.py": {"tensorflow", "torch"},
}
# Importing Keras starts a backend, so only these do it at their top.
START_KERAS = {
    *("networks", "tasks", "engine", "training", "loop", "crossval", "verification"),
    *("objectives", "optimization", "runs/checkpoint.py", "weights/loading.py"),
    *("weights/from_keras.py", "weights/from_torch.py", "weights/transfer.py"),
    "weights/scaling.py",
}


def test_both_pages_have_the_map_that_the_imports_make():
    drawn = architecture.drawing(architecture.arrows())
    for page in architecture.PAGES:
        assert f"```\n{drawn}\n```" in page.read_text("utf-8"), page


def test_both_pages_list_every_room_and_its_files():
    contents = architecture.contents()
    for page in architecture.PAGES:
        row = r"^\| `([\w./]+)` \|[^|]*\|([^|]*)\|$"
        rows = re.findall(row, page.read_text("utf-8"), re.M)
        listed = {
            room.removesuffix("/").removesuffix(".py"): re.findall(r"`(.*?)`", files)
            for room, files in rows
        }
        assert listed == contents, page


def test_the_root_of_the_package_stays_small():
    assert sum(path.is_file() for path in PACKAGE.iterdir()) <= 16


def test_arrows_point_down_and_a_circle_is_named():
    assert len(architecture.floors(architecture.arrows())) > 5
    upward = {"runs": {"inference"}, "inference": {"runs"}}
    assert architecture.floors(upward) == [["inference"], ["runs"]]
    with pytest.raises(ValueError, match="in a circle: data, recipe"):
        architecture.floors({"data": {"recipe"}, "recipe": {"data"}, "kinds": set()})


def test_an_arrow_is_any_import_but_one_for_types(tmp_path):
    package = tmp_path / "classicnets"
    for name, text in {
        "data/named.py": "from classicnets.files import write",
        "files.py": "from classicnets.errors import UserError",
        "loop.py": "def f():\n    from classicnets import data",
        "runs/run.py": (
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from classicnets.data import Splits"
        ),
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    drawn = architecture.drawing(architecture.arrows(package))
    assert drawn == "loop   -> data\n\ndata   -> files\n\nfiles\nruns"


def test_files_name_only_backends_and_networks_that_they_may():
    assert faults(PACKAGE) == []


def test_each_kind_of_wrong_import_is_found(tmp_path):
    wrong = {
        "data/named.py": "import keras",
        "networks/vgg.py": "from classicnets.networks.resnet import resnet",
        "weights/from_torch.py": "import torch",
        "tasks/supervised.py": "import tensorflow as tf",
        "training.py": "from .engine import steps",
    }
    write(tmp_path, wrong)
    assert sorted(line.split(":")[0] for line in faults(tmp_path)) == sorted(wrong)


def test_what_the_design_allows_is_not_found(tmp_path):
    right = {
        "data/named.py": "def download():\n    import keras",
        "engine/jax.py": "import jax\nimport keras",
        "networks/__init__.py": "from classicnets.networks.vgg import vgg",
        "weights/from_torch.py": "def read():\n    import torch",
        "objectives.py": "import keras",
    }
    write(tmp_path, right)
    assert faults(tmp_path) == []


def test_no_allowance_is_left_that_nobody_uses():
    used = {
        (file.relative_to(PACKAGE).as_posix(), dotted.split(".")[0])
        for file in PACKAGE.rglob("*.py")
        for dotted, _ in architecture.imports(file)
    }
    for name, programs in OTHER_PROGRAMS.items():
        assert {(name, program) for program in programs} <= used
    at_top = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        for dotted, at_once in architecture.imports(file)
        if at_once and dotted.split(".")[0] == "keras"
    }
    for place in START_KERAS:
        assert any(area(name) == place or name == place for name in at_top), place
    for name in GATHERING - {"__init__.py"}:
        assert (PACKAGE / "networks" / name).is_file()


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


def area(name):
    return name.split("/")[0].removesuffix(".py")


def faults(package):
    """Return one line, `file: what is wrong`, for every import against the design."""
    return [
        f"{name}: {fault}"
        for file in sorted(package.rglob("*.py"))
        for name in [file.relative_to(package).as_posix()]
        for dotted, at_top in architecture.imports(file)
        if (fault := fault_of(name, dotted, at_top=at_top))
    ]


def fault_of(name, dotted, *, at_top):
    """Return what is wrong with an import by the file; empty if nothing."""
    root, _, rest = dotted.partition(".")
    if root == "":
        return "imports must be absolute"
    if root in BACKENDS and area(name) != "engine":
        allowed = root in OTHER_PROGRAMS.get(name, ()) and not at_top
        return "" if allowed else f"only engine may import {root}"
    if root == "keras" and at_top and not {area(name), name} & START_KERAS:
        return "Keras must be imported inside the function that needs it"
    if (
        root == "classicnets"
        and rest.startswith("networks.")
        and name.startswith("networks/")
    ):
        gathers = name.split("/")[-1] in GATHERING or rest.startswith(
            "networks.private"
        )
        return "" if gathers else f"a network must not import another, got {dotted}"
    return ""
