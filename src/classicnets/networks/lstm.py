"""LSTM: recurrent layers with gates (Hochreiter & Schmidhuber 1997, Neural Comp. 9).

The forget gate is that of Gers, Schmidhuber & Cummins 2000 (Neural Computation 12(10)).
"""

import functools
from typing import Any

import keras
from keras import layers, ops

POOLINGS = ("last", "mean", "max")

# Adam's steps are alike for all weights, and a vote is a small part of its logit.
_VOTE = 15.0


def lstm_step(
    x: Any, h: Any, c: Any, kernel: Any, recurrent_kernel: Any, bias: Any
) -> tuple[Any, Any]:
    """Take one step of an LSTM, written out; `lstm` itself uses `keras.layers.LSTM`.

        i = sigmoid(x W_i + h U_i + b_i)    what to write     (1997: in_j)
        f = sigmoid(x W_f + h U_f + b_f)    what to keep      (2000: the forget gate)
        g =    tanh(x W_c + h U_c + b_c)    what is new
        o = sigmoid(x W_o + h U_o + b_o)    what to show      (1997: out_j)
        c' = f * c + i * g                  the cell: 1997 has f = 1
        h' = o * tanh(c')

    Args:
        x: (batch, features), this step's input.
        h: (batch, units), the output of the step before; zeros at first.
        c: (batch, units), the cell after the step before; zeros at first.
        kernel: (features, 4 * units), W_i, W_f, W_c and W_o side by side.
        recurrent_kernel: (units, 4 * units), the U, in the same order.
        bias: (4 * units,), the b, in the same order.

    Returns:
        (h', c'), each (batch, units).
    """
    gates = ops.matmul(x, kernel) + ops.matmul(h, recurrent_kernel) + bias
    i, f, g, o = ops.split(gates, 4, axis=-1)
    c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
    h = ops.sigmoid(o) * ops.tanh(c)
    return h, c


def lstm(
    input_shape: tuple[int | None, ...],
    classes: int | None,
    *,
    units: tuple[int, ...] = (64, 64),
    bidirectional: bool = False,
    pooling: str = "last",
    vocabulary_size: int = 20_000,
    embedding_size: int = 100,
    word_dropout: float = 0.0,
    embedding_dropout: float = 0.0,
    dropout: float = 0.0,
    votes: int = 0,
) -> keras.Model:
    """Build the LSTM classifier.

    Texts come as tokens, padded with 0 at their ends, or at their beginnings. The
    result does not depend on which and how far: a forward layer meets the padding after
    the text, a backward layer reads each text from its own last token, and pooling
    leaves the padding out.

    Args:
        input_shape: (length,) of int32 tokens, where length may be None; (steps,
            features) of a sequence of vectors; or (height, width, channels) of an
            image, read row by row.
        classes: Number of classes, or None for the features without the head.
        units: Units of each recurrent layer, first to last.
        bidirectional: Read backwards too, by as many units, in every layer
            (Schuster & Paliwal 1997).
        pooling: What stands for the whole sequence: "last", the state after the last
            token (backwards: after the first); "mean" or "max" over the steps.
        vocabulary_size: Tokens are below it.
        embedding_size: Numbers that stand for a token.
        word_dropout: Fraction of a text's tokens left out in training, in [0, 1).
        embedding_dropout: Fraction of those numbers dropped in training, the same ones
            for all tokens of a text, in [0, 1).
        dropout: Fraction dropped after each recurrent layer in training, in [0, 1).
        votes: Of texts, beside the LSTM each word and each pair of neighbouring words
            votes for the classes, a linear model whose logits are added (Cheng et al.
            2016, arXiv:1606.07792). Pairs share so many rows of a table, by a hash
            (Joulin et al. 2016, arXiv:1607.01759, section 2.1). 0: no votes. All start
            at 0; `word_ratios` and `pair_ratios` weigh them, and are 1 until
            `data.log_count_ratios` of the training texts are put there (Wang & Manning
            2012, Baselines and Bigrams).

    Returns:
        A model from (batch, *input_shape) to logits (batch, classes); without the head,
        to features (batch, units[-1]), or twice as many when bidirectional.

    Raises:
        ValueError: For no layers, another pooling, or an input of another rank.

    Differs from the papers:
        - No peephole connections (Gers et al. have them), one cell per memory block.
        - The forget gate's bias starts at 1 (Jozefowicz, Zaremba & Sutskever 2015);
          kernels start as in Glorot & Bengio 2010, recurrent kernels orthogonal.
        - Trained by full gradients through time; the paper of 1997 cuts them off
          outside the cell.
    """
    if not units:
        raise ValueError(f"units must name one layer at least, got {units}.")
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be one of {POOLINGS}, got {pooling!r}.")
    if len(input_shape) not in (1, 2, 3):
        raise ValueError(
            "input_shape must be (length,), (steps, features) or (height, width, "
            f"channels), got {input_shape}."
        )
    padding = None
    if len(input_shape) == 1:
        inputs = keras.Input(input_shape, dtype="int32", name="tokens")
        tokens = _without_leading_padding(inputs)
        padding = _Padding(tokens)
        x = layers.Embedding(vocabulary_size, embedding_size, name="embedding")(tokens)
        # One number per token decides for all of its vector.
        shape = (None, None, 1)
        x = layers.Dropout(word_dropout, noise_shape=shape, name="word_dropout")(x)
        x = layers.SpatialDropout1D(embedding_dropout, name="embedding_dropout")(x)
    else:
        inputs = x = keras.Input(input_shape, name="sequence")
        if len(input_shape) == 3:
            x = layers.Reshape((input_shape[0], -1), name="rows")(x)

    for layer, size in enumerate(units, start=1):
        if layer > 1:
            x = layers.Dropout(dropout, name=f"dropout{layer - 1}")(x)
        name, before = f"lstm{layer}", x
        x = forward = layers.LSTM(size, return_sequences=True, name=name)(before)
        if bidirectional:
            read = layers.LSTM(size, return_sequences=True, name=f"{name}_backward")
            backward = _reverse(read(_reverse(before, padding)), padding)
            x = layers.Concatenate(name=f"both{layer}")([forward, backward])

    if pooling == "last" and bidirectional:
        x = ops.concatenate([_last(forward, padding), backward[:, 0]], axis=-1)
    else:
        x = {"last": _last, "mean": _mean, "max": _max}[pooling](x, padding)
    if classes is None:
        return keras.Model(inputs, x, name="lstm")
    x = layers.Dropout(dropout, name=f"dropout{len(units)}")(x)
    logits = layers.Dense(classes, name="logits")(x)
    if votes and padding is not None:
        logits = ops.cast(logits, "float32") + _votes(
            tokens, classes, vocabulary_size=vocabulary_size, pairs=votes
        )
    return keras.Model(inputs, logits, name="lstm")


