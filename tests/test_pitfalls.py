"""What goes wrong in public code, done wrong on purpose: the claims of docs/networks.

Each test does what a much copied program does, shows what comes of it, and where it can
that ours does not. The pages of the site name these tests beside their claims.
"""

import math

import keras
import numpy as np
import pytest
from keras import layers, ops

import classicnets as cn
from classicnets import objectives, streams
from classicnets.networks import create, create_pair, vgg
from classicnets.streams import Stream

to_numpy = ops.convert_to_numpy

# Compiling by XLA, which JAX cannot do without, takes longer than this training.
COMPILING = {"jit_compile": keras.backend.backend() == "jax"}


@pytest.fixture(scope="module")
def digits():
    """160 of scikit-learn's, (160, 8, 8, 1) float32 in [0, 1], and their classes."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images[:160, ..., None] / 16.0).astype("float32")
    return images, digits.target[:160]


# -- classifiers -----------------------------------------------------------------------


@pytest.fixture
def half_vgg(monkeypatch):
    """VGG-19 of half its filters, for 8x8 pixels, so that it trains in seconds."""
    monkeypatch.setattr(vgg, "FILTERS", (32, 64, 128, 256, 256))

    def build(start, **options):
        keras.utils.set_random_seed(0)
        head = {"hidden_units": (64,), "dropout": 0.0, "pool_padding": "same"}
        network = vgg.vgg((8, 8, 1), 10, depth=19, **head, **options)
        for layer in network.layers:
            if hasattr(layer, "kernel") and start is not None:
                layer.kernel.assign(start()(layer.kernel.shape))
        return network

    return build


def learned(network, images, labels):
    """Train by Adam at Keras's own rate; return the mean loss of the second epoch."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile("adam", loss, **COMPILING)
    return network.fit(images, labels, 16, 2, verbose=0).history["loss"][-1]


@pytest.mark.thorough
def test_vgg_19_without_batch_norm_stays_at_chance_under_adam(half_vgg, digits):
    """ln(classes) is the loss of one answer to every image, whatever it shows."""
    images, labels = digits
    usual = learned(half_vgg(keras.initializers.GlorotUniform), images, labels)
    assert usual == pytest.approx(math.log(10), abs=0.1)
    ours = learned(half_vgg(None, batch_norm=True), images, labels)
    assert ours < math.log(10) - 0.2


def test_after_glorots_start_all_images_get_the_same_logits(half_vgg, digits):
    usual = to_numpy(half_vgg(keras.initializers.GlorotUniform)(digits[0][:32]))
    ours = to_numpy(half_vgg(None)(digits[0][:32]))
    assert usual.std(axis=0).max() < 0.03 * ours.std(axis=0).max()


def test_a_head_that_is_softmaxed_twice_has_a_loss_that_it_cannot_leave():
    """Probabilities taken for logits lie in [0, 1]: at best the odds are e to 1."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    sure = np.eye(100, dtype="float32")[:1]  # all its probability on the right class
    twice = float(to_numpy(loss(np.array([0]), sure)))
    assert twice == pytest.approx(math.log(1 + 99 / math.e), rel=1e-5)  # 3.62
    once = keras.losses.SparseCategoricalCrossentropy(from_logits=False)
    assert float(to_numpy(once(np.array([0]), sure))) == pytest.approx(0, abs=1e-4)


def test_our_heads_are_softmaxed_nowhere():
    for name in ("vgg11", "resnet20", "lstm"):
        shape = (32, 32, 3) if name != "lstm" else (8, 4)
        network = create(name, shape, 4)
        last = network.layers[-1]
        assert last.name == "logits"
        assert last.activation is keras.activations.linear


def test_without_training_batch_statistics_stay_where_they_began():
    """A loop of one's own that calls network(x) trains, and never learns to predict."""
    network = create("resnet20", (16, 16, 3), 4)
    norm = network.get_layer("stem_norm")
    images = np.random.default_rng(0).normal(size=(8, 16, 16, 3)).astype("float32")
    network(5 + images)
    np.testing.assert_array_equal(to_numpy(norm.moving_mean), 0)
    network(5 + images, training=True)
    assert np.abs(to_numpy(norm.moving_mean)).max() > 0


