"""Training as `classicnets train` does it, without the run's folder."""

import itertools
import math
from typing import Any

import keras

from benchmarks.worker import (
    ADAM_RATE,
    CLASSES,
    CROP_PADDING,
    DROPOUT,
    EMBEDDING,
    LEARNING_RATE,
    MOMENTUM,
    TEXT_CLASSES,
    TOKENS,
    UNITS,
    VOCABULARY,
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
    "lstm": {
        "units": UNITS,
        "vocabulary_size": VOCABULARY,
        "embedding_size": EMBEDDING,
        "embedding_dropout": DROPOUT,
        "dropout": DROPOUT,
    },
}
IMAGES = {
    "crop_padding": CROP_PADDING,
    "flip": True,
    "learning_rate": LEARNING_RATE,
    "momentum": MOMENTUM,
    "weight_decay": WEIGHT_DECAY,
}
TEXTS = {"optimizer": "adam", "learning_rate": ADAM_RATE, "max_tokens": TOKENS}


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
            "steps_per_call": 1,  # as in the recipes for the CPU
            "fast_kernels": job.contender.name.startswith("ours"),
            **(TEXTS if job.on_texts else IMAGES),
        }
    )
    examples = data.Examples(inputs, labels)
    classes = TEXT_CLASSES if job.on_texts else CLASSES
    names = tuple(str(number) for number in range(classes))
    splits = data.Splits(
        "benchmark", names, examples, examples, lambda: examples, "", ()
    )
    network = networks.create(
        job.network, splits.input_shape, classes, **OPTIONS[job.network]
    )
    task = Classify(network, settings, splits)
    turns.introduce(
        parameters=sum(math.prod(v.shape) for v in network.trainable_variables)
    )
    steps = len(inputs) // job.batch_size
    for epoch in itertools.count():
        order = task.order(epoch, steps * job.batch_size).astype("int32")
        batches = {
            "index": order.reshape(steps, -1),
            "learning_rate": learning_rates(settings, steps),
            **task.draws(steps, epoch),
        }
        for step in range(steps):
            one = {key: value[step : step + 1] for key, value in batches.items()}
            turns.step_done(task.train(one, 1)["loss"])
