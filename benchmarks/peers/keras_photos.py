"""The usual script for photos of your own: a small convolutional network in Keras.

Three blocks of a convolution and a pooling, random flips, dropout of one half, Adam at
1e-3 in batches of 32, and the best epoch on the validation split.
"""

import time
from typing import Any

import keras
import numpy as np
from keras import layers

FILTERS = (32, 64, 128)
BATCH = 32  # of `image_dataset_from_directory`
RATE = 1e-3  # Adam's in Keras


def network(
    input_shape: tuple[int, ...], classes: int, rotation: float = 0.0
) -> keras.Model:
    """Build the network, on raw pixels (batch, height, width, channels).

    Args:
        input_shape: (height, width, channels).
        classes: Number of classes.
        rotation: Of `RandomRotation`, in turns to either side; 0: none.
    """
    model = keras.Sequential([keras.Input(input_shape)])
    model.add(layers.RandomFlip("horizontal"))
    if rotation:
        model.add(layers.RandomRotation(rotation))
    model.add(layers.Rescaling(1 / 255))
    for filters in FILTERS:
        model.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(classes, activation="softmax"))
    return model


class BestEpoch(keras.callbacks.Callback):
    """Keeps the weights of the best epoch, and stops after the one when time is up.

    Args:
        seconds: From the start of the training.
    """

    def __init__(self, seconds: float):
        super().__init__()
        self.seconds = seconds
        self.started = 0.0
        self.accuracies: list[float] = []
        self.weights: list[np.ndarray] = []

    def on_train_begin(self, logs: Any = None) -> None:
        """Start the clock: everything is read and built, nothing is traced."""
        self.started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Keep a better epoch's weights."""
        accuracy = logs["val_accuracy"]
        if accuracy > max(self.accuracies, default=-1.0):
            self.weights = self.model.get_weights()
        self.accuracies.append(accuracy)
        self.model.stop_training = time.monotonic() - self.started > self.seconds

    def on_train_end(self, logs: Any = None) -> None:
        """Put the best weights into the network."""
        self.model.set_weights(self.weights)


def train(
    splits: Any, seconds: float, seed: int, rotation: float = 0.0
) -> dict[str, float]:
    """Train for so many seconds, and to the end of the epoch.

    Args:
        splits: Of `classicnets.data.load`.
        seconds: From the start of the training.
        seed: Of weights, order, flips and dropout.
        rotation: See `network`.

    Returns:
        `test` and `validation` accuracy, `epochs` and the number of the `best` one.
    """
    keras.utils.set_random_seed(seed)
    model = network(splits.input_shape, len(splits.class_names), rotation)
    model.compile(
        keras.optimizers.Adam(RATE),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    best = BestEpoch(seconds)
    images, labels = np.asarray(splits.train.inputs), splits.train.labels
    validation = np.asarray(splits.validation.inputs), splits.validation.labels
    model.fit(
        *(images, labels, BATCH),
        epochs=1_000_000,  # the clock ends it
        validation_data=validation,
        callbacks=[best],
        verbose=0,
    )
    test = splits.open_test()
    _, accuracy = model.evaluate(np.asarray(test.inputs), test.labels, verbose=0)
    return {
        "test": accuracy,
        "validation": max(best.accuracies),
        "epochs": len(best.accuracies),
        "best": int(np.argmax(best.accuracies)) + 1,
    }
