"""Learning on any backend. The files beside this one are the only ones to name one.

Each backend offers the same functions:

- `value_and_gradients(loss_function, variables, state)`
- `apply_gradients(optimizer, gradients, variables)`
- `input_gradients(function, inputs)`: differentiable again
- `repeat(step, batches, steps, state, logs)`: steps within a step
- `compile_steps(step, state, logs)`: several steps of training in one call
- `compile_function(function, state)`: a forward pass
- `fast_kernel(layer, shape)`: a faster equivalent of a Keras layer, or None
- `padded_convolution(layer, padding)`: one of a ZeroPadding2D and the layer after it
- `fast_step(optimizer)`: a variable's update in few passes over memory, or None
- `add_decay(gradient, variable, decay)`: L2 in the gradient
- `to_device(array)`, `device()`, `make_deterministic()`

`state` is the list of every variable that a computation may read or write: weights,
batch statistics, optimizer slots, random seeds. JAX, whose functions are pure,
carries it in and out; the others keep it in place.

Importing asks for no device: several processes must be joined before.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from classicnets.errors import UserError

BACKEND = keras.backend.backend()

if BACKEND == "tensorflow":
    from classicnets.engine import tensorflow as backend
elif BACKEND == "jax":
    from classicnets.engine import jax as backend  # type: ignore[no-redef]
elif BACKEND == "torch":
    from classicnets.engine import torch as backend  # type: ignore[no-redef]
else:
    raise UserError(f"backend must be tensorflow, jax or torch, got {BACKEND!r}.")

value_and_gradients = backend.value_and_gradients
apply_gradients = backend.apply_gradients
input_gradients = backend.input_gradients
repeat = backend.repeat
compile_steps = backend.compile_steps
compile_function = backend.compile_function
to_device = backend.to_device
device = backend.device
make_deterministic = backend.make_deterministic
add_decay = backend.add_decay
fast_step = backend.fast_step

Shape = tuple[int | None, ...]  # without the batch


def device_bytes() -> int:
    """Return how large a data set may be to be put on the device once.

    A larger one is fed to it, and a CPU is fed any: it has them in its memory.
    """
    return 0 if device() == "CPU" else 2 * 1024**3


def rebuild(
    network: keras.Model,
    input_shape: Shape | Mapping[str, Shape],
    fast_kernels: bool = True,
) -> keras.Model:
    """Run `network`, on the same variables, for another input size and faster.

    Args:
        network: A functional model; it stays as it is.
        input_shape: Of the new input, without the batch; of several by their names.
        fast_kernels: Compute layers by `fast_kernel` of the backend where it has one.
    """
    unpadded: dict[Any, Any] = {}  # padded pixels: those before, and the padding

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        inputs = args[0]
        if isinstance(layer, keras.Model):
            shapes = _shapes(layer, inputs)
            return rebuild(layer, shapes, fast_kernels)(*args, **kwargs)
        shape: Any = getattr(inputs, "shape", None)
        if not fast_kernels or shape is None:  # of one tensor it is
            return layer(*args, **kwargs)
        kernel = None
        if inputs in unpadded:
            before, padding = unpadded[inputs]
            kernel = backend.padded_convolution(layer, padding)
        if not kernel:
            before, kernel = inputs, backend.fast_kernel(layer, shape)
        if kernel:
            after = layer.compute_output_shape(shape)
            return _Accelerated(layer, kernel, after)(before)
        outputs = layer(*args, **kwargs)
        if type(layer) is keras.layers.ZeroPadding2D:
            unpadded[outputs] = inputs, layer.padding
        return outputs

    if not isinstance(input_shape, Mapping):
        input_shape = {network.inputs[0].name: input_shape}
    inputs = [
        keras.Input(input_shape[x.name], dtype=x.dtype, name=x.name)
        for x in network.inputs
    ]
    rebuilt = keras.models.clone_model(
        network,
        input_tensors=keras.tree.pack_sequence_as(network.input, inputs),
        clone_function=lambda layer: layer,
        call_function=call,
    )
    rebuilt.dtype_policy = _policy(network)
    return rebuilt


def _shapes(network: keras.Model, inputs: Any) -> dict[str, Shape]:
    """Return the shapes of what a model is called with, by the names of its inputs."""
    if isinstance(inputs, dict):
        return {name: x.shape[1:] for name, x in inputs.items()}
    tensors = keras.tree.flatten(inputs)
    return {to.name: x.shape[1:] for to, x in zip(network.inputs, tensors)}


def _policy(network: keras.Model) -> keras.DTypePolicy:
    """Return the precision of the first weights: a loaded model's own is whatever
    the global one is by then."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            return _policy(layer)
        if layer.weights:
            return layer.dtype_policy
    return network.dtype_policy


def forward(
    network: keras.Model, fast_kernels: bool = True
) -> Callable[[np.ndarray | Mapping[str, np.ndarray]], np.ndarray]:
    """Compile a network's forward pass, of NumPy arrays and without learning.

    Args:
        network: A functional model; of its outputs the first is returned.
        fast_kernels: See `rebuild`.

    Returns:
        A function of an array, or of arrays by the names of the network's inputs.
    """
    names = [x.name for x in network.inputs]
    fast = rebuild(network, _shapes(network, network.input), fast_kernels)

    def function(arrays: Any, batch: Any) -> Any:
        inputs = keras.tree.pack_sequence_as(fast.input, [batch[n] for n in names])
        return keras.tree.flatten(fast(inputs, training=False))[0]

    run = compile_function(function, network.variables)
    return lambda inputs: run(
        {}, dict(inputs) if isinstance(inputs, Mapping) else {names[0]: inputs}
    )


class _Accelerated(keras.layers.Layer):
    """Compute `layer` by `kernel`, on the variables of `layer`."""

    def __init__(self, layer: Any, kernel: Callable[..., Any], shape_after: Any):
        super().__init__(
            name=f"fast_{layer.name}",
            dtype=layer.dtype_policy,
            # Rows of a table are cast once they are looked up, not the whole table.
            autocast=not isinstance(layer, keras.layers.Embedding),
        )
        self.layer = layer
        self.kernel = kernel
        self.shape_after = shape_after
        self.built = True

    def __call__(self, x: Any, training: Any = False) -> Any:
        if isinstance(x, keras.KerasTensor) or not self.autocast:
            return super().__call__(x, training=training)
        # Keras's own way to `call` takes 0.2 ms where nothing is compiled. The network
        # around has set the precision that weights are cast to.
        x = self.dtype_policy.convert_input(x, True, self.input_dtype)
        return self.call(x, training)

    def call(self, x: Any, training: Any = False) -> Any:
        return self.kernel(self.layer, x, bool(training))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.shape_after
