"""Recipes: what is read, what is refused and how."""

import dataclasses
import re

import pytest

import classicnets as cn
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
        ("learning_rate=-1", "learning_rate must be at least 0, got -1.0."),
        ("learning_rate=nan", "learning_rate must be finite, got nan."),
        ("validation_fraction=0", "validation_fraction must be above 0 and below 1"),
        ("balance=weight", 'balance must be one of "", weights, sampling, got'),
        ("channels=2", "channels must be one of 0, 1, 3, got 2."),
        (f"seed={2**63}", f"seed must be at least 0 and below {2**63}, got"),
        ("network=resnet21", "network must be one that exists, got 'resnet21'."),
        ("task=generate", "resnet20 is for the task classify or regress"),
        (
            "objective=wgan",
            "the objective of a classifier must be one of cross_entropy",
        ),
        ("freeze=true", "freeze trains the head alone, so it needs weights = FILE."),
        ("milestones=[1.5]", "milestones must be epochs such as"),
        ("progressive_sizes=[[3, 16]]", "progressive_sizes must be"),
        ("progressive_sizes=[3]", "progressive_sizes must be"),
        ("optimizer.name=sgd", "only network_options has keys inside"),
    ],
)
def test_a_wrong_change_is_refused_with_its_reason(change, message):
    with pytest.raises(UserError, match=re.escape(message)):
        recipe.load("resnet20-digits", [change])


# A value of every key that is not its default, so that no key is left out below.
OTHER = {
    "weights": "w.keras", "freeze": True, "image_size": 16, "channels": 3,
    "resize": "fit", "normalize": False, "vocabulary_size": 99, "skip_top": 1,
    "max_tokens": 9, "keep_tokens": "ends", "random_windows": 0.5,
    "word_vectors": True, "text_column": "a", "label_column": "b",
    "crop_padding": 2, "flip": True, "cutout": 4, "mixup": 0.2, "cutmix": 0.2,
    "progressive_sizes": [[0, 16]], "beta": 3.0, "beta_warmup_epochs": 1.0,
    "binarize": True, "critic_steps": 5, "penalty": 1.0, "clip": 0.1,
    "critic_learning_rate": 0.2, "sample_epochs": 9, "label_smoothing": 0.1,
    "early_stopping": 3, "rival": False, "balance": "weights",
}  # fmt: skip
TEXTS = {
    *("vocabulary_size", "skip_top", "max_tokens", "keep_tokens", "random_windows"),
    *("word_vectors", "text_column", "label_column"),
}
LABELS = {
    *("weights", "freeze", "normalize", "label_smoothing", "rival", "balance"),
    *("cutout", "mixup", "cutmix", "progressive_sizes"),
}
IMAGES = {"image_size", "channels", "resize", "crop_padding", "flip"}
# By network, the keys that it uses of those that some networks do not.
USES = {
    "resnet20": IMAGES | LABELS | {"early_stopping"},
    "lstm": IMAGES | LABELS | TEXTS | {"early_stopping"},
    "autoencoder": IMAGES | {"binarize", "sample_epochs", "early_stopping"},
    "vae": IMAGES
    | {"binarize", "sample_epochs", "early_stopping", "beta", "beta_warmup_epochs"},
    "wgan_gp": IMAGES
    | {"critic_steps", "critic_learning_rate", "sample_epochs", "penalty"},
}


@pytest.mark.parametrize("network", USES)
def test_a_key_that_does_not_serve_the_network_is_refused(network):
    for key, value in OTHER.items():
        values = MINIMAL | {"network": network, key: value}
        if key == "freeze":
            values["weights"] = "w.keras"
        if key in USES[network]:
            assert getattr(recipe.build(values), key) == value
            continue
        with pytest.raises(UserError, match=f"{key} is for|weights is for"):
            recipe.build(values)


@pytest.mark.parametrize(
    ("examples", "epochs", "batch"),
    [(60, 60, 8), (600, 60, 16), (1_800, 23, 64), (60_000, 20, 64), (5, 60, 5)],
)
def test_length_and_batch_follow_from_the_number_of_examples(examples, epochs, batch):
    shipped = recipe.load("photos")
    fitted, notes = recipe.fit(shipped, examples)
    assert (fitted.epochs, fitted.batch_size) == (epochs, batch)
    assert fitted.warmup_epochs == pytest.approx(epochs / 6, abs=1e-3)
    assert f"{examples:,} examples: {epochs} epochs, batch {batch}" in notes
    assert recipe.fit(fitted, 10 * examples)[0] == fitted


def test_epochs_asked_for_are_the_most():
    fitted, _ = recipe.fit(recipe.load("photos", ["epochs=6"]), 60)
    assert (fitted.epochs, fitted.warmup_epochs) == (6, 1.0)


