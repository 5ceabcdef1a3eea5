"""A recipe: everything that decides a training run, as plain data."""

import dataclasses
import importlib.resources
import pathlib
import tomllib
from collections.abc import Container, Iterable, Mapping
from typing import Any

import tomli_w

from classicnets import networks
from classicnets.errors import UserError, nearest
from classicnets.keys import FIELDS, IMAGES, TEXTS, Recipe, Rule, check, not_default


def load(source: str | pathlib.Path, changes: Iterable[str] = ()) -> Recipe:
    """Read a recipe and change some of its values.

    Warm-ups and milestones keep their shares of a training run that is made shorter.
    What the recipe sets for another task than the changes', such as label_smoothing of
    a regressor, is left at its default.

    Args:
        source: Name of a shipped recipe, or path of a TOML file.
        changes: Texts such as "epochs=3"; `network_options.depth=34` sets an option.

    Returns:
        The recipe, complete.

    Raises:
        UserError: For an unknown recipe, key, network or choice, a value of the wrong
            type, and a key that the network does not use.
    """
    values = _read(find(source))
    epochs = values.get("epochs")
    changed = options(changes)
    recipe = build(_for_task(_with_changes(values, changes), changed))
    return _keep_shares(recipe, epochs, but=changed)


def reopen(path: pathlib.Path, changes: Iterable[str] = ()) -> Recipe:
    """Read the complete recipe of a run; see `load` and `rebuild`."""
    values = _with_changes(_read(path), changes)
    return _build(values, serving={key.partition(".")[0] for key in options(changes)})


