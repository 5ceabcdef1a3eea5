"""WGAN-GP of residual blocks (Gulrajani et al. 2017, arXiv:1704.00028).

Two shapes: for sides up to 56 that of the paper's experiments on CIFAR-10, with 128
filters everywhere; for larger ones that of its authors' program for 64x64, with 64 to
512 filters.
"""

import math

import keras
from keras import layers

CIFAR_BLOCKS = 4  # of the critic; the first two halve the sides


def generator(
    image_shape: tuple[int, int, int],
    *,
    latent_size: int = 128,
    filters: int | None = None,
) -> keras.Model:
    """Build the network that turns noise into images, doubling the sides.

    Args:
        image_shape: (height, width, channels); height and width are 4, 5, 6 or 7 times
            the same power of 2, as 28, 32, 48, 64 and 96 are.
        latent_size: Numbers of noise an image.
        filters: For sides up to 56, of every block, 128 unless given. For larger ones,
            of the last block, 64 unless given; each block before it has twice as many,
            up to 8 times.

    Returns:
        A model from noise (batch, latent_size) to images (batch, *image_shape) in
        [-1, 1].

    Raises:
        ValueError: For other sides.

    Differs from the paper:
        - Shortcuts enlarge after their 1x1 convolution instead of before it: the same
          outputs by a quarter of the multiplications.
        - Convolutions before a batch norm have no bias at any size; in the authors'
          programs, at 64x64 only.
        - Batch norm's momentum is 0.9 and epsilon 1e-5; the paper gives neither.
    """
    widths = _widths(image_shape, filters)[::-1]
    scale = 2 ** (len(widths) - 1)
    start = (image_shape[0] // scale, image_shape[1] // scale, widths[0])

    noise = keras.Input((latent_size,), name="noise")
    x = layers.Dense(math.prod(start), name="project")(noise)
    x = layers.Reshape(start, name="reshape")(x)
    for block, width in enumerate(widths[1:], start=1):
        x = _up(x, width, f"block{block}")
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="norm")(x)
    x = layers.ReLU(name="relu")(x)
    images = layers.Conv2D(
        image_shape[2], 3, padding="same", activation="tanh", name="images"
    )(x)
    return keras.Model(noise, images, name="wgan_gp_resnet_generator")


def critic(
    image_shape: tuple[int, int, int], *, filters: int | None = None
) -> keras.Model:
    """Build the network that scores images; no score depends on another image.

    Args:
        image_shape: As of `generator`.
        filters: For sides up to 56, of every block, 128 unless given. For larger ones,
            of the first convolution, 64 unless given; each block after it has twice as
            many, up to 8 times.

    Returns:
        A model from images (batch, *image_shape) in [-1, 1] to scores (batch, 1), any
        real numbers.

    Raises:
        ValueError: For other sides.

    Differs from the paper:
        - Shortcuts shrink before their 1x1 convolution at every size; in the authors'
          program for CIFAR-10 only the first does. The outputs are the same.

    The critic of small images has no normalization, that of large ones layer
    normalization, as the paper's. It takes height, width and channels of an image at
    once and learns a scale and a shift for each channel.
    """
    widths = _widths(image_shape, filters)
    images = keras.Input(image_shape, name="images")
    if _is_small(widths):
        x = _down(images, widths[1], "block1", first=True)
        for block in range(2, CIFAR_BLOCKS + 1):
            halve = block == 2 and len(widths) > 2
            x = _down(x, widths[1], f"block{block}", halve=halve)
        x = layers.ReLU(name="relu")(x)
        x = layers.GlobalAveragePooling2D(name="pool")(x)
    else:
        x = layers.Conv2D(widths[0], 3, padding="same", name="conv")(images)
        for block, width in enumerate(widths[1:], start=1):
            x = _down(x, width, f"block{block}", normalized=True)
        x = layers.Flatten(name="flatten")(x)
    scores = layers.Dense(1, name="scores")(x)
    return keras.Model(images, scores, name="wgan_gp_resnet_critic")


