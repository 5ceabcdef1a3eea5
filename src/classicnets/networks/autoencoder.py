"""Autoencoder: images through a bottleneck (Hinton & Salakhutdinov 2006, Science 313).

The encoder turns an image into a short code, the decoder turns the code back into the
image. Science 313(5786), pages 504 to 507.
"""

import math

import keras
from keras import layers


def autoencoder(
    image_shape: tuple[int, int, int],
    *,
    latent_size: int = 30,
    hidden_units: tuple[int, ...] = (1000, 500, 250),
) -> keras.Model:
    """Build the autoencoder of dense layers.

    The target is the input, so it trains under anybody's compile and fit:

        network = autoencoder((28, 28, 1), latent_size=2)
        network.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
        network.fit(images, images)

    Args:
        image_shape: (height, width, channels).
        latent_size: Numbers in a code; with 2 the codes are a map of the images.
        hidden_units: Units of the encoder's layers before the code, first to last; the
            decoder has them in reverse.

    Returns:
        A model from images (batch, *image_shape) in [0, 1] to log-odds of the same
        shape; their sigmoid is the reconstruction. Its layers "encoder", from images to
        codes (batch, latent_size), and "decoder", from codes to log-odds, are models.

    Differs from the paper:
        - All layers learn together, from a start after He et al. 2015
          (arXiv:1502.01852). The paper first trains each layer as a restricted
          Boltzmann machine, since deep networks did not learn otherwise then.
        - ReLU; the paper has logistic units. The code is linear in both.
        - `hidden_units` and `latent_size` are free; the paper's for digits are
          784-1000-500-250-30 and, for its map, 784-1000-500-250-2.
    """
    images = keras.Input(image_shape, name="images")
    x = layers.Flatten(name="flatten")(images)
    code = layers.Dense(latent_size, name="code")(_hidden(x, hidden_units))
    encoder = keras.Model(images, code, name="encoder")

    codes = keras.Input((latent_size,), name="codes")
    x = _hidden(codes, hidden_units[::-1])
    x = layers.Dense(math.prod(image_shape), name="pixels")(x)
    log_odds = layers.Reshape(image_shape, name="log_odds")(x)
    decoder = keras.Model(codes, log_odds, name="decoder")
    return keras.Model(images, decoder(encoder(images)), name="autoencoder")


def conv_autoencoder(
    image_shape: tuple[int, int, int],
    *,
    latent_size: int = 30,
    filters: tuple[int, ...] = (32, 64),
    hidden_units: tuple[int, ...] = (256,),
) -> keras.Model:
    """Build the autoencoder whose outer layers are convolutions.

    It is trained as `autoencoder` is.

    Args:
        image_shape: (height, width, channels); height and width are multiples of
            2 ** len(filters).
        latent_size: Numbers in a code.
        filters: Of the encoder's convolutions, each of which halves the sides; the
            decoder mirrors them by transposed convolutions.
        hidden_units: Units of the dense layers between them and the code.

    Returns:
        A model as of `autoencoder`.

    Raises:
        ValueError: For sides that do not halve evenly.

    Differs from the paper:
        - Convolutions 4x4 of stride 2, which the paper does not have: a window's side
          is a multiple of the stride, so that transposed ones cover all pixels alike.
          The rest is as in `autoencoder`.
    """
    smallest = (*_smallest(image_shape, len(filters)), filters[-1])
    images = keras.Input(image_shape, name="images")
    x = images
    for layer, count in enumerate(filters, start=1):
        x = _convolve(layers.Conv2D, x, count, f"conv{layer}")
    x = layers.Flatten(name="flatten")(x)
    code = layers.Dense(latent_size, name="code")(_hidden(x, hidden_units))
    encoder = keras.Model(images, code, name="encoder")

    codes = keras.Input((latent_size,), name="codes")
    x = _hidden(codes, (*hidden_units[::-1], math.prod(smallest)))
    x = layers.Reshape(smallest, name="unflatten")(x)
    for layer, count in enumerate(filters[-2::-1], start=1):
        x = _convolve(layers.Conv2DTranspose, x, count, f"up{layer}")
    log_odds = layers.Conv2DTranspose(
        image_shape[2], 4, strides=2, padding="same", name="log_odds"
    )(x)
    decoder = keras.Model(codes, log_odds, name="decoder")
    return keras.Model(images, decoder(encoder(images)), name="conv_autoencoder")


def _smallest(image_shape: tuple[int, int, int], halvings: int) -> tuple[int, int]:
    """Return height and width once they are halved so often, or raise a ValueError."""
    height, width, _ = image_shape
    scale = 2**halvings
    if height % scale or width % scale:
        raise ValueError(
            f"height and width must be multiples of {scale}, got {image_shape}."
        )
    return height // scale, width // scale


def _convolve(
    convolution: type[layers.Layer], x: keras.KerasTensor, filters: int, name: str
) -> keras.KerasTensor:
    """Halve the sides, or double them where the convolution is a transposed one."""
    return convolution(
        filters,
        4,
        strides=2,
        padding="same",
        activation="relu",
        kernel_initializer="he_normal",
        name=name,
    )(x)


def _hidden(x: keras.KerasTensor, units: tuple[int, ...]) -> keras.KerasTensor:
    for layer, size in enumerate(units, start=1):
        x = layers.Dense(
            size,
            activation="relu",
            kernel_initializer="he_normal",
            name=f"hidden{layer}",
        )(x)
    return x
