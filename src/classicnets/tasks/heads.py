"""What stands on top of a network that learns from labels: its loss and its scores.

A head turns labels into targets, says how far outputs are from them, and judges them.
The outputs of a network are its last layer's, logits by name.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import keras
import numpy as np
from keras import layers, ops

from classicnets import objectives
from classicnets.data import Splits
from classicnets.errors import UserError
from classicnets.recipe import Recipe
from classicnets.tasks import scores


class Head(Protocol):
    """How the outputs of a network are read.

    Attributes:
        train_labels: (n, ...), what `targets` takes.
    """

    train_labels: np.ndarray

    @property
    def logs(self) -> tuple[str, ...]:
        """What a step logs: the loss and the names of `measures`."""

    @property
    def validated(self) -> tuple[str, ...]:
        """What `judge` measures, by name."""

    def targets(self, labels: Any) -> Any:
        """Return the targets (batch, outputs) float32 of some of `train_labels`."""

    def loss(self, outputs: Any, targets: Any) -> Any:
        """Return the mean loss of outputs (batch, outputs), a scalar."""

    def measures(self, outputs: Any, targets: Any) -> dict[str, Any]:
        """Return what a step logs beside the loss."""

    def judge(
        self, outputs: np.ndarray, labels: np.ndarray
    ) -> Mapping[str, float | None]:
        """Return the scores of outputs (n, outputs), given the labels of the data."""

    def in_own_unit(self, model: keras.Model) -> keras.Model:
        """Return a plain model whose outputs are in the unit of the labels."""


class OneClass:
    """One class per example: the softmax of the outputs."""

    logs = ("loss", "accuracy")
    validated = ("loss", "top1", "top5")

    def __init__(self, recipe: Recipe, splits: Splits):
        self.classes = len(splits.class_names)
        self.smoothing = recipe.label_smoothing
        self.train_labels = splits.train.labels
        self.weights = None
        if recipe.balance == "weights":
            self.weights = class_weights(self.train_labels, self.classes)

    def targets(self, labels: Any) -> Any:
        """Return one-hot rows."""
        return ops.one_hot(labels, self.classes, dtype="float32")

    def loss(self, logits: Any, targets: Any) -> Any:
        """Return the cross-entropy in nats, of balanced classes a weighted one.

        Mixed examples mix their weights as they mix their labels.
        """
        weights: Any = 1.0
        if self.weights is not None:
            weights = ops.matmul(targets, ops.convert_to_tensor(self.weights))
        targets = objectives.smooth(targets, self.smoothing)
        return objectives.cross_entropy(logits, targets, weights)

    def measures(self, logits: Any, targets: Any) -> dict[str, Any]:
        """Return the accuracy: how often the largest output is the largest target."""
        hits = ops.argmax(logits, axis=-1) == ops.argmax(targets, axis=-1)
        return {"accuracy": ops.mean(ops.cast(hits, "float32"))}

    def judge(
        self, logits: np.ndarray, labels: np.ndarray
    ) -> Mapping[str, float | None]:
        """Return loss (nats), top-1 and top-5 accuracy."""
        return scores.judge(logits, labels)

    def in_own_unit(self, model: keras.Model) -> keras.Model:
        """Return the model: logits have no unit."""
        return model


def class_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return n / (classes * n of the class), (classes,) float32.

    Their mean over the examples is 1. A class without examples has 0, and does not
    count among the classes (King & Zeng 2001, Logistic Regression in Rare Events).
    """
    counts = np.bincount(labels, minlength=classes)
    weights = len(labels) / np.maximum(np.count_nonzero(counts) * counts, 1)
    return np.where(counts, weights, 0.0).astype("float32")


# Deviations of the labels that an output of 1 stands for. A squared error bends by 2,
# the cross-entropy of a softmax by 1/2 at most: at SGD's rate that suits the latter,
# 0.1, ResNet-20 diverged on the digits with 1 and with 1/2. With 1/4 it bends by 1/8.
UNIT = 0.25


class OneNumber:
    """One number per example.

    The network learns it less the training labels' mean, over their deviation.
    """

    logs = ("loss",)
    validated = ("loss", "mae", "rmse", "r2")

    def __init__(self, recipe: Recipe, splits: Splits):
        labels = splits.train.labels.astype(np.float64)
        self.mean, self.deviation = float(labels.mean()), float(labels.std())
        if not self.deviation:
            raise UserError(
                f"the labels to train on must differ, those of {splits.name} are all"
                f" {self.mean:g}."
            )
        standard = (labels - self.mean) / self.deviation
        self.train_labels = standard.astype(np.float32)[:, None]

    def targets(self, labels: Any) -> Any:
        """Return the labels, which are standardized."""
        return labels

    def loss(self, values: Any, targets: Any) -> Any:
        """Return the mean squared error, 1 where always the mean is answered."""
        return objectives.squared_error(UNIT * values, targets)

    def measures(self, values: Any, targets: Any) -> dict[str, Any]:
        """Return nothing: the loss says it."""
        return {}

    def judge(
        self, values: np.ndarray, labels: np.ndarray
    ) -> Mapping[str, float | None]:
        """Return the loss, and MAE, RMSE and R2 in the unit of the labels."""
        own = values.astype(np.float64) * UNIT * self.deviation + self.mean
        measures = scores.judge_numbers(own[:, 0], labels)
        loss = (measures["rmse"] / self.deviation) ** 2
        return {"loss": loss, **measures}

    def in_own_unit(self, model: keras.Model) -> keras.Model:
        """Put the deviation and the mean of the labels on top of a model."""
        scaling = layers.Rescaling(UNIT * self.deviation, self.mean, name="value")
        return keras.Model(model.input, scaling(model.output), name=model.name)


class SeveralLabels:
    """Any number of labels per example: a sigmoid of each output."""

    logs = ("loss",)
    validated = ("loss", "map", "f1", "exact")

    def __init__(self, recipe: Recipe, splits: Splits):
        self.train_labels = splits.train.labels
        if not self.train_labels.any():
            raise UserError(f"no example to train on of {splits.name} has a label.")

    def targets(self, labels: Any) -> Any:
        """Return 1 for every label that is there, else 0."""
        return ops.cast(labels, "float32")

    def loss(self, logits: Any, targets: Any) -> Any:
        """Return the binary cross-entropy in nats per example."""
        return objectives.binary_cross_entropy(logits, targets)

    def measures(self, logits: Any, targets: Any) -> dict[str, Any]:
        """Return nothing: most labels are rare, and right where all are denied."""
        return {}

    def judge(
        self, logits: np.ndarray, labels: np.ndarray
    ) -> Mapping[str, float | None]:
        """Return loss, mean average precision, F1 and how many examples are exact."""
        measures = scores.judge_sets(logits, labels)
        return {**measures, "map": measures["map"] or 0.0}

    def in_own_unit(self, model: keras.Model) -> keras.Model:
        """Return the model: logits have no unit."""
        return model
