"""The options of `data.load`: keys of a recipe, checked where they are made."""

import dataclasses

import numpy as np
import pytest

from classicnets import data, recipe
from classicnets.errors import UserError

OWN = {"whole", "labelled", "labels", "tokenizer", "progress", "files"}


def test_every_option_but_six_is_a_key_of_a_recipe_with_its_default():
    options = dataclasses.asdict(data.Options())
    built = recipe.build({"network": "lstm", "data": "imdb", "epochs": 1})
    shared = {key: getattr(built, key) for key in options.keys() - OWN}
    assert shared == {key: options[key] for key in options.keys() - OWN}


def test_a_recipe_says_how_its_data_are_read_and_other_options_win():
    texts = recipe.load("lstm-imdb", ["max_tokens=7", "validation_fraction=0.5"])
    options = data.from_recipe(texts, progress=False, vocabulary_size=9)
    assert (options.labelled, options.progress) == (True, False)
    assert (options.max_tokens, options.validation_fraction) == (7, 0.5)
    assert options.vocabulary_size == 9
    assert not data.from_recipe(recipe.load("vae-mnist")).labelled


def test_numbers_of_numpy_are_numbers():
    options = data.Options(
        image_size=np.int64(8),
        split_seed=np.uint8(3),
        validation_fraction=np.float32(0.25),
    )
    assert options == data.Options(image_size=8, split_seed=3, validation_fraction=0.25)
    assert type(options.image_size) is int


def test_changes_win_over_options():
    options = data.Options(image_size=16, channels=3)
    splits = data.load("digits", options, image_size=8)
    assert splits.train.inputs.shape[1:] == (8, 8, 3)
    assert options.image_size == 16


@pytest.mark.parametrize(
    "options, message",
    [
        ({"image_size": "8"}, "image_size must be int, got '8'"),
        ({"folds": 1}, "folds must be at least 2, got 1"),
        ({"folds": 3, "fold": 4}, r"fold must lie in 1\.\.3, got 4"),
        ({"fold": 1}, "fold 1 needs to know of how many: set folds too"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_opened(options, message):
    with pytest.raises(UserError, match=message):
        data.load("no such file", **options)
