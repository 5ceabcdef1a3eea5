"""The engine on PyTorch."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from keras import layers, ops
from torch.nn import functional

from classicnets.engine.kernels import (
    is_plain_batch_norm,
    is_plain_convolution,
    is_plain_embedding,
    is_plain_lstm,
    is_plain_pooling,
    is_plain_transposed_convolution,
    lstm_weights,
    transposed_convolution,
)
from classicnets.networks import private


def value_and_gradients(
    loss_function: Callable, variables: list, state: Sequence
) -> Any:
    """Differentiate a loss; see the engine on TensorFlow."""
    loss, extras = loss_function()
    return (loss.detach(), extras), torch.autograd.grad(
        loss, [v.value for v in variables]
    )


def apply_gradients(optimizer: Any, gradients: Any, variables: list[Any]) -> None:
    """Take one step of a built Keras optimizer on `variables`."""
    optimizer.apply(gradients, variables)


def input_gradients(function: Callable[[Any], Any], inputs: Any) -> Any:
    """Return d sum(function(inputs)) / d inputs; see the engine on TensorFlow."""
    inputs = inputs.detach().requires_grad_()
    return torch.autograd.grad(function(inputs).sum(), inputs, create_graph=True)[0]


def repeat(
    step: Callable, batches: dict, steps: int, state: Sequence, logs: Sequence
) -> dict:
    """Run several steps inside a step; see the engine on TensorFlow."""
    rows = [step({key: rows[i] for key, rows in batches.items()}) for i in range(steps)]
    return {key: sum(row[key].detach() for row in rows) / steps for key in logs}


@torch.no_grad()
def add_decay(gradient: Any, variable: Any, decay: float) -> Any:
    """Return gradient + decay * variable."""
    return torch.add(gradient, variable.value, alpha=decay)


@functools.cache
def fast_step(optimizer: str) -> Callable[..., None] | None:
    """Return a function (optimizer, gradient, variable, learning_rate), or None."""
    if optimizer == "adam":
        # On a GPU it would wait for the number of the step.
        return None if torch.cuda.is_available() else _adam_step
    return _sgd_step if optimizer == "sgd" else None


@torch.no_grad()
def _adam_step(
    optimizer: Any, gradient: Any, variable: Any, learning_rate: Any
) -> None:
    """Update `variable` and the slots of Adam, all in one pass over memory."""
    first, second = private.moments(optimizer, variable)
    torch._fused_adam_(
        [variable.value],
        [_in_order_of(variable, gradient)],  # of memory, which it reads straight on
        [_slot(first, variable)],
        [_slot(second, variable)],
        [],
        [torch.tensor(float(int(optimizer.iterations) + 1))],
        lr=float(learning_rate),
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        weight_decay=0.0,
        eps=optimizer.epsilon,
        amsgrad=False,
        maximize=False,
    )


@torch.no_grad()
def _sgd_step(optimizer: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
    """Update `variable` and its momentum by Keras's SGD, in place."""
    rate = float(learning_rate)
    if not optimizer.momentum:
        variable.value.add_(gradient, alpha=-rate)
        return
    momentum = _slot(private.momentum(optimizer, variable), variable).mul_(
        optimizer.momentum
    )
    momentum.add_(gradient, alpha=-rate)
    if optimizer.nesterov:
        variable.value.add_(gradient, alpha=-rate)
        variable.value.add_(momentum, alpha=optimizer.momentum)
    else:
        variable.value.add_(momentum)


def _slot(slot: Any, variable: Any) -> Any:
    """Return an optimizer's tensor, from now on in memory as its variable is."""
    slot.value.data = _in_order_of(variable, slot.value.data)
    return slot.value


def _in_order_of(variable: Any, tensor: Any) -> Any:
    """Return `tensor` with its numbers in memory as those of `variable`."""
    if tensor.stride() == variable.value.stride():
        return tensor
    return torch.empty_like(variable.value).copy_(tensor)


def compile_steps(
    step: Callable, state: Sequence, logs: Sequence
) -> Callable[..., dict]:
    """Loop over steps; see the engine on TensorFlow."""

    def run(arrays: Any, batches: Any, steps: int) -> dict[str, float]:
        batches = {key: to_device(rows) for key, rows in batches.items()}
        totals, sound = dict.fromkeys(logs, 0.0), 0
        for i in range(steps):
            values = step(arrays, {key: rows[i] for key, rows in batches.items()})
            totals = {key: totals[key] + values[key].detach() for key in logs}
            sound = sound + torch.isfinite(sum(totals.values()))
        sums = {key: float(value) for key, value in totals.items()}
        return sums | {"sound": int(sound)}

    return run


def compile_function(function: Callable, state: Sequence) -> Callable[..., np.ndarray]:
    """Wrap function(arrays, batch), which writes no variable; returns NumPy."""

    def run(arrays: Any, batch: Any) -> Any:
        with torch.no_grad():
            batch = {key: to_device(rows) for key, rows in batch.items()}
            return ops.convert_to_numpy(function(arrays, batch))

    return run


def to_device(array: np.ndarray) -> Any:
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


