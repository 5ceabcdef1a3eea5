"""What each kind of network takes, keeps, shows and scores.

A network's kind is the dict of `networks` that it stands in. Whoever needs to know what
a kind does asks here: nothing is guessed from a name. Literals alone, no backend.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

# What a label is: one class, a number, or every class that is there.
CLASSES, NUMBERS, SETS = "classes", "numbers", "sets of classes"


class Objective(NamedTuple):
    """What a network is trained for.

    Args:
        losses: Functions of `objectives`: of a pair the critic's and the generator's.
        logs: What the critic's step of a pair logs.
        uses: The keys of a recipe that only some objectives use.
    """

    losses: tuple[str, ...]
    logs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()


class Chart(NamedTuple):
    """A chart of the report: lines over epochs.

    Args:
        title: What is drawn, with its unit.
        lines: By label, the column of history.csv.
        percent: Whether the values are shares, shown in per cent.
        best: `min` or `max`: what a reader would look for with a ruler; None: nothing.
    """

    title: str
    lines: Mapping[str, str]
    percent: bool = False
    best: Callable | None = None


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of network.

    Args:
        name: One network of it, in words: "a classifier".
        task: How it learns: a key of `tasks.TASKS`, and of a recipe.
        objectives: What it may be trained for; the first where a recipe names none.
        labels: What it learns from: `CLASSES`, `NUMBERS` or `SETS`; "" for no labels.
        parts: The networks that a run saves, by file, and the names of their outputs.
        reads: The part that takes raw inputs: pixels or tokens.
        exported: The parts that `export` writes when nobody says which.
        samples_from: The part that makes images of random codes; "" for none.
        scores: What is recorded of metrics.json, the headline first.
        further_scores: What a cross-validation says of its folds beside them.
        best_by: The validation score that tells the best epoch, and whether the lowest
            or the highest is best; None: the last epoch is kept.
        curve: Title and column of the chart that compares the folds of a
            cross-validation; None where examples held out have no score.
        charts: Those of its report.
        page: What its report shows beside them: a template of `reports`.
        float16: Whether it can be trained in `mixed_float16`.
    """

    name: str
    task: str
    objectives: Mapping[str, Objective]
    labels: str
    parts: Mapping[str, tuple[str, ...]]
    reads: str
    exported: tuple[str, ...]
    samples_from: str
    scores: tuple[str, ...]
    best_by: tuple[str, Callable] | None
    curve: tuple[str, str] | None
    page: str
    charts: tuple[Chart, ...]
    float16: bool = True
    further_scores: tuple[str, ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether it learns from labels."""
        return bool(self.labels)

    @property
    def judged(self) -> str:
        """The part whose scores are the run's: the first."""
        return next(iter(self.parts))

    @property
    def reconstructs(self) -> bool:
        """Whether it encodes images and decodes them again."""
        return "encoder" in self.parts


# Scores in 0..1.
SHARES = ("accuracy", "top1", "top5", "f1", "auc", "rival", "map", "exact")

_LEARNING_RATE = Chart("Learning rate", {"learning rate": "learning_rate"}, best=max)
_LOSS = Chart(
    "Loss, nats per image",
    {"training": "loss", "validation": "validation_loss"},
    best=min,
)

_RECONSTRUCTIONS = {
    "bernoulli": Objective(("bernoulli_reconstruction",)),
    "gaussian": Objective(("gaussian_pixels",)),
}

CLASSIFIER = Kind(
    name="a classifier",
    task="classify",
    objectives={"cross_entropy": Objective(("cross_entropy",))},
    labels=CLASSES,
    parts={"model": ("logits",)},
    reads="model",
    exported=("model",),
    samples_from="",
    scores=("top1", "top5", "loss"),
    best_by=("top1", max),
    curve=("Validation accuracy", "validation_top1"),
    page="classify",
    charts=(
        Chart("Loss", _LOSS.lines, best=min),
        Chart(
            "Accuracy",
            {"training": "accuracy", "validation": "validation_top1"},
            percent=True,
            best=max,
        ),
        _LEARNING_RATE,
    ),
    further_scores=("f1", "auc"),
)
REGRESSOR = Kind(
    name="a regressor",
    task="regress",
    objectives={"squared_error": Objective(("squared_error",))},
    labels=NUMBERS,
    parts={"model": ("value",)},
    reads="model",
    exported=("model",),
    samples_from="",
    scores=("rmse", "mae", "r2"),
    best_by=("rmse", min),
    curve=("Validation RMSE", "validation_rmse"),
    page="regress",
    charts=(
        Chart("Loss: squared error over the labels' variance", _LOSS.lines, best=min),
        Chart("RMSE", {"validation": "validation_rmse"}, best=min),
        Chart("MAE", {"validation": "validation_mae"}, best=min),
        _LEARNING_RATE,
    ),
)
TAGGER = Kind(
    name="a multi-label classifier",
    task="tag",
    objectives={"binary_cross_entropy": Objective(("binary_cross_entropy",))},
    labels=SETS,
    parts={"model": ("logits",)},
    reads="model",
    exported=("model",),
    samples_from="",
    scores=("map", "f1", "exact", "loss"),
    best_by=("map", max),
    curve=("Validation mean average precision", "validation_map"),
    page="tag",
    charts=(
        Chart("Loss, nats per example", _LOSS.lines, best=min),
        Chart(
            "Mean average precision",
            {"validation": "validation_map"},
            percent=True,
            best=max,
        ),
        Chart("F1", {"validation": "validation_f1"}, percent=True, best=max),
        _LEARNING_RATE,
    ),
)
AUTOENCODER = Kind(
    name="an autoencoder",
    task="reconstruct",
    objectives=_RECONSTRUCTIONS,
    labels="",
    parts={"model": ("log_odds",), "encoder": ("codes",), "decoder": ("images",)},
    reads="model",
    exported=("encoder", "decoder"),
    samples_from="",
    scores=("reconstruction",),
    best_by=("loss", min),
    curve=("Validation loss, nats per image", "validation_loss"),
    page="generative",
    charts=(_LOSS, _LEARNING_RATE),
)
VAE = Kind(
    name="a VAE",
    task="reconstruct",
    objectives=_RECONSTRUCTIONS,
    labels="",
    parts={
        "model": ("log_odds", "posterior"),
        "encoder": ("mean", "log_variance"),
        "decoder": ("images",),
    },
    reads="model",
    exported=("encoder", "decoder"),
    samples_from="decoder",
    scores=("elbo", "reconstruction", "kl", "nll"),
    best_by=("loss", min),
    curve=("Validation loss, nats per image", "validation_loss"),
    page="generative",
    charts=(
        _LOSS,
        Chart(
            "Reconstruction, nats per image",
            {"training": "reconstruction", "validation": "validation_reconstruction"},
            best=min,
        ),
        Chart(
            "KL divergence, nats per image",
            {"training": "kl", "validation": "validation_kl"},
        ),
        _LEARNING_RATE,
    ),
)
GAN = Kind(
    name="a GAN",
    task="generate",
    objectives={
        "wgan_gp": Objective(
            ("wasserstein_critic", "wasserstein_generator"),
            logs=("critic_loss", "distance", "penalty"),
            uses=("penalty",),
        ),
        "gan": Objective(("gan_discriminator", "gan_generator"), logs=("critic_loss",)),
        "gan_saturating": Objective(
            ("gan_discriminator", "gan_saturating_generator"), logs=("critic_loss",)
        ),
        "wgan": Objective(
            ("wasserstein_critic", "wasserstein_generator"),
            logs=("critic_loss", "distance"),
            uses=("clip",),
        ),
    },
    labels="",
    parts={"generator": ("images",), "critic": ("scores",)},
    reads="critic",
    exported=("generator",),
    samples_from="generator",
    scores=("kid", "kid_deviation", "fid", "kid_floor", "fid_floor"),
    best_by=None,
    curve=None,
    page="generative",
    charts=(
        Chart("KID", {"validation": "validation_kid"}, best=min),
        Chart("Distance, as the critic estimates it", {"average": "distance"}),
        Chart("Critic loss", {"average": "critic_loss"}),
        Chart("Generator loss", {"average": "generator_loss"}),
        Chart("Gradient penalty", {"average": "penalty"}),
        _LEARNING_RATE,
    ),
    float16=False,  # neither of its two optimizers scales the loss
)

EVERY = (CLASSIFIER, REGRESSOR, TAGGER, AUTOENCODER, VAE, GAN)
