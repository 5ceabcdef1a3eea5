"""Training as `classicnets train` does it, without the run's folder."""

import itertools
import math
from typing import Any

import keras

from benchmarks.worker import (
    CLASSES,
    CROP_PADDING,
    LEARNING_RATE,
    MOMENTUM,
    WEIGHT_DECAY,
    Job,
    Turns,
)
from classicnets import data, networks, recipe
from classicnets.optimization import learning_rates
from classicnets.tasks.classify import Classify

OPTIONS: dict[str, dict[str, Any]] = {
    "resnet18": {"stem": "small"},
    "vgg19_bn": {"hidden_units": (4096, 4096)},
    "resnet20": {},
}


def train(job: Job, turns: Turns) -> None:
    """Train until `turns` ends it."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(job.contender.precision)
    images, labels = job.examples()
    settings = recipe.build(
        {
            "network": job.network,
            "data": "benchmark",
            "epochs": 1,
            "crop_padding": CROP_PADDING,
            "flip": True,
            "batch_size": job.batch_size,
            "learning_rate": LEARNING_RATE,
            "momentum": MOMENTUM,
            "weight_decay": WEIGHT_DECAY,
            "schedule": "constant",
            "precision": job.contender.precision,
            "steps_per_call": 1,  # as in the recipes for the CPU
        }
    )
    examples = data.Examples(images, labels)
    names = tuple(str(number) for number in range(CLASSES))
    splits = data.Splits(
        "benchmark", names, examples, examples, lambda: examples, "", ()
    )
    network = networks.create(
        job.network, images.shape[1:], CLASSES, **OPTIONS[job.network]
    )
    task = Classify(network, settings, splits)
    turns.introduce(
        parameters=sum(math.prod(v.shape) for v in network.trainable_variables)
    )
    steps = len(images) // job.batch_size
    for epoch in itertools.count():
        order = data.epoch_order(len(images), seed=0, epoch=epoch).astype("int32")
        batches = {
            "index": order[: steps * job.batch_size].reshape(steps, -1),
            "learning_rate": learning_rates(settings, steps),
            **task.draws(steps, epoch),
        }
        for step in range(steps):
            one = {key: value[step : step + 1] for key, value in batches.items()}
            turns.step_done(task.train(one, 1)["loss"])
