"""Generation: a generator learns to make images that a critic takes for real ones."""

import keras
import numpy as np
from keras import ops

from classicnets import engine, judging, networks, objectives, optimization
from classicnets.data import Splits
from classicnets.data.batches import in_batches
from classicnets.errors import UserError
from classicnets.recipe import Recipe
from classicnets.tasks import draws, plain
from classicnets.tasks.averages import Averages
from classicnets.tasks.pixels import Pixels

SAMPLES = 64  # in a picture
JUDGED = 1000  # images of each kind for the KID while training

# What the critic's step and the generator's step tell, by objective.
LOGS = {
    "gan": (("critic_loss",), ("generator_loss",)),
    "gan_saturating": (("critic_loss",), ("generator_loss",)),
    "wgan": (("critic_loss", "distance"), ("generator_loss",)),
    "wgan_gp": (("critic_loss", "distance", "penalty"), ("generator_loss",)),
}


class Generate:
    """Plays the game of a GAN (1406.2661), WGAN (1701.07875) or WGAN-GP (1704.00028).

    `distance` is the critic's estimate of the Wasserstein distance between real and
    generated images, up to the critic's Lipschitz constant.
    """

    chosen = None  # the last epoch is kept: no loss tells which one is best

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
        self.critic_logs, self.generator_logs = LOGS[recipe.objective]
        self.logs = (*self.critic_logs, *self.generator_logs)
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
        self._real_features: np.ndarray | None = None

    # -- learning ------------------------------------------------------------

    def draws(self, steps: int, epoch: int) -> dict[str, np.ndarray]:
        """Draw the augmentation of an epoch: (steps, critic_steps, batch, ...)."""
        found = self.inputs.draws(steps * self.recipe.critic_steps, epoch)
        return {
            key: rows.reshape(steps, -1, *rows.shape[1:]) for key, rows in found.items()
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
        fed = {
            **batches,
            **self.inputs.rows(batches),
            "noise": draws.normal(recipe.seed, draws.NOISE, step, shape),
        }
        if recipe.objective == "wgan_gp":
            fed["mix"] = draws.uniform(recipe.seed, draws.MIX, step, (turns, batch))
        return self._steps(self.inputs.arrays, fed, steps)

    def _step(self, arrays, batch):
        """Several steps of the critic, each on fresh images, then one of the generator.

        Algorithm 1 of all three papers.
        """
        rate = batch["learning_rate"]
        critic_rate = self.recipe.critic_learning_rate / self.recipe.learning_rate
        self.generator_optimizer.learning_rate.assign(rate)
        self.critic_optimizer.learning_rate.assign(rate * (critic_rate or 1.0))
        turns = self.recipe.critic_steps
        for_critic = {
            key: rows[:turns] for key, rows in batch.items() if key != "learning_rate"
        }
        logs = engine.repeat(
            lambda rows: self._critic_step(arrays, rows),
            for_critic,
            turns,
            self.state,
            self.critic_logs,
        )
        return logs | self._generator_step(batch["noise"][turns])

    def _critic_step(self, arrays, batch):
        real = self.inputs.augmented(arrays, batch)
        fake = ops.cast(self._generate(batch["noise"], training=True), "float32")
        fake = ops.stop_gradient(fake)

        def loss_function():
            real_scores, fake_scores = self._scores(real), self._scores(fake)
            if self.recipe.objective in ("gan", "gan_saturating"):
                loss = objectives.gan_discriminator(real_scores, fake_scores)
                return loss, {"critic_loss": loss}
            distance = objectives.wasserstein_distance(real_scores, fake_scores)
            logs = {"critic_loss": -distance, "distance": distance}
            if self.recipe.objective == "wgan_gp":
                penalty = objectives.gradient_penalty(
                    self._scores, real, fake, batch["mix"]
                )
                loss = -distance + self.recipe.penalty * penalty
                logs |= {"critic_loss": loss, "penalty": penalty}
            return logs["critic_loss"], logs

        variables = self.critic.trainable_variables
        (_, logs), gradients = engine.value_and_gradients(
            loss_function, variables, self.state
        )
        engine.apply_gradients(self.critic_optimizer, gradients, variables)
        if self.recipe.objective == "wgan":
            limit = self.recipe.clip
            for variable in variables:
                variable.assign(ops.clip(variable, -limit, limit))
        return logs

    def _generator_step(self, noise):
        objective = {
            "gan": objectives.gan_generator,
            "gan_saturating": objectives.gan_saturating_generator,
            "wgan": objectives.wasserstein_generator,
            "wgan_gp": objectives.wasserstein_generator,
        }[self.recipe.objective]

        def loss_function():
            loss = objective(self._scores(self._generate(noise, training=True)))
            return loss, loss

        variables = self.generator.trainable_variables
        (_, loss), gradients = engine.value_and_gradients(
            loss_function, variables, self.state
        )
        engine.apply_gradients(self.generator_optimizer, gradients, variables)
        self.averages.update()
        return {"generator_loss": loss}

    def _scores(self, images):
        return ops.cast(self.critic(images, training=True), "float32")

    # -- judging -------------------------------------------------------------

    def validate(self, epoch: int) -> dict[str, float | None]:
        """Return the KID to validation images, or None between pictures."""
        if (epoch + 1) % self.recipe.sample_epochs and epoch + 1 < self.recipe.epochs:
            return {"kid": None}
        if self._real_features is None:
            real = self.splits.validation.inputs
            # Any of them: a set may be sorted by its classes.
            source = draws.generator(self.recipe.split_seed, draws.JUDGED)
            rows = np.sort(source.permutation(len(real))[:JUDGED])
            self._real_features = judging.features(real[rows])
        fake = judging.features(self.sample(len(self._real_features), draws.JUDGED))
        kid, _ = judging.kid(self._real_features, fake)
        return {"kid": kid}

    def sample(self, count: int, purpose: int) -> np.ndarray:
        """Generate (count, height, width, channels) uint8, always from the same noise
        for a purpose."""
        source = draws.generator(self.recipe.seed, purpose)
        noise = source.standard_normal((count, self.latent_size), dtype=np.float32)
        size = min(self.recipe.evaluation_batch_size, count)
        with self.averages.in_use():
            return in_batches(
                lambda rows: self._sample({}, {"noise": rows}), noise, size
            )

    def _pixels(self, arrays, batch):
        images = self._generate(batch["noise"], training=False)
        return plain.pixels(images, log_odds=False)

    # -- showing -------------------------------------------------------------

    def show(self) -> dict[str, np.ndarray]:
        """Return `samples`, (n, height, width, channels) uint8, of fixed noise."""
        return {"samples": self.sample(SAMPLES, draws.SHOWN)}

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
    if recipe.objective == "wgan_gp" and networks.has_batch_norm(critic):
        raise UserError(
            "a critic under a gradient penalty must score each image by itself, this"
            " one has batch normalization: set network_options.normalization = layer."
        )
    if recipe.precision == "mixed_float16":
        raise UserError("precision mixed_float16 is for classifiers: use bfloat16.")
    if recipe.early_stopping:
        raise UserError("early_stopping needs a validation loss, a GAN has none.")
