"""The engine on TensorFlow."""

import contextlib
import ctypes
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from keras import layers

from classicnets.engine import tensorflow_images as images
from classicnets.engine import tensorflow_sequences as sequences
from classicnets.engine.kernels import (
    is_plain_batch_norm,
    is_plain_embedding,
    is_plain_lstm,
    is_plain_transposed_convolution,
    transposed_convolution,
)
from classicnets.engine.tensorflow_images import padded_convolution  # noqa: F401
from classicnets.networks import private


def value_and_gradients(
    loss_function: Callable, variables: list, state: Sequence
) -> Any:
    """Differentiate a loss.

    Args:
        loss_function: Returns (loss, extras): a scalar and any structure of tensors.
        variables: Keras variables to differentiate by.
        state: Every variable that the loss reads or writes.

    Returns:
        ((loss, extras), gradients), one gradient a variable.
    """
    with tf.GradientTape() as tape:
        loss, extras = loss_function()
    return (loss, extras), tape.gradient(loss, [v.value for v in variables])


def apply_gradients(optimizer: Any, gradients: Any, variables: list[Any]) -> None:
    """Take one step of a built Keras optimizer on `variables`."""
    optimizer.apply(gradients, variables)


def input_gradients(function: Callable[[Any], Any], inputs: Any) -> Any:
    """Return d sum(function(inputs)) / d inputs, which can be differentiated again.

    Args:
        function: From a batch to scores; an example's score depends on it alone.
        inputs: (batch, ...), float32.
    """
    with tf.GradientTape() as tape, _exact_moments():
        tape.watch(inputs)
        total = tf.reduce_sum(function(inputs))
    return tape.gradient(total, inputs)


@contextlib.contextmanager
def _exact_moments() -> Iterator[None]:
    """Let the layers of Keras that normalize be differentiated twice.

    `tf.nn.moments`, which they call, takes the mean within the variance as a number.
    The first derivative is right, since the variance's by the mean is 0; but this 0 has
    a derivative of its own. Less (mean - number)^2, which is 0 as well, the variance
    has all its derivatives, at the cost of a few numbers per example.
    """
    moments = tf.nn.moments

    def exact(*args: Any, **kwargs: Any) -> Any:
        mean, variance = moments(*args, **kwargs)
        return mean, variance - tf.square(mean - tf.stop_gradient(mean))

    tf.nn.moments = exact
    try:
        yield
    finally:
        tf.nn.moments = moments


def add_decay(gradient: Any, variable: Any, decay: float) -> Any:
    """Return gradient + decay * variable."""
    # A graph would multiply every variable as soon as a step begins, and keep it.
    with tf.control_dependencies([gradient]):
        return gradient + decay * tf.cast(variable, gradient.dtype)


def fast_step(optimizer: str) -> Callable[..., None] | None:
    """Return a function (optimizer, gradient, variable, learning_rate), or None."""
    return {"adam": _adam_step, "sgd": _sgd_step}.get(optimizer)


def _adam_step(
    optimizer: Any, gradient: Any, variable: Any, learning_rate: Any
) -> None:
    """Update `variable` and the slots of Adam, all in one pass over memory."""
    first, second = private.moments(optimizer, variable)
    step = tf.cast(optimizer.iterations.value, tf.float32) + 1
    beta2_power = optimizer.beta_2**step
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,  # Keras hands over the tf.Variable
        m=first.value.handle,
        v=second.value.handle,
        beta1_power=optimizer.beta_1**step,
        beta2_power=beta2_power,
        lr=learning_rate,
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        # TensorFlow adds it to the plain deviation, the paper to the corrected one.
        epsilon=optimizer.epsilon * tf.sqrt(1.0 - beta2_power),
        grad=gradient,
    )


