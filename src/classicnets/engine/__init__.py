"""Learning on any backend. The files beside this one are the only ones to name one.

Each backend offers the same functions:

- `value_and_gradients(loss_function, variables, state)`
- `apply_gradients(optimizer, gradients, variables)`
- `input_gradients(function, inputs)`: differentiable again
- `repeat(step, batches, steps, state, logs)`: steps within a step
- `compile_steps(step, state, logs)`: several steps of training in one call
- `compile_function(function, state)`: a forward pass
- `fast_kernel(layer, shape)`: a faster equivalent of a Keras layer, or None
- `adam_step`, `sgd_step`: a variable's update in few passes over memory, or None
- `to_device(array)`, `device()`, `make_deterministic()`

`state` is the list of every variable that a computation may read or write: weights,
batch statistics, optimizer slots, random seeds. JAX, whose functions are pure,
carries it in and out; the others keep it in place.
"""

from collections.abc import Callable

import keras

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
adam_step: Callable[..., None] | None = backend.adam_step
sgd_step: Callable[..., None] | None = backend.sgd_step

# A data set up to this size is copied to the device once; a larger one is fed.
DEVICE_BYTES = 2 * 1024**3


def rebuild(
    network: keras.Model,
    input_shape: tuple[int | None, ...],
    fast_kernels: bool = True,
) -> keras.Model:
    """Run `network`, on the same variables, for another input size and faster.

    Args:
        network: A functional model of one input; it stays as it is.
        input_shape: Of the new input, without the batch.
        fast_kernels: Compute layers by `fast_kernel` of the backend where it has one.
    """

    def call(layer, *args, **kwargs):
        shape = getattr(args[0], "shape", None)
        kernel = backend.fast_kernel(layer, shape) if fast_kernels else None
        if kernel is None:
            return layer(*args, **kwargs)
        return _Accelerated(layer, kernel)(*args)

    return keras.models.clone_model(
        network,
        input_tensors=keras.Input(input_shape, dtype=network.inputs[0].dtype),
        clone_function=lambda layer: layer,
        call_function=call,
    )


class _Accelerated(keras.layers.Layer):
    """Compute `layer` by `kernel`, on the variables of `layer`."""

    def __init__(self, layer, kernel):
        super().__init__(
            name=f"fast_{layer.name}",
            dtype=layer.dtype_policy,
            # Rows of a table are cast once they are looked up, not the whole table.
            autocast=not isinstance(layer, keras.layers.Embedding),
        )
        self.layer = layer
        self.kernel = kernel
        self.built = True

    def __call__(self, x, training=False):
        if isinstance(x, keras.KerasTensor) or not self.autocast:
            return super().__call__(x, training=training)
        # Keras's own way to `call` takes 0.2 ms where nothing is compiled. The network
        # around has set the precision that weights are cast to.
        x = self.dtype_policy.convert_input(x, True, self.input_dtype)
        return self.call(x, training)

    def call(self, x, training=False):
        return self.kernel(self.layer, x, bool(training))

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)
