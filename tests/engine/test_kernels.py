"""Faster kernels give the numbers of the plain Keras layers."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from classicnets import engine, optimization, recipe
from classicnets.engine import kernels
from classicnets.networks.lstm import lstm

RANDOM = np.random.default_rng(0)
PLAIN = {"network": "resnet20", "data": "none", "epochs": 1, "weight_decay": 0.0}


def small_network(side, channels=8, bias=True):
    """Two convolutions with batch norm, so that their gradients meet both kernels."""
    keras.utils.set_random_seed(side)
    images = keras.Input((side, side, channels))
    x = layers.Conv2D(12, 3, padding="same", use_bias=bias, activation="relu")(images)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
    x = layers.Conv2D(12, 3, padding="same", use_bias=bias)(x)
    x = layers.BatchNormalization(momentum=0.8, epsilon=1e-3)(x)
    return keras.Model(images, layers.Flatten()(x))


def gradients(network, through, images):
    """Return the loss, the gradients, and the variables after a step of training."""
    start = [ops.convert_to_numpy(v).copy() for v in network.variables]

    def step(arrays, batch):
        def loss_function():
            outputs = through(batch["image"], training=True)
            # A plain mean would have no gradient through a batch norm.
            return ops.mean(ops.square(outputs - 0.5) * ops.abs(outputs)), ()

        (loss, _), result = engine.value_and_gradients(
            loss_function, network.trainable_variables, network.variables
        )
        return {
            "loss": loss,
            **{
                str(k): ops.sum(ops.square(ops.convert_to_tensor(g)))
                for k, g in enumerate(result)
            },
        }

    logs = ["loss", *map(str, range(len(network.trainable_variables)))]
    run = engine.compile_steps(step, network.variables, logs)
    values = run({}, {"image": images[None]}, 1)
    after = [ops.convert_to_numpy(v).copy() for v in network.variables]
    for variable, value in zip(network.variables, start):
        variable.assign(value)
    return values, after


@pytest.mark.parametrize("side", [1, 2, 4, 5, 8])
@pytest.mark.parametrize("bias", [True, False])
def test_fast_kernels_give_the_loss_gradients_and_statistics_of_keras(side, bias):
    network = small_network(side, bias=bias)
    # The same in any order of the tests: a pixel at the edge of a ReLU may turn over.
    images = np.random.default_rng(side).normal(1.0, 2.0, (6, side, side, 8))
    images = images.astype("float32")
    fast = engine.rebuild(network, (side, side, 8))

    values, after = gradients(network, network, images)
    fast_values, fast_after = gradients(network, fast, images)

    for key, value in values.items():
        assert fast_values[key] == pytest.approx(value, rel=1e-4, abs=1e-5), key
    for variable, plain, result in zip(network.variables, after, fast_after):
        np.testing.assert_allclose(result, plain, atol=1e-5, err_msg=variable.path)


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(6, 3, padding="same", activation="relu", name="conv2d"),
        layers.Conv2D(6, (2, 3), strides=(2, 1), use_bias=False, name="conv2d"),
        layers.Conv2D(6, 3, padding="same", dilation_rate=2, groups=2, name="conv2d"),
        layers.Conv2D(6, 3, strides=2, padding="same", name="conv2d"),  # Keras's own
        layers.MaxPooling2D(2),
        layers.AveragePooling2D((3, 2), strides=2),
        layers.MaxPooling2D(3, strides=2, padding="same"),  # Keras's own
    ],
)
def test_convolutions_and_pooling_give_the_loss_and_gradients_of_keras(layer):
    images = keras.Input((9, 8, 4))
    x = layers.Conv2D(4, 3, padding="same", name="first")(images)
    network = keras.Model(images, layers.Flatten()(layer(x)))
    batch = RANDOM.normal(size=(3, 9, 8, 4)).astype("float32")
    values, _ = gradients(network, network, batch)

    fast_values, _ = gradients(network, engine.rebuild(network, (9, 8, 4)), batch)

    for key, value in values.items():
        assert fast_values[key] == pytest.approx(value, rel=1e-4, abs=1e-5), key


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(6, 3, strides=2, activation="relu", name="conv2d"),
        layers.Conv2D(6, (2, 3), strides=(2, 1), use_bias=False, name="conv2d"),
        layers.Conv2D(6, 3, dilation_rate=2, groups=2, name="conv2d"),
        layers.Conv2D(6, 3, padding="same", name="conv2d"),
        layers.MaxPooling2D(3, strides=2),
    ],
)
@pytest.mark.parametrize("padding", [1, (2, 1), ((1, 0), (0, 2))])
def test_what_follows_a_padding_gives_the_loss_and_gradients_of_keras(layer, padding):
    images = keras.Input((9, 8, 4))
    x = layers.Conv2D(4, 3, padding="same", name="first")(images)
    padded = layers.ZeroPadding2D(padding)(x)
    made = [layers.Flatten()(y) for y in (layer(padded), padded)]
    network = keras.Model(images, layers.Concatenate()(made))
    batch = RANDOM.normal(size=(3, 9, 8, 4)).astype("float32")
    values, _ = gradients(network, network, batch)

    fast_values, _ = gradients(network, engine.rebuild(network, (9, 8, 4)), batch)

    for key, value in values.items():
        assert fast_values[key] == pytest.approx(value, rel=1e-4, abs=1e-5), key


def rectified(side, strides=1):
    """A convolution of a batch norm's rectified outputs, which are also added to it."""
    keras.utils.set_random_seed(side)
    images = keras.Input((side, side, 4))
    x = layers.Conv2D(64, 3, padding="same", use_bias=False)(images)
    x = layers.BatchNormalization(epsilon=1e-5)(x)
    shortcut = layers.ReLU()(x)
    x = layers.ZeroPadding2D(1)(shortcut) if strides > 1 else shortcut
    padding = "valid" if strides > 1 else "same"
    x = layers.Conv2D(64, 3, strides, padding)(x)
    if strides > 1:
        shortcut = layers.MaxPooling2D(strides)(shortcut)
    return keras.Model(images, layers.Flatten()(layers.Add()([x, shortcut])))


