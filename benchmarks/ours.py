"""Training as `classicnets train` does it, without the run's folder."""

import itertools
import math
from typing import Any

import keras
import numpy as np

from benchmarks.worker import (
    ADAM_RATE,
    CLASSES,
    CRITIC_STEPS,
    CROP_PADDING,
    DROPOUT,
    EMBEDDING,
    GAN_RATE,
    LATENT_SIZE,
    LEARNING_RATE,
    MOMENTUM,
    NOISE_SIZE,
    PENALTY,
    TEXT_CLASSES,
    TOKENS,
    UNITS,
    VAE_UNITS,
    VOCABULARY,
    WEIGHT_DECAY,
    Job,
    Turns,
)
from classicnets import data, networks, recipe
from classicnets.optimization import learning_rates
from classicnets.tasks import TASKS

OPTIONS: dict[str, dict[str, Any]] = {
    "resnet18": {"stem": "small"},
    "vgg19_bn": {"hidden_units": (4096, 4096)},
    "resnet20": {},
    "lstm": {
        "units": UNITS,
        "vocabulary_size": VOCABULARY,
        "embedding_size": EMBEDDING,
        "embedding_dropout": DROPOUT,
        "dropout": DROPOUT,
    },
    "vae": {"hidden_units": (VAE_UNITS,), "latent_size": LATENT_SIZE},
    "wgan_gp": {"latent_size": NOISE_SIZE},
}
IMAGES = {
    "crop_padding": CROP_PADDING,
    "flip": True,
    "learning_rate": LEARNING_RATE,
    "momentum": MOMENTUM,
    "weight_decay": WEIGHT_DECAY,
}
TEXTS = {"optimizer": "adam", "learning_rate": ADAM_RATE, "max_tokens": TOKENS}
# Settings of the networks that are not classifiers of images.
SETTINGS: dict[str, dict[str, Any]] = {
    "lstm": TEXTS,
    "vae": {
        "task": "reconstruct",
        "optimizer": "adam",
        "learning_rate": ADAM_RATE,
        "steps_per_call": 10,  # as its recipe has it
    },
    "wgan_gp": {
        "task": "generate",
        "optimizer": "adam",
        "learning_rate": GAN_RATE,
        "beta_1": 0.0,
        "beta_2": 0.9,
        "critic_steps": CRITIC_STEPS,
        "penalty": PENALTY,
    },
}


def train(job: Job, turns: Turns) -> None:
    """Train until `turns` ends it."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(job.contender.precision)
    inputs, labels = job.examples()
    settings = recipe.build(
        {
            "network": job.network,
            "data": "benchmark",
            "epochs": 1,
            "batch_size": job.batch_size,
            "schedule": "constant",
            "precision": job.contender.precision,
            "steps_per_call": 1,  # as in the CPU's recipes of large networks
            "fast_kernels": job.contender.name.startswith("ours"),
            **SETTINGS.get(job.network, IMAGES),
        }
    )
    examples = data.Examples(inputs, labels)
    classes = TEXT_CLASSES if job.on_texts else CLASSES
    names = tuple(str(number) for number in range(classes))
    splits = data.Splits(
        "benchmark", names, examples, examples, lambda: examples, "", ()
    )
    network, trained = _build(job, splits, classes)
    task = TASKS[settings.task](network, settings, splits)
    turns.introduce(parameters=sum(math.prod(v.shape) for v in trained))
    steps = len(inputs) // math.prod(task.batch_shape)
    for epoch in itertools.count():
        order = task.order(epoch, steps * math.prod(task.batch_shape)).astype("int32")
        batches = {
            "index": order.reshape(steps, *task.batch_shape),
            "learning_rate": learning_rates(settings, steps),
            **task.draws(steps, epoch),
        }
        step = 0
        while step < steps:
            # Always so many rows, of which some count: a call is compiled once.
            rows = np.arange(step, step + settings.steps_per_call).clip(max=steps - 1)
            several = {key: value[rows] for key, value in batches.items()}
            count = min(settings.steps_per_call, steps - step, turns.left)
            losses = task.train(several, count, first=epoch * steps + step)
            step += count
            for _ in range(count):
                turns.step_done(losses[task.logs[0]] / count)


def _build(job: Job, splits: data.Splits, classes: int) -> tuple[Any, list]:
    """Return the network, or a GAN's pair, and the variables that are trained."""
    options = OPTIONS[job.network]
    if job.network in networks.PAIRS:
        shape = splits.train.inputs.shape[1:]
        pair = networks.create_pair(job.network, shape, **options)
        return pair, [v for part in pair for v in part.trainable_variables]
    network = networks.create(job.network, splits.input_shape, classes, **options)
    return network, network.trainable_variables
