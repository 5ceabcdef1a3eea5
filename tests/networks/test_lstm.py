"""The LSTM against its equations, and texts of any padding."""

import keras
import numpy as np
import pytest

from classicnets.networks.lstm import POOLINGS, lstm, lstm_step, pair_numbers
from classicnets.verification.anchors import COUNTS

LENGTHS = (9, 3, 1, 6)


def texts(width=9, vocabulary=50):
    """Tokens (4, width) int32 of `LENGTHS`, padded with 0 at their ends."""
    tokens = np.random.default_rng(0).integers(1, vocabulary, (4, 9)).astype("int32")
    tokens[np.arange(9) >= np.array(LENGTHS)[:, None]] = 0
    return np.pad(tokens, ((0, 0), (0, width - 9)))


def outputs(network, inputs):
    return keras.ops.convert_to_numpy(network(inputs, training=False))


def small(**options):
    keras.utils.set_random_seed(0)
    options = {"units": (5, 4), "vocabulary_size": 50, "embedding_size": 6} | options
    return lstm((None,), 3, **options)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_changes_nothing(pooling, bidirectional):
    network = small(pooling=pooling, bidirectional=bidirectional)
    result = outputs(network, texts())
    np.testing.assert_allclose(outputs(network, texts(16)), result, atol=1e-6)
    for row, length in enumerate(LENGTHS):
        alone = outputs(network, texts()[row : row + 1, :length])
        np.testing.assert_allclose(alone[0], result[row], atol=1e-6)
    # As keras.utils.pad_sequences pads.
    before = [np.roll(t, 16 - n) for t, n in zip(texts(16), LENGTHS, strict=True)]
    np.testing.assert_allclose(outputs(network, np.stack(before)), result, atol=1e-6)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_every_token_counts_and_its_place_too(bidirectional):
    network = small(bidirectional=bidirectional)
    result = outputs(network, texts())
    for place in range(9):
        changed = texts()
        changed[0, place] = changed[0, place] % 49 + 1
        assert np.abs(outputs(network, changed)[0] - result[0]).max() > 1e-6, place
    turned = texts()
    turned[0] = turned[0, ::-1]
    assert np.abs(outputs(network, turned)[0] - result[0]).max() > 1e-4


def with_votes(**options):
    """A small LSTM whose words and pairs vote, by random ratios and votes."""
    network = small(votes=997, **options)
    random = np.random.default_rng(2)
    for name in ("word", "pair"):
        for part in ("ratios", "votes"):
            table = network.get_layer(f"{name}_{part}").embeddings
            table.assign(random.uniform(-1.0, 1.0, table.shape))
    return network


def test_padding_changes_no_vote():
    network = with_votes()
    result = outputs(network, texts())
    np.testing.assert_allclose(outputs(network, texts(16)), result, atol=1e-5)


def test_votes_are_those_of_a_linear_model_over_words_and_pairs():
    """Written out word by word: each once, however often it stands there."""
    network = with_votes()
    ratios, votes, pair_ratios, pair_votes = (
        keras.ops.convert_to_numpy(network.get_layer(f"{name}_{part}").embeddings)
        for name in ("word", "pair")
        for part in ("ratios", "votes")
    )
    tokens = texts()
    tokens[0, 4:6] = tokens[0, 0:2]  # two words again, and their pair
    from_votes = outputs(network, tokens) - outputs(small(), tokens)
    for row, length in enumerate(LENGTHS):
        text = tokens[row, :length]
        words = sorted(set(text.tolist()))
        numbers = pair_numbers(text[:-1], text[1:], 997)
        pairs = sorted(set(numbers.tolist()))
        total = (ratios[words] * votes[words]).sum(axis=0)
        total += (pair_ratios[pairs] * pair_votes[pairs]).sum(axis=0)
        expected = 15.0 * total / np.sqrt(len(words) + len(pairs))
        np.testing.assert_allclose(from_votes[row], expected, atol=1e-4)


def test_votes_start_at_nothing():
    np.testing.assert_array_equal(
        outputs(small(votes=997), texts()), outputs(small(), texts())
    )


