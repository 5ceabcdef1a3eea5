"""What Keras keeps private is there, and used nowhere else than the list says."""

import ast
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import classicnets
from classicnets.networks import private

PACKAGE = Path(classicnets.__file__).parent
# Ours, or of the standard library.
ALLOWED = {"_asdict", "_steps"}


def small_model():
    inputs = keras.Input((2,))
    x = layers.Dropout(0.5, name="dropout")(layers.Dense(3, name="inner")(inputs))
    inner = keras.Model(inputs, x, name="model")
    outer = keras.Input((2,))
    return keras.Model(outer, layers.BatchNormalization(name="norm")(inner(outer)))


def test_the_version_is_the_one_that_was_looked_into():
    assert keras.__version__.startswith(f"{private.VERSION}.")
    project = (PACKAGE.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    major, minor = map(int, private.VERSION.split("."))
    assert f'"keras>={private.VERSION},<{major}.{minor + 1}"' in project


def test_layers_within_models_are_found():
    names = [layer.name for layer in private.every_layer(small_model())]
    assert {"inner", "dropout", "norm", "model"} <= set(names)


def test_a_layer_s_first_call_and_what_came_before_it_are_found():
    model = small_model()
    inner = model.get_layer("model")
    layer = inner.get_layer("inner")
    layer(keras.Input((2,)))
    (output,) = private.first_node(layer).output_tensors
    assert private.operation_before(output) is layer
    assert private.operation_before(inner.get_layer("dropout").input) is layer


def test_variables_are_a_layer_s_own_also_where_it_is_frozen():
    norm = small_model().get_layer("norm")
    norm.trainable = False
    names = [[v.name for v in part] for part in private.own_variables(norm)]
    assert names == [["gamma", "beta"], ["moving_mean", "moving_variance"]]


def test_seeds_of_dropout_are_found():
    dropout = small_model().get_layer("model").get_layer("dropout")
    assert private.seed_generators(dropout) == [dropout.seed_generator]
    assert private.seed_generators(layers.ReLU()) == []


def test_a_variable_without_a_value_gets_its_first():
    with keras.StatelessScope(initialize_variables=False):
        variable = keras.Variable(keras.initializers.Zeros(), shape=(2,))
    keras.utils.clear_session(free_memory=False)
    for number in (1.0, 2.0):
        private.set_value(variable, np.full(2, number, "float32"))
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), number)


def test_an_optimizer_s_slots_are_those_of_the_variable():
    variables = [keras.Variable(np.zeros(size, "float32")) for size in (2, 3)]
    sgd, adam = keras.optimizers.SGD(0.1, 0.9), keras.optimizers.Adam(0.1)
    for optimizer in (sgd, adam):
        optimizer.build(variables)
    for variable in variables:
        slots = private.momentum(sgd, variable), *private.moments(adam, variable)
        assert {tuple(slot.shape) for slot in slots} == {tuple(variable.shape)}
    assert len({id(slot) for v in variables for slot in private.moments(adam, v)}) == 4


def test_what_no_function_stands_for_is_used_where_the_list_says():
    for file, names in private.ELSEWHERE.items():
        text = (PACKAGE / file).read_text(encoding="utf-8")
        assert all(name.rpartition(".")[2] in text for name in names)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others never ask")
def test_the_sum_over_devices_that_is_replaced_is_keras_own():
    (replaced,) = private.ELSEWHERE["optimization.py"]
    assert callable(getattr(keras.optimizers.Optimizer, replaced))


def test_no_other_file_uses_a_private_name():
    uses = {
        f"{name}: {use}"
        for name, use in private_uses(PACKAGE)
        if name != "networks/private.py"
        and use not in ALLOWED | set(private.ELSEWHERE.get(name, ()))
    }
    assert uses == set()


@pytest.mark.parametrize(
    "line",
    ["model._layers", "getattr(x, '_value')", "from tensorflow.python import eager"],
)
def test_each_way_to_a_private_name_is_noticed(line, tmp_path):
    (tmp_path / "file.py").write_text(f"def f(model, x):\n    {line}")
    assert len(list(private_uses(tmp_path))) == 1


def private_uses(package):
    """Yield (file, name) for each private name of another object or package."""
    for file in sorted(package.rglob("*.py")):
        place = file.relative_to(package).as_posix()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = ""
            if isinstance(node, ast.Attribute):
                own = ast.unparse(node.value) in ("self", "cls", "super()")
                name = "" if own else node.attr
            elif isinstance(node, ast.Call) and len(node.args) > 1:
                named = ast.unparse(node.func) in ("getattr", "hasattr", "setattr")
                name = str(getattr(node.args[1], "value", "")) if named else ""
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    path = f"{node.module}.{alias.name}"
                    if path.startswith(("keras.src", "tensorflow.python")):
                        yield place, path
            if name.startswith("_") and not name.startswith("__"):
                yield place, name