def test_without_training_nothing_is_dropped():
    network = create("lstm", (8, 4), 2, units=(16,), dropout=0.9)
    sequences = np.random.default_rng(0).normal(size=(4, 8, 4)).astype("float32")
    same = [to_numpy(network(sequences)) for _ in range(2)]
    np.testing.assert_array_equal(*same)
    other = [to_numpy(network(sequences, training=True)) for _ in range(2)]
    assert np.abs(other[0] - other[1]).max() > 1e-3


def test_a_dropped_last_batch_is_a_part_of_the_test_that_nobody_sees():
    """All answers to the last three of ten examples are wrong; two batches of four
    do not hold the last two of them."""
    answers = np.arange(10) % 4
    labels = np.where(np.arange(10) < 7, answers, (answers + 1) % 4)
    logits = np.eye(4, dtype="float32")[answers]
    accuracy = keras.metrics.SparseCategoricalAccuracy()
    for first in range(0, 10 - 10 % 4, 4):
        accuracy.update_state(labels[first : first + 4], logits[first : first + 4])
    assert float(accuracy.result()) == pytest.approx(7 / 8)
    assert np.mean(labels == answers) == pytest.approx(7 / 10)


def test_ours_counts_the_last_short_batch(tmp_path, tiny_set):
    data = str(tiny_set(train=30, test=7))
    run = cn.train(
        "resnet20-digits",
        runs=tmp_path,
        data=data,
        image_size=8,
        epochs=1,
        batch_size=4,
        crop_padding=0,
        verbose=False,
    )
    assert run.evaluate()["examples"] == 7  # not 4


def test_a_plain_h5_name_crashes_after_the_training(tmp_path):
    network = create("resnet20", (8, 8, 3), 4)
    weights = tmp_path / "weights.h5"  # as in programs of 2021
    with pytest.raises(ValueError, match=r"\.weights\.h5"):
        network.save_weights(weights)
    assert not weights.exists()
    network.save_weights(tmp_path / "learned.weights.h5")
    network.save(tmp_path / "network.keras")


def test_weight_decay_of_keras_sgd_is_not_that_of_the_papers():
    """Decoupled: the weight shrinks by rate * decay, without the momentum's tenfold."""

    def after(optimizer, penalty):
        weight = keras.Variable([1.0])
        optimizer.build([weight])
        for _ in range(100):
            gradient = penalty * ops.convert_to_tensor(weight)
            optimizer.apply([gradient])
        return float(to_numpy(weight)[0])

    decoupled = after(keras.optimizers.SGD(0.1, 0.9, weight_decay=5e-3), 0.0)
    coupled = after(keras.optimizers.SGD(0.1, 0.9), 5e-3)  # the gradient of L2
    assert math.log(coupled) / math.log(decoupled) == pytest.approx(10, rel=0.15)


def test_same_padding_at_stride_2_is_on_one_side_only():
    one = layers.Conv2D(1, 3, 2, padding="same", kernel_initializer="ones")
    corner = np.zeros((1, 4, 4, 1), "float32")
    corner[0, 0, 0] = 1.0
    assert to_numpy(one(corner))[0, 0, 0, 0] == 1.0
    # Padded on both sides a window would have the corner in its middle; here it begins
    # there, and what the last window adds is two rows of zeros at the other end.
    other = np.zeros((1, 4, 4, 1), "float32")
    other[0, 3, 3] = 1.0
    np.testing.assert_array_equal(to_numpy(one(other))[0, :, :, 0], [[0, 0], [0, 1]])
    edge = np.zeros((1, 4, 4, 1), "float32")
    edge[0, 1, 1] = 1.0  # padded on both sides, four windows would see it
    assert to_numpy(one(edge)).sum() == 1.0


