"""The fine print: what public code often has wrong."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import scipy.stats

from classicnets import networks
from classicnets.errors import UserError
from classicnets.networks import private
from classicnets.recipe import Recipe
from classicnets.verification import anchors, drawing, first_steps, small
from classicnets.verification.outputs import difference, inputs_of
from classicnets.verification.proof import Proof, below, equal, missing, near

STEPS = 500  # whose random numbers are looked at
CHANCE = 1e-4  # of a true proof to fail, were its seed another


def of_batch_statistics(network: str) -> Iterator[Proof]:
    """Prove that batch statistics move in training only, by a tenth of what comes."""
    places = set()  # of the parts that have been proven, at their first variant
    for shape, options in small.of(network).variants:
        parts = drawing.create(network, shape, small.CLASSES, options)
        fresh = [p for p, part in enumerate(parts) if p not in places and _norms(part)]
        for place in fresh:
            drawing.fill(parts[place])
            what = ("generator", "critic")[place] if len(parts) > 1 else "network"
            title = f"the {what} at {small.size(shape, options)}"
            yield from _batch_statistics(network, parts[place], title)
        places.update(fresh)


def _batch_statistics(network: str, part: keras.Model, title: str) -> Iterator[Proof]:
    norms, inputs = _norms(part), inputs_of(part)
    # From mean 0 and variance 1, so that the first step's move is all there is.
    for norm in norms:
        norm.moving_mean.assign(np.zeros(norm.moving_mean.shape, "float32"))
        norm.moving_variance.assign(np.ones(norm.moving_mean.shape, "float32"))
    part(inputs, training=False)
    yield equal(
        network,
        f"{title}: batch statistics moved by inference, of {len(norms)}",
        0,
        sum(bool(np.any(_mean(norm))) for norm in norms),
    )
    part(inputs, training=True)
    once = [_mean(norm) for norm in norms]
    part(inputs, training=True)
    # m = 0.1 b, then 0.9 m + 0.1 b = 1.9 m, whatever the batch's mean b.
    ratios = [
        float(np.abs(_mean(norm)).sum() / np.abs(before).sum())
        for norm, before in zip(norms, once)
    ]
    for name, ratio in (("smallest", min(ratios)), ("largest", max(ratios))):
        what = f"{title}: a second step's statistics over a first's, the {name}"
        yield near(network, what, 1.9, ratio)


def of_critic(network: str) -> Iterator[Proof]:
    """Prove that a penalised critic scores each image by itself."""
    if not _is_penalised(first_steps.recipe_of(network, Path())):
        return
    shape, options, *_ = small.of(network)
    parts = drawing.create(network, shape, small.CLASSES, options)
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
    """Prove the numbers that a step of a GAN is fed: noise, and WGAN-GP's mix."""
    if network not in networks.PAIRS:
        return
    with tempfile.TemporaryDirectory() as folder:
        first_steps.write_images(Path(folder), network)
        recipe, splits, parts = first_steps.prepare(network, Path(folder))
        task = first_steps.make_task(recipe, parts, splits)
        # What would go into the compiled steps.
        task._steps = lambda arrays, rows, steps: rows
        rows = task.train(first_steps.batches_of(task, 0, STEPS), STEPS)
        by_default = drawing.create(network, splits.input_shape, 0, {})
        if _is_penalised(recipe) and _norms(by_default[1]):
            answer = "accepted"
            try:
                first_steps.make_task(recipe, by_default, splits)
            except UserError:
                answer = "refused"
            what = "a penalised critic with batch norm"
            yield equal(network, what, "refused", answer)
    yield _distribution(
        network,
        "noise, drawn from N(0, 1): p of Kolmogorov and Smirnov",
        rows["noise"].ravel()[:5000],
        scipy.stats.norm,
    )
    if _is_penalised(recipe):
        mix = rows["mix"]
        yield _distribution(
            network,
            "mix, drawn from U[0, 1]: p of Kolmogorov and Smirnov",
            mix.ravel(),
            scipy.stats.uniform,
        )
        different = [len(np.unique(row)) for row in mix.reshape(-1, mix.shape[-1])]
        yield equal(network, "mixes per batch of 4", first_steps.BATCH, min(different))


def of_dropout(network: str) -> Iterator[Proof]:
    """Prove that dropout is where the paper has it, and drops as much."""
    family, _ = networks.find(network)
    expected = anchors.DROPOUTS.get(family)
    if not expected:
        defaults = networks.network_options(network)
        if any(rate for option, rate in defaults.items() if "dropout" in option):
            yield missing(network, "places of dropout", "anchors.DROPOUTS")
        return
    options = {"dropout": 0.25} if family == "lstm" else {}
    parts = drawing.create(network, small.RGB, small.CLASSES, options)
    rates = {
        private.operation_before(layer.input).name: layer.rate
        for layer in parts[-1].layers
        if isinstance(layer, keras.layers.Dropout)
    }
    if family == "lstm":  # the last one follows no layer but the last state
        last = private.operation_before(parts[0].get_layer("logits").input)
        yield equal(network, "dropout before the logits", 0.25, last.rate)
        rates = {name: rate for name, rate in rates.items() if name in expected}
    yield equal(network, "dropout after", _places(expected), _places(rates))


def _is_penalised(recipe: Recipe) -> bool:
    return "penalty" in recipe.kind.objectives[recipe.objective].uses


def _places(rates: dict[str, float]) -> str:
    return ", ".join(f"{layer} {rate}" for layer, rate in rates.items())


def _distribution(
    network: str,
    what: str,
    numbers: np.ndarray,
    distribution: scipy.stats.rv_continuous,
) -> Proof:
    chance = scipy.stats.kstest(numbers, distribution.cdf).pvalue
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
