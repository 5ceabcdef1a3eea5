"""VGG: stacks of 3x3 convolutions (Simonyan & Zisserman 2015, arXiv:1409.1556)."""

import keras
from keras import layers

# Convolutions in each of the five blocks, by depth (table 1, columns A, B, D, E).
BLOCKS = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
FILTERS = (64, 128, 256, 512, 512)


def vgg(
    input_shape: tuple[int, int, int],
    classes: int | None,
    *,
    depth: int = 16,
    batch_norm: bool = False,
    hidden_units: tuple[int, ...] = (4096, 4096),
    dropout: float = 0.5,
    pool_padding: str = "valid",
) -> keras.Model:
    """Build the VGG classifier.

    Each block halves the sides, rounded down: 224x224 reaches the dense layers as
    7x7x512, 32x32 as 1x1x512. The head thus takes one input size; build the features
    alone (`classes=None`) for others.

    Args:
        input_shape: (height, width, channels); height and width at least 32, unless
            `pool_padding` is "same".
        classes: Number of classes, or None for the features without the head.
        depth: Layers with weights in the paper's network: 11, 13, 16 or 19.
        batch_norm: Normalize after every convolution.
        hidden_units: Units of the dense layers before the last; () for none.
        dropout: Fraction of those units dropped in training, in [0, 1).
        pool_padding: "valid", where each block rounds odd sides down as in the paper,
            or "same", where it rounds them up, so that smaller images pass. Sides that
            are multiples of 32 come out the same.

    Returns:
        A model from images (batch, height, width, channels), scaled to about zero mean
        and unit variance, to logits (batch, classes); without the head, to features
        (batch, height // 32, width // 32, 512).

    Raises:
        ValueError: For another depth or padding, or sides that vanish in the pooling.

    Differs from the paper:
        - Weights start as in He et al. 2015 by the inputs (arXiv:1502.01852, fan-in,
          eq. 10), the hidden dense layers too, the last layer from N(0, 0.01^2).
          The paper draws column A from N(0, 0.1^2), trains it, and starts the deeper
          columns from its layers. torchvision: fan-out (eq. 14), dense layers from
          N(0, 0.01^2).
        - Batch normalization (momentum 0.9, epsilon 1e-5), an option, is younger.
          Its convolutions keep their biases, as torchvision's do.
        - No local response normalization (column A-LRN), no 1x1 convolutions
          (column C).
        - `hidden_units` and `input_shape` are free; the paper's are (4096, 4096) and
          (224, 224, 3). Other inputs change the size of the first dense layer only.
    """
    if depth not in BLOCKS:
        raise ValueError(f"depth must be one of {sorted(BLOCKS)}, got {depth}.")
    if pool_padding not in ("valid", "same"):
        raise ValueError(f"pool_padding must be valid or same, got {pool_padding!r}.")
    if pool_padding == "valid" and min(side or 32 for side in input_shape[:2]) < 32:
        raise ValueError(
            "height and width must be at least 32, or pool_padding must be same, got"
            f" {input_shape}."
        )

    images = keras.Input(input_shape, name="images")
    x = images
    for block, filters in enumerate(FILTERS, start=1):
        for convolution in range(1, BLOCKS[depth][block - 1] + 1):
            x = _convolve(x, filters, f"block{block}_{{}}{convolution}", batch_norm)
        pool = layers.MaxPooling2D(2, padding=pool_padding, name=f"block{block}_pool")
        x = pool(x)
    name = f"vgg{depth}_bn" if batch_norm else f"vgg{depth}"
    if classes is None:
        return keras.Model(images, x, name=name)

    x = layers.Flatten(name="flatten")(x)
    for layer, units in enumerate(hidden_units, start=1):
        x = layers.Dense(
            units,
            activation="relu",
            kernel_initializer="he_normal",
            name=f"hidden{layer}",
        )(x)
        x = layers.Dropout(dropout, name=f"dropout{layer}")(x)
    start = keras.initializers.RandomNormal(stddev=0.01)
    logits = layers.Dense(classes, kernel_initializer=start, name="logits")(x)
    return keras.Model(images, logits, name=name)


def _convolve(
    x: keras.KerasTensor, filters: int, place: str, batch_norm: bool
) -> keras.KerasTensor:
    """Convolve 3x3 and rectify. `place` is a name with {} for what the layer is."""
    x = layers.Conv2D(
        filters,
        3,
        padding="same",
        kernel_initializer="he_normal",
        name=place.format("conv"),
    )(x)
    if batch_norm:
        x = layers.BatchNormalization(
            momentum=0.9, epsilon=1e-5, name=place.format("norm")
        )(x)
    return layers.ReLU(name=place.format("relu"))(x)
