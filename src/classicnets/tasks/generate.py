"""Generation: a generator learns to make images that a critic takes for real ones."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from classicnets import engine, networks, objectives, optimization, streams
from classicnets.data import Splits
from classicnets.data.batches import in_batches
from classicnets.errors import UserError
from classicnets.recipe import Recipe
from classicnets.streams import Stream
from classicnets.tasks import plain
from classicnets.tasks.averages import Averages
from classicnets.tasks.judging import LEAST, ImageJudge
from classicnets.tasks.pixels import Pixels

SAMPLES = 64  # in a picture
JUDGED = 1000  # images of each kind for the KID while training


class Generate:
    """Plays the game of a GAN (1406.2661), WGAN (1701.07875) or WGAN-GP (1704.00028).

    `distance` is the critic's estimate of the Wasserstein distance between real and
    generated images, up to the critic's Lipschitz constant.
    """

    def __init__(
        self,
        pair: tuple[keras.Model, keras.Model],
        recipe: Recipe,
        splits: Splits,
    ):
        self.generator, self.critic = pair
        self.network = self.generator
        self.recipe, self.splits = recipe, splits
        _check(recipe, self.critic)
        self.latent_size = self.generator.input_shape[-1]
        self.objective = recipe.kind.objectives[recipe.objective]
        self.critic_loss, self.generator_loss = (
            getattr(objectives, loss) for loss in self.objective.losses
        )
        self.logs = (*self.objective.logs, "generator_loss")
        self.validated = ("kid",)
        self.inputs = Pixels(recipe, splits.train, scaling=(0.5, 0.5))  # to [-1, 1]
        self.order = self.inputs.order
        self.batch_shape = (recipe.critic_steps, recipe.batch_size)
        self.generator_optimizer = optimization.optimizer(recipe)
        self.critic_optimizer = optimization.optimizer(recipe)
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.critic_optimizer.build(self.critic.trainable_variables)
        self.averages = Averages(self.generator, recipe.ema)
        self.state = [
            *self.generator.variables,
            *self.critic.variables,
            *self.generator_optimizer.variables,
            *self.critic_optimizer.variables,
            *self.averages.values,
        ]
        # The critic stays plain Keras: a penalty differentiates it twice.
        self._generate = engine.rebuild(
            self.generator, self.generator.input_shape[1:], recipe.fast_kernels
        )
        self._steps = engine.compile_steps(self._step, self.state, self.logs)
        self._sample = engine.compile_function(self._pixels, self.state)

    # -- learning ------------------------------------------------------------

    def draws(self, steps: int, epoch: int) -> dict[str, np.ndarray]:
        """Draw the augmentation of an epoch: (steps, critic_steps, batch, ...)."""
        draws = self.inputs.draws(steps * self.recipe.critic_steps, epoch)
        return {
            key: rows.reshape(steps, -1, *rows.shape[1:]) for key, rows in draws.items()
        }

    def train(
        self, batches: dict, steps: int, *, first: int = 0, image_size: int = 0
    ) -> dict:
        """Learn from the first `steps` of `batches`.

        Args:
            batches: `index` (rows, critic_steps, batch), the examples; `learning_rate`
                (rows,); and one epoch's draws.
            steps: How many of the rows to run.
            first: The first row's step, counted from the start of the training.
            image_size: Unused: images keep their size.

        Returns:
            The sums of `logs` over the steps; those of the critic are means over its
            own steps.
        """
        recipe, step = self.recipe, first + np.arange(len(batches["index"]))
        turns, batch = self.batch_shape
        # The last row of noise is the generator's own.
        shape = (turns + 1, batch, self.latent_size)
        inputs = {
            **batches,
            **self.inputs.rows(batches),
            "noise": streams.normal(recipe.seed, Stream.NOISE, step, shape),
        }
        if "penalty" in self.objective.uses:
            inputs["mix"] = streams.uniform(
                recipe.seed, Stream.MIX, step, (turns, batch)
            )
        return self._steps(self.inputs.arrays, inputs, steps)

    def _step(self, arrays: dict, batch: dict) -> dict:
        """Take the critic's steps, each on new images, then one of the generator.

        Algorithm 1 of all three papers.
        """
        rate = batch["learning_rate"]
        ratio = 1.0
        if self.recipe.critic_learning_rate:
            ratio = self.recipe.critic_learning_rate / self.recipe.learning_rate
        self.generator_optimizer.learning_rate.assign(rate)
        self.critic_optimizer.learning_rate.assign(rate * ratio)
        turns = self.recipe.critic_steps
        for_critic = {
            key: rows[:turns] for key, rows in batch.items() if key != "learning_rate"
        }
        logs = engine.repeat(
            lambda rows: self._critic_step(arrays, rows),
            for_critic,
            turns,
            self.state,
            self.objective.logs,
        )
        return logs | self._generator_step(batch["noise"][turns])

    def _critic_step(self, arrays: dict, batch: dict) -> dict:
        real = self.inputs.augmented(arrays, batch)
        fake = ops.cast(self._generate(batch["noise"], training=True), "float32")
        fake = ops.stop_gradient(fake)

        def loss_function() -> tuple[Any, dict]:
            loss = self.critic_loss(self._scores(real), self._scores(fake))
            logs = {"critic_loss": loss, "distance": -loss}
            if "penalty" in self.objective.uses:
                penalty = objectives.gradient_penalty(
                    self._scores, real, fake, batch["mix"]
                )
                loss = loss + self.recipe.penalty * penalty
                logs |= {"critic_loss": loss, "penalty": penalty}
            return loss, {key: logs[key] for key in self.objective.logs}

        logs = self._update(self.critic, self.critic_optimizer, loss_function)
        if "clip" in self.objective.uses:
            limit = self.recipe.clip
            for variable in self.critic.trainable_variables:
                variable.assign(ops.clip(variable, -limit, limit))
        return logs

    def _generator_step(self, noise: Any) -> dict:
        def loss_function() -> tuple[Any, Any]:
            fake = self._generate(noise, training=True)
            loss = self.generator_loss(self._scores(fake))
            return loss, loss

        loss = self._update(self.generator, self.generator_optimizer, loss_function)
        self.averages.update(self.generator_optimizer.iterations)
        return {"generator_loss": loss}

    def _update(
        self,
        network: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss_function: Callable[[], tuple[Any, Any]],
    ) -> Any:
        """Take one step of an optimizer; return what the loss returns beside itself."""
        variables = network.trainable_variables
        (_, extras), gradients = engine.value_and_gradients(
            loss_function, variables, self.state
        )
        engine.apply_gradients(optimizer, gradients, variables)
        return extras

    def _scores(self, images: Any) -> Any:
        return ops.cast(self.critic(images, training=True), "float32")

    # -- judging -------------------------------------------------------------

    def validate(self, epoch: int) -> dict[str, float | None]:
        """Return the KID to validation images, or None between pictures.

        Fewer than 4 of them have none.
        """
        if len(self.splits.validation) < LEAST:
            return {"kid": None}
        if (epoch + 1) % self.recipe.sample_epochs and epoch + 1 < self.recipe.epochs:
            return {"kid": None}
        return {"kid": self._judge.kid(self.sample(self._judge.count, Stream.SCORES))}

    @functools.cached_property
    def _judge(self) -> ImageJudge:
        """Compare with validation images, any of them: a set may be sorted by class."""
        real, seed = self.splits.validation.inputs, self.recipe.split_seed
        return ImageJudge(real[streams.subset(len(real), JUDGED, seed, Stream.REAL)])

    def sample(self, count: int, stream: Stream) -> np.ndarray:
        """Generate (count, height, width, channels) uint8, always from the same noise
        of a stream."""
        source = streams.generator(self.recipe.seed, stream)
        noise = source.standard_normal((count, self.latent_size), dtype=np.float32)
        size = min(self.recipe.evaluation_batch_size, count)
        with self.averages.in_use():
            return in_batches(
                lambda rows: self._sample({}, {"noise": rows}), noise, size
            )

    def _pixels(self, arrays: dict, batch: dict) -> Any:
        images = self._generate(batch["noise"], training=False)
        return plain.pixels(images, log_odds=False)

    # -- showing -------------------------------------------------------------

    def show(self) -> dict[str, np.ndarray]:
        """Return `samples`, (n, height, width, channels) uint8, of fixed noise."""
        return {"samples": self.sample(SAMPLES, Stream.SAMPLES)}

    def plain_models(self) -> dict[str, keras.Model]:
        """Return float32 models: `generator` makes uint8 pixels of noise, and `critic`
        takes raw pixels."""
        with self.averages.in_use():
            generator = plain.in_float32(self.generator)
        critic = plain.in_float32(self.critic)
        return {
            "generator": plain.to_pixels(generator, log_odds=False),
            "critic": self.inputs.on_raw_inputs(critic),
        }


def _check(recipe: Recipe, critic: keras.Model) -> None:
    objective = recipe.kind.objectives[recipe.objective]
    if "penalty" in objective.uses and networks.has_batch_norm(critic):
        raise UserError(
            "a critic under a gradient penalty must score each image by itself, this"
            " one has batch normalization: set network_options.normalization = layer."
        )