@pytest.mark.parametrize("side, strides", [(8, 1), (4, 1), (8, 2)])
def test_what_is_rectified_again_gives_the_loss_and_gradients_of_keras(side, strides):
    network = rectified(side, strides)
    fast = engine.rebuild(network, (side, side, 4))
    batch = np.random.default_rng(side).normal(1.0, 2.0, (5, side, side, 4))
    values, after = gradients(network, network, batch.astype("float32"))

    fast_values, fast_after = gradients(network, fast, batch.astype("float32"))

    for key, value in values.items():
        assert fast_values[key] == pytest.approx(value, rel=1e-4, abs=1e-5), key
    for variable, plain, result in zip(network.variables, after, fast_after):
        np.testing.assert_allclose(result, plain, atol=1e-5, err_msg=variable.path)


@pytest.mark.skipif(engine.BACKEND != "tensorflow", reason="the others keep it")
def test_what_is_rectified_again_has_a_second_derivative():
    network = rectified(8)
    batch = np.random.default_rng(0).normal(size=(3, 8, 8, 4)).astype("float32")

    def penalties(through):
        def step(arrays, batch):
            def loss_function():
                def scores(x):
                    return ops.sum(ops.square(through(x, training=True)), axis=1)

                result = engine.input_gradients(scores, batch["image"])
                return ops.mean(ops.square(result)), ()

            (loss, _), result = engine.value_and_gradients(
                loss_function, network.trainable_variables, network.variables
            )
            sums = [ops.sum(ops.abs(ops.convert_to_tensor(g))) for g in result[:-1]]
            return {"loss": loss} | {str(k): value for k, value in enumerate(sums)}

        logs = ["loss", *map(str, range(len(network.trainable_variables) - 1))]
        run = engine.compile_steps(step, network.variables, logs)
        return run({}, {"image": batch[None]}, 1)

    values = penalties(network)

    for key, value in penalties(engine.rebuild(network, (8, 8, 4))).items():
        # Before a batch norm, most of a kernel's gradient cancels out.
        assert value == pytest.approx(values[key], rel=1e-2 if key == "0" else 1e-5)


