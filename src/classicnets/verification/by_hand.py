"""The networks written out in NumPy, from their papers' words: what outputs to expect.

Nothing of Keras but the weights is used, and nothing of `networks`: sizes, strides,
slopes and epsilons stand here a second time. In training, batch norm takes the mean and
the variance of the batch; dropout is left out.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

EPSILON = 1e-5  # of every normalization


class ByHand:
    """The layers of a network in NumPy, on its weights, by the layers' names."""

    def __init__(
        self,
        *networks: keras.Model,
        shape: tuple[Any, ...] = (),
        training: bool = False,
    ):
        """Take the weights of networks.

        Args:
            networks: Whose layers have different names.
            shape: What a generator makes, (height, width, channels).
            training: Whether batch norm takes the batch's own statistics.
        """
        self.shape, self.training = shape, training
        self.weights: dict[str, list[np.ndarray]] = {}
        for network in networks:
            self._collect(network, "")

    def _collect(self, network: keras.Model, place: str) -> None:
        for layer in network.layers:
            if isinstance(layer, keras.Model):
                self._collect(layer, f"{place}{layer.name}.")
            elif layer.weights:
                self.weights[place + layer.name] = layer.get_weights()

    def count(self, name: str) -> int:
        """Return how many layers have a name and a number."""
        return sum(key.startswith(name) for key in self.weights)

    def conv(self, name: str, x: Any, stride: int = 1, padding: int = 0) -> Any:
        """Convolve; `padding` zeros on every side."""
        kernel, *bias = self.weights[name]
        high, wide, _, filters = kernel.shape
        x = _pad(x, padding)
        rows, columns = (
            (side - window) // stride + 1
            for side, window in zip(x.shape[1:3], (high, wide))
        )
        out: Any = np.zeros((len(x), rows, columns, filters), x.dtype)
        for i in range(high):
            for j in range(wide):
                window = x[:, i : i + stride * (rows - 1) + 1 : stride]
                window = window[:, :, j : j + stride * (columns - 1) + 1 : stride]
                out += window @ kernel[i, j]
        return out + (bias[0] if bias else 0)

    def up(self, name: str, x: Any, stride: int, crop: int = 0) -> Any:
        """Convolve transposed: each pixel writes a window; `crop` off every side."""
        kernel, *bias = self.weights[name]
        high, wide, filters, _ = kernel.shape
        count, rows, columns = x.shape[:3]
        shape = ((rows - 1) * stride + high, (columns - 1) * stride + wide, filters)
        out: Any = np.zeros((count, *shape), x.dtype)
        for i in range(high):
            for j in range(wide):
                target = out[:, i : i + stride * (rows - 1) + 1 : stride]
                target[:, :, j : j + stride * (columns - 1) + 1 : stride] += (
                    x @ kernel[i, j].T
                )
        if crop:
            out = out[:, crop:-crop, crop:-crop]
        return out + (bias[0] if bias else 0)

    def dense(self, name: str, x: Any) -> Any:
        """Multiply and add the bias."""
        kernel, *bias = self.weights[name]
        return x @ kernel + (bias[0] if bias else 0)

    def norm(self, name: str, x: Any) -> Any:
        """Normalize each channel: by the batch in training, else by what is kept."""
        gamma, beta, mean, variance = self.weights[name]
        if self.training:
            axes = tuple(range(x.ndim - 1))
            mean, variance = x.mean(axis=axes), x.var(axis=axes)
        return (x - mean) / np.sqrt(variance + EPSILON) * gamma + beta

    def layer_norm(self, name: str, x: Any) -> Any:
        """Normalize each image over height, width and channels at once."""
        gamma, beta = self.weights[name]
        mean = x.mean(axis=(1, 2, 3), keepdims=True)
        variance = x.var(axis=(1, 2, 3), keepdims=True)
        return (x - mean) / np.sqrt(variance + EPSILON) * gamma + beta


def relu(x: Any, slope: float = 0.0) -> Any:
    """Return max(x, slope x)."""
    return np.where(x > 0, x, slope * x)


def sigmoid(x: Any) -> Any:
    """Return 1 / (1 + e^-x)."""
    return 1.0 / (1.0 + np.exp(-x))


def flat(x: Any) -> Any:
    """Return each example as one row."""
    return x.reshape(len(x), -1)


def _pad(x: Any, padding: int) -> Any:
    return np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))


