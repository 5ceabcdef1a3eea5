"""The engine on TensorFlow."""

import ctypes
import functools
import sys

import numpy as np
import tensorflow as tf
from keras import layers, ops
from tensorflow.python.eager import record

from classicnets.engine import tensorflow_sequences as sequences
from classicnets.engine.kernels import (
    is_plain_batch_norm,
    is_plain_convolution,
    is_plain_embedding,
    is_plain_lstm,
    is_plain_transposed_convolution,
    transposed_convolution,
)


def value_and_gradients(loss_function, variables, state):
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


def apply_gradients(optimizer, gradients, variables):
    """Take one step of a built Keras optimizer on `variables`."""
    optimizer.apply(gradients, variables)


def input_gradients(function, inputs):
    """Return d sum(function(inputs)) / d inputs, which can be differentiated again.

    Args:
        function: From a batch to scores; an example's score depends on it alone.
        inputs: (batch, ...), float32.
    """
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = tf.reduce_sum(function(inputs))
    return tape.gradient(total, inputs)


def add_decay(gradient, variable, decay):
    """Return gradient + decay * variable."""
    # A graph would multiply every variable as soon as a step begins, and keep it.
    with tf.control_dependencies([gradient]):
        return gradient + decay * tf.cast(variable, gradient.dtype)


def adam_step(optimizer, gradient, variable, learning_rate):
    """Update `variable` and its slots by Keras's Adam, all in one pass over memory."""
    place = optimizer._get_variable_index(variable)
    step = tf.cast(optimizer.iterations.value, tf.float32) + 1
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,  # Keras hands over the tf.Variable
        m=optimizer._momentums[place].value.handle,
        v=optimizer._velocities[place].value.handle,
        beta1_power=optimizer.beta_1**step,
        beta2_power=optimizer.beta_2**step,
        lr=learning_rate,
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        epsilon=optimizer.epsilon,
        grad=gradient,
    )


def sgd_step(optimizer, gradient, variable, learning_rate):
    """Update `variable` and its momentum by Keras's SGD in one pass over memory."""
    if not optimizer.momentum:
        variable.assign_sub(learning_rate * gradient)
        return
    place = optimizer._get_variable_index(variable)
    tf.raw_ops.ResourceApplyKerasMomentum(
        var=variable.handle,
        accum=optimizer.momentums[place].value.handle,
        lr=learning_rate,
        grad=gradient,
        momentum=optimizer.momentum,
        use_nesterov=optimizer.nesterov,
    )


def repeat(step, batches, steps, state, logs):
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


def compile_steps(step, state, logs):
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
    def loop(arrays, batches, steps):
        def body(i, sound, totals):
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

    def run(arrays, batches, steps):
        nonlocal compiled
        _, sound, totals = loop(arrays, batches, tf.constant(steps))
        if not compiled:
            compiled = True
            _give_back_memory()
        sums = {key: float(value) for key, value in totals.items()}
        return sums | {"sound": int(sound)}

    return run


def _give_back_memory():
    """Give back what compiling took: the C library of Linux would keep it."""
    if sys.platform == "linux":
        if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
            trim(0)


def compile_function(function, state):
    """Compile function(arrays, batch), which writes no variable; returns NumPy."""
    compiled = tf.function(function, autograph=False)
    return lambda arrays, batch: compiled(arrays, batch).numpy()


def to_device(array):
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


def fast_kernel(layer, shape):
    """Return a faster function (layer, x, training) than `layer` itself, or None."""
    if is_plain_batch_norm(layer, shape):
        return _batch_normalization
    if tf.config.list_physical_devices("GPU"):
        return None
    if is_plain_lstm(layer):
        return sequences.lstm
    if is_plain_embedding(layer) and len(shape) == 2:
        return sequences.embedding
    if sequences.takes_dropout(layer, shape):
        return sequences.dropout
    if is_plain_transposed_convolution(layer) and layer.kernel_size == layer.strides:
        # Windows that do not overlap: with backward 1.6 times sooner in float32, 4.9
        # times in bfloat16 (3x3x512 to 9x9x256). The overlapping ones are slower so.
        return transposed_convolution
    if type(layer) is layers.ReLU and not (
        layer.negative_slope or layer.threshold or layer.max_value is not None
    ):
        return _rectify
    if _is_plain(layer):
        # Measured on two AMX cores with 512 channels: 3.3 times sooner at 4x4,
        # 2.6 times at 2x2; no gain from 8x8 with 256 channels on.
        height, width = layer.compute_output_shape(shape)[1:3]
        small = layer.kernel_size == (3, 3) and layer.strides == (1, 1)
        small = small and layer.padding == "same" and height * width <= 16
        return _small_convolution if small else _convolution
    return None


def _is_plain(layer):
    """Whether TensorFlow's operations are all of the convolution's gradients."""
    plain = is_plain_convolution(layer) and layer.groups == 1
    return plain and layer.dilation_rate == (1, 1)


def padded_convolution(layer, padding):
    """Return a function like those of `fast_kernel`, which pads its inputs, or None.

    Args:
        layer: Comes after a `keras.layers.ZeroPadding2D`.
        padding: Of that, ((top, bottom), (left, right)).
    """
    if not _is_plain(layer) or layer.padding == "same":
        return None
    widths = ((0, 0), *padding, (0, 0))
    return functools.partial(_convolution, widths=widths)


