"""The keys of a recipe: one line each, with default, bounds and whom it serves."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

from classicnets import networks
from classicnets.errors import UserError, nearest
from classicnets.kinds import (
    AUTOENCODER,
    CLASSIFIER,
    EVERY,
    GAN,
    TAGGER,
    VAE,
    Kind,
)

IMAGES, TEXTS = "images", "texts"


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a key of a recipe may be set to, and which networks it serves.

    Args:
        at_least, above, below: Bounds of a number.
        at_most: Of an integer, what no machine can do more of.
        choices: The values that there are; () for any.
        kinds: The kinds of network that use it.
        inputs: `IMAGES` or `TEXTS` where only those use it; "" for both.
        check: Refuses a value, with a `UserError`.
    """

    at_least: float = 0
    above: float = -math.inf
    below: float = math.inf
    at_most: float = 2**31
    choices: tuple = ()
    kinds: tuple[Kind, ...] = EVERY
    inputs: str = ""
    check: Callable[[Any], None] | None = None


def _key(default: Any = dataclasses.MISSING, **rule: Any) -> Any:
    """Make a field of `Recipe` of a key's default and its rule."""
    metadata = {"rule": Rule(**rule)}
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


_PIXELS = 4096  # per side of an image, at most


def _check_sizes(sizes: list) -> None:
    pairs = all(
        isinstance(pair, list) and [type(n) for n in pair] == [int, int]
        for pair in sizes
    )
    epochs = [pair[0] for pair in sizes] if pairs else []
    if sizes and (not pairs or epochs[0] != 0 or epochs != sorted(set(epochs))):
        raise UserError(
            "progressive_sizes must be [[first epoch, pixels], ...] from epoch 0 on "
            f"with rising epochs, got {sizes}."
        )
    if not all(0 < pixels <= _PIXELS for _, pixels in sizes):
        raise UserError(
            f"progressive_sizes must have 1 to {_PIXELS:,} pixels, got {sizes}."
        )


def _check_milestones(milestones: list) -> None:
    if not all(type(epoch) is int for epoch in milestones):
        raise UserError(
            f"milestones must be epochs such as [60, 120], got {milestones}."
        )