def test_pairs_have_numbers_of_their_own():
    first, second = np.meshgrid(np.arange(1, 300), np.arange(1, 300))
    numbers = pair_numbers(first.astype("int32"), second.astype("int32"), 262_139)
    assert numbers.min() >= 1
    assert numbers.max() <= 262_139
    # 89,401 pairs on 262,139 rows at random: 75,700 rows would be in use.
    assert len(np.unique(numbers)) > 75_000


def test_the_step_written_out_is_the_layer():
    keras.utils.set_random_seed(1)
    layer = keras.layers.LSTM(7, return_sequences=True)
    x = np.random.default_rng(1).normal(size=(2, 11, 5)).astype("float32")
    expected = keras.ops.convert_to_numpy(layer(x))
    weights = map(keras.ops.convert_to_tensor, layer.get_weights())
    kernel, recurrent_kernel, bias = weights
    h = c = keras.ops.zeros((2, 7))
    x = keras.ops.convert_to_tensor(x)
    for step in range(11):
        h, c = lstm_step(x[:, step], h, c, kernel, recurrent_kernel, bias)
        result = keras.ops.convert_to_numpy(h)
        np.testing.assert_allclose(result, expected[:, step], atol=1e-5)


def test_the_forget_gate_starts_open():
    """Its bias is 1 (Jozefowicz, Zaremba & Sutskever 2015), the others' are 0."""
    for name, units in (("lstm1", 5), ("lstm2", 4)):
        bias = small().get_layer(name).get_weights()[2].reshape(4, units)
        assert bias.tolist() == [[0] * units, [1] * units, [0] * units, [0] * units]


def test_backwards_reads_from_the_last_token():
    """Pooled "last", the backward half is a forward layer on the text turned round."""
    network = small(units=(5,), bidirectional=True)
    forwards = small(units=(5,))
    backward = network.get_layer("lstm1_backward").get_weights()
    forwards.get_layer("lstm1").set_weights(backward)
    embedding = network.get_layer("embedding").get_weights()
    forwards.get_layer("embedding").set_weights(embedding)
    features = keras.Model(network.input, network.get_layer("logits").input)
    half = keras.Model(forwards.input, forwards.get_layer("logits").input)
    text = texts()[1:2, :3]
    np.testing.assert_allclose(
        outputs(features, texts())[1, 5:], outputs(half, text[:, ::-1])[0], atol=1e-6
    )


@pytest.mark.parametrize(
    "pooling, reduce",
    [("mean", np.mean), ("max", np.max), ("last", lambda x, _: x[-1])],
)
def test_pooling_is_over_the_tokens_alone(pooling, reduce):
    network = small(pooling=pooling)
    steps = keras.Model(network.input, network.get_layer("lstm2").output)
    features = keras.Model(network.input, network.get_layer("logits").input)
    every, result = outputs(steps, texts()), outputs(features, texts())
    for row, length in enumerate(LENGTHS):
        np.testing.assert_allclose(
            result[row], reduce(every[row, :length], 0), atol=1e-6
        )


def test_parameters_are_those_of_the_equations():
    network = lstm((None,), 2, units=(64, 64))
    embedding, first = 20_000 * 100, 4 * 64 * (100 + 64 + 1)
    second, logits = 4 * 64 * (64 + 64 + 1), 2 * (64 + 1)
    (anchor,) = COUNTS["lstm"][0].parameters
    assert network.count_params() == embedding + first + second + logits == anchor


def test_an_image_is_read_row_by_row():
    keras.utils.set_random_seed(2)
    network = lstm((6, 4, 3), 2, units=(8,))
    rows = lstm((6, 12), 2, units=(8,))
    rows.set_weights(network.get_weights())
    images = np.random.default_rng(2).normal(size=(2, 6, 4, 3)).astype("float32")
    result = outputs(rows, images.reshape(2, 6, 12))
    np.testing.assert_allclose(outputs(network, images), result, atol=1e-6)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"units": ()}, "units must name one layer"),
        ({"pooling": "sum"}, r"pooling must be one of .*got 'sum'"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        lstm((None,), 2, **options)


def test_another_rank_is_refused():
    with pytest.raises(ValueError, match="input_shape must be"):
        lstm((1, 2, 3, 4), 2)
