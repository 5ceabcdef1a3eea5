"""The engine on PyTorch."""

import math

import numpy as np
import torch
from keras import layers, ops
from torch.nn import functional

from classicnets.engine.kernels import (
    is_plain_batch_norm,
    is_plain_embedding,
    is_plain_lstm,
    is_plain_transposed_convolution,
    lstm_weights,
    transposed_convolution,
)


def value_and_gradients(loss_function, variables, state):
    """Differentiate a loss; see the engine on TensorFlow."""
    loss, extras = loss_function()
    return (loss.detach(), extras), torch.autograd.grad(
        loss, [v.value for v in variables]
    )


def apply_gradients(optimizer, gradients, variables):
    """Take one step of a built Keras optimizer on `variables`."""
    optimizer.apply(gradients, variables)


def input_gradients(function, inputs):
    """Return d sum(function(inputs)) / d inputs; see the engine on TensorFlow."""
    inputs = inputs.detach().requires_grad_()
    return torch.autograd.grad(function(inputs).sum(), inputs, create_graph=True)[0]


def repeat(step, batches, steps, state, logs):
    """Run several steps inside a step; see the engine on TensorFlow."""
    rows = [step({key: rows[i] for key, rows in batches.items()}) for i in range(steps)]
    return {key: sum(row[key].detach() for row in rows) / steps for key in logs}


@torch.no_grad()
def _adam_step(optimizer, gradient, variable, learning_rate):
    """Update `variable` and its slots by Keras's Adam, all in one pass over memory."""
    place = optimizer._get_variable_index(variable)
    step = int(optimizer.iterations) + 1
    torch._fused_adam_(
        [variable.value],
        [gradient.contiguous()],  # it reads memory in the order of the variable
        [optimizer._momentums[place].value],
        [optimizer._velocities[place].value],
        [],
        [torch.tensor(float(step))],
        lr=float(learning_rate),
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        weight_decay=0.0,
        # PyTorch adds it to the corrected deviation, Keras to the plain one.
        eps=optimizer.epsilon / math.sqrt(1 - optimizer.beta_2**step),
        amsgrad=False,
        maximize=False,
    )


# On a GPU it would wait for the number of the step.
adam_step = None if torch.cuda.is_available() else _adam_step


def compile_steps(step, state, logs):
    """Loop over steps; see the engine on TensorFlow."""

    def run(arrays, batches, steps):
        batches = {key: to_device(rows) for key, rows in batches.items()}
        totals, sound = dict.fromkeys(logs, 0.0), 0
        for i in range(steps):
            values = step(arrays, {key: rows[i] for key, rows in batches.items()})
            totals = {key: totals[key] + values[key].detach() for key in logs}
            sound = sound + torch.isfinite(sum(totals.values()))
        sums = {key: float(value) for key, value in totals.items()}
        return sums | {"sound": int(sound)}

    return run


def compile_function(function, state):
    """Wrap function(arrays, batch), which writes no variable; returns NumPy."""

    def run(arrays, batch):
        with torch.no_grad():
            batch = {key: to_device(rows) for key, rows in batch.items()}
            return ops.convert_to_numpy(function(arrays, batch))

    return run


def to_device(array):
    """Copy a NumPy array to the device."""
    return ops.convert_to_tensor(np.ascontiguousarray(array))


def device() -> str:
    """Name the device that computes."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "CPU"


def make_deterministic() -> None:
    """Refuse operations whose result depends on the order of threads."""
    torch.use_deterministic_algorithms(True)


def fast_kernel(layer, shape):
    """Return a faster function (layer, x, training) than `layer` itself, or None."""
    if is_plain_batch_norm(layer, shape):
        return _batch_normalization
    if is_plain_lstm(layer):
        return _lstm
    if torch.cuda.is_available():
        return None
    if is_plain_transposed_convolution(layer) and layer.kernel_size == layer.strides:
        return transposed_convolution  # see the engine on TensorFlow
    if type(layer) in (layers.Dropout, layers.SpatialDropout1D):
        return _dropout
    return _embedding if is_plain_embedding(layer) else None


def _batch_normalization(layer, x, training):
    """Normalize in one pass over the data instead of five."""
    training = training and layer.trainable
    # Channels first is a view: the memory stays channels last.
    x = x.permute(0, 3, 1, 2)
    gamma, beta = layer.gamma.value, layer.beta.value
    if not training:
        mean, variance = layer.moving_mean.value, layer.moving_variance.value
        outputs = functional.batch_norm(
            x, mean, variance, gamma, beta, eps=layer.epsilon
        )
        return outputs.permute(0, 2, 3, 1)
    outputs, mean, inverse_deviation = torch.native_batch_norm(
        x, gamma, beta, None, None, True, 0.0, layer.epsilon
    )
    with torch.no_grad():
        variance = inverse_deviation.pow(-2) - layer.epsilon
        keep = layer.momentum
        layer.moving_mean.assign(layer.moving_mean * keep + mean * (1 - keep))
        layer.moving_variance.assign(
            layer.moving_variance * keep + variance * (1 - keep)
        )
    return outputs.permute(0, 2, 3, 1)


def _lstm(layer, x, training):
    """Run all steps in one call of PyTorch's own LSTM, cuDNN on a GPU."""
    kernel, recurrent_kernel, bias = lstm_weights(layer)
    # PyTorch keeps kernels transposed and has a second bias; the gates' order is ours.
    weights = [kernel.T.contiguous(), recurrent_kernel.T.contiguous()]
    weights += [bias, torch.zeros_like(bias)]
    zeros = x.new_zeros(1, x.shape[0], layer.units)
    # "train" is for its dropout, which is 0, and for keeping what gradients need.
    keep = torch.is_grad_enabled()
    return torch.lstm(x, (zeros, zeros), weights, True, 1, 0.0, keep, False, True)[0]


def _embedding(layer, tokens, training):
    """Look up rows; `keras.layers.Embedding` casts the whole table first."""
    return functional.embedding(tokens, layer.embeddings.value).to(
        getattr(torch, layer.compute_dtype)
    )


def _dropout(layer, x, training):
    """Draw four numbers of 16 bits at a time: PyTorch draws one by one, of 64.

    The layer's own seed decides, as on the other backends; the rate is kept to 1e-5.
    """
    if not training or not layer.rate:
        return x
    shape = list(x.shape)
    if type(layer) is layers.SpatialDropout1D:
        shape[1] = 1
    elif layer.noise_shape:
        shape = [fixed or size for fixed, size in zip(layer.noise_shape, shape)]
    seed, count = layer.seed_generator.next().tolist()
    generator = torch.Generator().manual_seed((seed << 32) + count)
    drawn = torch.empty(-(-math.prod(shape) // 4), dtype=torch.int64)
    drawn = drawn.random_(-(2**63), None, generator=generator).view(torch.int16)
    kept = drawn[: math.prod(shape)] < round((1 - layer.rate) * 2**16) - 2**15
    return x * (kept.view(shape).to(x.dtype) / (1 - layer.rate))
