"""The fine print: what public code often has wrong."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import scipy.stats

from classicnets import networks
from classicnets.errors import UserError
from classicnets.networks import private
from classicnets.verification import anchors, drawing, first_steps
from classicnets.verification.outputs import CLASSES, RGB, difference, inputs_of
from classicnets.verification.proof import Proof, below, equal, near

STEPS = 500  # whose random numbers are looked at
CHANCE = 1e-4  # of a true proof to fail, were its seed another

# Whose critic is under a gradient penalty, and the option that lets it be.
PENALISED: dict[str, dict[str, Any]] = {
    "dcgan": {"filters": 4, "normalization": "layer"},
    "wgan_gp": {},
    "wgan_gp_resnet": {"filters": 4},
}
# Small networks with batch norm; the others have none.
NORMALIZED: dict[str, tuple[tuple[int, int, int], dict[str, Any]]] = {
    "vgg": (RGB, {"hidden_units": (16,), "dropout": 0.0}),
    "resnet": (RGB, {}),
    "resnet_cifar": ((16, 16, 3), {}),
    "dcgan": (RGB, {"filters": 4}),
    "wgan_gp": ((64, 64, 3), {}),
    "wgan_gp_resnet": (RGB, {"filters": 4}),
}


def of_batch_statistics(network: str) -> Iterator[Proof]:
    """Batch statistics move in training only, by a tenth of what they see."""
    family, fixed = networks.find(network)
    if family not in NORMALIZED or fixed.get("batch_norm") is False:
        return
    shape, options = NORMALIZED[family]
    parts = drawing.create(network, shape, CLASSES, options)
    drawing.fill(*parts)
    for place, part in enumerate(parts):
        norms = _norms(part)
        if not norms:
            continue
        what = ("generator, ", "critic, ")[place] if len(parts) > 1 else ""
        inputs = inputs_of(part, count=4)
        # From mean 0 and variance 1, so that the first step's move is all there is.
        for norm in norms:
            norm.moving_mean.assign(np.zeros(norm.moving_mean.shape, "float32"))
            norm.moving_variance.assign(np.ones(norm.moving_mean.shape, "float32"))
        part(inputs, training=False)
        yield equal(
            network,
            f"{what}batch statistics moved by inference, of {len(norms)}",
            0,
            sum(bool(np.any(_mean(norm))) for norm in norms),
        )
        part(inputs, training=True)
        once = [_mean(norm) for norm in norms]
        part(inputs, training=True)
        twice = [_mean(norm) for norm in norms]
        # m = 0.1 b, then 0.9 m + 0.1 b = 1.9 m, whatever the batch's mean b.
        for name, reduce in (("least", np.min), ("greatest", np.max)):
            ratios = [
                np.abs(after).sum() / np.abs(before).sum()
                for before, after in zip(once, twice)
            ]
            yield near(
                network,
                f"{what}a second step's statistics over a first's, the {name}",
                1.9,
                float(reduce(ratios)),
            )


def of_critic(network: str) -> Iterator[Proof]:
    """A penalised critic scores each image by itself."""
    if network not in PENALISED:
        return
    options = PENALISED[network]
    side = 64 if network == "wgan_gp" else 32
    parts = drawing.create(network, (side, side, 3), CLASSES, options)
    drawing.fill(*parts)
    critic = parts[1]
    norms = len(_norms(critic))
    yield equal(network, "batch norms in the penalised critic", 0, norms)
    images = inputs_of(critic, count=3)
    together, alone = (
        keras.ops.convert_to_numpy(critic(batch, training=True))
        for batch in (images, images[:1])
    )
    yield below(
        network,
        "an image's score among others and alone",
        1e-4,
        difference(together[:1], alone),
    )


def of_draws(network: str) -> Iterator[Proof]:
    """The numbers that a step of a GAN is fed: noise, and WGAN-GP's mix."""
    if networks.kind(network).task != "generate":
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        first_steps.write_images(place, network)
        chosen, splits, parts = first_steps.prepare(network, place)
        task = first_steps.make_task(chosen, parts, splits)
        # What would go into the compiled steps.
        task._steps = lambda arrays, fed, steps: fed
        fed = task.train(first_steps.batches_of(task, 0, STEPS), STEPS)
        refused = "no penalty"
        if network == "dcgan":
            with_batch_norm = drawing.create(network, splits.input_shape, 0, {})
            refused = "taken"
            try:
                first_steps.make_task(chosen, with_batch_norm, splits)
            except UserError:
                refused = "refused"
            yield equal(
                network, "a penalised critic with batch norm", "refused", refused
            )
    yield _drawn(
        network,
        "noise, drawn from N(0, 1): p of Kolmogorov and Smirnov",
        fed["noise"].ravel()[:5000],
        scipy.stats.norm.cdf,
    )
    if chosen.objective == "wgan_gp":
        mix = fed["mix"]
        yield _drawn(
            network,
            "mix, drawn from U[0, 1]: p of Kolmogorov and Smirnov",
            mix.ravel(),
            scipy.stats.uniform.cdf,
        )
        different = [len(np.unique(row)) for row in mix.reshape(-1, mix.shape[-1])]
        yield equal(network, "mixes a batch of 4", first_steps.BATCH, min(different))


def of_dropout(network: str) -> Iterator[Proof]:
    """Dropout is where the paper has it, and drops as much."""
    family, _ = networks.find(network)
    if family not in anchors.DROPOUTS:
        return
    options = {"dropout": 0.25} if family == "lstm" else {}
    parts = drawing.create(network, RGB, CLASSES, options)
    found = {
        private.operation_before(layer.input).name: layer.rate
        for layer in parts[-1].layers
        if isinstance(layer, keras.layers.Dropout)
    }
    expected = anchors.DROPOUTS[family]
    if family == "lstm":  # the last one follows no layer but the last state
        last = private.operation_before(parts[0].get_layer("logits").input)
        yield equal(network, "dropout before the logits", 0.25, last.rate)
        found = {name: rate for name, rate in found.items() if name in expected}
    yield equal(network, "dropout after", _places(expected), _places(found))


def _places(rates: dict[str, float]) -> str:
    return ", ".join(f"{layer} {rate}" for layer, rate in rates.items())


def _drawn(network, what, numbers, distribution) -> Proof:
    chance = scipy.stats.kstest(numbers, distribution).pvalue
    return Proof(
        network, what, f">= {CHANCE:g}", f"{chance:.2g}", bool(chance >= CHANCE)
    )


def _norms(part: keras.Model) -> list[keras.layers.Layer]:
    return [
        layer
        for layer in private.every_layer(part)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]


def _mean(norm: keras.layers.Layer) -> np.ndarray:
    return keras.ops.convert_to_numpy(norm.moving_mean).copy()
