"""What the faster kernels of the backends share.

Which Keras layers they may stand for, those without special options; a transposed
convolution as a matrix product; and the step of an LSTM, forwards and back, for the
backends that write its loop out.
"""

from typing import Any

import numpy as np
from keras import activations, layers, ops


def is_plain_batch_norm(layer: Any, shape: Any) -> bool:
    """Return whether it normalizes the last axis of images, with gamma and beta."""
    if type(layer) is not layers.BatchNormalization or len(shape or ()) != 4:
        return False
    return layer.axis in (-1, 3) and layer.scale and layer.center and not layer.renorm


def is_plain_lstm(layer: Any) -> bool:
    """Return whether it is the textbook's LSTM, with its output at every step."""
    return (
        type(layer) is layers.LSTM
        and layer.return_sequences
        and layer.use_bias
        and layer.activation is activations.tanh
        and layer.recurrent_activation is activations.sigmoid
        and not (layer.return_state or layer.stateful or layer.go_backwards)
        and not (layer.dropout or layer.recurrent_dropout)
    )


def is_plain_embedding(layer: Any) -> bool:
    """Return whether `layer` is an Embedding without options."""
    return type(layer) is layers.Embedding and not (
        layer.mask_zero or layer.lora_enabled or layer.quantization_mode
    )


def is_plain_convolution(layer: Any) -> bool:
    """Return whether the layer convolves images and pads both sides alike."""
    if type(layer) is not layers.Conv2D or layer.data_format != "channels_last":
        return False
    if layer.lora_enabled or layer.quantization_mode:
        return False
    reach = [d * (k - 1) for d, k in zip(layer.dilation_rate, layer.kernel_size)]
    alike = layer.strides == (1, 1) and not any(pixels % 2 for pixels in reach)
    return layer.padding == "valid" or (layer.padding == "same" and alike)


def is_plain_pooling(layer: Any) -> bool:
    """Return whether the layer pools images without padding them."""
    return (
        type(layer) in (layers.MaxPooling2D, layers.AveragePooling2D)
        and layer.data_format == "channels_last"
        and layer.padding == "valid"
    )


def is_plain_transposed_convolution(layer: Any) -> bool:
    """Return whether the layer is a transposed convolution that leaves out no pixel."""
    return (
        type(layer) is layers.Conv2DTranspose
        and layer.dilation_rate == (1, 1)
        and layer.output_padding is None
        and layer.data_format == "channels_last"
        and all(k >= s for k, s in zip(layer.kernel_size, layer.strides))
    )


def transposed_convolution(layer: Any, x: Any, training: bool) -> Any:
    """Make every pixel's window in one matrix product, and add them up where they
    overlap.

    In units of the stride, a window of k pixels covers n = ceil(k / stride) blocks.
    """
    (high, wide), (down, right) = layer.kernel_size, layer.strides
    n, m = -(-high // down), -(-wide // right)
    height, width, channels = x.shape[1:]
    kernel = ops.convert_to_tensor(layer.kernel)  # (high, wide, filters, channels)
    filters = kernel.shape[2]
    blank = ((0, n * down - high), (0, m * right - wide), (0, 0), (0, 0))
    kernel = ops.reshape(ops.pad(kernel, blank), (n, down, m, right, filters, channels))
    kernel = ops.reshape(ops.transpose(kernel, (5, 0, 2, 1, 3, 4)), (channels, -1))
    windows = ops.matmul(ops.reshape(x, (-1, channels)), kernel)
    windows = ops.reshape(windows, (-1, height, width, n, m, down * right * filters))
    blocks = sum(
        ops.pad(
            windows[:, :, :, i, j], ((0, 0), (i, n - 1 - i), (j, m - 1 - j), (0, 0))
        )
        for i in range(n)
        for j in range(m)
    )
    rows, columns = height + n - 1, width + m - 1
    blocks = ops.reshape(blocks, (-1, rows, columns, down, right, filters))
    images = ops.reshape(
        ops.transpose(blocks, (0, 1, 3, 2, 4, 5)),
        (-1, rows * down, columns * right, filters),
    )
    # Without padding, the output is all that windows cover; "same" crops it.
    same = layer.padding == "same"
    top, left = ((high - down) // 2, (wide - right) // 2) if same else (0, 0)
    rows = height * down if same else (height - 1) * down + high
    columns = width * right if same else (width - 1) * right + wide
    images = images[:, top : top + rows, left : left + columns]
    if layer.use_bias:
        images = images + ops.convert_to_tensor(layer.bias)
    return layer.activation(images) if layer.activation else images


def lstm_weights(layer: Any) -> Any:
    """Return the kernel, the recurrent kernel and the bias as tensors."""
    cell = layer.cell
    return [
        ops.convert_to_tensor(weight)
        for weight in (cell.kernel, cell.recurrent_kernel, cell.bias)
    ]


def through_gates(summed: Any, c: Any) -> Any:
    """Return h, c and the gates i, f, g, o of a step.

    With sigmoid(x) = (1 + tanh(x / 2)) / 2, one tanh makes all gates at once: on a CPU,
    XLA takes a third of the time that three sigmoids beside a tanh take. In float32,
    whatever comes in: a closed gate is the difference of two halves.

    Args:
        summed: (batch, 4 * units), what the inputs and the last h sum up to.
        c: (batch, units), the cell before.
    """
    dtype = c.dtype
    summed, c = [ops.cast(x, "float32") for x in (summed, c)]
    scale, shift = _gate_scales(c.shape[-1])
    gates = ops.tanh(summed * scale) * scale + shift
    i, f, g, o = ops.split(gates, 4, axis=-1)
    c = f * c + i * g
    return tuple(ops.cast(x, dtype) for x in (o * ops.tanh(c), c, gates))


def back_through_gates(by_h: Any, by_c: Any, c: Any, c_before: Any, gates: Any) -> Any:
    """Return the gradients by `summed` and by the cell before; see `through_gates`.

    Args:
        by_h, by_c: (batch, units), the gradients by what the step returned.
        c, c_before: (batch, units), the cell after the step and before it.
        gates: (batch, 4 * units), i, f, g, o.
    """
    dtype, tensors = c.dtype, (by_h, by_c, c, c_before, gates)
    by_h, by_c, c, c_before, gates = [ops.cast(x, "float32") for x in tensors]
    scale, shift = _gate_scales(c.shape[-1])
    slopes = scale * scale - (gates - shift) ** 2
    i, f, g, o = ops.split(gates, 4, axis=-1)
    output = ops.tanh(c)
    by_c = by_c + by_h * o * (1 - output * output)
    others = ops.concatenate([g, c_before, i, output], axis=-1)
    by_cells = ops.concatenate([by_c, by_c, by_c, by_h], axis=-1)
    return ops.cast(by_cells * others * slopes, dtype), ops.cast(by_c * f, dtype)


def _gate_scales(units: int) -> Any:
    """Return what tanh is scaled by, within and without, and shifted by to make i, f, g
    and o."""
    scale = np.repeat(np.array([0.5, 0.5, 1, 0.5], "float32"), units)
    return scale, 1 - scale
