"""Training as `classicnets train` does it, and inference on the run that it leaves."""

import functools
import itertools
import math
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.shapes import (
    ADAM_RATE,
    CLASSES,
    CONV_FILTERS,
    CONV_UNITS,
    CRITIC_STEPS,
    CROP_PADDING,
    DCGAN_BETA,
    DCGAN_FILTERS,
    DROPOUT,
    EMBEDDING,
    GAN_RATE,
    LATENT_SIZE,
    LEARNING_RATE,
    MOMENTUM,
    NOISE_SIZE,
    PENALTY,
    TEXT_CLASSES,
    TEXT_NETWORKS,
    UNITS,
    VAE_UNITS,
    VOCABULARY,
    WEIGHT_DECAY,
)
from benchmarks.worker import Job, Turns
from classicnets import data, recipe
from classicnets.runs import environment, new

with environment.lean_imports():
    import keras

    from benchmarks import operations
    from classicnets import engine, networks
    from classicnets.inference import predicting
    from classicnets.optimization import learning_rates
    from classicnets.tasks import TASKS, Task

# What the library calls them, where it is not as here.
NAMES = {"lstm400": "lstm", "convvae": "conv_vae"}
LSTM: dict[str, Any] = {
    "units": [*UNITS],
    "vocabulary_size": VOCABULARY,
    "embedding_size": EMBEDDING,
    "embedding_dropout": DROPOUT,
    "dropout": DROPOUT,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "resnet18": {"stem": "small"},
    "vgg19_bn": {"hidden_units": [4096, 4096]},
    "resnet20": {},
    "lstm": LSTM,
    "lstm400": LSTM,
    "vae": {"hidden_units": [VAE_UNITS], "latent_size": LATENT_SIZE},
    "convvae": {
        "filters": [*CONV_FILTERS],
        "hidden_units": [CONV_UNITS],
        "latent_size": LATENT_SIZE,
    },
    "dcgan": {"latent_size": NOISE_SIZE, "filters": DCGAN_FILTERS},
    "wgan_gp": {"latent_size": NOISE_SIZE},
}
IMAGES = {
    "crop_padding": CROP_PADDING,
    "flip": True,
    "learning_rate": LEARNING_RATE,
    "momentum": MOMENTUM,
    "weight_decay": WEIGHT_DECAY,
    "steps_per_call": 1,  # as in the CPU's recipes of large networks
}
ADAM = {"optimizer": "adam", "learning_rate": ADAM_RATE}
GANS = {"optimizer": "adam", "learning_rate": GAN_RATE}
# Settings of the networks that are not classifiers of images.
SETTINGS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(TEXT_NETWORKS, ADAM),
    **dict.fromkeys(("vae", "convvae"), ADAM),
    "dcgan": {**GANS, "objective": "gan", "beta_1": DCGAN_BETA},
    "wgan_gp": {
        **GANS,
        "objective": "wgan_gp",
        "beta_1": 0.0,
        "beta_2": 0.9,
        "critic_steps": CRITIC_STEPS,
        "penalty": PENALTY,
        "steps_per_call": 1,
    },
}


def train(job: Job, turns: Turns) -> None:
    """Train until `turns` ends it."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(job.contender.precision)
    inputs, labels = job.examples()
    settings = recipe.build(
        {
            "network": NAMES.get(job.network, job.network),
            "network_options": OPTIONS[job.network],
            "data": "benchmark",
            "epochs": 1,
            "batch_size": job.batch_size,
            "schedule": "constant",
            "precision": job.contender.precision,
            **({"max_tokens": job.tokens} if job.on_texts else {}),
            **SETTINGS.get(job.network, IMAGES),
        }
    )
    examples = data.Examples(inputs, labels)
    classes = TEXT_CLASSES if job.on_texts else CLASSES
    names = tuple(str(number) for number in range(classes))
    splits = data.Splits(
        "benchmark", names, examples, examples, lambda: examples, "", ()
    )
    built, weights = _build(settings, splits, classes)
    options = settings.network_options
    count = operations.of_step(job, built, options, classes)
    task = TASKS[settings.task](built, settings, splits)
    turns.introduce(
        parameters=sum(math.prod(v.shape) for v in weights),
        operations=count,
        infer=_inference(job, settings, task, inputs[: job.batch_size]),
    )
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


def _build(
    settings: recipe.Recipe, splits: data.Splits, classes: int
) -> tuple[Any, list]:
    """Return the network, or a GAN's pair, and the variables that are trained."""
    options = settings.network_options
    built = networks.build(settings.network, splits.input_shape, classes, **options)
    parts = built if isinstance(built, tuple) else (built,)
    return built, [v for part in parts for v in part.trainable_variables]


def _inference(
    job: Job, settings: recipe.Recipe, task: Task, batch: np.ndarray
) -> Callable[[], np.ndarray] | None:
    """Return what infers a batch by the run's files, as `classicnets predict`,
    `reconstruct` and `sample` do; they are in float32, whatever it was trained in."""
    if job.contender.precision != "float32":
        return None
    # It is called first when the training is over.
    opened = functools.cache(lambda: _open(job, settings, task, batch))
    return lambda: opened()()


def _open(
    job: Job, settings: recipe.Recipe, task: Task, batch: np.ndarray
) -> Callable[[], np.ndarray]:
    """Write the run's networks, and read them again."""
    folder = pathlib.Path(job.log).parent / "runs"
    facts = environment.describe("", "")
    run = new.create(folder, job.contender.name, settings, environment=facts)
    for name, model in task.plain_models().items():
        run.save_model(name, model)
    if settings.kind.labelled:
        return lambda: predicting.logits(run, batch)
    if settings.kind.reconstructs:
        encode = engine.forward(run.load("encoder"))
        decode = engine.forward(run.load("decoder"))
        return lambda: decode(encode(batch))
    generate = engine.forward(run.load("generator"))
    source = np.random.default_rng(0)
    shape = (job.batch_size, NOISE_SIZE)
    return lambda: generate(source.standard_normal(shape, np.float32))