_LABELLED = tuple(kind for kind in EVERY if kind.labelled)
_of_classifiers = functools.partial(_key, kinds=(CLASSIFIER,))
_of_labelled = functools.partial(_key, kinds=_LABELLED)
_of_images = functools.partial(_key, inputs=IMAGES)
_of_labelled_images = functools.partial(_key, kinds=_LABELLED, inputs=IMAGES)
_of_texts = functools.partial(_key, kinds=_LABELLED, inputs=TEXTS)
_of_vaes = functools.partial(_key, kinds=(VAE,))
_of_gans = functools.partial(_key, kinds=(GAN,))
_SEEDS = {"below": 2**63, "at_most": math.inf}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What to train, on what, and how. Read from a TOML file of the same shape.

    Where 0 (or an empty text or list) is a default, it means "not used". A number is
    0 or more where no other bound stands.
    """

    # What is learned, from what.
    network: str = _key()
    data: str = _key()
    epochs: int = _key(at_least=1, at_most=1_000_000)
    task: str = _key("")  # the network's own, such as classify; or regress, tag
    network_options: dict = _key({})
    weights: str = _of_labelled("")  # to start from: .keras, .safetensors or .pth
    freeze: bool = _of_labelled(False)  # train only the head on top of `weights`
    seed: int = _key(0, **_SEEDS)  # of weights, order, augmentation and dropout

    # Data.
    validation_fraction: float = _key(0.1, above=0, below=1)  # of the training split
    split_seed: int = _key(0, **_SEEDS)  # apart from `seed`: seeds share splits
    image_size: int = _of_images(
        0, at_most=_PIXELS
    )  # pixels per side; 0: as the data are
    channels: int = _of_images(0, choices=(0, 1, 3))  # 0: as the data are
    resize: str = _of_images("crop", choices=("crop", "fit", "stretch"))
    allow_corrupt: bool = _key(False)  # more than 1 % of a folder's files
    normalize: bool = _of_labelled_images(True)
    # by the training split's channels, or as for the pixels that `weights` know

    # Texts.
    vocabulary_size: int = _of_texts(20_000, at_least=3)  # with padding and unknown
    skip_top: int = _of_texts(0)  # the most frequent words, left out of every text
    max_tokens: int = _of_texts(
        400, at_least=1, at_most=100_000
    )  # longer texts are cut
    keep_tokens: str = _of_texts("last", choices=("first", "last", "ends"))
    random_windows: float = _of_texts(0.0, below=1)  # share of longer texts cut anew
    word_vectors: bool = _of_texts(False)  # the embedding starts from neighbours
    text_column: str = _of_texts("")  # of a table; "": guessed by its name
    label_column: str = _of_texts("")

    # Cross-validation: `fold` of the training split takes the place of the test.
    folds: int = _key(0)  # 0: none
    fold: int = _key(0)  # from 1 on
    groups: str = _key("")  # whose examples stay together: a column or a file of lines

    # Augmentation of training images.
    crop_padding: int = _of_images(
        0, at_most=1024
    )  # pixels on each side before a random crop
    flip: bool = _of_images(False)  # left to right, one image in two
    cutout: int = _of_labelled_images(0)  # pixels per side of a hole (1708.04552)
    mixup: float = _of_labelled_images(0.0)  # alpha of Beta (1710.09412)
    cutmix: float = _key(
        0.0, kinds=(CLASSIFIER, TAGGER), inputs=IMAGES
    )  # alpha of Beta (1905.04899)
    progressive_sizes: list = _of_labelled_images([], check=_check_sizes)
    # [[first epoch, pixels per side], ...]: smaller images at first

    # Autoencoders, VAEs and GANs.
    objective: str = _key("")  # reconstruct: bernoulli; generate: wgan_gp; see `kinds`
    beta: float = _of_vaes(1.0)  # weight of the KL divergence (Higgins et al. 2017)
    beta_warmup_epochs: float = _of_vaes(0.0)  # it rises from 0 (1602.02282)
    binarize: bool = _key(False, kinds=(AUTOENCODER, VAE))  # pixels drawn as 0 or 1
    critic_steps: int = _of_gans(1, at_least=1)  # before one step of the generator
    penalty: float = _of_gans(10.0)  # lambda of wgan_gp (1704.00028)
    clip: float = _of_gans(0.01)  # wgan: of the critic's weights (1701.07875)
    critic_learning_rate: float = _of_gans(0.0)  # 0: learning_rate
    sample_epochs: int = _key(5, at_least=1, kinds=(AUTOENCODER, VAE, GAN))
    # epochs from one picture of samples to the next

    # What follows from the number of training examples; see `recipe.fit`.
    examples_seen: int = _key(0)  # epochs: as many as see so many, at most `epochs`
    least_epochs: int = _key(0, at_most=1_000_000)  # whatever `examples_seen` is
    least_steps: int = _key(0)  # per epoch: the batch is halved, to 8 at least

    # Learning.
    batch_size: int = _key(128, at_least=1)
    # As in PyTorch; see `optimization`.
    optimizer: str = _key("sgd", choices=("sgd", "adam", "adamw", "rmsprop"))
    learning_rate: float = _key(0.1)
    momentum: float = _key(0.9, below=1)
    beta_1: float = _key(0.9, below=1)  # of Adam
    beta_2: float = _key(0.999, below=1)
    nesterov: bool = _key(True)
    weight_decay: float = _key(0.0)  # L2 in the gradient; adamw: decoupled
    decay_all: bool = _key(True)  # also biases and batch norm; false: kernels only
    schedule: str = _key("cosine", choices=("constant", "cosine", "one_cycle", "step"))
    warmup_epochs: float = _key(0.0)  # one_cycle: length of the rise
    milestones: list = _key([], check=_check_milestones)  # step: epochs
    step_factor: float = _key(0.1)
    label_smoothing: float = _of_classifiers(0.0, below=1)
    balance: str = _of_classifiers("", choices=("", "weights", "sampling"))
    # of unequal classes: weights of the loss, or examples drawn by class
    gradient_clip: float = _key(0.0)  # global norm
    ema: float = _key(0.0, below=1)  # decay per step of the averaged weights
    early_stopping: int = _key(0, kinds=(*_LABELLED, AUTOENCODER, VAE))
    # epochs without a better validation score

    # Judging.
    rival: bool = _of_labelled(True)  # a plain method's score on the same splits

    # Computing.
    precision: str = _key(
        "float32", choices=("float32", "mixed_bfloat16", "mixed_float16")
    )
    fast_kernels: bool = _key(True)
    deterministic: bool = _key(False)
    steps_per_call: int = _key(10, at_least=1, at_most=10_000)
    evaluation_batch_size: int = _key(500, at_least=1)
    checkpoint_minutes: float = _key(10.0)  # from one checkpoint to the next
    checkpoint_steps: int = _key(0)  # the same in steps; 0: minutes alone

    @property
    def kind(self) -> Kind:
        """The kind of its network, by what it learns."""
        return networks.kind(self.network, self.task)


FIELDS = {field.name: field for field in dataclasses.fields(Recipe)}


def check(key: str, value: Any) -> Any:
    """Return the value of a key, of the right type and within its bounds.

    Raises:
        UserError: If it is not, or there is no such key.
    """
    if key not in FIELDS:
        raise UserError(f"unknown key {key!r}. {nearest(key, FIELDS)}")
    kind: Any = FIELDS[key].type
    rule: Rule = FIELDS[key].metadata["rule"]
    if kind is float and type(value) is int:
        with contextlib.suppress(OverflowError):
            value = float(value)
    if type(value) is not kind:  # isinstance would take True for an int
        raise UserError(f"{key} must be {kind.__name__}, got {value!r}.")
    if kind is str and not _is_unicode(value):
        raise UserError(f"{key} must be UTF-8, got {value!r}.")
    if rule.choices and value not in rule.choices:
        choices = ", ".join(str(choice) or '""' for choice in rule.choices)
        raise UserError(f"{key} must be one of {choices}, got {value!r}.")
    if kind in (int, float):
        _check_bounds(key, value, rule)
    if rule.check:
        rule.check(value)
    return value


def not_default(recipe: Recipe) -> list[str]:
    """Return the keys whose values are not their defaults."""
    default = Recipe(recipe.network, recipe.data, recipe.epochs)
    return [key for key in FIELDS if getattr(recipe, key) != getattr(default, key)]


def _is_unicode(text: str) -> bool:
    """Return whether a text can be written: a path that is no UTF-8 cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _check_bounds(key: str, value: float, rule: Rule) -> None:
    if isinstance(value, int) and value > rule.at_most:
        raise UserError(f"{key} must be at most {rule.at_most:,}, got {value:,}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{key} must be finite, got {value}.")
    if rule.at_least <= value and rule.above < value < rule.below:
        return
    low = f"at least {rule.at_least:g}" if rule.above < 0 else f"above {rule.above:g}"
    high = f" and below {rule.below}" if rule.below < math.inf else ""
    raise UserError(f"{key} must be {low}{high}, got {value}.")
