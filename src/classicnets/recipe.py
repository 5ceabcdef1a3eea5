"""A recipe: everything that decides a training run, as plain data."""

import contextlib
import dataclasses
import datetime
import importlib.resources
import json
import math
import pathlib
import re
import tomllib
import typing

from classicnets.errors import UserError, nearest


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What to train, on what, and how. Read from a TOML file of the same shape.

    Where 0 (or an empty text or list) is a default, it means "not used".
    """

    # What is learnt, from what.
    network: str
    data: str
    epochs: int
    task: str = "classify"
    network_options: dict = dataclasses.field(default_factory=dict)
    weights: str = ""  # file to start from: .keras, .safetensors or .pth
    freeze: bool = False  # train only the head on top of `weights`
    seed: int = 0  # of weights, order, augmentation and dropout

    # Data.
    validation_fraction: float = 0.1  # of the training split
    split_seed: int = 0  # fixed apart from `seed`, so that seeds share their splits
    image_size: int = 0  # pixels a side; 0: as the data are
    channels: int = 0  # 1 or 3; 0: as the data are
    resize: str = "crop"
    allow_corrupt: bool = False
    normalize: bool = True  # by mean and deviation of the training split's channels

    # Texts.
    vocabulary_size: int = 20_000  # the most frequent words of the training split
    skip_top: int = 0  # the most frequent words, left out of every text
    max_tokens: int = 400  # longer texts are cut
    keep_tokens: str = "last"  # of a longer text: first, last, or both ends
    random_windows: float = 0.0  # share of longer training texts read at random places
    word_vectors: bool = False  # the embedding starts with what stands near each word
    text_column: str = ""  # of a table; "": guessed by its name
    label_column: str = ""

    # Cross-validation: `fold` of the training split takes the place of the test.
    folds: int = 0  # 0: none
    fold: int = 0  # from 1 on
    groups: str = ""  # whose examples stay together: a column or a file of lines

    # Augmentation of training images.
    crop_padding: int = 0  # pixels added on each side before a random crop
    flip: bool = False  # left to right, one image in two
    cutout: int = 0  # pixels a side of a square set to the mean (1708.04552)
    mixup: float = 0.0  # alpha of Beta(alpha, alpha) (1710.09412)
    cutmix: float = 0.0  # alpha of Beta(alpha, alpha) (1905.04899)
    progressive_sizes: list = dataclasses.field(default_factory=list)
    # [[first epoch, pixels a side], ...]: smaller pictures at first

    # Autoencoders, VAEs and GANs.
    objective: str = ""  # reconstruct: bernoulli; generate: wgan_gp; see OBJECTIVES
    beta: float = 1.0  # weight of the KL divergence (beta-VAE: Higgins et al. 2017)
    beta_warmup_epochs: float = 0.0  # it rises linearly from 0 (1602.02282)
    binarize: bool = (
        False  # pixels are drawn anew as 0 or 1, as likely as they are grey
    )
    critic_steps: int = 1  # of the critic before one of the generator
    penalty: float = 10.0  # lambda of wgan_gp (1704.00028)
    clip: float = 0.01  # of wgan: weights of the critic lie within (1701.07875)
    critic_learning_rate: float = 0.0  # 0: learning_rate
    sample_epochs: int = 5  # epochs from one picture of samples to the next

    # Learning.
    batch_size: int = 128
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    beta_1: float = 0.9  # of Adam
    beta_2: float = 0.999
    nesterov: bool = True
    weight_decay: float = (
        0.0  # sgd, adam, rmsprop: L2 in the gradient; adamw: decoupled
    )
    decay_all: bool = True  # also biases and batch norm; false: kernels only
    schedule: str = "cosine"
    warmup_epochs: float = 0.0  # one_cycle: length of the rise
    milestones: list = dataclasses.field(default_factory=list)  # step: epochs
    step_factor: float = 0.1
    label_smoothing: float = 0.0
    gradient_clip: float = 0.0  # global norm
    ema: float = 0.0  # decay a step of the averaged weights
    early_stopping: int = 0  # epochs without a better validation accuracy

    # Computing.
    precision: str = "float32"
    fast_kernels: bool = True
    deterministic: bool = False
    steps_per_call: int = 10
    evaluation_batch_size: int = 500
    checkpoint_minutes: float = 10.0  # from one checkpoint to the next
    checkpoint_steps: int = 0  # the same in steps; 0: minutes alone


# By task; the first is meant where a recipe names none.
OBJECTIVES = {
    "classify": ("cross_entropy",),
    "reconstruct": ("bernoulli", "gaussian"),
    "generate": ("wgan_gp", "gan", "gan_saturating", "wgan"),
}
CHOICES = {
    "task": tuple(OBJECTIVES),
    "optimizer": ("sgd", "adam", "adamw", "rmsprop"),
    "schedule": ("constant", "cosine", "one_cycle", "step"),
    "precision": ("float32", "mixed_bfloat16", "mixed_float16"),
    "resize": ("crop", "fit", "stretch"),
    "channels": (0, 1, 3),
    "keep_tokens": ("first", "last", "ends"),
}
POSITIVE = (
    *("epochs", "batch_size", "steps_per_call", "evaluation_batch_size"),
    *("max_tokens", "vocabulary_size", "critic_steps", "sample_epochs"),
)
FRACTIONS = (
    *("validation_fraction", "label_smoothing", "ema", "momentum"),
    *("random_windows", "beta_1", "beta_2"),
)
FIELDS: dict[str, typing.Any] = typing.get_type_hints(Recipe)


def load(source: str | pathlib.Path, changes: typing.Iterable[str] = ()) -> Recipe:
    """Read a recipe and change some of its values.

    Args:
        source: Name of a shipped recipe, or path of a TOML file.
        changes: Texts such as "epochs=3"; `network_options.depth=34` sets an option.

    Raises:
        UserError: For an unknown recipe, key, or choice, or a value of the wrong type.
    """
    values = _read(find(source))
    for key, value in options(changes).items():
        table, _, option = key.partition(".")
        if not option:
            values[key] = value
        elif table == "network_options":
            values[table] = {**values.get(table, {}), option: value}
        else:
            raise UserError(f"only network_options has keys inside, got {key!r}.")
    return build(values)


def options(changes: typing.Iterable[str]) -> dict[str, typing.Any]:
    """Read texts such as "epochs=3" as keys and values; quotes may be left out."""
    found = {}
    for change in changes:
        key, separator, text = change.partition("=")
        if not separator:
            raise UserError(f"a change must look like key=value, got {change!r}.")
        found[key.strip()] = _value(text.strip())
    return found


def build(values: dict[str, typing.Any]) -> Recipe:
    """Make a recipe of plain values, or say which one is wrong."""
    checked = {key: _checked(key, value) for key, value in values.items()}
    for key in ("network", "data", "epochs"):
        if key not in checked:
            raise UserError(f"a recipe must set {key}.")
    recipe = Recipe(**checked)
    choices = OBJECTIVES[recipe.task]
    if recipe.objective not in ("", *choices):
        raise UserError(
            f"the objective of the task {recipe.task} must be one of"
            f" {', '.join(choices)}, got {recipe.objective!r}."
        )
    return dataclasses.replace(recipe, objective=recipe.objective or choices[0])


def names() -> list[str]:
    """Return the names of the shipped recipes."""
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in _shipped().iterdir()
        if entry.name.endswith(".toml")
    )


def find(source: str | pathlib.Path) -> pathlib.Path:
    """Return the path of a recipe given by name or path."""
    shipped = pathlib.Path(str(_shipped())) / f"{source}.toml"
    if shipped.is_file():
        return shipped
    path = pathlib.Path(source)
    if path.is_file():
        return path
    if path.suffix == ".toml" or len(path.parts) > 1:
        raise UserError(f"no recipe file at {path}.")
    raise UserError(f"no recipe named {str(source)!r}. {nearest(str(source), names())}")


def to_toml(recipe: Recipe) -> str:
    """Write the complete recipe as TOML that `load` reads back to an equal one."""
    values = dataclasses.asdict(recipe)
    options = values.pop("network_options")
    lines = _pairs(values)
    if options:
        lines.append("\n[network_options]")
        lines += _pairs(options)
    return "\n".join(lines) + "\n"


def _shipped():
    return importlib.resources.files("classicnets") / "recipes"


def _read(path: pathlib.Path) -> dict[str, typing.Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        repr(values)  # numbers too long for Python to write are refused here
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a TOML file: {error}.") from None
    if not values:
        raise UserError(f"{path} must hold a recipe, it sets nothing.")
    return values


def _value(text: str) -> typing.Any:
    """Read a value as TOML; what is not TOML is a text without its quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _checked(key: str, value: typing.Any) -> typing.Any:
    if key not in FIELDS:
        raise UserError(f"unknown key {key!r}. {nearest(key, FIELDS)}")
    wanted: typing.Any = FIELDS[key]
    if wanted is float and type(value) is int:
        with contextlib.suppress(OverflowError):
            value = float(value)
    if not _is(value, wanted):
        raise UserError(f"{key} must be {wanted.__name__}, got {value!r}.")
    if key in CHOICES and value not in CHOICES[key]:
        choices = ", ".join(str(choice) for choice in CHOICES[key])
        raise UserError(f"{key} must be one of {choices}, got {value!r}.")
    if key in POSITIVE and value < 1:
        raise UserError(f"{key} must be at least 1, got {value}.")
    if key in FRACTIONS and not 0 <= value < 1:
        raise UserError(f"{key} must be at least 0 and below 1, got {value}.")
    if wanted in (int, float) and not (0 <= value < math.inf):
        raise UserError(f"{key} must be finite and not negative, got {value}.")
    if key == "progressive_sizes":
        _check_progressive_sizes(value)
    if key == "milestones" and not all(type(epoch) is int for epoch in value):
        raise UserError(f"milestones must be epochs such as [60, 120], got {value}.")
    return value


def _is(value: typing.Any, wanted: type) -> bool:
    # isinstance would take True for an int.
    return type(value) is wanted


def _check_progressive_sizes(sizes: list) -> None:
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


def _pairs(values: dict[str, typing.Any]) -> list[str]:
    return [
        f"{key if re.fullmatch(r'[A-Za-z0-9_-]+', key) else _literal(key)}"
        f" = {_literal(value)}"
        for key, value in values.items()
    ]


def _literal(value: typing.Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A JSON text is one of TOML but for this character, which JSON lets stand.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(_pairs(value)) + "}"
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return repr(value)
