"""Generators and critics written out in NumPy; see `by_hand`."""

from typing import Any

import numpy as np

from classicnets.verification.by_hand import ByHand, flat, relu


def gan_generator(of: ByHand, noise: Any) -> Any:
    """Compute 1406.2661: dense layers, pixels in [-1, 1]."""
    for layer in range(1, of.count("hidden") + 1):
        noise = relu(of.dense(f"hidden{layer}", noise))
    return np.tanh(of.dense("pixels", noise)).reshape(len(noise), *of.shape)


def gan_critic(of: ByHand, x: Any) -> Any:
    """Compute 1406.2661: dense layers with a slope of 0.2, to log-odds."""
    x = flat(x)
    for layer in range(1, of.count("hidden") + 1):
        x = relu(of.dense(f"hidden{layer}", x), 0.2)
    return of.dense("scores", x)


def dcgan_generator(of: ByHand, noise: Any) -> Any:
    """Compute 1511.06434: from 4x4 on, windows of 4x4 double the sides; batch norm."""
    x = of.dense("project", noise)
    x = relu(of.norm("norm0", x.reshape(len(noise), 4, 4, -1)))
    doublings = (of.shape[0] // 4).bit_length() - 1
    for layer in range(1, doublings):
        x = of.up(f"up{layer}", x, stride=2, crop=1)
        x = relu(of.norm(f"norm{layer}", x))
    return np.tanh(of.up("images", x, stride=2, crop=1))


def dcgan_critic(of: ByHand, x: Any) -> Any:
    """Compute 1511.06434: the mirror image, slope 0.2, no norm after layer 1."""
    for layer in range(1, (x.shape[1] // 4).bit_length()):
        x = of.conv(f"conv{layer}", x, stride=2, padding=1)
        if layer > 1:
            per_image = len(of.weights[f"norm{layer}"]) == 2
            x = (of.layer_norm if per_image else of.norm)(f"norm{layer}", x)
        x = relu(x, 0.2)
    return of.dense("scores", flat(x))


def wgan_gp_generator(of: ByHand, noise: Any) -> Any:
    """Compute the tutorial's for 64x64: sides of 3, 9, 21 and 64 pixels."""
    x = relu(of.dense("project", noise).reshape(len(noise), 3, 3, 512), 0.2)
    for layer, stride in ((1, 3), (2, 2)):
        x = relu(of.norm(f"norm{layer}", of.up(f"up{layer}", x, stride)), 0.2)
    return np.tanh(of.up("images", x, stride=3))


def wgan_gp_critic(of: ByHand, x: Any) -> Any:
    """Compute three unpadded 5x5 convolutions of stride 3, two with layer norm."""
    for layer in (1, 2, 3):
        x = of.conv(f"conv{layer}", x, stride=3)
        if layer > 1:
            x = of.layer_norm(f"norm{layer}", x)
        x = relu(x, 0.2)
    return of.dense("scores", flat(x))


def wgan_gp_resnet_generator(of: ByHand, noise: Any) -> Any:
    """Compute 1704.00028, appendix: blocks that double the sides from 4x4."""
    x = of.dense("project", noise).reshape(len(noise), 4, 4, -1)
    for block in range(1, (of.shape[0] // 4).bit_length()):
        place = f"block{block}"
        y = _doubled(relu(of.norm(f"{place}_norm1", x)))
        y = of.conv(f"{place}_conv1", y, padding=1)
        y = relu(of.norm(f"{place}_norm2", y))
        y = of.conv(f"{place}_conv2", y, padding=1)
        x = y + of.conv(f"{place}_shortcut", _doubled(x))
    x = relu(of.norm("norm", x))
    return np.tanh(of.conv("images", x, padding=1))


def wgan_gp_resnet_critic(of: ByHand, x: Any) -> Any:
    """Compute 1704.00028: for CIFAR-10 without norm, at 64x64 with layer norm."""
    if x.shape[1] <= 32:
        for block in (1, 2, 3, 4):
            place, halves = f"block{block}", block <= 2
            y = of.conv(f"{place}_conv1", x if block == 1 else relu(x), padding=1)
            y = of.conv(f"{place}_conv2", relu(y), padding=1)
            if halves:
                y = _halved(y)
                x = of.conv(f"{place}_shortcut", _halved(x))
            x = x + y
        return of.dense("scores", relu(x).mean(axis=(1, 2)))
    x = of.conv("conv", x, padding=1)
    for block in range(1, (x.shape[1] // 4).bit_length()):
        place = f"block{block}"
        y = relu(of.layer_norm(f"{place}_norm1", x))
        y = of.conv(f"{place}_conv1", y, padding=1)
        y = relu(of.layer_norm(f"{place}_norm2", y))
        y = _halved(of.conv(f"{place}_conv2", y, padding=1))
        x = y + of.conv(f"{place}_shortcut", _halved(x))
    return of.dense("scores", flat(x))


def _doubled(x: Any) -> Any:
    return x.repeat(2, axis=1).repeat(2, axis=2)


def _halved(x: Any) -> Any:
    """Return the mean of 2x2 pixels."""
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4
