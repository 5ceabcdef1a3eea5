"""ResNet: layers that add to their input (He et al. 2015, arXiv:1512.03385)."""

from typing import NamedTuple

import keras
from keras import layers

# Blocks in each of the four stages, by depth (table 1).
BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
FILTERS = (64, 128, 256, 512)


def resnet(
    input_shape: tuple[int, int, int],
    classes: int | None,
    *,
    depth: int = 18,
    stem: str = "imagenet",
    stride_on: str = "3x3",
    convolution_bias: bool = False,
    epsilon: float = 1e-5,
) -> keras.Model:
    """Build the residual network.

    18 and 34 layers are made of basic blocks (two 3x3 convolutions), the deeper ones
    of bottlenecks (1x1, 3x3, 1x1, the last four times as wide). A shortcut that
    changes shape is a 1x1 convolution (option B), all others pass their input on.

    The weights of `keras.applications.ResNet50` fit `depth=50, stride_on="1x1",
    convolution_bias=True, epsilon=1.001e-5`; torchvision's fit the defaults.

    Args:
        input_shape: (height, width, channels); height and width may be None.
        classes: Number of classes, or None for the features without the head.
        depth: Layers with weights: 18, 34, 50, 101 or 152.
        stem: "imagenet" divides the sides by 4 (7x7 convolution, stride 2, and 3x3
            max pooling, stride 2); "small" is one 3x3 convolution that keeps the
            size, for images of about 32x32.
        stride_on: Which convolution of a bottleneck halves the sides: "3x3"
            (torchvision) or the first "1x1" (the paper, keras.applications).
        convolution_bias: Give the convolutions a bias, as keras.applications does.
        epsilon: Added to the variance in batch normalization.

    Returns:
        A model from images (batch, height, width, channels), scaled to about zero mean
        and unit variance, to logits (batch, classes); without the head, to features
        (batch, height / 32, width / 32, 512 or 2048), or / 8 with the small stem,
        rounded up.

    Raises:
        ValueError: For another depth, stem or stride_on.

    Differs from the paper:
        - `stride_on` is "3x3"; the paper strides in the first 1x1, which then reads
          only a quarter of its input.
        - The small stem is not in the paper, whose network for CIFAR is
          `resnet_cifar`.
        - Where the stride is 2, both sides are padded alike, as in torchvision.
          Keras's "same" pads only bottom and right.
        - Weights start as in He et al. 2015 (arXiv:1502.01852) by the outputs
          (fan-out, eq. 14) as in torchvision; the paper cites that article and not
          the equation. The last layer starts from N(0, 0.01^2) (arXiv:1706.02677,
          section 5.1), the batch norms' scales all from 1.
        - Batch norm's momentum is 0.9 and epsilon 1e-5; the paper gives neither.
    """
    if depth not in BLOCKS:
        raise ValueError(f"depth must be one of {sorted(BLOCKS)}, got {depth}.")
    if stem not in ("imagenet", "small"):
        raise ValueError(f"stem must be 'imagenet' or 'small', got {stem!r}.")
    if stride_on not in ("3x3", "1x1"):
        raise ValueError(f"stride_on must be '3x3' or '1x1', got {stride_on!r}.")

    style = _Style(convolution_bias, epsilon)
    images = keras.Input(input_shape, name="images")
    large = stem == "imagenet"
    x = _convolve(images, (64, 7, 2) if large else (64, 3, 1), "stem_{}", style)
    x = layers.ReLU(name="stem_relu")(x)
    if large:
        # Zeros are no larger than any output of a ReLU: the maximum ignores them.
        x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
        x = layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)
    for stage, filters in enumerate(FILTERS, start=1):
        for block in range(1, BLOCKS[depth][stage - 1] + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            if depth < 50:
                plan = [(filters, 3, stride), (filters, 3, 1)]
            else:
                first, second = (1, stride) if stride_on == "3x3" else (stride, 1)
                plan = [(filters, 1, first), (filters, 3, second), (filters * 4, 1, 1)]
            x = _residual_block(x, plan, f"stage{stage}_block{block}", style)
    if classes is None:
        return keras.Model(images, x, name=f"resnet{depth}")

    x = layers.GlobalAveragePooling2D(name="pool")(x)
    start = keras.initializers.RandomNormal(stddev=0.01)
    logits = layers.Dense(classes, kernel_initializer=start, name="logits")(x)
    return keras.Model(images, logits, name=f"resnet{depth}")


class _Style(NamedTuple):
    """What all convolutions of a network share."""

    bias: bool
    epsilon: float


def _residual_block(
    x: keras.KerasTensor, plan: list[tuple[int, int, int]], place: str, style: _Style
) -> keras.KerasTensor:
    """Add to `x`, or its projection, what two or three convolutions make of it.

    `plan` has filters, window and stride of each.
    """
    shortcut, outputs = x, plan[-1][0]
    stride = max(stride for _, _, stride in plan)
    if stride > 1 or x.shape[-1] != outputs:
        shortcut = _convolve(x, (outputs, 1, stride), f"{place}_shortcut_{{}}", style)
    for number, convolution in enumerate(plan, start=1):
        if number > 1:
            x = layers.ReLU(name=f"{place}_relu{number - 1}")(x)
        x = _convolve(x, convolution, f"{place}_{{}}{number}", style)
    x = layers.Add(name=f"{place}_add")([x, shortcut])
    return layers.ReLU(name=f"{place}_relu")(x)


def _convolve(
    x: keras.KerasTensor, convolution: tuple[int, int, int], place: str, style: _Style
) -> keras.KerasTensor:
    """Convolve and normalize. `place` is a name with {} for "conv" or "norm"."""
    filters, window, stride = convolution
    if window > 1 and stride > 1:
        x = layers.ZeroPadding2D(window // 2, name=place.format("pad"))(x)
    x = layers.Conv2D(
        filters,
        window,
        strides=stride,
        padding="valid" if stride > 1 else "same",
        use_bias=style.bias,
        # An initializer used twice would draw the same weights twice.
        kernel_initializer=keras.initializers.VarianceScaling(
            2.0, mode="fan_out", distribution="untruncated_normal"
        ),
        name=place.format("conv"),
    )(x)
    return layers.BatchNormalization(
        momentum=0.9, epsilon=style.epsilon, name=place.format("norm")
    )(x)
