"""What a run's numbers are of: the networks that it wrote, the data that it read.

    identity.json
        networks        the SHA-256 of each network's file, as it was written
        tokenizer       that of tokenizer.json, of a run on texts
        class_names     that of a classifier's names, by their numbers
        recipe          its values when the networks were finished

Whatever is said of a network names its digest and the fingerprint of the data. What
does not match is not the run's: it is neither shown nor recorded nor exported.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from classicnets import files
from classicnets.data import Splits
from classicnets.errors import UserError
from classicnets.recipe import Recipe

FILE = "identity.json"
SHOWN = 12  # digits of a digest, where people read it
# Keys of a recipe of which none decides what is learned next. Where the data lie is one
# of them: what they are, their fingerprint says.
HARMLESS = (
    *("epochs", "early_stopping", "sample_epochs", "evaluation_batch_size"),
    *("checkpoint_minutes", "checkpoint_steps", "data", "rival"),
)
# And those of which none decides what a run can score.
WITHOUT_EFFECT = (
    *("checkpoint_minutes", "checkpoint_steps", "evaluation_batch_size"),
    *("steps_per_call", "sample_epochs", "deterministic", "rival"),
)


def digest(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_files(
    path: Path, recipe: Recipe, environment: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what identity.json says beside the networks.

    Args:
        path: The run's folder.
        recipe: Which trained its networks.
        environment: With the names of the classes.
    """
    identity = {"recipe": files.plain(vars(recipe))}
    tokenizer = path / "tokenizer.json"
    if tokenizer.is_file():
        identity["tokenizer"] = digest(tokenizer)
    if recipe.kind.labelled:
        text = json.dumps(environment.get("class_names"), ensure_ascii=False)
        identity["class_names"] = hashlib.sha256(text.encode()).hexdigest()
    return identity


def check(path: Path, identity: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the digest of a network's file; refuse another than the run wrote.

    Args:
        path: Of the network, `model.keras`.
        identity: What identity.json holds; that of earlier versions' runs is empty.
        now: What `of_files` returns.

    Raises:
        UserError: If the network, the tokenizer, the names of the classes or the recipe
            are not those with which the run was finished.
    """
    network = digest(path)
    if not identity:
        return network
    networks = identity.get("networks", {})
    values = {
        path.name: (network, networks.get(path.stem)),
        "tokenizer.json": (now.get("tokenizer"), identity.get("tokenizer")),
        "class_names of environment.json": (
            now.get("class_names"),
            identity.get("class_names"),
        ),
    }
    for name, (value, before) in values.items():
        if value != before:
            raise UserError(
                f"{name} in {path.parent} must be what this run wrote: its SHA-256"
                f" begins with {value or 'nothing':.{SHOWN}}, {FILE} has"
                f" {before or 'none'!s:.{SHOWN}}."
            )
    if lines := recipe_differences(identity, now, harmless=HARMLESS):
        raise UserError(
            f"recipe.toml in {path.parent} must be that of the finished run:"
            f" {'; '.join(lines)}."
        )
    return network


def recipe_differences(
    identity: Mapping[str, Any], now: Mapping[str, Any], *, harmless: Sequence[str] = ()
) -> list[str]:
    """Say in which keys a recipe is not the one that a run was finished with."""
    before = identity.get("recipe", {})
    return [
        f"{key} is {value!r}, was {before[key]!r}"
        for key, value in now["recipe"].items()
        if key in before and key not in harmless and before[key] != value
    ]


def of_data(environment: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what says which data a run read last: where it was begun, or resumed."""
    resumed = environment.get("resumed")
    last = resumed[-1] if isinstance(resumed, list) and resumed else environment
    return last if isinstance(last, dict) else environment


def data_differences(environment: Mapping[str, Any], splits: Splits) -> list[str]:
    """Say in which the data differ from those that a run read last; [] if in nothing.

    Args:
        environment: Of the run.
        splits: The data as they are now.
    """
    began = of_data(environment)
    lines = fingerprint_differences(began.get("data_fingerprint", ""), splits)
    for part in ("train", "validation"):
        count = len(getattr(splits, part))
        if (before := began.get(f"{part}_examples", count)) != count:
            lines.append(f"{count} {part} examples, were {before}")
    test, before = splits.test_fingerprint, began.get("test_fingerprint")
    if test and before and test != before:
        lines.append(f"its test is {test:.{SHOWN}}, was {before:.{SHOWN}}")
    return lines


def fingerprint_differences(before: str, splits: Splits) -> list[str]:
    """Say whether the content differs from that of a fingerprint, "" for any."""
    if before in ("", splits.fingerprint):
        return []
    now = splits.fingerprint
    return [f"{splits.name} is {now:.{SHOWN}}, was {before:.{SHOWN}}"]


def check_data(
    environment: Mapping[str, Any], splits: Splits, *, allowed: Sequence[str]
) -> None:
    """Refuse data that differ from a run's, unless that is allowed.

    Raises:
        UserError: If they differ and "data" is not in `allowed`.
    """
    lines = data_differences(environment, splits)
    if lines and "data" not in allowed:
        raise changed("data", lines)


def changed(what: str, lines: Sequence[str]) -> UserError:
    """Return the error that something is not as the run has it, and the way on."""
    return UserError(
        f"the {what} must be that of the run so far: {'; '.join(lines)}."
        f" --allow-changed {what} goes on all the same."
    )
