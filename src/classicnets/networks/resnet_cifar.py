"""ResNet for CIFAR, option A shortcuts (He et al. 2015, arXiv:1512.03385)."""

import keras
from keras import layers, ops

FILTERS = (16, 32, 64)


def resnet_cifar(
    input_shape: tuple[int, int, int], classes: int | None, *, depth: int = 20
) -> keras.Model:
    """Build the residual network of the paper's section 4.2.

    A shortcut into a wider stage takes every second pixel and pads the new channels
    with zeros (option A), so shortcuts have no weights.

    Args:
        input_shape: (height, width, channels); (32, 32, 3) in the paper. Height and
            width may be None.
        classes: Number of classes, or None for the features without the head.
        depth: Layers with weights, 6n + 2: 20, 32, 44, 56 or 110 in the paper.

    Returns:
        A model from images (batch, height, width, channels), scaled to about zero mean
        and unit variance, to logits (batch, classes); without the head, to features
        (batch, height / 4, width / 4, 64), rounded up.

    Raises:
        ValueError: For a depth that is not 6n + 2.

    Differs from the paper:
        - Weights start as in He et al. 2015 (arXiv:1502.01852) by the outputs
          (fan-out, eq. 14); the paper cites that article and not the equation. The
          last layer starts from N(0, 0.01^2) (arXiv:1706.02677, section 5.1).
        - Batch norm's momentum is 0.9 and epsilon 1e-5; the paper gives neither.
        - The paper warms ResNet-110 up at a learning rate of 0.01: that is left to
          the recipe.
    """
    blocks_per_stage, remainder = divmod(depth - 2, 6)
    if remainder or blocks_per_stage < 1:
        raise ValueError(f"depth must be 6n + 2 with n >= 1, got {depth}.")

    images = keras.Input(input_shape, name="images")
    x = convolve(images, FILTERS[0], 1, "stem_{}")
    x = layers.ReLU(name="stem_relu")(x)
    for stage, filters in enumerate(FILTERS, start=1):
        for block in range(1, blocks_per_stage + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            x = residual_block(x, filters, stride, f"stage{stage}_block{block}")
    if classes is None:
        return keras.Model(images, x, name=f"resnet{depth}")

    x = layers.GlobalAveragePooling2D(name="pool")(x)
    start = keras.initializers.RandomNormal(stddev=0.01)
    logits = layers.Dense(classes, kernel_initializer=start, name="logits")(x)
    return keras.Model(images, logits, name=f"resnet{depth}")


def residual_block(
    x: keras.KerasTensor, filters: int, stride: int, place: str
) -> keras.KerasTensor:
    """Add to `x`, subsampled and widened if need be, two 3x3 convolutions of it."""
    shortcut = x
    if stride > 1:
        shortcut = layers.AveragePooling2D(1, stride, name=f"{place}_subsample")(x)
        new_channels = filters - x.shape[-1]
        shortcut = ops.pad(shortcut, [(0, 0), (0, 0), (0, 0), (0, new_channels)])
    x = convolve(x, filters, stride, f"{place}_{{}}1")
    x = layers.ReLU(name=f"{place}_relu1")(x)
    x = convolve(x, filters, 1, f"{place}_{{}}2")
    x = layers.Add(name=f"{place}_add")([x, shortcut])
    return layers.ReLU(name=f"{place}_relu")(x)


def convolve(
    x: keras.KerasTensor, filters: int, stride: int, place: str
) -> keras.KerasTensor:
    """Convolve 3x3 and normalize. `place` is a name with {} for "conv" or "norm"."""
    if stride > 1:
        # "same" would pad only bottom and right: the windows would then sit one
        # pixel off those that the shortcut takes.
        x = layers.ZeroPadding2D(1, name=place.format("pad"))(x)
    x = layers.Conv2D(
        filters,
        3,
        strides=stride,
        padding="valid" if stride > 1 else "same",
        use_bias=False,  # the normalization makes it redundant
        # An initializer used twice would draw the same weights twice.
        kernel_initializer=keras.initializers.VarianceScaling(
            2.0, mode="fan_out", distribution="untruncated_normal"
        ),
        name=place.format("conv"),
    )(x)
    return layers.BatchNormalization(
        momentum=0.9, epsilon=1e-5, name=place.format("norm")
    )(x)
