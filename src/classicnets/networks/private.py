"""What Keras keeps private and this package uses, each with the reason.

Seen in Keras 3.15.1. Every other file goes through this one, but for `ELSEWHERE`.
"""

from typing import Any

VERSION = "3.15"  # pyproject.toml allows no other

# Private names that no function here can stand for, by file.
ELSEWHERE = {
    # A method of Keras's optimizers that is replaced: of one device it only waits.
    "optimization.py": ("_all_reduce_sum_gradients",),
    # PyTorch's Adam in one pass over memory, which torch.optim.Adam is made of.
    "engine/torch.py": ("_fused_adam_",),
    # A module: puts a gradient on TensorFlow's tape that it can still fuse.
    "engine/tensorflow_images.py": ("tensorflow.python.eager.record",),
}


def every_layer(model: Any) -> list[Any]:
    """Return a model and its layers, those of models within it too.

    `model.layers` has the outer ones alone.
    """
    return list(model._flatten_layers())


def first_node(layer: Any) -> Any:
    """Return the call that a layer was made with.

    A clone of the network that shares its layers, on another input size, adds more.
    `layer.output` would be ambiguous.
    """
    return layer._inbound_nodes[0]


def operation_before(tensor: Any) -> Any:
    """Return the layer or operation that a symbolic tensor comes from."""
    return tensor._keras_history.operation


def own_variables(layer: Any) -> tuple[list[Any], list[Any]]:
    """Return a layer's variables, trained and not, without those of layers in it.

    The public lists move all of a frozen layer's variables into the second.
    """
    return layer._trainable_variables, layer._non_trainable_variables


def seed_generators(layer: Any) -> list[Any]:
    """Return a layer's seed generators, whose state no list of weights has."""
    return list(getattr(layer, "_seed_generators", ()))


def forget_variables() -> None:
    """Forget variables that a `StatelessScope` made, which wait for their values.

    `keras.utils.clear_session` would forget the precision too.
    """
    from keras.src.backend.common import global_state

    global_state.set_global_attribute("uninitialized_variables", [])


def set_value(variable: Any, value: Any) -> None:
    """Give a variable a value, the first one too: `assign` needs one before it."""
    if variable._value is None:
        variable._initialize(value)
    else:
        variable.assign(value)


def momentum(optimizer: Any, variable: Any) -> Any:
    """Return the slot of a variable in SGD."""
    return optimizer.momentums[optimizer._get_variable_index(variable)]


def moments(optimizer: Any, variable: Any) -> tuple[Any, Any]:
    """Return the two slots of a variable in Adam."""
    place = optimizer._get_variable_index(variable)
    return optimizer._momentums[place], optimizer._velocities[place]


def mean_square(optimizer: Any, variable: Any) -> Any:
    """Return the slot of a variable in RMSprop."""
    return optimizer._velocities[optimizer._get_variable_index(variable)]
