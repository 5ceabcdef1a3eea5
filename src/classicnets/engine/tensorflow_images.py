"""Images on TensorFlow: convolution, rectifier, batch norm.

For its gradient, a convolution keeps its inputs. A batch norm's outputs, rectified, are
one pass over the inputs that the norm keeps for its own gradient, so they are dropped
and made again (Chen et al. 2016, arXiv:1604.06174).
"""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from keras import ops
from tensorflow.python.eager import record

from classicnets.engine.kernels import is_plain_convolution


def convolution_kernel(layer: Any, shape: Any) -> Callable[..., Any] | None:
    """Return a faster function (layer, x, training) than a convolution, or None."""
    if not _is_plain(layer):
        return None
    # Measured on two AMX cores with 512 channels: 3.3 times faster at 4x4, 2.6 times at
    # 2x2; no gain from 8x8 with 256 channels on.
    height, width = layer.compute_output_shape(shape)[1:3]
    small = layer.kernel_size == (3, 3) and layer.strides == (1, 1)
    small = small and layer.padding == "same" and height * width <= 16
    return _small_convolution if small else _convolution


def _is_plain(layer: Any) -> bool:
    """Return whether TensorFlow's operations are all of a convolution's gradients."""
    plain = is_plain_convolution(layer) and layer.groups == 1
    return plain and layer.dilation_rate == (1, 1)


def padded_convolution(layer: Any, padding: Any) -> Callable[..., Any] | None:
    """Return a function like those of `fast_kernel`, which pads its inputs, or None.

    Args:
        layer: Comes after a `keras.layers.ZeroPadding2D`.
        padding: Of that, ((top, bottom), (left, right)).
    """
    if not _is_plain(layer) or layer.padding == "same":
        return None
    widths = ((0, 0), *padding, (0, 0))
    return functools.partial(_convolution, widths=widths)


def _convolution(layer: Any, x: Any, training: bool, widths: Any = ()) -> Any:
    """Convolve; make for the gradient again what was padded or rectified, see
    `rectify`, instead of keeping it."""
    # With fewer filters, a pass over the inputs is no small part of a convolution.
    if not widths and (layer.filters < 64 or not hasattr(x, "make_again")):
        return layer(x)
    options = {"strides": (1, *layer.strides, 1), "padding": layer.padding.upper()}

    @tf.custom_gradient
    def convolve(inputs: Any, kernel: Any) -> Any:
        def gradient(upstream: Any) -> Any:
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


def rectify(layer: Any, x: Any, training: bool) -> Any:
    """Rectify; the outputs say how to make them again, where `x` does so.

    The gradient is put on TensorFlow's own record: `tf.custom_gradient` would keep the
    norm and the rectifier from being one operation.
    """
    if not hasattr(x, "normalize_again"):
        return tf.nn.relu(x)
    with record.stop_recording():
        outputs = tf.nn.relu(x)
    again: list[tf.Tensor] = []

    def make_again(upstream: Any) -> Any:
        if not again:
            with record.stop_recording():
                again.append(tf.nn.relu(x.normalize_again(upstream)))
            # Differentiated, it is what it was at first.
            record.record_operation("Again", again, [outputs], lambda by: [by])
        return again[0]

    def gradient(upstream: Any) -> Any:
        features = again[0] if again else outputs  # who else needs them has kept them
        return [tf.raw_ops.ReluGrad(gradients=upstream, features=features)]

    record.record_operation("Rectify", [outputs], [x], gradient)
    outputs.make_again = make_again
    return outputs


def _again(x: Any, upstream: Any) -> Any:
    """Return x once the gradient `upstream` is known, made again if it can be."""
    if hasattr(x, "make_again"):
        return x.make_again(upstream)
    with tf.control_dependencies([upstream]):
        return tf.identity(x)


def _kernel(layer: Any) -> Any:
    """Return a layer's kernel as a custom gradient takes it: outside of a graph, what
    Keras has is a tf.Variable."""
    return tf.identity(ops.convert_to_tensor(layer.kernel))


def _finish(layer: Any, outputs: Any) -> Any:
    """Add a layer's bias and activate."""
    if layer.use_bias:
        outputs = tf.nn.bias_add(outputs, ops.convert_to_tensor(layer.bias))
    return layer.activation(outputs) if layer.activation else outputs


def batch_normalization(layer: Any, x: Any, training: bool) -> Any:
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

    def normalize_again(upstream: Any) -> Any:
        with tf.control_dependencies([upstream]):
            again = tf.identity(x)  # so that what follows can be one operation
        return normalize(x=again, mean=mean, variance=variance, is_training=False)[0]

    if not tf.executing_eagerly():
        outputs.normalize_again = normalize_again
    return outputs


def _small_convolution(layer: Any, x: Any, training: bool) -> Any:
    """Convolve 3x3; the kernel's gradient is one matrix product.

    oneDNN parallelizes that gradient over image rows and columns; on maps of 4x4 or
    2x2 pixels there are too few of them to fill the matrix unit.
    """

    @tf.custom_gradient
    def convolve(inputs: Any, kernel: Any) -> Any:
        def gradient(upstream: Any) -> Any:
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