def fast_kernel(layer: Any, shape: Any) -> Callable[..., Any] | None:
    """Return a faster function (layer, x, training) than `layer` itself, or None."""
    if is_plain_batch_norm(layer, shape):
        return _batch_normalization
    if is_plain_lstm(layer):
        return _lstm
    if is_plain_convolution(layer):
        _store_channels_last(layer.kernel)
        return _convolution
    if is_plain_pooling(layer):
        return _pool
    if torch.cuda.is_available():
        return None
    if is_plain_transposed_convolution(layer) and layer.kernel_size == layer.strides:
        return transposed_convolution  # see the engine on TensorFlow
    if type(layer) in (layers.Dropout, layers.SpatialDropout1D):
        return _dropout
    return _embedding if is_plain_embedding(layer) and len(shape) == 2 else None


def _store_channels_last(kernel: Any) -> None:
    """Keep a kernel in memory as PyTorch convolves with it; its shape stays."""
    stored = kernel.value.data.permute(3, 2, 0, 1)
    stored = stored.contiguous(memory_format=torch.channels_last)
    kernel.value.data = stored.permute(2, 3, 1, 0)


def padded_convolution(layer: Any, padding: Any) -> Callable[..., Any] | None:
    """Return a function that pads its inputs, or None; see the engine on TensorFlow."""
    (top, bottom), (left, right) = padding
    if not is_plain_convolution(layer) or layer.padding == "same":
        return None
    if top != bottom or left != right:
        return None
    _store_channels_last(layer.kernel)
    return functools.partial(_convolution, padding=(top, left))


def _convolution(layer: Any, x: Any, training: bool, padding: Any = (0, 0)) -> Any:
    """Convolve pixels as they lie; Keras copies them to channels first and back."""
    if layer.padding == "same":
        sides = zip(layer.dilation_rate, layer.kernel_size)
        padding = [d * (k - 1) // 2 for d, k in sides]
    outputs = functional.conv2d(
        x.permute(0, 3, 1, 2),  # a view: the memory stays channels last
        layer.kernel.value.permute(3, 2, 0, 1),
        layer.bias.value if layer.use_bias else None,
        layer.strides,
        padding,
        layer.dilation_rate,
        layer.groups,
    )
    outputs = outputs.permute(0, 2, 3, 1)
    return layer.activation(outputs) if layer.activation else outputs


def _pool(layer: Any, x: Any, training: bool) -> Any:
    """Pool pixels as they lie."""
    is_maximum = type(layer) is layers.MaxPooling2D
    pool = functional.max_pool2d if is_maximum else functional.avg_pool2d
    outputs = pool(x.permute(0, 3, 1, 2), layer.pool_size, layer.strides)
    return outputs.permute(0, 2, 3, 1)


def _batch_normalization(layer: Any, x: Any, training: bool) -> Any:
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


def _lstm(layer: Any, x: Any, training: bool) -> Any:
    """Run all steps in one call of PyTorch's own LSTM, cuDNN on a GPU."""
    kernel, recurrent_kernel, bias = lstm_weights(layer)
    # PyTorch keeps kernels transposed and has a second bias; the gates' order is ours.
    weights = [kernel.T.contiguous(), recurrent_kernel.T.contiguous()]
    weights += [bias, torch.zeros_like(bias)]
    zeros = x.new_zeros(1, x.shape[0], layer.units)
    # "train" is for its dropout, which is 0, and for keeping what gradients need.
    keep = torch.is_grad_enabled()
    # Steps first in memory, as oneDNN has it: what comes from the layer before is so.
    x = x.transpose(0, 1)
    outputs, *_ = torch.lstm(
        x, (zeros, zeros), weights, True, 1, 0.0, keep, False, False
    )
    return outputs.transpose(0, 1)


def _embedding(layer: Any, tokens: Any, training: bool) -> Any:
    """Look up rows; `keras.layers.Embedding` casts the whole table first."""
    # Steps first in memory; see `_lstm`.
    rows = functional.embedding(tokens.T, layer.embeddings.value).transpose(0, 1)
    return rows.to(getattr(torch, layer.compute_dtype))


def _dropout(layer: Any, x: Any, training: bool) -> Any:
    """Let NumPy draw 16 bits per number: PyTorch's generator takes much longer.

    The layer's own seed decides, as on the other backends; the rate is kept to 1e-5.
    """
    if not training or not layer.rate:
        return x
    shape = list(x.shape)
    if type(layer) is layers.SpatialDropout1D:
        shape[1] = 1
    elif layer.noise_shape:
        shape = [fixed or size for fixed, size in zip(layer.noise_shape, shape)]
    count = math.prod(shape)
    source = np.random.SFC64(_next_seed(layer.seed_generator))
    numbers = source.random_raw(-(-count // 4)).view(np.uint16)[:count]
    scale = np.float32(1 / (1 - layer.rate))
    factors = np.multiply(numbers < round((1 - layer.rate) * 2**16), scale)
    return x * torch.from_numpy(factors).view(shape).to(x.dtype)


def _next_seed(generator: Any) -> Any:
    """Return a Keras seed generator's two numbers, and count on; `next` does so too."""
    state = generator.state.value
    seed = state.tolist()
    state[1] += 1
    return seed
