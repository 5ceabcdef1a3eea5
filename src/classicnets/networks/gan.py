"""GAN: generator against discriminator (Goodfellow et al. 2014, arXiv:1406.2661)."""

import math

import keras
from keras import layers


def generator(
    image_shape: tuple[int, int, int],
    *,
    latent_size: int = 100,
    generator_units: tuple[int, ...] = (1200, 1200),
) -> keras.Model:
    """Build the network of dense layers that turns noise into images.

    Args:
        image_shape: (height, width, channels).
        latent_size: Numbers of noise per image.
        generator_units: Units of the hidden layers, first to last.

    Returns:
        A model from noise (batch, latent_size) to images (batch, *image_shape) in
        [-1, 1].

    Differs from the paper:
        - ReLU in every hidden layer, where the paper has a mixture of ReLU and sigmoid
          (section 5); tanh and pixels in [-1, 1]. The sizes are free: the paper names
          none.
        - Weights start after He et al. 2015 (arXiv:1502.01852).
    """
    noise = keras.Input((latent_size,), name="noise")
    x = noise
    for layer, units in enumerate(generator_units, start=1):
        x = layers.Dense(
            units,
            activation="relu",
            kernel_initializer="he_normal",
            name=f"hidden{layer}",
        )(x)
    x = layers.Dense(math.prod(image_shape), activation="tanh", name="pixels")(x)
    images = layers.Reshape(image_shape, name="images")(x)
    return keras.Model(noise, images, name="gan_generator")


def discriminator(
    image_shape: tuple[int, int, int],
    *,
    discriminator_units: tuple[int, ...] = (1200, 240),
    dropout: float = 0.3,
) -> keras.Model:
    """Build the network of dense layers that tells real images from generated ones.

    Args:
        image_shape: (height, width, channels).
        discriminator_units: Units of the hidden layers, first to last.
        dropout: Fraction of them dropped in training, in [0, 1). A critic under a
            gradient penalty wants 0: the penalty is about one function.

    Returns:
        A model from images (batch, *image_shape) in [-1, 1] to scores (batch, 1), the
        log-odds that they are real.

    Differs from the paper:
        - Leaky ReLU of slope 0.2; the paper's hidden layers are maxout (section 5),
          each unit the largest of several linear functions.
        - No sigmoid at the end: it is part of the objective, where it cannot overflow.
        - The amount of dropout and the sizes are free: the paper names none.
        - Weights start after He et al. 2015 (arXiv:1502.01852).
    """
    images = keras.Input(image_shape, name="images")
    x = layers.Flatten(name="flatten")(images)
    for layer, units in enumerate(discriminator_units, start=1):
        x = layers.Dense(units, kernel_initializer="he_normal", name=f"hidden{layer}")(
            x
        )
        x = layers.LeakyReLU(0.2, name=f"relu{layer}")(x)
        x = layers.Dropout(dropout, name=f"dropout{layer}")(x)
    scores = layers.Dense(1, name="scores")(x)
    return keras.Model(images, scores, name="gan_discriminator")