def change(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """Return a recipe with other values; only they are checked against its network."""
    values = dataclasses.asdict(recipe) | dict(changes)
    return _build(_for_task(values, changes), serving=changes)


def adapt(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """Return a recipe with other values, for a new training run.

    As in `load`, warm-ups and milestones keep their shares of a shorter one.
    """
    return _keep_shares(change(recipe, changes), recipe.epochs, but=changes)


def fit(recipe: Recipe, examples: int, name: str = "") -> tuple[Recipe, list[str]]:
    """Let the length and the batch follow from the number of training examples.

    `least_steps` halves the batch, to 8 at least, until an epoch has so many steps.
    With `examples_seen`, there are as many epochs as the network sees so many examples
    in, from `least_epochs` to `epochs`; what was set in epochs keeps its share of them.

    Args:
        recipe: The recipe.
        examples: To train on.
        name: How messages call the data.

    Returns:
        The recipe, complete: it follows from nothing more. And notes for the user.

    Raises:
        UserError: If there are too few examples for one step.
    """
    most = examples // recipe.critic_steps
    if not most:
        raise UserError(
            f"critic_steps {recipe.critic_steps} need as many images,"
            f" {name} has {examples} to train on."
        )
    batch, notes = recipe.batch_size, []
    while batch >= 16 and most < batch * recipe.least_steps:
        batch //= 2
    if batch > most:
        notes.append(f"batch_size {batch} is more than the data: {most} instead.")
        batch = most
    epochs = recipe.epochs
    if recipe.examples_seen:
        epochs = max(-(-recipe.examples_seen // examples), recipe.least_epochs)
        epochs = min(epochs, recipe.epochs)
    if recipe.examples_seen or recipe.least_steps:
        notes.append(f"{examples:,} examples: {epochs} epochs, batch {batch}")
    sizes: dict[str, Any] = dict.fromkeys(_FOLLOWING, 0)
    sizes |= {"epochs": epochs, "batch_size": batch}
    fitted = dataclasses.replace(recipe, **sizes)
    return _keep_shares(fitted, recipe.epochs), notes


def options(changes: Iterable[str]) -> dict[str, Any]:
    """Read texts such as "epochs=3" as keys and values; quotes may be left out."""
    values = {}
    for text in changes:
        key, separator, value = text.partition("=")
        if not separator:
            raise UserError(f"a change must look like key=value, got {text!r}.")
        values[key.strip()] = _value(value.strip())
    return values


def build(values: Mapping[str, Any]) -> Recipe:
    """Make a recipe of plain values, or say which one is wrong."""
    return _build(values, serving=values)


def rebuild(values: Mapping[str, Any]) -> Recipe:
    """Make a recipe of the plain values that a run wrote.

    What an earlier version let stand, a key that the network does not use, stands.
    """
    return _build(values, serving=())


def check_inputs(recipe: Recipe, inputs: str, name: str) -> None:
    """Refuse keys that are for other inputs than the data have.

    Args:
        recipe: The recipe.
        inputs: What the data are, `IMAGES` or `TEXTS`.
        name: How messages call the data.

    Raises:
        UserError: With the first such key.
    """
    for key in not_default(recipe):
        rule: Rule = FIELDS[key].metadata["rule"]
        if rule.inputs not in ("", inputs):
            raise UserError(f"{key} is for {rule.inputs}, and {name} has {inputs}.")


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
    return tomli_w.dumps(dataclasses.asdict(recipe))


def _build(values: Mapping[str, Any], serving: Container[str]) -> Recipe:
    """Make a recipe; refuse a key of `serving` that the network does not use."""
    checked = {key: check(key, value) for key, value in values.items()}
    for key in ("network", "data", "epochs"):
        if key not in checked:
            raise UserError(f"a recipe must set {key}.")
    recipe = Recipe(**checked)
    kind = recipe.kind
    tasks = [each.task for each in networks.kinds_of(recipe.network)]
    if recipe.task not in ("", *tasks):
        raise UserError(
            f"{recipe.network} is for the task {' or '.join(tasks)}, got task"
            f" {recipe.task}."
        )
    if recipe.objective not in ("", *kind.objectives):
        raise UserError(
            f"the objective of {kind.name} must be one of"
            f" {', '.join(kind.objectives)}, got {recipe.objective!r}."
        )
    objective = recipe.objective or next(iter(kind.objectives))
    recipe = dataclasses.replace(recipe, task=kind.task, objective=objective)
    _check_together(recipe)
    for key in not_default(recipe):
        if key in serving:
            _check_served(recipe, key)
    return recipe


def _for_task(values: Mapping[str, Any], changes: Container[str]) -> dict[str, Any]:
    """Leave out what serves another task than that of the changes, if they have one."""
    if "task" not in changes:
        return dict(values)
    kind = networks.kind(str(values.get("network")), str(values["task"]))
    return {
        key: value
        for key, value in values.items()
        if key in changes
        or key not in FIELDS
        or (key != "objective" and kind in FIELDS[key].metadata["rule"].kinds)
    }


def _check_together(recipe: Recipe) -> None:
    """Refuse values that go with no other."""
    if recipe.freeze and not recipe.weights:
        raise UserError("freeze trains the head alone, so it needs weights = FILE.")
    if recipe.critic_learning_rate and not recipe.learning_rate:
        raise UserError("critic_learning_rate needs a learning_rate above 0, got 0.0.")
    if recipe.precision == "mixed_float16" and not recipe.kind.float16:
        raise UserError(
            f"precision mixed_float16 is not for {recipe.kind.name}: use bfloat16."
        )


def _check_served(recipe: Recipe, key: str) -> None:
    """Refuse a key that the recipe's network does not use."""
    rule: Rule = FIELDS[key].metadata["rule"]
    kind = recipe.kind
    if kind not in rule.kinds:
        users = " or ".join(user.name for user in rule.kinds)
        raise UserError(f"{key} is for {users}, {recipe.network} is {kind.name}.")
    objectives = [name for name, each in kind.objectives.items() if key in each.uses]
    if objectives and recipe.objective not in objectives:
        raise UserError(
            f"{key} is for the objective {' or '.join(objectives)}, got objective"
            f" {recipe.objective}."
        )
    if rule.inputs == TEXTS and not networks.reads_texts(recipe.network):
        raise UserError(f"{key} is for {TEXTS}, {recipe.network} takes {IMAGES}.")


# The keys that `fit` uses up.
_FOLLOWING = ("examples_seen", "least_epochs", "least_steps")


def _keep_shares(recipe: Recipe, epochs: Any, *, but: Container[str] = ()) -> Recipe:
    """Return a recipe whose warm-ups and milestones are where they were in `epochs`.

    Args:
        recipe: For as many epochs or more it is returned as it is.
        epochs: Those that its keys were set for.
        but: Keys that stay as they are.
    """
    if type(epochs) is not int or recipe.epochs >= epochs:
        return recipe
    share = recipe.epochs / epochs
    first_epochs = {round(first * share): n for first, n in recipe.progressive_sizes}
    shorter: dict[str, Any] = {
        "warmup_epochs": round(recipe.warmup_epochs * share, 4),
        "beta_warmup_epochs": round(recipe.beta_warmup_epochs * share, 4),
        "milestones": [max(1, round(epoch * share)) for epoch in recipe.milestones],
        "sample_epochs": max(1, round(recipe.sample_epochs * share)),
        "progressive_sizes": [[first, n] for first, n in first_epochs.items()],
    }
    values = {
        key: value
        for key, value in shorter.items()
        if key not in but and recipe.kind in FIELDS[key].metadata["rule"].kinds
    }
    return dataclasses.replace(recipe, **values)


def _with_changes(values: dict[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    for key, value in options(changes).items():
        table, _, option = key.partition(".")
        if not option:
            values[key] = value
        elif table == "network_options":
            values[table] = {**values.get(table, {}), option: value}
        else:
            raise UserError(f"only network_options has keys inside, got {key!r}.")
    return values


def _shipped() -> Any:
    return importlib.resources.files("classicnets") / "recipes"


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        repr(values)  # numbers too long for Python to write are refused here
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a TOML file: {error}.") from None
    if not values:
        raise UserError(f"{path} must hold a recipe, it sets nothing.")
    return values


def _value(text: str) -> Any:
    """Read a value as TOML; what is not TOML is a text without its quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