def _sgd_step(optimizer: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
    """Update `variable` and its momentum by Keras's SGD in one pass over memory."""
    if not optimizer.momentum:
        variable.assign_sub(learning_rate * gradient)
        return
    tf.raw_ops.ResourceApplyKerasMomentum(
        var=variable.handle,
        accum=private.momentum(optimizer, variable).value.handle,
        lr=learning_rate,
        grad=gradient,
        momentum=optimizer.momentum,
        use_nesterov=optimizer.nesterov,
    )


def repeat(
    step: Callable, batches: dict, steps: int, state: Sequence, logs: Sequence
) -> dict:
    """Run several steps inside a compiled one.

    Args:
        step: Called as step(batch); returns a dict of scalars.
        batches: A dict of tensors with a leading axis of `steps`.
        steps: How many.
        state: Every variable that the step reads or writes.
        logs: The keys of that dict.

    Returns:
        The means of the scalars.
    """
    # Written out: in a loop within a loop, TensorFlow's own rewriting of sums fails
    # ("TemporaryVariable already exists").
    rows = [step({key: rows[i] for key, rows in batches.items()}) for i in range(steps)]
    return {key: sum(row[key] for row in rows) / steps for key in logs}


def compile_steps(
    step: Callable, state: Sequence, logs: Sequence
) -> Callable[..., dict]:
    """Compile a loop over steps.

    Args:
        step: Called as step(arrays, batch); returns a dict of scalars.
        state: Every variable that the step reads or writes.
        logs: The keys of that dict.

    Returns:
        run(arrays, batches, steps): `batches` has a leading axis, of which the first
        `steps` are run; `arrays` are the same for all. Returns the sums of the
        scalars as floats, and `sound`: how many steps were run before one of the
        scalars was not finite.
    """

    @tf.function(autograph=False)
    def loop(arrays: Any, batches: Any, steps: Any) -> Any:
        def body(i: Any, sound: Any, totals: Any) -> Any:
            values = step(arrays, {key: rows[i] for key, rows in batches.items()})
            totals = {k: totals[k] + tf.cast(values[k], tf.float32) for k in logs}
            finite = tf.reduce_all(tf.math.is_finite(list(totals.values())))
            return i + 1, sound + tf.cast(finite, tf.int32), totals

        start = (
            tf.constant(0),
            tf.constant(0),
            {key: tf.constant(0.0) for key in logs},
        )
        return tf.while_loop(
            lambda i, *_: i < steps, body, start, parallel_iterations=1
        )

    compiled = False

    def run(arrays: Any, batches: Any, steps: int) -> dict[str, float]:
        nonlocal compiled
        _, sound, totals = loop(arrays, batches, tf.constant(steps))
        if not compiled:
            compiled = True
            _give_back_memory()
        sums = {key: float(value) for key, value in totals.items()}
        return sums | {"sound": int(sound)}

    return run


def _give_back_memory() -> None:
    """Give back what compiling took: the C library of Linux would keep it."""
    if sys.platform == "linux":
        if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
            trim(0)


def compile_function(function: Callable, state: Sequence) -> Callable[..., np.ndarray]:
    """Compile function(arrays, batch), which writes no variable; returns NumPy."""
    compiled = tf.function(function, autograph=False)
    return lambda arrays, batch: compiled(arrays, batch).numpy()


def to_device(array: np.ndarray) -> Any:
    """Copy a NumPy array to the device."""
    return tf.convert_to_tensor(np.asarray(array))


def device() -> str:
    """Name the device that computes."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "CPU"
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")


def make_deterministic() -> None:
    """Refuse operations whose result depends on the order of threads."""
    tf.config.experimental.enable_op_determinism()


def fast_kernel(layer: Any, shape: Any) -> Callable[..., Any] | None:
    """Return a faster function (layer, x, training) than `layer` itself, or None."""
    if is_plain_batch_norm(layer, shape):
        return images.batch_normalization
    if tf.config.list_physical_devices("GPU"):
        return None
    if is_plain_lstm(layer):
        return sequences.lstm
    if is_plain_embedding(layer) and len(shape) == 2:
        return sequences.embedding
    if sequences.takes_dropout(layer, shape):
        return sequences.dropout
    if is_plain_transposed_convolution(layer) and layer.kernel_size == layer.strides:
        # Windows that do not overlap: with backward 1.6 times faster in float32, 4.9
        # times in bfloat16 (3x3x512 to 9x9x256). The overlapping ones are slower so.
        return transposed_convolution
    if type(layer) is layers.ReLU and not (
        layer.negative_slope or layer.threshold or layer.max_value is not None
    ):
        return images.rectify
    return images.convolution_kernel(layer, shape)