def _pool(x: Any, size: int, stride: int, reduce: Callable[..., Any]) -> Any:
    rows, columns = ((side - size) // stride + 1 for side in x.shape[1:3])
    windows = [
        x[:, i : i + stride * (rows - 1) + 1 : stride][
            :, :, j : j + stride * (columns - 1) + 1 : stride
        ]
        for i in range(size)
        for j in range(size)
    ]
    return reduce(np.stack(windows), axis=0)


def vgg(of: ByHand, x: Any, depth: int, batch_norm: bool) -> Any:
    """Compute 1409.1556, table 1: blocks of 3x3 convolutions, each ended by a 2x2
    maximum."""
    blocks = {
        11: (1, 1, 2, 2, 2),
        13: (2, 2, 2, 2, 2),
        16: (2, 2, 3, 3, 3),
        19: (2, 2, 4, 4, 4),
    }[depth]
    for block, count in enumerate(blocks, start=1):
        for number in range(1, count + 1):
            x = of.conv(f"block{block}_conv{number}", x, padding=1)
            if batch_norm:
                x = of.norm(f"block{block}_norm{number}", x)
            x = relu(x)
        x = _pool(x, 2, 2, np.max)
    x = flat(x)
    for number in (1, 2):
        x = relu(of.dense(f"hidden{number}", x))
    return of.dense("logits", x)


def resnet(of: ByHand, x: Any, depth: int) -> Any:
    """Compute 1512.03385, table 1 and option B; the stride is on the 3x3, as
    torchvision's."""
    blocks = {
        18: (2, 2, 2, 2),
        34: (3, 4, 6, 3),
        50: (3, 4, 6, 3),
        101: (3, 4, 23, 3),
        152: (3, 8, 36, 3),
    }[depth]
    x = relu(of.norm("stem_norm", of.conv("stem_conv", x, stride=2, padding=3)))
    x = _pool(_pad(x, 1), 3, 2, np.max)
    for stage, count in enumerate(blocks, start=1):
        for block in range(1, count + 1):
            place = f"stage{stage}_block{block}"
            stride = 2 if stage > 1 and block == 1 else 1
            # (side, stride) of the convolutions
            plan = (
                [(3, stride), (3, 1)] if depth < 50 else [(1, 1), (3, stride), (1, 1)]
            )
            y, shortcut = x, x
            for number, (side, step) in enumerate(plan, start=1):
                y = of.conv(f"{place}_conv{number}", y, step, padding=side // 2)
                y = of.norm(f"{place}_norm{number}", y)
                y = relu(y) if number < len(plan) else y
            if stride == 2 or x.shape[-1] != y.shape[-1]:
                shortcut = of.conv(f"{place}_shortcut_conv", x, stride)
                shortcut = of.norm(f"{place}_shortcut_norm", shortcut)
            x = relu(y + shortcut)
    return of.dense("logits", x.mean(axis=(1, 2)))


def resnet_cifar(of: ByHand, x: Any, depth: int) -> Any:
    """Compute 1512.03385, section 4.2: 6n + 2 layers, shortcuts without weights
    (option A)."""
    x = relu(of.norm("stem_norm", of.conv("stem_conv", x, padding=1)))
    for stage in (1, 2, 3):
        for block in range(1, (depth - 2) // 6 + 1):
            place = f"stage{stage}_block{block}"
            stride = 2 if stage > 1 and block == 1 else 1
            y = of.conv(f"{place}_conv1", x, stride, padding=1)
            y = relu(of.norm(f"{place}_norm1", y))
            y = of.norm(f"{place}_norm2", of.conv(f"{place}_conv2", y, padding=1))
            more = y.shape[-1] - x.shape[-1]
            shortcut = np.pad(x[:, ::stride, ::stride], [(0, 0)] * 3 + [(0, more)])
            x = relu(y + shortcut)
    return of.dense("logits", x.mean(axis=(1, 2)))


def lstm(of: ByHand, x: Any) -> Any:
    """Compute Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000.

    `x` is (batch, steps, features), or images that are read row by row, or tokens,
    padded with 0, whose last state is the one after the last token.
    """
    last = np.full(len(x), x.shape[1] - 1)
    if x.ndim == 2:
        last = (x != 0).sum(axis=1) - 1
        x = of.weights["embedding"][0][x]
    x = x.reshape(*x.shape[:2], -1)
    for layer in range(1, of.count("lstm") + 1):
        kernel, recurrent_kernel, bias = of.weights[f"lstm{layer}"]
        h = c = np.zeros((len(x), len(recurrent_kernel)))
        states = []
        for step in range(x.shape[1]):
            gates = x[:, step] @ kernel + h @ recurrent_kernel + bias
            i, f, g, o = np.split(gates, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            states.append(h)
        x = np.stack(states, axis=1)
    return of.dense("logits", x[np.arange(len(x)), last])


def _inward(of: ByHand, x: Any) -> Any:
    for number in range(1, of.count("encoder.conv") + 1):
        x = relu(of.conv(f"encoder.conv{number}", x, stride=2, padding=1))
    x = flat(x)
    for number in range(1, of.count("encoder.hidden") + 1):
        x = relu(of.dense(f"encoder.hidden{number}", x))
    return x


def _outward(of: ByHand, x: Any, shape: tuple[int, ...]) -> Any:
    for number in range(1, of.count("decoder.hidden") + 1):
        x = relu(of.dense(f"decoder.hidden{number}", x))
    convolutions = of.count("encoder.conv")
    if not convolutions:
        return of.dense("decoder.pixels", x).reshape(len(x), *shape)
    height, width = (side // 2**convolutions for side in shape[:2])
    x = x.reshape(len(x), height, width, -1)
    for number in range(1, convolutions):
        x = relu(of.up(f"decoder.up{number}", x, stride=2, crop=1))
    return of.up("decoder.log_odds", x, stride=2, crop=1)


def autoencoder(of: ByHand, x: Any) -> Any:
    """Compute Science 313: in to a linear code and back, to log-odds."""
    return _outward(of, of.dense("encoder.code", _inward(of, x)), x.shape[1:])


def vae(of: ByHand, x: Any, noise: Any = 0.0) -> tuple[Any, Any, Any]:
    """Compute 1312.6114: return log-odds of the code mean + deviation * noise, mean and
    log variance."""
    h = _inward(of, x)
    mean, log_variance = (of.dense(f"encoder.{n}", h) for n in ("mean", "log_variance"))
    code = mean + np.exp(log_variance / 2) * noise
    return _outward(of, code, x.shape[1:]), mean, log_variance
