"""The trainings of 2021 that `benchmarks.quality` times, written as they were then."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, losses, optimizers

from benchmarks.peers import eager_2021, keras_2021
from benchmarks.races import Clock
from benchmarks.shapes import ADAM_RATE, DROPOUT, EMBEDDING, TOKENS, UNITS, VOCABULARY
from classicnets import data

LSTM_BATCH, VAE_BATCH, RESNET_BATCH = 64, 512, 128


def train_lstm(clock: Clock) -> None:
    """Train as the script does: padding in front, `unroll=True`, sigmoid, `fit`."""
    splits = data.load(
        clock.race.data,
        validation_fraction=clock.race.validation,
        vocabulary_size=VOCABULARY,
        max_tokens=TOKENS,
        keep_tokens="last",
    )

    def dataset(examples: Any) -> Any:
        tokens = np.asarray(examples.inputs)
        lengths = np.count_nonzero(tokens, axis=1)
        rows = [np.roll(row, TOKENS - n) for row, n in zip(tokens, lengths)]
        pairs = (np.stack(rows), examples.labels)
        shuffled = tf.data.Dataset.from_tensor_slices(pairs).shuffle(10_000)
        return shuffled.batch(LSTM_BATCH, drop_remainder=True)

    first, second = UNITS
    model = keras.Sequential(
        [
            keras.Input((TOKENS,), dtype="int32"),
            layers.Embedding(VOCABULARY, EMBEDDING),
            layers.LSTM(first, dropout=DROPOUT, return_sequences=True, unroll=True),
            layers.LSTM(second, dropout=DROPOUT, unroll=True),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    _fit(clock, model, dataset(splits.train), dataset(splits.validation))


def train_vae(clock: Clock) -> None:
    """Train as the script does: a loop over `tf.data` with a `GradientTape`."""
    splits = data.load(
        clock.race.data, labelled=False, validation_fraction=clock.race.validation
    )
    images, judged = (
        tf.cast(np.asarray(part.inputs), tf.float32) / 255.0
        for part in (splits.train, splits.validation)
    )
    batches = tf.data.Dataset.from_tensor_slices(images).shuffle(VAE_BATCH * 5)
    batches = batches.batch(VAE_BATCH)
    model, optimizer = eager_2021.dense_vae(), optimizers.Adam(ADAM_RATE)
    model(judged[:1])

    def negative_elbo(x: Any) -> Any:
        log_odds, mean, log_variance = model(x)
        loss = tf.nn.sigmoid_cross_entropy_with_logits(x, log_odds)
        kl = -0.5 * (log_variance + 1 - mean**2 - tf.exp(log_variance))
        return (tf.reduce_sum(loss) + tf.reduce_sum(kl)) / x.shape[0]

    clock.start()
    while True:
        for x in batches:
            with tf.GradientTape() as tape:
                loss = negative_elbo(x)
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        if clock.is_over(float(negative_elbo(judged))):
            return


def train_resnet20(clock: Clock) -> None:
    """Train in the usual way of then: tf.data, `compile`, `fit`, Adam."""
    splits = data.load(clock.race.data, validation_fraction=clock.race.validation)
    images = np.asarray(splits.train.inputs)
    pixels = images.astype("float32") / 255.0
    mean, deviation = pixels.mean(axis=(0, 1, 2)), pixels.std(axis=(0, 1, 2))
    del pixels
    judged = (np.asarray(splits.validation.inputs) / np.float32(255) - mean) / deviation
    model = keras_2021.NETWORKS["resnet20"]()
    model.compile(
        optimizer=optimizers.Adam(ADAM_RATE),
        loss=losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    batches = keras_2021.dataset(images, splits.train.labels, RESNET_BATCH)
    validation = tf.data.Dataset.from_tensor_slices((judged, splits.validation.labels))
    _fit(clock, model, batches, validation.batch(RESNET_BATCH))


TRAIN: dict[str, Callable[[Clock], None]] = {
    "lstm": train_lstm,
    "vae": train_vae,
    "resnet20": train_resnet20,
}


def train(clock: Clock, seed: int) -> None:
    """Train until the clock ends it."""
    keras.utils.set_random_seed(seed)
    TRAIN[clock.race.network](clock)


def _fit(clock: Clock, model: Any, batches: Any, validation: Any) -> None:
    model.fit(
        batches,
        epochs=1_000,  # the clock ends it
        validation_data=validation,
        callbacks=[clock.callback("val_accuracy")],
        verbose=0,
    )
