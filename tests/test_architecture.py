"""The arrows of the design: who may import whom. They point down only."""

import ast
from collections.abc import Iterator
from pathlib import Path

import classicnets

# What each file or folder of the package may import of the package, beside itself
# and `errors`, which everyone may.
ARROWS = {
    "errors": set(),
    "pictures": set(),
    "figures": {"pictures"},
    "progress": set(),
    "tensorboard": {"pictures"},
    "engine": set(),
    "saved": set(),
    "networks": {"saved"},
    "recipe": set(),
    "objectives": {"engine"},
    "optimization": {"engine", "recipe"},
    "data": {"recipe"},
    "run": {"recipe", "tensorboard", "pictures", "data", "saved", "engine"},
    "report": {"run", "figures", "pictures", "report_generative"},
    "report_generative": {"run", "figures"},
    "checkpoint": {"run", "recipe"},
    "tasks": {
        *("objectives", "optimization", "judging"),
        *("networks", "data", "engine", "recipe"),
    },
    "judging": {"engine", "networks", "data"},
    "sampling": {"run", "data", "pictures", "engine"},
    "evaluation": {
        *("tasks", "judging", "sampling", "data", "run", "engine", "recipe"),
    },
    "export": {"run"},
    "runtimes": set(),
    "signals": set(),
    "loop": {
        *("evaluation", "report", "checkpoint", "run", "recipe", "progress"),
        *("data", "engine", "optimization", "sampling", "signals"),
    },
    "training": {
        *("loop", "run", "recipe", "data", "networks", "tasks", "engine"),
        "environment",
    },
    "crossval_folder": {"run", "recipe"},
    "report_crossval": {"crossval_folder", "report", "figures", "run", "recipe"},
    "crossval": {
        *("training", "evaluation", "report", "report_crossval", "crossval_folder"),
        *("data", "run", "recipe"),
    },
    "record": {"run", "recipe"},
    "environment": set(),
    "verification": {
        *("networks", "tasks", "data", "recipe", "objectives", "optimization"),
        *("checkpoint", "record"),
    },
    "doctor": {"networks", "engine", "data", "objectives", "environment"},
    "cli": {
        *("training", "evaluation", "report", "doctor", "figures", "pictures"),
        *("recipe", "run", "data", "networks", "sampling", "verification"),
        *("crossval", "crossval_folder", "report_crossval"),
        *("record", "export", "environment"),
    },
    "__main__": {"cli"},
    "__init__": {
        *("evaluation", "networks", "recipe", "run", "sampling", "training"),
        "crossval",
    },
}
# The one arrow that points up: Run.evaluate, when it is called.
UPWARD = ("run", "evaluation")
# The files of networks/ that bring the families together.
GATHERING = {"__init__.py", "convert.py", "summary.py"}
BACKENDS = {"tensorflow", "jax", "torch"}
# Files beside the engine that need a backend of their own, inside a function.
OTHER_PROGRAMS = {
    "networks/convert.py": {"torch"},  # reads torchvision's files
    "export.py": {"tensorflow", "torch"},
    "runtimes.py": {"tensorflow", "torch"},
}
# Importing Keras starts a backend, so only these do it at their top.
START_KERAS = {
    *("networks", "tasks", "engine", "training", "evaluation", "checkpoint"),
    *("loop", "objectives", "optimization", "judging", "crossval", "verification"),
    # A part of the compiled step that data/ itself does not import.
    "data/augmentation.py",
}


def test_every_import_of_the_package_follows_the_arrows():
    assert broken_arrows(Path(classicnets.__file__).parent) == []


def test_each_kind_of_wrong_import_is_found(tmp_path):
    wrong = {
        "data/folders.py": "from classicnets import networks",
        "data/named.py": "import keras",
        "engine/jax.py": "import jax\nfrom classicnets.tasks import classify",
        "networks/vgg.py": "from classicnets.networks.resnet import resnet",
        "networks/resnet.py": "def f():\n    from classicnets.engine import compiled",
        "networks/convert.py": "import torch",
        "objectives.py": "import classicnets.networks.vgg",
        "report.py": "from classicnets.inference.evaluation import evaluate",
        "run.py": "from classicnets import evaluation",
        "tasks/classify.py": "import tensorflow as tf",
        "training.py": "from .engine import steps",
        "utils.py": "",
    }
    for name, text in wrong.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = broken_arrows(tmp_path)
    assert sorted(line.split(":")[0] for line in found) == sorted(wrong)


def test_what_the_design_allows_is_not_found(tmp_path):
    right = {
        "errors.py": "import difflib",
        "data/named.py": "def download():\n    import keras",
        "engine/jax.py": "import jax\nimport keras",
        "networks/__init__.py": "from classicnets.networks.vgg import vgg",
        "networks/convert.py": "def read():\n    import torch",
        "objectives.py": "from classicnets import engine\nimport keras",
        "run.py": (
            "from typing import TYPE_CHECKING\n"
            "from classicnets.errors import UserError\n"
            "if TYPE_CHECKING:\n    import keras\n"
            "def evaluate():\n    from classicnets import evaluation"
        ),
    }
    for name, text in right.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert broken_arrows(tmp_path) == []


def broken_arrows(package: Path) -> list[str]:
    """One line, `file: what is wrong`, for every import against the design.

    Args:
        package: the folder of the package's sources.
    """
    found = []
    for file in sorted(package.rglob("*.py")):
        name = file.relative_to(package).as_posix()
        area = name.split("/")[0].removesuffix(".py")
        if area not in ARROWS:
            found.append(f"{name}: {area} has no place in the arrows")
            continue
        for target, at_top in _imports(file):
            if fault := _fault(name, area, target, at_top=at_top):
                found.append(f"{name}: {fault}")
    return found


def _fault(name: str, area: str, target: str, *, at_top: bool) -> str:
    """What is wrong with `target` being imported by the file; empty if nothing."""
    root, _, rest = target.partition(".")
    if root == "":
        return "imports must be absolute"
    if root in BACKENDS and area != "engine":
        if root in OTHER_PROGRAMS.get(name, ()) and not at_top:
            return ""
        return f"only engine may import {root}"
    if root == "keras" and at_top and not {area, name} & START_KERAS:
        return "Keras must be imported inside the function that needs it"
    if root != "classicnets" or not rest:
        return ""
    aim = rest.split(".")[0]
    if aim == "networks" and area == "networks":
        gathers = name.split("/")[-1] in GATHERING
        return "" if gathers else f"a network must not import another, got {target}"
    if aim in {area, "errors"} | ARROWS[area] or aim not in ARROWS:
        return ""
    if (area, aim) == UPWARD and not at_top:
        return ""
    return f"{area} must not import {aim}"


def _imports(file: Path) -> Iterator[tuple[str, bool]]:
    """(dotted name, whether it happens when the file is imported)."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    later = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node not in later
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                module = "" if node.level else f"{node.module}.{alias.name}"
                yield module, node not in later
