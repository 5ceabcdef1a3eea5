"""Sequences on TensorFlow, on a CPU: embedding, dropout, LSTM.

Between these kernels a batch is two halves, steps first in memory. Each half goes
through all layers by itself, so that of two cores each has one to work on: an LSTM's
loop over steps keeps one core alone, and so do most of TensorFlow's smaller operations.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from keras import layers

from classicnets.engine.kernels import (
    back_through_gates,
    lstm_weights,
    through_gates,
)


def _halves(x: Any) -> Any:
    """Return the halves of (batch, steps, features), each (steps, examples, ...)."""
    if hasattr(x, "halves"):
        return x.halves
    return [_swap(half) for half in tf.split(x, _sizes(x))]


def _joined(halves: Any) -> Any:
    """Return (batch, steps, features), which remembers its halves.

    Where these are all that is asked for, a graph leaves out what is made here.
    """
    x = tf.concat([_swap(half) for half in halves], 0)
    if not tf.executing_eagerly():
        x.halves = halves
    return x


def _sizes(x: Any) -> Any:
    """Return how many examples the halves have."""
    first = tf.shape(x)[0] // 2
    return [first, tf.shape(x)[0] - first]


def _swap(x: Any) -> Any:
    return tf.transpose(x, (1, 0, *range(2, len(x.shape))))


def embedding(layer: Any, tokens: Any, training: bool) -> Any:
    """Look up rows; `keras.layers.Embedding` casts the whole table first."""
    halves = tf.split(_swap(tokens), _sizes(tokens), axis=1)
    rows = [tf.gather(layer.embeddings.value, half) for half in halves]
    return _joined([tf.cast(half, layer.compute_dtype) for half in rows])


def takes_dropout(layer: Any, shape: Any) -> bool:
    """Return whether `dropout` does what the layer does."""
    if type(layer) not in (layers.Dropout, layers.SpatialDropout1D):
        return False
    return len(shape) == 3 and all(n in (None, 1) for n in _noise_shape(layer))


def _noise_shape(layer: Any) -> Any:
    """Return the shape of what is drawn, where None is that of the inputs."""
    if type(layer) is layers.SpatialDropout1D:
        return (None, 1, None)
    return layer.noise_shape or (None, None, None)


def dropout(layer: Any, x: Any, training: bool) -> Any:
    """Draw 16 bits per number, by XLA, which draws and drops in one pass.

    The layer's own seed decides, as on the other backends; the rate is kept to 1e-5.
    """
    if not training or not layer.rate:
        return x
    batch, steps, features = (size == 1 for size in _noise_shape(layer))
    shared = (steps, batch, features)
    halves = []
    for half in _halves(x):
        halves.append(_drop(half, layer.seed_generator.next(), layer.rate, shared))
    return _joined(halves)


def _drop(x: Any, seed: Any, rate: float, shared: Any) -> Any:
    """Drop from (steps, batch, features), alike along the axes that are `shared`."""

    @tf.custom_gradient
    def drop(x: Any) -> Any:
        dropped, factors = _draw(x, seed, rate, shared)
        return dropped, lambda upstream: upstream * factors

    return drop(x)


@tf.function(jit_compile=True, autograph=False)
def _draw(x: Any, seed: Any, rate: float, shared: Any) -> Any:
    """Return what is left of x, and the factors that it was multiplied by."""
    sizes = zip(tf.unstack(tf.shape(x)), shared)
    shape = tf.stack([1 if alike else size for size, alike in sizes])
    count = tf.reduce_prod(shape)
    words = tf.random.stateless_uniform(
        [(count + 1) // 2], seed, None, None, tf.int32, alg="threefry"
    )
    low = tf.bitwise.bitwise_and(words, 2**16 - 1)
    high = tf.bitwise.right_shift(words, 16) + 2**15  # it keeps the sign
    stays = tf.concat([low, high], 0)[:count] >= round(rate * 2**16)
    factors = tf.cast(tf.reshape(stays, shape), x.dtype) * (1 / (1 - rate))
    return x * factors, factors


def lstm(layer: Any, x: Any, training: bool) -> Any:
    """Leave the loops over steps to XLA, forwards and back, and the rest to oneDNN.

    XLA runs a loop's small products on one core: see `_halves`.
    """
    # Outside of a graph, what Keras has is a tf.Variable.
    weights = [tf.identity(weight) for weight in lstm_weights(layer)]
    return _joined([_recur(half, weights, training) for half in _halves(x)])


def _recur(x: Any, weights: Any, training: bool) -> Any:
    """Return an LSTM's outputs (steps, batch, units) on (steps, batch, features).

    The weights' gradients are a product each, and not XLA's: beside a second loop, XLA
    takes 4.4 ms for what takes oneDNN 0.8.
    """

    @tf.custom_gradient
    def recur(x: Any, kernel: Any, recurrent_kernel: Any, bias: Any) -> Any:
        flat = tf.reshape(x, (-1, x.shape[-1]))
        # Flat, a product and its bias are one operation.
        projected = tf.nn.bias_add(tf.matmul(flat, kernel), bias)
        projected = _stored(tf.reshape(projected, (*_leading(x), bias.shape[0])))
        recurrent = tf.cast(recurrent_kernel, tf.float32)
        h, *others = _loop(projected, recurrent, training)
        outputs = _restored(h, x.dtype)

        def gradient(upstream: Any) -> Any:
            c, gates = others or _loop(projected, recurrent, True)[1:]
            by_gates = _loop_back(_stored(upstream), recurrent, c, gates)
            by_gates = tf.reshape(_restored(by_gates, x.dtype), (-1, bias.shape[0]))
            h_before = tf.concat([tf.zeros_like(outputs[:1]), outputs[:-1]], 0)
            # The bias is the weight of a 1.
            h_before = tf.concat([h_before, tf.ones_like(outputs[:, :, :1])], -1)
            h_before = tf.reshape(h_before, (-1, h_before.shape[-1]))
            by_rest = tf.matmul(h_before, by_gates, transpose_a=True)
            by_kernel = tf.matmul(flat, by_gates, transpose_a=True)
            by_x = tf.matmul(by_gates, kernel, transpose_b=True)
            by_x = tf.reshape(by_x, tf.shape(x))
            return by_x, by_kernel, by_rest[:-1], by_rest[-1]

        return outputs, gradient

    return recur(x, *weights)


def _leading(x: Any) -> Any:
    return tf.unstack(tf.shape(x)[:2])


def _stored(x: Any) -> Any:
    """Return x as the loops read and write it: bfloat16 as its bits, else float32."""
    if x.dtype == tf.bfloat16:
        return tf.bitcast(x, tf.uint16)
    return tf.cast(x, tf.float32)


def _restored(x: Any, dtype: Any) -> Any:
    return tf.bitcast(x, dtype) if x.dtype == tf.uint16 else tf.cast(x, dtype)


def _wide(x: Any) -> Any:
    """Return as float32 what is stored."""
    if x.dtype == tf.float32:
        return x
    bits = tf.bitwise.left_shift(tf.cast(x, tf.uint32), np.uint32(16))
    return tf.bitcast(bits, tf.float32)


def _narrow(x: Any, dtype: Any) -> Any:
    """Return float32 as it is stored, rounded to the nearest."""
    if dtype == tf.float32:
        return x
    bits = tf.bitcast(x, tf.uint32)
    last = tf.bitwise.right_shift(bits, np.uint32(16)) & np.uint32(1)
    bits = bits + np.uint32(0x7FFF) + last  # of two as near, the even one
    return tf.cast(tf.bitwise.right_shift(bits, np.uint32(16)), tf.uint16)


@tf.function(jit_compile=True, autograph=False)
def _loop(projected: Any, recurrent_kernel: Any, every: bool) -> Any:
    """Return h and, if `every`, c and the gates of every step, (steps, batch, ...).

    It computes in float32, whatever is stored: XLA has no fast product of bfloat16,
    and to write a step it would turn all steps to float32 and back, were they not
    stored as bits.
    """
    stored = projected.dtype
    none = tf.zeros_like(projected[0])
    nothing = none[:, : recurrent_kernel.shape[0]]
    start = _wide(nothing)

    def step(carried: Any, projected: Any) -> Any:
        h, c, *_ = carried
        summed = _wide(projected) + tf.matmul(h, recurrent_kernel)
        h, c, gates = through_gates(summed, c)
        return h, c, *(_narrow(x, stored) for x in (h, c, gates))

    start = (start, start, nothing, nothing, none)
    return tf.scan(step, projected, start)[2 : 5 if every else 3]


@tf.function(jit_compile=True, autograph=False)
def _loop_back(upstream: Any, recurrent_kernel: Any, c: Any, gates: Any) -> Any:
    """Return the gradient by what came into the gates, (steps, batch, 4 * units)."""
    stored = gates.dtype
    none, nothing = tf.zeros_like(gates[0]), tf.zeros_like(c[0])
    c_before = tf.concat([nothing[None], c[:-1]], 0)
    back = tf.transpose(recurrent_kernel)  # once: in the loop it takes 31 us, not 10

    def step(carried: Any, of_step: Any) -> Any:
        by_gates, by_c, _ = carried
        upstream, *of_step = map(_wide, of_step)
        by_h = upstream + tf.matmul(by_gates, back)
        by_gates, by_c = back_through_gates(by_h, by_c, *of_step)
        return by_gates, by_c, _narrow(by_gates, stored)

    start = (_wide(none), _wide(nothing), none)
    of_steps = (upstream, c, c_before, gates)
    return tf.scan(step, of_steps, start, reverse=True)[2]