def test_a_recipe_without_rules_stays_as_it_is():
    first = recipe.load("resnet18-cifar100")
    assert recipe.fit(first, 45_000) == (first, [])


def test_warm_ups_and_milestones_keep_their_shares_of_a_shorter_training_run():
    shorter = recipe.load("resnet18-cifar100", ["epochs=20"])
    assert (shorter.warmup_epochs, shorter.milestones) == (0.1, [6, 12, 16])
    assert recipe.build(dataclasses.asdict(shorter)) == shorter  # no key of others
    values = MINIMAL | {"network": "vae", "epochs": 20, "beta_warmup_epochs": 10.0}
    assert recipe.adapt(recipe.build(values), {"epochs": 2}).beta_warmup_epochs == 1.0
    sizes = MINIMAL | {"epochs": 9, "progressive_sizes": [[0, 8], [3, 12], [6, 16]]}
    sized = recipe.adapt(recipe.build(sizes), {"epochs": 3})
    assert sized.progressive_sizes == [[0, 8], [1, 12], [2, 16]]


def test_what_is_set_beside_the_epochs_stays_and_so_does_a_longer_training_run():
    changes = ["epochs=20", "milestones=[15]"]
    assert recipe.load("resnet18-cifar100", changes).milestones == [15]
    longer = recipe.load("resnet18-cifar100", ["epochs=400"])
    assert (longer.warmup_epochs, longer.milestones) == (1.0, [60, 120, 160])
    changed = recipe.change(recipe.load("resnet18-cifar100"), {"epochs": 20})
    assert changed.milestones == [60, 120, 160]  # a run that goes on


def test_a_key_of_another_objective_is_refused():
    gan = MINIMAL | {"network": "gan"}
    assert recipe.build(gan | {"objective": "wgan", "clip": 0.1}).clip == 0.1
    with pytest.raises(UserError, match="clip is for the objective wgan, got"):
        recipe.build(gan | {"objective": "gan", "clip": 0.1})
    with pytest.raises(UserError, match="penalty is for the objective wgan_gp, got"):
        recipe.build(gan | {"objective": "gan", "penalty": 1.0})


def test_a_learning_rate_of_0_is_no_division_by_it():
    gan = MINIMAL | {"network": "gan", "learning_rate": 0.0}
    assert recipe.build(gan).learning_rate == 0
    with pytest.raises(UserError, match="critic_learning_rate needs a learning_rate"):
        recipe.build(gan | {"critic_learning_rate": 0.1})


def test_the_task_and_the_objective_are_the_networks_own():
    built = recipe.build(MINIMAL | {"network": "vae"})
    assert (built.task, built.objective) == ("reconstruct", "bernoulli")
    assert recipe.build(MINIMAL | {"network": "gan"}).objective == "wgan_gp"


def test_what_an_earlier_version_let_stand_in_a_run_stands(tmp_path):
    """But not what is changed in it now."""
    path = tmp_path / "recipe.toml"
    path.write_text('network = "resnet20"\ndata = "digits"\nepochs = 2\nbeta = 3.0\n')
    assert recipe.reopen(path, ["epochs=4"]).beta == 3.0
    with pytest.raises(UserError, match="clip is for a GAN, resnet20 is a classifier"):
        recipe.reopen(path, ["clip=0.5"])
    with pytest.raises(UserError, match="beta is for a VAE"):
        recipe.load(path)


@pytest.mark.parametrize("inputs, key", [("images", "max_tokens"), ("texts", "flip")])
def test_a_key_for_other_inputs_than_the_data_have_is_refused(inputs, key):
    lstm = recipe.build(MINIMAL | {"network": "lstm", key: OTHER[key]})
    with pytest.raises(UserError, match=f"{key} is for .*, and digits has {inputs}"):
        recipe.check_inputs(lstm, inputs, "digits")
    recipe.check_inputs(recipe.build(MINIMAL), inputs, "digits")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "resnet21"}, "Did you mean 'resnet32'"),
        (
            {"mixup": 0.2, "network": "vae"},
            "mixup is for a classifier or .* vae is a VAE",
        ),
        ({"network_options": {"stm": "small"}}, "resnet20 has no option 'stm'"),
    ],
)
def test_what_does_not_fit_the_network_is_refused_before_data_are_opened(
    changes, message, tmp_path
):
    values = {**MINIMAL, "data": str(tmp_path / "nowhere.npz"), **changes}
    with pytest.raises(UserError, match=message):
        cn.train(recipe.build(values), runs=tmp_path)
    assert not list(tmp_path.iterdir())


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