def _convolution(layer, x, training, widths=()):
    """Convolve; make for the gradient again what was padded or rectified, see
    `_rectify`, instead of keeping it."""
    # With fewer filters, a pass over the inputs is no small part of a convolution.
    if not widths and (layer.filters < 64 or not hasattr(x, "make_again")):
        return layer(x)
    options = {"strides": (1, *layer.strides, 1), "padding": layer.padding.upper()}

    @tf.custom_gradient
    def convolve(inputs, kernel):
        def gradient(upstream):
            again = _again(x, upstream)
            padded = tf.pad(again, widths) if widths else again
            by_kernel = tf.raw_ops.Conv2DBackpropFilter(
                input=padded,
                filter_sizes=kernel.shape,
                out_backprop=upstream,
                **options,
            )
            by_inputs = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(padded),
                filter=kernel,
                out_backprop=upstream,
                **options,
            )
            if widths:
                begin = [before for before, _ in widths]
                by_inputs = tf.slice(by_inputs, begin, tf.shape(again))
            return by_inputs, by_kernel

        padded = tf.pad(inputs, widths) if widths else inputs
        return tf.nn.conv2d(padded, kernel, **options), gradient

    return _finish(layer, convolve(x, _kernel(layer)))


def _rectify(layer, x, training):
    """Rectify; the outputs say how to make them again, where `x` does so.

    For its gradient, a convolution keeps its inputs. A batch norm's outputs, rectified,
    are one pass over the inputs that the norm keeps for its own gradient, so they are
    dropped and made again (Chen et al. 2016, arXiv:1604.06174). The gradient is put on
    TensorFlow's own record: `tf.custom_gradient` would keep the norm and the rectifier
    from being one operation.
    """
    if not hasattr(x, "normalize_again"):
        return tf.nn.relu(x)
    with record.stop_recording():
        outputs = tf.nn.relu(x)
    made: list[tf.Tensor] = []

    def make_again(upstream):
        if not made:
            with record.stop_recording():
                made.append(tf.nn.relu(x.normalize_again(upstream)))
            # Differentiated, it is what it was made as.
            record.record_operation("Again", made, [outputs], lambda by_made: [by_made])
        return made[0]

    def gradient(upstream):
        known = made[0] if made else outputs  # who else needs them, has kept them
        return [tf.raw_ops.ReluGrad(gradients=upstream, features=known)]

    record.record_operation("Rectify", [outputs], [x], gradient)
    outputs.make_again = make_again
    return outputs


def _again(x, upstream):
    """Return x once the gradient `upstream` is known, made again if it can be."""
    if hasattr(x, "make_again"):
        return x.make_again(upstream)
    with tf.control_dependencies([upstream]):
        return tf.identity(x)


def _kernel(layer):
    """Return a layer's kernel as a custom gradient takes it: outside of a graph, what
    Keras has is a tf.Variable."""
    return tf.identity(ops.convert_to_tensor(layer.kernel))


def _finish(layer, outputs):
    """Add a layer's bias and activate."""
    if layer.use_bias:
        outputs = tf.nn.bias_add(outputs, ops.convert_to_tensor(layer.bias))
    return layer.activation(outputs) if layer.activation else outputs


def _batch_normalization(layer, x, training):
    """Normalize in one pass over the data instead of five."""
    normalize = functools.partial(
        tf.raw_ops.FusedBatchNormV3,
        scale=ops.convert_to_tensor(layer.gamma),
        offset=ops.convert_to_tensor(layer.beta),
        epsilon=layer.epsilon,
    )
    if not (training and layer.trainable):
        mean = ops.convert_to_tensor(layer.moving_mean)
        variance = ops.convert_to_tensor(layer.moving_variance)
        return normalize(x=x, mean=mean, variance=variance, is_training=False)[0]
    none = tf.zeros(0)
    outputs, mean, variance, *_ = normalize(
        x=x, mean=none, variance=none, is_training=True
    )
    count = tf.cast(tf.size(x) // tf.shape(x)[-1], tf.float32)
    variance *= (count - 1) / count  # Keras keeps the biased estimate
    keep = layer.momentum
    layer.moving_mean.assign(layer.moving_mean * keep + mean * (1 - keep))
    layer.moving_variance.assign(layer.moving_variance * keep + variance * (1 - keep))

    def normalize_again(upstream):
        with tf.control_dependencies([upstream]):
            again = tf.identity(x)  # so that what follows can be one operation
        return normalize(x=again, mean=mean, variance=variance, is_training=False)[0]

    if not tf.executing_eagerly():
        outputs.normalize_again = normalize_again
    return outputs


def _small_convolution(layer, x, training):
    """Convolve 3x3; the kernel's gradient is one matrix product.

    oneDNN parallelizes that gradient over image rows and columns; on maps of 4x4 or
    2x2 pixels there are too few of them to fill the matrix unit.
    """

    @tf.custom_gradient
    def convolve(inputs, kernel):
        def gradient(upstream):
            by_input = tf.nn.conv2d_transpose(upstream, kernel, tf.shape(x), 1, "SAME")
            one = (1, 1, 1, 1)
            again = _again(x, upstream)  # or windows are cut in advance
            windows = tf.image.extract_patches(again, (1, 3, 3, 1), one, one, "SAME")
            flat = tf.reshape(windows, (-1, 9 * x.shape[-1]))
            upstream = tf.reshape(upstream, (-1, kernel.shape[-1]))
            by_kernel = tf.matmul(flat, upstream, transpose_a=True)
            return by_input, tf.reshape(by_kernel, kernel.shape)

        return tf.nn.conv2d(inputs, kernel, 1, "SAME"), gradient

    return _finish(layer, convolve(x, _kernel(layer)))
