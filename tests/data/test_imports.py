"""Imports inside of data: no circle, for types either, and readers stand apart."""

import ast
import graphlib
from pathlib import Path

import pytest

import classicnets.data

ROOT = Path(classicnets.data.__file__).parent


def imports(root):
    """Return the modules of a package that each of its modules imports, anywhere."""
    names = {
        file: ".".join(file.relative_to(root).with_suffix("").parts)
        for file in root.rglob("*.py")
        if file.name != "__init__.py"  # lazy: it names what the others hold
    }
    prefix = f"classicnets.{root.name}."
    graph = {}
    for file, name in names.items():
        aims = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                aims |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
            elif isinstance(node, ast.Import):
                aims |= {alias.name for alias in node.names}
        graph[name] = {aim.removeprefix(prefix) for aim in aims} & {*names.values()}
    return graph


def test_no_module_of_data_imports_itself_by_a_detour():
    graphlib.TopologicalSorter(imports(ROOT)).prepare()


def test_a_circle_would_be_seen(tmp_path):
    (tmp_path / "data").mkdir()
    for name, other in (("a", "b"), ("b", "a")):
        text = f"if TYPE_CHECKING:\n    from classicnets.data.{other} import x\n"
        (tmp_path / "data" / f"{name}.py").write_text(text)
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(imports(tmp_path / "data")).prepare()


def test_readers_of_images_and_of_texts_do_without_each_other():
    for name, aims in imports(ROOT).items():
        folder = name.split(".")[0]
        other = {"images": "texts", "texts": "images"}.get(folder)
        assert not [aim for aim in aims if aim.split(".")[0] == other], name