def test_an_initializer_used_twice_draws_the_same_weights_twice():
    start = keras.initializers.HeNormal()
    first, second = (to_numpy(start((3, 3, 4, 4))) for _ in range(2))
    np.testing.assert_array_equal(first, second)


# -- sequences -------------------------------------------------------------------------


def test_a_plain_lstm_reads_the_padding_after_the_text():
    """Its last state is that after the padding; ours is that after the last token."""
    keras.utils.set_random_seed(0)
    plain = keras.Sequential([layers.Embedding(9, 4), layers.LSTM(8)])
    ours = create("lstm", (None,), None, units=(8,), vocabulary_size=9)
    short = np.array([[3, 1, 4]])
    long = np.pad(short, [(0, 0), (0, 20)])
    assert np.abs(to_numpy(plain(short)) - to_numpy(plain(long))).max() > 0.01
    np.testing.assert_allclose(to_numpy(ours(short)), to_numpy(ours(long)), atol=1e-6)


# -- autoencoders ----------------------------------------------------------------------


def test_a_sigmoid_in_the_network_and_in_the_loss_never_gets_to_black():
    """sigmoid(sigmoid(x)) lies between 0.5 and 0.73: half grey is the darkest."""
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    black = np.zeros((1, 9), "float32")  # the best probabilities there are
    assert float(to_numpy(loss(black, black))) == pytest.approx(math.log(2), rel=1e-5)
    pixels = to_numpy(ops.sigmoid(ops.convert_to_tensor(black)))
    np.testing.assert_allclose(pixels, 0.5)


@pytest.mark.parametrize("window, even", [(3, False), (4, True), (5, False)])
def test_windows_that_are_no_multiple_of_the_stride_cover_pixels_unevenly(window, even):
    """The pattern of a chessboard that transposed convolutions leave on images."""
    up = layers.Conv2DTranspose(1, window, 2, "same", kernel_initializer="ones")
    inside = to_numpy(up(np.ones((1, 8, 8, 1), "float32")))[0, 4:-4, 4:-4, 0]
    assert (np.ptp(inside) == 0) == even


def fitted_vae(images, reconstruction):
    def kl(_, posterior):
        return objectives.kl_to_standard_normal(*ops.split(posterior, 2, axis=-1))

    keras.utils.set_random_seed(0)
    network = create("vae", (8, 8, 1), hidden_units=(64,), latent_size=4)
    terms = {"log_odds": reconstruction, "posterior": kl}
    network.compile(keras.optimizers.Adam(1e-2), terms, **COMPILING)
    targets = {"log_odds": images, "posterior": images}
    network.fit(images, targets, batch_size=32, epochs=20, verbose=0)
    return network


def test_a_mean_over_pixels_beside_a_sum_over_codes_makes_all_images_alike(digits):
    """The reconstruction is 64 times too small (784 times on MNIST): the KL wins."""

    def sums(images, log_odds):
        return objectives.bernoulli_reconstruction(log_odds, images)

    def means(images, log_odds):
        return sums(images, log_odds) / 64

    images, _ = digits
    right, wrong = fitted_vae(images, sums), fitted_vae(images, means)
    spread = [
        to_numpy(ops.sigmoid(network(images)["log_odds"])).std(axis=0).mean()
        for network in (right, wrong)
    ]
    assert spread[0] > 0.1
    assert spread[1] < 0.01


def test_one_layer_for_mean_and_log_variance_gives_the_same_numbers_twice():
    """Where the mean is 3, so is the log variance: a deviation of 4.5."""
    keras.utils.set_random_seed(0)
    hidden = np.random.default_rng(0).normal(size=(5, 16)).astype("float32")
    one = layers.Dense(4)
    np.testing.assert_array_equal(to_numpy(one(hidden)), to_numpy(one(hidden)))
    encoder = create("vae", (4, 4, 1), latent_size=4).get_layer("encoder")
    mean, log_variance = encoder(hidden.reshape(5, 4, 4, 1))
    assert np.abs(to_numpy(mean) - to_numpy(log_variance)).max() > 0.1


