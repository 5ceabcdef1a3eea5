"""Learning from labels: what a network returns, and what it is told, is its head's."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from classicnets import engine, optimization
from classicnets.data import Rows, Splits
from classicnets.data.batches import in_batches
from classicnets.recipe import TEXTS, Recipe
from classicnets.tasks import plain
from classicnets.tasks.averages import Averages
from classicnets.tasks.heads import Head
from classicnets.tasks.pixels import Pixels, Scaling
from classicnets.tasks.tokens import Tokens


class Supervised:
    """Minimizes the loss of a head over labelled examples."""

    def __init__(
        self,
        network: keras.Model,
        recipe: Recipe,
        splits: Splits,
        make_head: Callable[[Recipe, Splits], Head],
        scaling: Scaling | None = None,
    ):
        """Make what a step needs.

        Args:
            network: From scaled images, or tokens, to outputs.
            recipe: How it learns.
            splits: What it learns from.
            make_head: Makes what stands on top of the network.
            scaling: Of the pixels that its weights know; see `Pixels`.
        """
        self.head = make_head(recipe, splits)
        self.logs, self.validated = self.head.logs, self.head.validated
        self.network = network
        self.recipe = recipe
        self.splits = splits
        self.inputs: Tokens | Pixels
        if splits.inputs == TEXTS:
            self.inputs = Tokens(recipe, splits.train)
        else:
            self.inputs = Pixels(recipe, splits.train, scaling)
        self.order, self.draws = self.inputs.order, self.inputs.draws
        self.optimizer = optimization.optimizer(recipe)
        self.optimizer.build(network.trainable_variables)
        self.averages = Averages(network, recipe.ema)
        self.state = [
            *network.variables,
            *self.optimizer.variables,
            *self.averages.values,
        ]
        self.batch_shape = (recipe.batch_size,)
        full = splits.input_shape[0]  # the loop asks for it as 0
        sizes = {0, *(size for _, size in recipe.progressive_sizes)} - {full}
        self._networks = {size: self._for_size(size) for size in sizes}
        self._steps: dict[int, Callable] = {}  # by image size
        self._forward: Callable | None = None

    # -- learning ------------------------------------------------------------

    def train(
        self, batches: dict, steps: int, *, first: int = 0, image_size: int = 0
    ) -> dict:
        """Learn from the first `steps` of `batches`.

        Args:
            batches: `index` (rows, batch), the examples; `learning_rate` (rows,); and
                one epoch's draws.
            steps: How many of the rows to run.
            first: Unused: `batches` have all random numbers.
            image_size: Pixels a side that images are resized to; 0: their own.

        Returns:
            The sums of the logs over the steps.
        """
        if image_size not in self._steps:
            self._steps[image_size] = self._compile(image_size)
        labels = self.head.train_labels[batches["index"]]
        batches = {**batches, "label": labels, **self.inputs.rows(batches)}
        return self._steps[image_size](self.inputs.arrays, batches, steps)

    def _for_size(self, image_size: int) -> keras.Model:
        shape = self.splits.input_shape
        if image_size:
            shape = (image_size, image_size, shape[-1])
        try:
            return engine.rebuild(self.network, shape, self.recipe.fast_kernels)
        except ValueError:
            raise ValueError(
                f"progressive_sizes must suit the network, {self.recipe.network} cannot"
                f" take {image_size}x{image_size}."
            ) from None

    def _compile(self, image_size: int) -> Callable:
        network = self._networks[image_size]

        def step(arrays: dict, batch: dict) -> dict:
            return self._step(network, arrays, batch, image_size)

        return engine.compile_steps(step, self.state, self.logs)

    def _step(
        self, network: keras.Model, arrays: dict, batch: dict, image_size: int
    ) -> dict:
        """Prepare, forward, loss, gradients, update."""
        targets = self.head.targets(batch["label"])
        inputs, targets = self.inputs.prepare(arrays, batch, targets, image_size)

        def loss_function() -> tuple[Any, tuple]:
            outputs = ops.cast(network(inputs, training=True), "float32")
            loss = self.head.loss(outputs, targets)
            return self.optimizer.scale_loss(loss), (loss, outputs)

        variables = self.network.trainable_variables
        (_, (loss, outputs)), gradients = engine.value_and_gradients(
            loss_function, variables, self.state
        )
        self.optimizer.learning_rate.assign(batch["learning_rate"])
        engine.apply_gradients(self.optimizer, gradients, variables)
        self.averages.update(self.optimizer.iterations)
        return {"loss": loss, **self.head.measures(outputs, targets)}

    # -- judging -------------------------------------------------------------

    def validate(self, epoch: int) -> Mapping[str, float | None]:
        """Return the head's scores on the validation split."""
        validation = self.splits.validation
        return self.head.judge(self.outputs(validation.inputs), validation.labels)

    def outputs(self, raw: np.ndarray | Rows) -> np.ndarray:
        """Return what the network answers, (n, outputs), to raw inputs."""
        forward = self._forward = self._forward or self._compile_forward()
        with self.averages.in_use():
            size = min(self.recipe.evaluation_batch_size, len(raw))
            return in_batches(lambda batch: forward({}, {"raw": batch}), raw, size)

    def _compile_forward(self) -> Callable:
        network = self._networks[0]

        def forward(arrays: dict, batch: dict) -> Any:
            outputs = network(self.inputs.scale(batch["raw"]), training=False)
            return ops.cast(outputs, "float32")

        return engine.compile_function(forward, self.state)

    def show(self) -> dict[str, np.ndarray]:
        """Return no pictures: the report shows examples."""
        return {}

    def plain_models(self) -> dict[str, keras.Model]:
        """Return `model`: float32, from raw pixels, or tokens, to what it answers."""
        with self.averages.in_use():
            network = plain.in_float32(self.network)
        return {"model": self.head.in_own_unit(self.inputs.on_raw_inputs(network))}