@pytest.mark.skipif(engine.BACKEND != "tensorflow", reason="the others keep it")
@pytest.mark.parametrize("side, strides", [(8, 1), (4, 1), (8, 2)])
def test_what_is_rectified_is_made_again_instead_of_kept(side, strides):
    import tensorflow as tf

    network = rectified(side, strides)
    fast = engine.rebuild(network, (side, side, 4))

    @tf.function
    def step(images):
        def loss_function():
            return ops.mean(ops.square(fast(images, training=True))), ()

        return engine.value_and_gradients(
            loss_function, network.trainable_variables, network.variables
        )

    images = tf.TensorSpec((2, side, side, 4))
    operations = step.get_concrete_function(images).graph.get_operations()
    kept, again = [op for op in operations if op.type == "Relu"]
    normalized = [op.inputs[0].op.get_attr("is_training") for op in (kept, again)]
    assert normalized == [True, False]
    kept_for = {op.type for op in kept.outputs[0].consumers()}
    assert not kept_for & {"ReluGrad", "Conv2DBackpropFilter", "ExtractImagePatches"}
    (gradient,) = [op for op in operations if op.type == "ReluGrad"]
    assert gradient.inputs[1].op is again


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    "window, strides",
    [((3, 3), (3, 3)), ((5, 5), (2, 2)), ((4, 4), (2, 2)), ((4, 5), (3, 2))],
)
def test_a_transposed_convolution_is_one_matrix_product(window, strides, padding):
    images = keras.Input((5, 4, 6))
    layer = layers.Conv2DTranspose(
        7, window, strides, padding, activation="tanh", bias_initializer="ones"
    )
    network = keras.Model(images, layers.Flatten()(layer(images)))
    assert kernels.is_plain_transposed_convolution(layer)
    batch = RANDOM.normal(size=(3, 5, 4, 6)).astype("float32")

    def through(x, training):
        return ops.reshape(kernels.transposed_convolution(layer, x, training), (3, -1))

    values, _ = gradients(network, network, batch)
    fast_values, _ = gradients(network, through, batch)

    np.testing.assert_allclose(
        ops.convert_to_numpy(through(ops.convert_to_tensor(batch), False)),
        ops.convert_to_numpy(network(batch)),
        atol=1e-5,
    )
    for key, value in values.items():
        assert fast_values[key] == pytest.approx(value, rel=1e-4, abs=1e-5), key


@pytest.mark.parametrize(
    "options",
    [
        {"strides": 3},  # leaves pixels out
        {"dilation_rate": 2},
        {"strides": 2, "output_padding": 1},
    ],
)
def test_other_transposed_convolutions_stay_as_they_are(options):
    assert not kernels.is_plain_transposed_convolution(
        layers.Conv2DTranspose(4, 2, **options)
    )


def test_fast_kernels_give_the_predictions_of_keras():
    network = small_network(4)
    for variable in network.non_trainable_variables:
        variable.assign(RANDOM.uniform(0.5, 2.0, variable.shape))
    images = RANDOM.normal(size=(3, 4, 4, 8)).astype("float32")
    fast = engine.rebuild(network, (4, 4, 8))
    np.testing.assert_allclose(
        ops.convert_to_numpy(fast(images, training=False)),
        ops.convert_to_numpy(network(images, training=False)),
        atol=1e-5,
    )


@pytest.mark.parametrize("kind", ["images", "texts", "vae"])
def test_a_forward_pass_gives_the_predictions_of_a_network_within_a_model(kind):
    if kind == "texts":
        inner = lstm((9,), 3, units=(4, 4), vocabulary_size=20, embedding_size=5)
        inputs = RANDOM.integers(20, size=(6, 9), dtype="int32")
        outer = inner
    else:
        inner = small_network(4) if kind == "images" else small_encoder()
        raw = keras.Input((4, 4, 8))
        outer = keras.Model(raw, inner(layers.Rescaling(1 / 255)(raw)))
        inputs = RANDOM.integers(256, size=(6, 4, 4, 8), dtype="uint8")
    expected = keras.tree.flatten(outer.predict_on_batch(inputs))[0]
    for fast in (True, False):
        result = engine.forward(outer, fast_kernels=fast)(inputs)
        assert isinstance(result, np.ndarray)
        np.testing.assert_allclose(result, expected, atol=1e-5)


def small_encoder():
    """A mean and a log variance, of which a forward pass gives the first."""
    images = keras.Input((4, 4, 8))
    x = layers.Flatten()(images)
    return keras.Model(images, [layers.Dense(2)(x), layers.Dense(2)(x)])


