"""What kind of network a name is of is asked in one place."""

import ast
from pathlib import Path

import pytest

import classicnets
from classicnets import kinds, networks, objectives, recipe
from classicnets.tasks import TASKS

PACKAGE = Path(classicnets.__file__).parent
# Where the words may stand: the kinds, the dicts, a network's own file and name, the
# tasks; and the tables of proofs, whose keys are names of networks.
PROOFS = {f"verification/{name}.py" for name in ("judged", "step_cases", "steps")}
TASK = {"kinds.py", "tasks/__init__.py", *PROOFS}
WORDS = {
    "classify": TASK | {"reports/report.py"},  # a page
    "reconstruct": TASK | {"__init__.py"},  # cn.reconstruct
    "generate": TASK,
    "regress": TASK | {"reports/report.py"},  # a page
    "tag": TASK | {"reports/report.py"},
    "vae": {
        *("networks/__init__.py", "networks/vae.py"),
        *("verification/anchors.py", "verification/outputs.py"),
        *("verification/small.py", "verification/step_cases.py"),
    },
}


def literals(text):
    """Yield every string literal that is no docstring."""
    tree = ast.parse(text)
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            yield node.value


def misplaced(package):
    """Return (file, word) for every word outside of its places."""
    return [
        (file.relative_to(package).as_posix(), word)
        for file in sorted(package.rglob("*.py"))
        for word in literals(file.read_text("utf-8"))
        if word in WORDS and file.relative_to(package).as_posix() not in WORDS[word]
    ]


def test_only_the_kinds_are_asked_what_kind_of_network_it_is():
    assert misplaced(PACKAGE) == []


def test_a_file_that_asks_by_itself_is_noticed(tmp_path):
    (tmp_path / "report.py").write_text('x = recipe.task == "classify"')
    (tmp_path / "sampling.py").write_text('x = "vae" in name')
    (tmp_path / "kinds.py").write_text('x = "generate"')
    assert misplaced(tmp_path) == [("report.py", "classify"), ("sampling.py", "vae")]


@pytest.mark.parametrize("name", [*networks.NETWORKS, *networks.PAIRS])
def test_a_network_stands_in_one_dict_which_says_its_kinds(name):
    (own,) = [own for members, own in networks.KINDS if name in members]
    assert networks.kind(name) is own[0]
    assert [networks.kind(name, kind.task) for kind in own] == list(own)


@pytest.mark.parametrize("kind", kinds.EVERY, ids=lambda kind: kind.name)
def test_what_a_kind_names_is_there(kind):
    assert kind.task in TASKS
    assert {kind.reads, *kind.exported} <= set(kind.parts)
    assert kind.samples_from in {"", *kind.parts}
    for objective in kind.objectives.values():
        assert all(callable(getattr(objectives, loss)) for loss in objective.losses)
        assert set(objective.uses) <= set(recipe.FIELDS)
    assert (kind.best_by is None) == (kind.curve is None)
