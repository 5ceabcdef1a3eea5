"""VAE: an autoencoder of probabilities (Kingma & Welling 2013, arXiv:1312.6114).

The encoder names a normal distribution of codes for each image, the decoder turns any
code drawn from it back into the image, and codes from N(0, 1) into new images.

A VAE trains under anybody's compile and fit: each of its two outputs has its own term
of the ELBO (eq. 10), and Keras adds them up and takes the mean over the batch.

    from classicnets import objectives

    def kl(_, posterior):
        return objectives.kl_to_standard_normal(*keras.ops.split(posterior, 2, axis=-1))

    def reconstruction(images, log_odds):
        return objectives.bernoulli_reconstruction(log_odds, images)

    network = vae((28, 28, 1))
    network.compile("adam", {"log_odds": reconstruction, "posterior": kl})
    network.fit(images, {"log_odds": images, "posterior": images})  # in [0, 1]
    new = keras.ops.sigmoid(network.get_layer("decoder")(noise))
"""

import math

import keras
from keras import layers, ops


def vae(
    image_shape: tuple[int, int, int],
    *,
    latent_size: int = 20,
    hidden_units: tuple[int, ...] = (400,),
) -> keras.Model:
    """Build the VAE of dense layers.

    Args:
        image_shape: (height, width, channels).
        latent_size: Numbers in a code.
        hidden_units: Units of the encoder's layers before the posterior, first to last;
            the decoder has them in reverse.

    Returns:
        A model from images (batch, *image_shape) in [0, 1] to a dict: "log_odds"
        (batch, *image_shape) of a code drawn from the posterior, in training, or of its
        mean; and "posterior" (batch, 2 * latent_size), the posterior's mean and log
        variance side by side. Its layers "encoder", from images to [mean,
        log_variance], each (batch, latent_size), and "decoder", from codes (batch,
        latent_size) to log-odds, are models.

    Differs from the paper:
        - ReLU, 400 hidden units and codes of 20 numbers; the paper has tanh, 500 hidden
          units for digits, and codes of 3 to 200 numbers (section 5, appendix C).
        - Weights start after He et al. 2015 (arXiv:1502.01852) before a ReLU and after
          Glorot & Bengio 2010 elsewhere; the paper draws them from N(0, 0.01).
        - Optimizer and batch size are left to the recipe; the paper has Adagrad, with a
          weight decay from a prior N(0, 1) of the weights, and batches of 100.
    """
    images = keras.Input(image_shape, name="images")
    x = layers.Flatten(name="flatten")(images)
    encoder = _encoder(images, _hidden(x, hidden_units), latent_size)

    codes = keras.Input((latent_size,), name="codes")
    x = _hidden(codes, hidden_units[::-1])
    x = layers.Dense(math.prod(image_shape), name="pixels")(x)
    log_odds = layers.Reshape(image_shape, name="log_odds")(x)
    decoder = keras.Model(codes, log_odds, name="decoder")
    return _join(encoder, decoder, "vae")


def conv_vae(
    image_shape: tuple[int, int, int],
    *,
    latent_size: int = 20,
    filters: tuple[int, ...] = (32, 64),
    hidden_units: tuple[int, ...] = (256,),
) -> keras.Model:
    """Build the VAE whose outer layers are convolutions.

    Args:
        image_shape: (height, width, channels); height and width are multiples of
            2 ** len(filters).
        latent_size: Numbers in a code.
        filters: Of the encoder's convolutions, each of which halves the sides; the
            decoder mirrors them by transposed convolutions.
        hidden_units: Units of the dense layers between them and the posterior.

    Returns:
        A model as of `vae`.

    Raises:
        ValueError: For sides that do not halve evenly.

    Differs from the paper:
        - Convolutions 4x4 of stride 2, which the paper does not have: a window's side
          is a multiple of the stride, so that transposed ones cover all pixels alike.
          The rest is as in `vae`.
    """
    smallest = (*_smallest(image_shape, len(filters)), filters[-1])
    images = keras.Input(image_shape, name="images")
    x = images
    for layer, count in enumerate(filters, start=1):
        x = _convolve(layers.Conv2D, x, count, f"conv{layer}")
    x = layers.Flatten(name="flatten")(x)
    encoder = _encoder(images, _hidden(x, hidden_units), latent_size)

    codes = keras.Input((latent_size,), name="codes")
    x = _hidden(codes, (*hidden_units[::-1], math.prod(smallest)))
    x = layers.Reshape(smallest, name="unflatten")(x)
    for layer, count in enumerate(filters[-2::-1], start=1):
        x = _convolve(layers.Conv2DTranspose, x, count, f"up{layer}")
    log_odds = layers.Conv2DTranspose(
        image_shape[2], 4, strides=2, padding="same", name="log_odds"
    )(x)
    decoder = keras.Model(codes, log_odds, name="decoder")
    return _join(encoder, decoder, "conv_vae")


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


def _encoder(
    images: keras.KerasTensor, x: keras.KerasTensor, latent_size: int
) -> keras.Model:
    """End the encoder in two layers: one for both would give the same numbers."""
    mean = layers.Dense(latent_size, name="mean")(x)
    log_variance = layers.Dense(latent_size, name="log_variance")(x)
    return keras.Model(images, [mean, log_variance], name="encoder")


def _join(encoder: keras.Model, decoder: keras.Model, name: str) -> keras.Model:
    """Draw a code from the posterior, by Keras's own layers alone (section 2.4).

    A layer of ours would be needed to load the file. GaussianNoise adds N(0, 1) to the
    zeros in training and nothing otherwise, when the code is the mean.
    """
    images = keras.Input(encoder.input_shape[1:], name="images")
    mean, log_variance = encoder(images)
    noise = layers.GaussianNoise(1.0, name="noise")(ops.zeros_like(mean))
    code = mean + ops.exp(0.5 * log_variance) * noise
    posterior = layers.Concatenate(name="posterior")([mean, log_variance])
    outputs = {"log_odds": decoder(code), "posterior": posterior}
    return keras.Model(images, outputs, name=name)