def test_a_frozen_batch_norm_keeps_its_statistics():
    network = small_network(4)
    network.trainable = False
    before = network.get_weights()
    fast = engine.rebuild(network, (4, 4, 8))
    fast(RANDOM.normal(size=(3, 4, 4, 8)).astype("float32"), training=True)
    for old, new in zip(before, network.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_the_rebuilt_network_has_the_variables_of_the_first():
    network = small_network(4)
    fast = engine.rebuild(network, (4, 4, 8))
    assert {id(v) for v in fast.variables} == {id(v) for v in network.variables}
    assert len(network.trainable_variables) == len(fast.trainable_variables)


OPTIMIZERS = {
    "adam": {"optimizer": "adam"},
    "sgd": {"momentum": 0.0, "nesterov": False},
    "momentum": {"nesterov": False},
    "nesterov": {},
}


@pytest.mark.parametrize("network", ["lstm", "convolutions"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_fast_kernels_and_optimizers_take_the_plain_steps(
    network, optimizer, monkeypatch
):
    """A kernel may hand over a gradient in another order of memory."""
    fast = after_steps(network, optimizer, fast=True)
    monkeypatch.setattr(engine, "fast_step", lambda name: None)
    plain = after_steps(network, optimizer, fast=False)
    for expected, result in zip(plain, fast):
        np.testing.assert_allclose(result, expected, atol=5e-4)


def after_steps(kind, optimizer, fast):
    """Return the weights of a network after three steps."""
    keras.utils.set_random_seed(0)
    shape = (7, 3) if kind == "lstm" else (8, 8, 8)
    inputs = np.random.default_rng(1).normal(size=(3, 6, *shape)).astype("float32")
    network = (
        lstm(shape, 4, units=(5, 6)) if kind == "lstm" else small_network(8, bias=False)
    )
    through = engine.rebuild(network, shape, fast_kernels=fast)
    settings = {**PLAIN, "learning_rate": 0.01, **OPTIMIZERS[optimizer]}
    optimizer = optimization.optimizer(recipe.build(settings))
    optimizer.build(network.trainable_variables)
    state = [*network.variables, *optimizer.variables]

    def step(arrays, batch):
        def loss_function():
            outputs = through(batch["x"], training=True)
            # A plain square would have no gradient through a batch norm.
            return ops.mean(ops.square(outputs - 0.5) * ops.abs(outputs)), ()

        (loss, _), result = engine.value_and_gradients(
            loss_function, network.trainable_variables, state
        )
        engine.apply_gradients(optimizer, result, network.trainable_variables)
        return {"loss": loss}

    engine.compile_steps(step, state, ["loss"])({}, {"x": inputs}, 3)
    return network.get_weights()


@pytest.mark.parametrize("bidirectional, batch_size", [(False, 5), (True, 1)])
def test_the_fast_lstm_gives_the_loss_and_gradients_of_keras(bidirectional, batch_size):
    """An odd batch has no two halves alike, and one example has an empty half."""
    network = lstm((7, 3), 4, units=(5, 6), bidirectional=bidirectional)
    sequences = RANDOM.normal(size=(batch_size, 7, 3)).astype("float32")
    fast = engine.rebuild(network, (7, 3))
    assert fast_layers(fast, "lstm") == (4 if bidirectional else 2)

    values, _ = gradients(network, network, sequences)
    fast_values, _ = gradients(network, fast, sequences)

    for key, value in values.items():
        assert fast_values[key] == pytest.approx(value, rel=1e-4, abs=1e-7), key


def test_the_fast_lstm_has_gradients_where_it_predicts():
    """Without learning it keeps less, and makes it again for who asks."""
    network = lstm((7, 3), 4, units=(5, 6))
    sequences = RANDOM.normal(size=(5, 7, 3)).astype("float32")
    fast = engine.rebuild(network, (7, 3))

    def by_inputs(through):
        def score(x):
            return ops.sum(ops.square(through(x, training=False)), axis=1)

        def step(arrays, batch):
            result = engine.input_gradients(score, batch["x"])
            return {str(k): ops.sum(result[:, k]) for k in range(7)}

        run = engine.compile_steps(step, network.variables, [*map(str, range(7))])
        return run({}, {"x": sequences[None]}, 1)

    assert by_inputs(fast) == pytest.approx(by_inputs(network), rel=1e-4)


def test_the_fast_lstm_keeps_to_the_text_in_its_padding():
    network = lstm((None,), 2, units=(5,), vocabulary_size=9, bidirectional=True)
    fast = engine.rebuild(network, (None,))
    tokens = np.array([[1, 2, 3, 4, 5], [6, 7, 0, 0, 0]], "int32")
    for length in (5, 8):  # another length is compiled anew
        padded = np.pad(tokens, ((0, 0), (0, length - 5)))
        np.testing.assert_allclose(
            ops.convert_to_numpy(fast(padded, training=False)),
            ops.convert_to_numpy(network(tokens, training=False)),
            atol=1e-5,
        )


@pytest.mark.parametrize(
    "options",
    [
        {"return_sequences": False},
        {"return_sequences": True, "go_backwards": True},
        {"return_sequences": True, "recurrent_activation": "hard_sigmoid"},
        {"return_sequences": True, "dropout": 0.5},
        {"return_sequences": True, "use_bias": False},
    ],
)
def test_an_lstm_with_other_options_stays_as_it_is(options):
    inputs = keras.Input((4, 3))
    network = keras.Model(inputs, layers.LSTM(5, **options)(inputs))
    assert fast_layers(engine.rebuild(network, (4, 3)), "lstm") == 0


def fast_layers(network, kind):
    return sum(layer.name.startswith(f"fast_{kind}") for layer in network.layers)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_fast_network_on_texts_gives_the_loss_and_gradients_of_keras(precision):
    keras.config.set_dtype_policy(precision)
    try:
        network = lstm((None,), 2, units=(5, 4), vocabulary_size=9, pooling="max")
        fast = engine.rebuild(network, (None,))
        tokens = RANDOM.integers(1, 9, (6, 7)).astype("int32")
        values, _ = gradients(network, network, tokens)
        fast_values, _ = gradients(network, fast, tokens)
    finally:
        keras.config.set_dtype_policy("float32")
    exact = precision == "float32"
    for key, value in values.items():
        expected = pytest.approx(value, rel=1e-4 if exact else 0.1, abs=1e-6)
        assert fast_values[key] == expected, key


@pytest.mark.parametrize(
    "dropout, shared",
    [
        (layers.Dropout(0.3, seed=7), None),
        (layers.Dropout(0.3, noise_shape=(None, None, 1), seed=7), 2),
        (layers.SpatialDropout1D(0.3, seed=7), 1),
    ],
)
def test_fast_dropout_drops_its_share_and_scales_the_rest(dropout, shared):
    sequences = keras.Input((50, 40))
    network = keras.Model(sequences, dropout(sequences))
    fast = engine.rebuild(network, (50, 40))
    ones = np.ones((20, 50, 40), "float32")
    seed = ops.convert_to_numpy(dropout.seed_generator.state).copy()

    def drop():
        return ops.convert_to_numpy(fast(ones, training=True))

    first, second = drop(), drop()
    independent = first if shared is None else first.take(0, axis=shared)
    deviation = (0.3 * 0.7 / independent.size) ** 0.5
    assert (independent == 0).mean() == pytest.approx(0.3, abs=4 * deviation)
    np.testing.assert_allclose(first[first > 0], 1 / 0.7, rtol=1e-5)
    if shared:
        assert (first == np.expand_dims(independent, shared)).all()
    assert (first != second).any()
    dropout.seed_generator.state.assign(seed)
    np.testing.assert_array_equal(drop(), first)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(fast(ones, training=False)), ones
    )


@pytest.mark.parametrize("shape", [(1, 7, 3), (5, 3, 3)])
def test_the_gradient_of_fast_dropout_is_what_it_multiplied_by(shape):
    """One text has an empty half; 45 numbers are no whole number of pairs."""
    dropout = layers.Dropout(0.4, seed=3)
    sequences = keras.Input(shape[1:])
    fast = engine.rebuild(keras.Model(sequences, dropout(sequences)), shape[1:])
    ones = ops.ones(shape)
    seed = ops.convert_to_numpy(dropout.seed_generator.state).copy()

    factors = ops.convert_to_numpy(fast(ones, training=True))
    dropout.seed_generator.state.assign(seed)
    result = engine.input_gradients(lambda x: fast(x, training=True), ones)

    assert {0.0, 1.0} >= set((factors * 0.6).round(5).ravel())
    np.testing.assert_allclose(ops.convert_to_numpy(result), factors)


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_dropout_of_what_is_no_sequence_stays_keras_own_on_tensorflow(rate):
    if keras.config.backend() != "tensorflow":
        pytest.skip("PyTorch draws faster for any inputs, JAX for none")
    vectors = keras.Input((6,))
    network = keras.Model(vectors, layers.Dropout(rate)(vectors))
    assert fast_layers(engine.rebuild(network, (6,)), "dropout") == 0


def test_bfloat16_stored_as_bits_is_rounded_as_tensorflow_rounds():
    if keras.config.backend() != "tensorflow":
        pytest.skip("the bits are TensorFlow's")
    import tensorflow as tf

    from classicnets.engine import tensorflow_sequences as sequences

    ties = np.array([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8], "float32")
    extremes = np.array([0, -0.0, 1e-40, 3.4e38, np.inf, -np.inf, np.nan], "float32")
    drawn = RANDOM.normal(size=1000).astype("float32")
    numbers = tf.constant(np.concatenate([ties, extremes, drawn, 1e30 * drawn]))

    bits = sequences._narrow(numbers, tf.uint16)

    expected = tf.cast(numbers, tf.bfloat16)
    np.testing.assert_array_equal(bits, tf.bitcast(expected, tf.uint16))
    np.testing.assert_array_equal(sequences._wide(bits), tf.cast(expected, tf.float32))
    np.testing.assert_array_equal(sequences._stored(expected), bits)
