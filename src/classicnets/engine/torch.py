"""The engine on PyTorch."""

import numpy as np
import torch
from keras import ops
from torch.nn import functional

from classicnets.engine.kernels import is_plain_batch_norm, is_plain_lstm, lstm_weights


def value_and_gradients(loss_function, variables, state):
    """Differentiate a loss; see the engine on TensorFlow."""
    loss, extras = loss_function()
    return (loss.detach(), extras), torch.autograd.grad(
        loss, [v.value for v in variables]
    )


def apply_gradients(optimizer, gradients, variables):
    """Take one step of a built Keras optimizer on `variables`."""
    optimizer.apply(gradients, variables)


def compile_steps(step, state, logs):
    """Loop over steps; see the engine on TensorFlow."""

    def run(arrays, batches, steps):
        batches = {key: to_device(rows) for key, rows in batches.items()}
        totals = dict.fromkeys(logs, 0.0)
        for i in range(steps):
            values = step(arrays, {key: rows[i] for key, rows in batches.items()})
            totals = {key: totals[key] + values[key].detach() for key in logs}
        return {key: float(value) for key, value in totals.items()}

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
    return _lstm if is_plain_lstm(layer) else None


def _batch_normalization(layer, x, training):
    """Normalize in one pass over the data instead of five."""
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
