"""WGAN-GP of residual blocks (Gulrajani et al. 2017, arXiv:1704.00028).

There are two shapes: for sides up to 56 that of the paper's experiments on CIFAR-10,
with 128 filters everywhere; for larger ones that of its authors' program for 64x64,
with 64 to 512 filters.
"""

import math

import keras
from keras import layers

SMALL = 3  # halvings of the largest small shape, 56 to 7 pixels


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
        latent_size: Numbers of noise per image.
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
    halvings = _halvings(image_shape)
    if halvings <= SMALL:
        widths = [filters or 128] * (halvings + 1)
    else:
        widths = [(filters or 64) * min(2**k, 8) for k in range(halvings, -1, -1)]
    height, width, channels = image_shape
    start = (height // 2**halvings, width // 2**halvings, widths[0])

    noise = keras.Input((latent_size,), name="noise")
    x = layers.Dense(math.prod(start), name="project")(noise)
    x = layers.Reshape(start, name="reshape")(x)
    for block, count in enumerate(widths[1:], start=1):
        x = _up(x, count, f"block{block}")
    x = _batch_norm(x, "norm")
    x = layers.ReLU(name="relu")(x)
    images = layers.Conv2D(
        channels, 3, padding="same", activation="tanh", name="images"
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
    """
    halvings = _halvings(image_shape)
    images = keras.Input(image_shape, name="images")
    if halvings <= SMALL:
        x = _small_critic(images, filters or 128, halvings)
    else:
        x = _large_critic(images, filters or 64, halvings)
    scores = layers.Dense(1, name="scores")(x)
    return keras.Model(images, scores, name="wgan_gp_resnet_critic")


def _small_critic(
    x: keras.KerasTensor, filters: int, halvings: int
) -> keras.KerasTensor:
    """Return the features of the paper's critic for CIFAR-10, which has no norm."""
    # The first block takes images: no ReLU comes before it.
    shortcut = _shrink(x, filters, "block1")
    x = _conv(x, filters, "block1_conv1")
    x = layers.ReLU(name="block1_relu2")(x)
    x = _conv(x, filters, "block1_conv2")
    x = layers.AveragePooling2D(2, name="block1_down")(x)
    x = layers.Add(name="block1_add")([x, shortcut])
    for block in (2, 3, 4):
        place, halves = f"block{block}", block == 2 and halvings > 1
        shortcut = _shrink(x, filters, place) if halves else x
        for layer in (1, 2):
            x = layers.ReLU(name=f"{place}_relu{layer}")(x)
            x = _conv(x, filters, f"{place}_conv{layer}")
        if halves:
            x = layers.AveragePooling2D(2, name=f"{place}_down")(x)
        x = layers.Add(name=f"{place}_add")([x, shortcut])
    x = layers.ReLU(name="relu")(x)
    return layers.GlobalAveragePooling2D(name="pool")(x)


def _large_critic(
    x: keras.KerasTensor, filters: int, halvings: int
) -> keras.KerasTensor:
    """Return the features of the authors' critic for 64x64, with layer normalization.

    It takes height, width and channels of an image at once and learns a scale and a
    shift for each channel.
    """
    x = layers.Conv2D(filters, 3, padding="same", name="conv")(x)
    for block in range(1, halvings + 1):
        place, width = f"block{block}", filters * min(2**block, 8)
        shortcut = _shrink(x, width, place)
        for layer, count in enumerate((x.shape[-1], width), start=1):
            # One group is all channels. LayerNormalization over three axes would learn
            # a scale for every pixel of every channel.
            norm = layers.GroupNormalization(
                1, epsilon=1e-5, name=f"{place}_norm{layer}"
            )
            x = norm(x)
            x = layers.ReLU(name=f"{place}_relu{layer}")(x)
            # Where a norm follows, its shift stands for the bias.
            x = _conv(x, count, f"{place}_conv{layer}", use_bias=layer == 2)
        x = layers.AveragePooling2D(2, name=f"{place}_down")(x)
        x = layers.Add(name=f"{place}_add")([x, shortcut])
    return layers.Flatten(name="flatten")(x)


def _shrink(x: keras.KerasTensor, filters: int, place: str) -> keras.KerasTensor:
    """Return the shortcut of a block that halves the sides, by the mean of 2x2."""
    x = layers.AveragePooling2D(2, name=f"{place}_shortcut_down")(x)
    return layers.Conv2D(filters, 1, name=f"{place}_shortcut")(x)


def _up(x: keras.KerasTensor, filters: int, place: str) -> keras.KerasTensor:
    """Add to a shortcut two 3x3 convolutions, normalized before; double the sides."""
    shortcut = layers.Conv2D(filters, 1, name=f"{place}_shortcut")(x)
    shortcut = layers.UpSampling2D(2, name=f"{place}_shortcut_up")(shortcut)
    for layer in (1, 2):
        x = _batch_norm(x, f"{place}_norm{layer}")
        x = layers.ReLU(name=f"{place}_relu{layer}")(x)
        if layer == 1:
            x = layers.UpSampling2D(2, name=f"{place}_up")(x)
        x = _conv(x, filters, f"{place}_conv{layer}", use_bias=layer == 2)
    return layers.Add(name=f"{place}_add")([x, shortcut])


def _conv(
    x: keras.KerasTensor, filters: int, name: str, *, use_bias: bool = True
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


def _batch_norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def _halvings(image_shape: tuple[int, int, int]) -> int:
    """Return how often both sides halve until they are 4 to 7 pixels."""
    height, width, _ = image_shape
    times = max(1, (height // 4).bit_length() - 1)
    scale = 2**times
    if height % scale or width % scale or not 4 <= width // scale <= 7 or height < 8:
        raise ValueError(
            "height and width must be 4 to 7 times the same power of 2, at least 8, got"
            f" {image_shape}."
        )
    return times
