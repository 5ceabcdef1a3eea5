"""Recipes: what is read, what is refused and how."""

import dataclasses
import re

import pytest

from classicnets import recipe
from classicnets.errors import UserError

MINIMAL = {"network": "resnet20", "data": "digits", "epochs": 2}


@pytest.mark.parametrize("name", recipe.names())
def test_a_shipped_recipe_is_written_and_read_back_unchanged(name, tmp_path):
    first = recipe.load(name)
    path = tmp_path / "copy.toml"
    path.write_text(recipe.to_toml(first))
    assert recipe.load(path) == first


def test_text_and_nested_values_survive_writing(tmp_path):
    first = recipe.build(
        MINIMAL
        | {
            "data": 'C:\\photos\\"mine"',
            "progressive_sizes": [[0, 16], [3, 32]],
            "network_options": {"stem": "small", "hidden_units": [512]},
        }
    )
    path = tmp_path / "copy.toml"
    path.write_text(recipe.to_toml(first))
    assert recipe.load(path) == first


def test_changes_set_keys_and_options():
    changed = recipe.load(
        "resnet20-digits",
        ["epochs=3", "learning_rate=1", "data=my photos", "network_options.depth=32"],
    )
    assert changed.epochs == 3
    assert changed.learning_rate == 1.0
    assert changed.data == "my photos"
    assert changed.network_options == {"depth": 32}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("epoch=3", "unknown key 'epoch'. Did you mean 'epochs'?"),
        ("epochs=three", "epochs must be int, got 'three'."),
        ("epochs=true", "epochs must be int, got True."),
        ("epochs=0", "epochs must be at least 1, got 0."),
        ("epochs", "a change must look like key=value, got 'epochs'."),
        (
            "optimizer=sdg",
            "optimizer must be one of sgd, adam, adamw, rmsprop, got 'sdg'.",
        ),
        ("ema=1.0", "ema must be at least 0 and below 1, got 1.0."),
        ("learning_rate=-1", "learning_rate must be finite and not negative"),
        ("learning_rate=nan", "learning_rate must be finite and not negative"),
        ("milestones=[1.5]", "milestones must be epochs such as"),
        ("progressive_sizes=[[3, 16]]", "progressive_sizes must be"),
        ("progressive_sizes=[3]", "progressive_sizes must be"),
        ("optimizer.name=sgd", "only network_options has keys inside"),
    ],
)
def test_a_wrong_change_is_refused_with_its_reason(change, message):
    with pytest.raises(UserError, match=re.escape(message)):
        recipe.load("resnet20-digits", [change])


def test_an_unknown_recipe_is_answered_with_the_nearest_one():
    with pytest.raises(UserError, match="Did you mean 'resnet20-digits'"):
        recipe.find("resnet20-digit")


def test_a_missing_file_and_a_broken_file_are_told_apart(tmp_path):
    with pytest.raises(UserError, match="no recipe file at"):
        recipe.load(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("epochs = = 3")
    with pytest.raises(UserError, match="is not a TOML file"):
        recipe.load(broken)


@pytest.mark.parametrize("key", MINIMAL)
def test_what_a_recipe_must_set_is_asked_for(key):
    with pytest.raises(UserError, match=f"a recipe must set {key}."):
        recipe.build({k: v for k, v in MINIMAL.items() if k != key})


def test_a_recipe_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.build(MINIMAL).epochs = 3
