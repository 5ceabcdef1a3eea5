"""Reconstruction: an autoencoder or a VAE learns images by giving them back."""

from typing import Any

import keras
import numpy as np
from keras import ops

from classicnets import engine, optimization, streams
from classicnets.data import Splits
from classicnets.recipe import Recipe
from classicnets.streams import Stream
from classicnets.tasks import plain
from classicnets.tasks.averages import Averages
from classicnets.tasks.bounds import Bounds
from classicnets.tasks.pixels import Pixels

SAMPLES = 64  # in a picture
PAIRS = 16  # originals and reconstructions in a picture


class Reconstruct:
    """Minimizes the reconstruction error, of a VAE plus the KL divergence: the ELBO.

    Kingma & Welling 2013 (1312.6114), eq. 10 with one draw of the code per image.
    """

    def __init__(self, network: keras.Model, recipe: Recipe, splits: Splits):
        self.network, self.recipe, self.splits = network, recipe, splits
        self.inputs = Pixels(recipe, splits.train, scaling=(0.0, 1.0))
        self.order, self.draws = self.inputs.order, self.inputs.draws
        self.batch_shape = (recipe.batch_size,)
        self.warmup_steps = recipe.beta_warmup_epochs * (
            len(splits.train) // recipe.batch_size
        )
        self.optimizer = optimization.optimizer(recipe)
        self.optimizer.build(network.trainable_variables)
        self.averages = Averages(network, recipe.ema)
        self.state = [
            *network.variables,
            *self.optimizer.variables,
            *self.averages.values,
        ]
        self.judge = Bounds(network, recipe, self.state)
        self.logs: tuple[str, ...] = ("loss",)
        if self.judge.is_vae:
            self.logs = ("loss", "reconstruction", "kl")
        self.validated = self.logs
        self._steps = engine.compile_steps(self._step, self.state, self.logs)
        self._encode = engine.compile_function(self._means, self.state)
        self._decode = engine.compile_function(self._pixels, self.state)

    # -- learning ------------------------------------------------------------

    def train(
        self, batches: dict, steps: int, *, first: int = 0, image_size: int = 0
    ) -> dict:
        """Learn from the first `steps` of `batches`.

        Args:
            batches: `index` (rows, batch), the examples; `learning_rate` (rows,); and
                one epoch's draws.
            steps: How many of the rows to run.
            first: The first row's step, counted from the start of the training.
            image_size: Unused: images keep their size.

        Returns:
            The sums of `logs` over the steps, in nats per image.
        """
        recipe, step = self.recipe, first + np.arange(len(batches["index"]))
        rise = step / self.warmup_steps if self.warmup_steps else np.ones(len(step))
        inputs = {
            **batches,
            **self.inputs.rows(batches),
            "beta": (recipe.beta * np.minimum(rise, 1.0)).astype("float32"),
        }
        if self.judge.is_vae:
            codes = (recipe.batch_size, self.judge.latent_size)
            inputs["noise"] = streams.normal(recipe.seed, Stream.NOISE, step, codes)
        if recipe.binarize:
            pixels = (recipe.batch_size, *self.inputs.images.shape[1:])
            inputs["level"] = streams.uniform(recipe.seed, Stream.GREY, step, pixels)
        return self._steps(self.inputs.arrays, inputs, steps)

    def _step(self, arrays: dict, batch: dict) -> dict:
        """Encode, draw a code, decode, update."""
        images = self.inputs.augmented(arrays, batch)
        if self.recipe.binarize:
            images = ops.cast(batch["level"] < images, "float32")

        def loss_function() -> tuple[Any, tuple]:
            noise = batch.get("noise")
            terms = self.judge.elbo_terms(images, noise, training=True)
            reconstruction, kl = map(ops.mean, terms)
            loss = reconstruction + batch["beta"] * kl
            return self.optimizer.scale_loss(loss), (loss, reconstruction, kl)

        variables = self.network.trainable_variables
        (_, (loss, reconstruction, kl)), gradients = engine.value_and_gradients(
            loss_function, variables, self.state
        )
        self.optimizer.learning_rate.assign(batch["learning_rate"])
        engine.apply_gradients(self.optimizer, gradients, variables)
        self.averages.update(self.optimizer.iterations)
        return {"loss": loss, "reconstruction": reconstruction, "kl": kl}

    # -- judging -------------------------------------------------------------

    def validate(self, epoch: int) -> dict[str, float]:
        """Return `logs` on the validation split, nats per image, with beta = 1."""
        with self.averages.in_use():
            means = self.judge.terms(self.splits.validation.inputs).mean(axis=0)
        values = (means.sum(), *means)
        return {key: float(value) for key, value in zip(self.logs, values)}

    # -- showing -------------------------------------------------------------

    def show(self) -> dict[str, np.ndarray]:
        """Return pictures, each (n, height, width, channels) uint8.

        `originals` are validation images, `reconstructions` the same given back;
        `samples` are decoded from fixed codes, which only a VAE's decoder knows.
        """
        originals = np.asarray(self.splits.validation.inputs[:PAIRS])
        with self.averages.in_use():
            codes = self._encode({}, {"raw": originals})
            pictures = {
                "originals": originals,
                "reconstructions": self._decode({}, {"code": codes}),
            }
            if self.judge.is_vae:
                source = streams.generator(self.recipe.seed, Stream.SAMPLES)
                codes = source.standard_normal((SAMPLES, self.judge.latent_size))
                pictures["samples"] = self._decode(
                    {}, {"code": codes.astype("float32")}
                )
        return pictures

    def _means(self, arrays: dict, batch: dict) -> Any:
        codes = self.judge.encoder(self.inputs.scale(batch["raw"]), training=False)
        return ops.cast(codes[0] if self.judge.is_vae else codes, "float32")

    def _pixels(self, arrays: dict, batch: dict) -> Any:
        log_odds = self.judge.decoder(batch["code"], training=False)
        return plain.pixels(log_odds, log_odds=True)

    def plain_models(self) -> dict[str, keras.Model]:
        """Return float32 models: `model` and `encoder` take raw pixels, `decoder` makes
        uint8 pixels of codes."""
        with self.averages.in_use():
            network = plain.in_float32(self.network)
        return {
            "model": self.inputs.on_raw_inputs(network),
            "encoder": self.inputs.on_raw_inputs(network.get_layer("encoder")),
            "decoder": plain.to_pixels(network.get_layer("decoder"), log_odds=True),
        }