def pair_numbers(first: Any, second: Any, pairs: int) -> Any:
    """Return the numbers, from 1 to `pairs`, of tokens and those that follow them.

    The factors are primes, which keep the products within 31 bits.
    """
    return (first % 46_337 * 40_009 + second) % pairs + 1


def _votes(
    tokens: keras.KerasTensor, classes: int, *, vocabulary_size: int, pairs: int
) -> keras.KerasTensor:
    """Return logits (batch, classes) of a linear model over words and pairs of words.

    A word or pair counts once, however often it stands in a text, by its ratio for a
    class times the vote that is learned; their sum is divided by the root of their
    number.
    """
    following = ops.pad(tokens[:, 1:], ((0, 0), (0, 1)))
    pair = pair_numbers(tokens, following, pairs)
    sums, counts = [], []
    for name, numbers, rows in (
        ("word", tokens, vocabulary_size),
        ("pair", ops.where(following > 0, pair, 0), pairs + 1),
    ):
        # Sorted, equal ones are neighbours, and the padding is their beginning.
        numbers = ops.sort(numbers, axis=1)
        before = ops.pad(numbers[:, :-1], ((0, 0), (1, 0)))
        is_first = ops.cast(ops.not_equal(numbers, before), "float32")
        table = functools.partial(layers.Embedding, rows, classes, dtype="float32")
        votes = table("zeros", name=f"{name}_votes")(numbers)
        ratios = table("ones", name=f"{name}_ratios", trainable=False)(numbers)
        sums.append(ops.sum(votes * ratios * is_first[..., None], axis=1))
        counts.append(ops.sum(is_first, axis=1, keepdims=True))
    return _VOTE * sum(sums) / ops.sqrt(ops.maximum(sum(counts), 1.0))


def _without_leading_padding(tokens: keras.KerasTensor) -> keras.KerasTensor:
    """Move the zeros before a text (batch, length) behind it.

    `keras.utils.pad_sequences` puts them before it where nobody says otherwise.
    """
    first = ops.argmax(ops.cast(ops.not_equal(tokens, 0), "int32"), axis=1)
    places = ops.cumsum(ops.ones_like(tokens), axis=1)  # 1, 2, ... in every row
    shifted = places - 1 + ops.cast(ops.expand_dims(first, 1), "int32")
    return ops.take_along_axis(tokens, shifted % places[:, -1:], axis=1)


class _Padding:
    """Where the tokens (batch, length) of each text are, and where padding is."""

    def __init__(self, tokens: keras.KerasTensor):
        self.is_token = ops.not_equal(tokens, 0)
        self.lengths = ops.sum(ops.cast(self.is_token, "int32"), axis=1, keepdims=True)
        # 0, 1, 2, ... in every row; the length is not known before a batch comes.
        self.places = ops.cumsum(ops.ones_like(tokens), axis=1) - 1
        self.last = ops.maximum(self.lengths - 1, 0)
        self.mirrored = ops.where(self.is_token, self.last - self.places, self.places)


def _reverse(x: keras.KerasTensor, padding: _Padding | None) -> keras.KerasTensor:
    """Reverse (batch, steps, features) in time; padding stays at the end."""
    if padding is None:
        return ops.flip(x, axis=1)
    return ops.take_along_axis(x, ops.expand_dims(padding.mirrored, -1), axis=1)


def _last(x: keras.KerasTensor, padding: _Padding | None) -> keras.KerasTensor:
    if padding is None:
        return x[:, -1]
    place = ops.expand_dims(padding.last, -1)
    return ops.squeeze(ops.take_along_axis(x, place, axis=1), axis=1)


def _mean(x: keras.KerasTensor, padding: _Padding | None) -> keras.KerasTensor:
    if padding is None:
        return ops.mean(x, axis=1)
    # In float32: bfloat16 cannot count to 400.
    x = ops.where(ops.expand_dims(padding.is_token, -1), ops.cast(x, "float32"), 0.0)
    return ops.sum(x, axis=1) / ops.cast(ops.maximum(padding.lengths, 1), "float32")


def _max(x: keras.KerasTensor, padding: _Padding | None) -> keras.KerasTensor:
    if padding is None:
        return ops.max(x, axis=1)
    # The cell's output lies between -1 and 1: padding never wins.
    return ops.max(ops.where(ops.expand_dims(padding.is_token, -1), x, -1.0), axis=1)
