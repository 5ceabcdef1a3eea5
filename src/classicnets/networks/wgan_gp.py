"""WGAN-GP, a small one for 64x64 (Gulrajani et al. 2017, arXiv:1704.00028).

The shapes are those of a tutorial of 2021 on anime faces; the paper's own are those of
`wgan_gp_resnet`, and those of `dcgan` with layer normalization.
"""

import keras
from keras import layers

# Window and stride of the three convolutions of each network, none of them padded.
UP = ((3, 3), (5, 2), (4, 3))
DOWN = ((5, 3), (5, 3), (5, 3))


def generator(
    image_shape: tuple[int, int, int], *, latent_size: int = 100
) -> keras.Model:
    """Build the network that turns noise into images.

    From s pixels a side the transposed convolutions make 3s, 6s + 3 and 18s + 10: of 3
    they make 64.

    Args:
        image_shape: (height, width, channels), sides of 18s + 10: 64, 82, 100, ...
        latent_size: Numbers of noise per image.

    Returns:
        A model from noise (batch, latent_size) to images (batch, *image_shape) in
        [-1, 1].

    Raises:
        ValueError: For sides that it cannot make; it names the nearest that it can.

    Differs from the paper:
        - Unpadded transposed convolutions of strides 3, 2 and 3; the paper's generators
          double the sides. Leaky ReLU of slope 0.2 instead of ReLU.
        - Noise of 100 numbers; the authors' code has 128.
        - Weights start after Glorot & Bengio 2010; in the authors' code after He et
          al. 2015.
        - Batch norm's momentum is 0.9 and epsilon 1e-5; the paper gives neither.
    """
    height, width, channels = image_shape
    start = [max(1, round((side - 10) / 18)) for side in (height, width)]
    nearest = (*(18 * side + 10 for side in start), channels)
    if nearest != tuple(image_shape):
        raise ValueError(
            "height and width must be 18s + 10 for an integer s >= 1: the generator"
            f" makes {nearest}, got {image_shape}."
        )
    noise = keras.Input((latent_size,), name="noise")
    x = layers.Dense(start[0] * start[1] * 512, name="project")(noise)
    x = layers.Reshape((*start, 512), name="reshape")(x)
    x = layers.LeakyReLU(0.2, name="relu0")(x)
    for layer, filters in enumerate((256, 128), start=1):
        window, stride = UP[layer - 1]
        x = layers.Conv2DTranspose(
            filters,
            window,
            strides=stride,
            use_bias=False,  # the normalization makes it redundant
            name=f"up{layer}",
        )(x)
        norm = layers.BatchNormalization(
            momentum=0.9, epsilon=1e-5, name=f"norm{layer}"
        )
        x = norm(x)
        x = layers.LeakyReLU(0.2, name=f"relu{layer}")(x)
    window, stride = UP[-1]
    images = layers.Conv2DTranspose(
        channels, window, strides=stride, activation="tanh", name="images"
    )(x)
    return keras.Model(noise, images, name="wgan_gp_generator")


def critic(image_shape: tuple[int, int, int]) -> keras.Model:
    """Build the network that scores images; no score depends on another image.

    Args:
        image_shape: (height, width, channels), sides of at least 53.

    Returns:
        A model from images (batch, *image_shape) in [-1, 1] to scores (batch, 1), any
        real numbers.

    Raises:
        ValueError: For sides that vanish in the convolutions.

    Differs from the paper:
        - Unpadded convolutions 5x5 of stride 3; the paper's critics halve the sides.
        - Layer normalization takes height, width and channels of an image at once and
          learns a scale and a shift for each channel, as in the paper's code. The
          tutorial has batch norm here, which ties the images of a batch together: the
          penalty is no longer one on each image's own gradient (section 4).
        - Weights start after Glorot & Bengio 2010; in the authors' code after He et
          al. 2015.
    """
    # Backwards from 1 pixel: 5, 5 + 3 * 4 = 17, 5 + 3 * 16 = 53.
    if min(image_shape[:2]) < 53:
        raise ValueError(
            "height and width must be at least 53, or the critic's convolutions leave"
            f" nothing of them, got {image_shape}."
        )
    images = keras.Input(image_shape, name="images")
    x = images
    for layer, filters in enumerate((64, 128, 256), start=1):
        window, stride = DOWN[layer - 1]
        x = layers.Conv2D(filters, window, strides=stride, name=f"conv{layer}")(x)
        if layer > 1:
            # One group is all channels. LayerNormalization over three axes would learn
            # a scale for every pixel of every channel.
            x = layers.GroupNormalization(1, epsilon=1e-5, name=f"norm{layer}")(x)
        x = layers.LeakyReLU(0.2, name=f"relu{layer}")(x)
    x = layers.Flatten(name="flatten")(x)
    scores = layers.Dense(1, name="scores")(x)
    return keras.Model(images, scores, name="wgan_gp_critic")
