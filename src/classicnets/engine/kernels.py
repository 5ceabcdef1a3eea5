"""Which Keras layers a faster kernel may stand for: those without special options."""

from keras import activations, layers


def is_plain_batch_norm(layer, shape) -> bool:
    """Whether the layer normalizes the last axis of images, with gamma and beta."""
    if type(layer) is not layers.BatchNormalization or len(shape or ()) != 4:
        return False
    return layer.axis in (-1, 3) and layer.scale and layer.center and not layer.renorm


def is_plain_lstm(layer) -> bool:
    """Whether the layer is the textbook's LSTM from (batch, steps, features) to its
    output at every step."""
    return (
        type(layer) is layers.LSTM
        and layer.return_sequences
        and layer.use_bias
        and layer.activation is activations.tanh
        and layer.recurrent_activation is activations.sigmoid
        and not (layer.return_state or layer.stateful or layer.go_backwards)
        and not (layer.dropout or layer.recurrent_dropout)
    )
