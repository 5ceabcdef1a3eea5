"""A Keras script as they were usually written in 2021: tf.data, compile, fit.

The same runs on Keras's other backends, as scripts of today do.
"""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, losses, optimizers, regularizers

from benchmarks.peers import eager_2021
from benchmarks.shapes import (
    ADAM_RATE,
    CLASSES,
    CROP_PADDING,
    DROPOUT,
    EMBEDDING,
    LEARNING_RATE,
    MOMENTUM,
    TEXT_CLASSES,
    UNITS,
    VOCABULARY,
    WEIGHT_DECAY,
)
from benchmarks.worker import Job, TrainingOver, Turns

# l2(c) adds c w^2 to the loss, thus 2 c w to the gradient.
L2 = regularizers.l2(WEIGHT_DECAY / 2)


def conv_bn(
    x: Any, filters: int, size: int = 3, stride: int = 1, use_bias: bool = False
) -> Any:
    x = layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding="same",
        use_bias=use_bias,
        kernel_initializer="he_normal",
        kernel_regularizer=L2,
    )(x)
    return layers.BatchNormalization()(x)


def residual_block(x: Any, filters: int, stride: int, projection: bool) -> Any:
    y = conv_bn(x, filters, stride=stride)
    y = layers.Activation("relu")(y)
    y = conv_bn(y, filters)
    if stride > 1 and projection:
        x = conv_bn(x, filters, size=1, stride=stride)
    elif stride > 1:  # option A: every second pixel, new channels of zeros
        x = layers.AveragePooling2D(1, stride)(x)
        zeros = layers.Rescaling(0.0)(x)
        x = layers.Concatenate()([x, zeros])
    return layers.Activation("relu")(layers.add([x, y]))


def resnet(blocks: int, filters: tuple[int, ...], projection: bool) -> keras.Model:
    inputs = keras.Input((32, 32, 3))
    x = layers.Activation("relu")(conv_bn(inputs, filters[0]))
    for stage, width in enumerate(filters):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            x = residual_block(x, width, stride, projection)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(CLASSES, kernel_regularizer=L2)(x))


def vgg19_bn() -> keras.Model:
    model = keras.Sequential([keras.Input((32, 32, 3))])
    for filters, convolutions in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(convolutions):
            model.add(
                layers.Conv2D(
                    filters,
                    3,
                    padding="same",
                    kernel_initializer="he_normal",
                    kernel_regularizer=L2,
                )
            )
            model.add(layers.BatchNormalization())
            model.add(layers.Activation("relu"))
        model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    for _ in range(2):
        model.add(layers.Dense(4096, activation="relu", kernel_regularizer=L2))
        model.add(layers.Dropout(0.5))
    model.add(layers.Dense(CLASSES, kernel_regularizer=L2))
    return model


def lstm(tokens: int, unroll: bool) -> keras.Model:
    first, second = (
        {"units": units, "dropout": DROPOUT, "unroll": unroll} for units in UNITS
    )
    return keras.Sequential(
        [
            keras.Input((tokens,), dtype="int32"),
            layers.Embedding(VOCABULARY, EMBEDDING),
            layers.LSTM(**first, return_sequences=True),
            layers.LSTM(**second),
            layers.Dense(TEXT_CLASSES),
        ]
    )


NETWORKS = {
    "resnet18": lambda: resnet(2, (64, 128, 256, 512), projection=True),
    "vgg19_bn": vgg19_bn,
    "resnet20": lambda: resnet(3, (16, 32, 64), projection=False),
}


def text_dataset(tokens: np.ndarray, labels: np.ndarray, batch_size: int) -> Any:
    return (
        tf.data.Dataset.from_tensor_slices((tokens, labels))
        .shuffle(len(tokens))
        .batch(batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pixels = images.astype("float32") / 255.0
    return pixels.mean(axis=(0, 1, 2)), pixels.std(axis=(0, 1, 2))


def dataset(images: np.ndarray, labels: np.ndarray, batch_size: int) -> Any:
    mean, deviation = statistics(images)
    side = 32 + 2 * CROP_PADDING

    def preprocess(image: Any, label: Any) -> Any:
        image = tf.cast(image, tf.float32) / 255.0
        image = (image - mean) / deviation
        image = tf.image.random_flip_left_right(image)
        image = tf.image.resize_with_crop_or_pad(image, side, side)
        return tf.image.random_crop(image, (32, 32, 3)), label

    return (
        tf.data.Dataset.from_tensor_slices((images, labels))
        .shuffle(len(images))
        .map(preprocess, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


class TakeTurns(keras.callbacks.Callback):
    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self.turns = turns

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        try:
            self.turns.step_done(logs["loss"])
        except TrainingOver:
            self.model.stop_training = True


def train(job: Job, turns: Turns) -> None:
    """Train until `turns` ends it."""
    if job.is_generative:
        eager_2021.train(job, turns)
        return
    keras.utils.set_random_seed(0)
    inputs, labels = job.examples()
    batch = inputs[: job.batch_size]
    if job.on_texts:
        # Unrolled as in 2021; 400 steps would be a graph too large to wait for.
        unroll = job.contender.name == "keras2021-float32" and job.network == "lstm"
        model = lstm(job.tokens, unroll)
        optimizer = optimizers.Adam(ADAM_RATE)
        batches = text_dataset(inputs, labels, job.batch_size)
    else:
        model = NETWORKS[job.network]()
        optimizer = optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM, nesterov=True)
        batches = dataset(inputs, labels, job.batch_size)
        mean, deviation = statistics(inputs)
    model.compile(
        optimizer=optimizer,
        loss=losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )

    def infer() -> np.ndarray:
        if job.on_texts:
            return model.predict_on_batch(batch)
        return model.predict_on_batch((batch / np.float32(255) - mean) / deviation)

    count = sum(math.prod(v.shape) for v in model.trainable_weights)
    turns.introduce(parameters=count, infer=infer)
    # One `fit` that never returns: its start, which fills the shuffle buffer, would
    # weigh on a few steps as it does not on an epoch.
    model.fit(
        batches,
        epochs=1_000_000,
        callbacks=[TakeTurns(turns)],
        verbose=0,
    )