def _up(x: keras.KerasTensor, filters: int, place: str) -> keras.KerasTensor:
    """Add to a shortcut two 3x3 convolutions, normalized before; double the sides."""
    shortcut = layers.Conv2D(filters, 1, name=f"{place}_shortcut")(x)
    shortcut = layers.UpSampling2D(2, name=f"{place}_shortcut_up")(shortcut)
    for layer in (1, 2):
        x = layers.BatchNormalization(
            momentum=0.9, epsilon=1e-5, name=f"{place}_norm{layer}"
        )(x)
        x = layers.ReLU(name=f"{place}_relu{layer}")(x)
        if layer == 1:
            x = layers.UpSampling2D(2, name=f"{place}_up")(x)
        x = _conv(x, filters, f"{place}_conv{layer}", use_bias=layer == 2)
    return layers.Add(name=f"{place}_add")([x, shortcut])


def _down(
    x: keras.KerasTensor,
    filters: int,
    place: str,
    *,
    halve: bool = True,
    normalized: bool = False,
    first: bool = False,
) -> keras.KerasTensor:
    """Add to a shortcut two 3x3 convolutions; halve the sides by the mean of 2x2.

    Args:
        x: (batch, height, width, channels).
        filters: Of the last convolution; the one before keeps the channels.
        place: The block's name.
        halve: Whether the sides halve; if not, and the channels stay, the shortcut is
            the identity.
        normalized: Whether layer normalization comes before each ReLU.
        first: The block takes images: no ReLU before it, and `filters` in both
            convolutions.
    """
    shortcut = x
    if halve:
        shortcut = layers.AveragePooling2D(2, name=f"{place}_shortcut_down")(shortcut)
    if halve or x.shape[-1] != filters:
        shortcut = layers.Conv2D(filters, 1, name=f"{place}_shortcut")(shortcut)
    for layer in (1, 2):
        if normalized:
            # One group is all channels. LayerNormalization over three axes would learn
            # a scale for every pixel of every channel.
            x = layers.GroupNormalization(
                groups=1, epsilon=1e-5, name=f"{place}_norm{layer}"
            )(x)
        if not (first and layer == 1):
            x = layers.ReLU(name=f"{place}_relu{layer}")(x)
        count = filters if first or layer == 2 else x.shape[-1]
        # Where a norm follows, its shift stands for the bias, as in the authors' code.
        use_bias = layer == 2 or not normalized
        x = _conv(x, count, f"{place}_conv{layer}", use_bias=use_bias)
    if halve:
        x = layers.AveragePooling2D(2, name=f"{place}_down")(x)
    return layers.Add(name=f"{place}_add")([x, shortcut])


def _conv(
    x: keras.KerasTensor, filters: int, name: str, *, use_bias: bool
) -> keras.KerasTensor:
    """Convolve 3x3. Weights start as in the authors' code: He's variance, mean fan."""
    return layers.Conv2D(
        filters,
        3,
        padding="same",
        use_bias=use_bias,
        kernel_initializer=keras.initializers.VarianceScaling(
            2.0, mode="fan_avg", distribution="uniform"
        ),
        name=name,
    )(x)


def _widths(image_shape: tuple[int, int, int], filters: int | None) -> list[int]:
    """Return the filters at each size, from whole images down to 4 to 7 pixels."""
    height, width, _ = image_shape
    halvings = max(1, (height // 4).bit_length() - 1)
    scale = 2**halvings
    if height % scale or width % scale or not 4 <= width // scale <= 7 or height < 8:
        raise ValueError(
            "height and width must be 4 to 7 times the same power of 2, at least 8, got"
            f" {image_shape}."
        )
    if halvings <= 3:
        return [filters or 128] * (halvings + 1)
    return [(filters or 64) * min(2**level, 8) for level in range(halvings + 1)]


def _is_small(widths: list[int]) -> bool:
    return len(widths) <= 4
