"""DCGAN: a GAN of strided convolutions (Radford et al. 2015, arXiv:1511.06434)."""

import math

import keras
from keras import layers

NORMALIZATIONS = ("batch", "layer", "none")


def generator(
    image_shape: tuple[int, int, int], *, latent_size: int = 100, filters: int = 64
) -> keras.Model:
    """Build the network that turns noise into images, doubling the sides.

    Args:
        image_shape: (height, width, channels); height and width are 4, 5, 6 or 7 times
            the same power of 2, as 28, 32, 48, 64 and 96 are.
        latent_size: Numbers of noise per image.
        filters: Of the last hidden layer; each layer before it has twice as many.

    Returns:
        A model from noise (batch, latent_size) to images (batch, *image_shape) in
        [-1, 1].

    Raises:
        ValueError: For other sides.

    Differs from the paper:
        - Transposed convolutions are 4x4: at stride 2 they cover all pixels alike, as
          the 5x5 ones of the authors' code do not.
        - 64 filters in the last hidden layer; the paper's figure 1 has 128.
        - Batch norm's momentum is 0.9 and epsilon 1e-5; the paper gives neither.
        - The noise is the task's, from N(0, 1); the paper draws it uniformly.
    """
    doublings = _halvings(image_shape)
    height, width, channels = image_shape
    widest = filters * 2 ** (doublings - 1)
    smallest = (height // 2**doublings, width // 2**doublings, widest)

    noise = keras.Input((latent_size,), name="noise")
    x = layers.Dense(
        math.prod(smallest),
        use_bias=False,  # the normalization makes it redundant
        kernel_initializer=_start(),
        name="project",
    )(noise)
    x = layers.Reshape(smallest, name="reshape")(x)
    x = layers.ReLU(name="relu0")(_batch_norm(x, "norm0"))
    for layer in range(1, doublings):
        x = layers.Conv2DTranspose(
            widest // 2**layer,
            4,
            strides=2,
            padding="same",
            use_bias=False,
            kernel_initializer=_start(),
            name=f"up{layer}",
        )(x)
        x = layers.ReLU(name=f"relu{layer}")(_batch_norm(x, f"norm{layer}"))
    images = layers.Conv2DTranspose(
        channels,
        4,
        strides=2,
        padding="same",
        activation="tanh",
        kernel_initializer=_start(),
        name="images",
    )(x)
    return keras.Model(noise, images, name="dcgan_generator")


def discriminator(
    image_shape: tuple[int, int, int],
    *,
    filters: int = 64,
    normalization: str = "batch",
) -> keras.Model:
    """Build the network that tells real images from generated ones, halving the sides.

    Args:
        image_shape: As of `generator`.
        filters: Of the first layer; each layer after it has twice as many.
        normalization: After every convolution but the first: "batch"; "layer", over
            height, width and channels of an image at once, with a scale and a shift for
            each channel (arXiv:1607.06450 as arXiv:1704.00028 uses it); or "none".
            Under a gradient penalty it must not be "batch": the penalty is about the
            score of one image, which must not depend on the others.

    Returns:
        A model from images (batch, *image_shape) in [-1, 1] to scores (batch, 1), the
        log-odds that they are real, or a critic's scores.

    Raises:
        ValueError: For other sides or another normalization.

    Differs from the paper:
        - No sigmoid at the end: it is part of the objective, where it cannot overflow.
        - 4x4 convolutions and 64 filters, as in `generator`.
        - Layer normalization and none are younger.
    """
    if normalization not in NORMALIZATIONS:
        raise ValueError(
            f"normalization must be one of {NORMALIZATIONS}, got {normalization!r}."
        )
    images = keras.Input(image_shape, name="images")
    x = images
    for layer in range(1, _halvings(image_shape) + 1):
        norm = normalization if layer > 1 else "none"
        x = layers.Conv2D(
            filters * 2 ** (layer - 1),
            4,
            strides=2,
            padding="same",
            use_bias=norm != "batch",  # which makes it redundant
            kernel_initializer=_start(),
            name=f"conv{layer}",
        )(x)
        if norm == "batch":
            x = _batch_norm(x, f"norm{layer}")
        elif norm == "layer":
            # One group is all channels. LayerNormalization over three axes would learn
            # a scale for every pixel of every channel.
            x = layers.GroupNormalization(1, epsilon=1e-5, name=f"norm{layer}")(x)
        x = layers.LeakyReLU(0.2, name=f"relu{layer}")(x)
    x = layers.Flatten(name="flatten")(x)
    scores = layers.Dense(1, kernel_initializer=_start(), name="scores")(x)
    return keras.Model(images, scores, name="dcgan_discriminator")


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


def _start() -> keras.initializers.Initializer:
    """Return N(0, 0.02^2) (section 4); used twice, it would draw the same weights."""
    return keras.initializers.RandomNormal(stddev=0.02)
