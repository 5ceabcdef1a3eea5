"""What is in a network: its layers, their shapes, parameters and multiply-adds."""

import math
from typing import NamedTuple

import keras
from keras import layers

from classicnets.networks import private


class Row(NamedTuple):
    """A layer in a network's summary."""

    layer: str  # name, and class in brackets
    output_shape: tuple[int | None, ...]  # without the batch
    parameters: int
    multiply_adds: int  # for one example


def summary(network: keras.Model) -> list[Row]:
    """Return a row for every layer of `network`, in the order it computes them.

    Multiply-adds are counted as the papers do: those of convolutions, dense and
    recurrent layers, without biases, normalization, activations and pooling.

    Raises:
        ValueError: If the size of a layer's output is not known.
    """
    rows: list[Row] = []
    for layer in network.layers:
        if isinstance(layer, keras.Model):  # an encoder, a decoder
            rows += summary(layer)
            continue
        node = private.first_node(layer)
        output_shape = tuple(node.output_tensors[0].shape[1:])
        places = output_shape
        if isinstance(layer, layers.Conv2DTranspose):
            places = tuple(node.input_tensors[0].shape[1:])
        rows.append(
            Row(
                layer=f"{layer.name} ({type(layer).__name__})",
                output_shape=output_shape,
                parameters=layer.count_params(),
                multiply_adds=_multiply_adds(layer, places),
            )
        )
    return rows


def multiply_adds(network: keras.Model) -> int:
    """Return the multiply-adds of `network` for one example, as `summary` counts."""
    return sum(row.multiply_adds for row in summary(network))


def _multiply_adds(layer: layers.Layer, shape: tuple[int | None, ...]) -> int:
    """Count them for the shape of the layer's output, of a transposed convolution for
    that of its input, without the batch."""
    if isinstance(layer, layers.LSTM):
        kernels = [layer.cell.kernel, layer.cell.recurrent_kernel]
    elif isinstance(layer, layers.Conv2D | layers.Conv2DTranspose | layers.Dense):
        kernels = [layer.kernel]
    else:
        return 0
    # A weight is used once for each place: (height, width), (steps,) or, for a dense
    # layer on a vector, ().
    places = 1
    for side in shape[:-1]:
        if side is None:
            raise ValueError(
                f"{layer.name} must have a known output size to count its "
                f"multiply-adds, got {shape}."
            )
        places *= side
    return places * sum(math.prod(kernel.shape) for kernel in kernels)