# -- GANs ------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_sigmoid_and_then_a_logarithm_overflow_where_softplus_does_not():
    scores = np.array([[200.0]], "float32")  # the discriminator is sure, and wrong
    naive = -np.log(
        np.float32(1) - to_numpy(ops.sigmoid(ops.convert_to_tensor(scores)))
    )
    assert np.isinf(naive).all()
    right = objectives.gan_discriminator(ops.convert_to_tensor(scores), scores)
    assert float(to_numpy(right)) == pytest.approx(200.0)


def test_the_game_s_own_loss_gives_a_beaten_generator_no_slope():
    """Its slope is sigmoid(score); that of -log D is sigmoid(score) - 1."""
    beaten, step = np.array([[-10.0]]), 1e-2

    def slope(loss):
        high, low = (
            float(to_numpy(loss(ops.convert_to_tensor((beaten + s).astype("float32")))))
            for s in (step, -step)
        )
        return (high - low) / (2 * step)

    assert abs(slope(objectives.gan_saturating_generator)) < 1e-3
    assert slope(objectives.gan_generator) == pytest.approx(-1, abs=1e-2)


def test_an_optimizer_of_one_network_does_not_know_another():
    generator, critic = create_pair("gan", (4, 4, 1), generator_units=(4,))
    optimizer = keras.optimizers.Adam()
    optimizer.build(critic.trainable_variables)
    zeros = [np.zeros(v.shape, "float32") for v in generator.trainable_variables]
    with pytest.raises(ValueError):  # noqa: PT011 each backend has its own words
        optimizer.apply(zeros, generator.trainable_variables)


def test_the_second_number_of_pytorch_s_batch_norm_is_its_epsilon():
    """`BatchNorm2d(n, 0.8)` was meant as a momentum of 0.8."""
    torch = pytest.importorskip("torch")
    norm = torch.nn.BatchNorm2d(4, 0.8)
    assert (norm.eps, norm.momentum) == (0.8, 0.1)
    maps = 0.5 * torch.randn(16, 4, 8, 8, generator=torch.manual_seed(0))
    # A variance of 0.25 comes out as 0.25 / (0.25 + 0.8).
    assert norm(maps).var().item() == pytest.approx(0.25 / 1.05, rel=0.05)


def test_a_critic_is_right_where_it_scores_real_images_higher():
    real, fake = np.full((3, 1), 5.0, "float32"), np.full((2, 1), 1.0, "float32")
    distance = objectives.wasserstein_distance(real, fake)
    assert float(to_numpy(distance)) == 4.0
    # The generator's loss falls where the critic's scores of its images rise.
    low, high = (objectives.wasserstein_generator(x) for x in (fake, fake + 1))
    assert float(to_numpy(high)) < float(to_numpy(low))


def test_a_mix_from_a_normal_distribution_leaves_the_line_between_images():
    """Two thirds of its places are on the far side of a real or a generated image."""
    normal = streams.normal(0, Stream.MIX, range(100), (64,))
    assert np.mean((normal < 0) | (normal > 1)) > 0.6
    ours = streams.uniform(0, Stream.MIX, range(100), (64,))
    assert 0 <= ours.min() < 0.01
    assert 0.99 < ours.max() <= 1
    assert len(np.unique(ours)) > 6_000  # a place of its own for each image


def test_a_critic_with_batch_norm_is_refused_under_a_penalty(tmp_path):
    with pytest.raises(cn.UserError, match="batch normalization"):
        cn.train(
            "wgan_gp-digits",
            runs=tmp_path,
            epochs=1,
            network_options={"filters": 4, "normalization": "batch"},
            verbose=False,
        )
