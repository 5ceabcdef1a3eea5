"""What stands out of a run: each alarm sounds where it must, and is silent elsewhere.

Every run here is a real one. Those of `healthy_runs` were trained in full; the others
are trained in a few seconds, each with a recipe or data that are wrong.
"""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from pages import Page

import classicnets as cn
from classicnets import data, recipe
from classicnets.reports.alarms import answers, learning
from classicnets.reports.alarms.facts import Facts
from classicnets.reports.stands_out import stands_out
from classicnets.runs.run import Run
from classicnets.tasks import judging

HEALTHY = sorted((Path(__file__).parent / "healthy_runs").glob("*-0"))
NAMES = ("ant", "bee", "cat")
LABELS = np.arange(300) % 3
RANDOM = np.random.default_rng(0)
NOISE = RANDOM.integers(150, size=(300, 6, 6, 1))
# Two of six rows are brighter: which ones is the class.
BRIGHT = NOISE + 100 * (np.arange(6) // 2 == LABELS[:, None])[:, :, None, None]
SMALL = {"batch_size": 16, "learning_rate": 0.03, "rival": False}
SMALL |= {"validation_fraction": 0.25}
UNITS = {"units": [8], "dropout": 0.0, "bidirectional": False}


def save(folder, images, labels=LABELS, **more):
    path = folder / "made.npz"
    arrays = {"x_train": images.astype("uint8"), "y_train": labels}
    np.savez(path, **arrays, class_names=np.array(NAMES), **more)
    return str(path)


def train(folder, source, *, units=8, **changes):
    options = {"network_options": UNITS | {"units": [units]}, "data": source}
    changes = SMALL | options | changes
    return cn.train("lstm-digits-rows", runs=folder, **changes)


def train_images(name, folder, **changes):
    small = {"image_size": 8, "sample_epochs": 50, "verbose": False, "data": "digits"}
    return cn.train(name, runs=folder, **small | changes)


@pytest.mark.parametrize("path", HEALTHY, ids=lambda path: path.name)
def test_of_a_healthy_run_nothing_stands_out(path):
    run = Run(path)
    assert run.metrics["validation"]["examples"] == 145
    assert stands_out(run) == []


def test_there_is_a_healthy_run_of_every_recipe_on_the_embedded_data():
    assert len(HEALTHY) == 5


def test_a_sound_training_run_has_no_list_and_names_its_classes(tmp_path, capsys):
    run = train(tmp_path, save(tmp_path, BRIGHT), epochs=8)
    assert run.metrics["validation"]["top1"] > 0.95
    assert stands_out(run) == []
    printed = capsys.readouterr().err
    assert "stands out" not in printed
    assert re.search(r"3 classes\nclasses: ant, bee, cat\n", printed)
    page = Page((run.path / "report.html").read_text(encoding="utf-8"))
    assert "What stands out" not in page.text
    assert run.metrics["validation"]["copies"] == 0


def test_a_class_is_never_predicted_and_the_page_and_the_output_say_so(
    tmp_path, capsys
):
    # Those of "cat" look like those of "bee", and are fewer.
    labels = np.where(np.arange(300) % 10 == 0, 2, np.arange(300) % 2)
    bright = np.minimum(labels, 1)[:, None] == np.arange(6) // 3
    images = NOISE + 100 * bright[:, :, None, None]
    run = train(tmp_path, save(tmp_path, images, labels), epochs=6)
    (line,) = stands_out(run)
    assert line == (
        "class 'cat' is never predicted, though 6 of 60 validation examples are of it;"
        " try --set epochs=28, or more examples of it"
    )
    assert f"stands out: {line}\n" in capsys.readouterr().err
    page = Page((run.path / "report.html").read_text(encoding="utf-8"))
    assert f"What stands out {line}" in page.text
    # A run that goes on, or was stopped, may still learn it.
    run.set_status("stopped")
    assert stands_out(run) == []


def test_training_ends_while_it_improves_at_its_peak_with_long_averages(tmp_path):
    changes = {"epochs": 3, "warmup_epochs": 3.0, "ema": 0.99, "learning_rate": 0.02}
    run = train(tmp_path, save(tmp_path, BRIGHT), **changes)
    steps = 3 * (180 // 16)
    improving, peak, averages = stands_out(run)
    scores = [row["validation_top1"] for row in run.history]
    assert improving == (
        "validation top1 was still improving when training ended: from"
        f" {max(scores[:2]):.2%} to {scores[2]:.2%} in the last epoch;"
        " try --set epochs=28"
    )
    assert peak == (
        "training ended at its highest learning rate, 0.02: warmup_epochs is 3 of 3"
        " epochs; try --set warmup_epochs=0.15"
    )
    assert averages == (
        "weights are averaged over about 100 steps (ema 0.99), the training run has"
        f" {steps}; try --set ema={1 - 10 / steps:.3f}"
    )


def test_random_labels_are_learned_by_heart_and_tell_no_more_than_chance(tmp_path):
    noise = np.random.default_rng(1).integers(256, size=(150, 6, 6, 1))
    labels = np.random.default_rng(2).permutation(LABELS[:150])
    source = save(tmp_path, noise, labels)
    run = train(tmp_path, source, units=48, epochs=30, early_stopping=0)
    chance, heart = stands_out(run)
    top1, last = run.metrics["validation"]["top1"], run.history[-1]
    assert re.match(rf"validation top1 {top1:.2%} is (no|hardly) better than", chance)
    assert f"{last['accuracy']:.2%} are right: see that the labels are" in chance
    assert last["accuracy"] > 0.95
    assert f"{last['accuracy']:.2%} of the training examples are right" in heart
    assert f"{top1:.2%} in the best epoch" in heart
    assert f"{last['loss']:.3g} and {last['validation_loss']:.3g}" in heart
    keys = "weight_decay=0.0005 --set network_options.dropout=0.5 --set crop_padding=4"
    assert f"try --set {keys}" in heart


def test_images_of_the_validation_and_the_test_are_training_images(tmp_path):
    held = {"x_val": BRIGHT[:30], "y_val": LABELS[:30]}
    held |= {"x_test": BRIGHT[-50:], "y_test": LABELS[-50:]}
    held["x_test"] = np.concatenate([BRIGHT[-45:], BRIGHT[-5:] ^ 1])
    held = {
        key: array.astype("uint8" if key[0] == "x" else int)
        for key, array in held.items()
    }
    run = train(tmp_path, save(tmp_path, BRIGHT[30:], LABELS[30:], **held), epochs=6)
    assert run.metrics["validation"]["copies"] == 0
    assert stands_out(run) == []  # the test split is closed while a network is trained
    assert run.evaluate()["copies"] == 45
    assert stands_out(run) == [
        "45 of 50 test examples are training examples too, so that scores are too high;"
        " remove the copies from the data"
    ]


def test_copies_are_exact_and_digits_have_none():
    splits = data.load("digits", image_size=8)
    assert data.count_copies(splits.train, splits.validation) == 0
    assert data.count_copies(splits.train, splits.open_test()) == 0
    assert data.count_copies(splits.train, splits.train) == len(splits.train)


def test_most_words_are_unknown_and_texts_are_copied(tmp_path, tiny_texts):
    source = tiny_texts(train=200, test=10)
    lines = source.read_text(encoding="utf-8").splitlines()
    copies = [line.removesuffix("train") + "test" for line in lines[1:6]]
    source = tmp_path / "copied.csv"
    source.write_text("\n".join(lines + copies), encoding="utf-8")
    run = cn.train(
        "lstm-imdb",
        runs=tmp_path,
        data=str(source),
        epochs=3,
        learning_rate=0.03,
        vocabulary_size=6,
        skip_top=0,
        rival=False,
        network_options={"units": [4], "embedding_size": 4},
        verbose=False,
    )
    run.evaluate()
    share = run.environment["unknown_words"]
    assert 0.5 < share < 1
    copied, unknown = (
        line for line in stands_out(run) if "test" in line or "unknown" in line
    )
    # Five are copied; one of them is a validation text, and so not learned.
    assert copied == (
        "4 of 15 test examples are training examples too, so that scores are too high;"
        " remove the copies from the data"
    )
    assert unknown == (
        f"{share:.0%} of the words of the validation texts are unknown;"
        " try --set vocabulary_size=20000"
    )


def test_the_codes_of_a_vae_say_nothing(tmp_path):
    run = train_images("vae-digits", tmp_path, epochs=6, beta=30.0, batch_size=16)
    kl = run.metrics["validation"]["kl"]
    assert kl < 0.5
    assert stands_out(run) == [
        f"the codes say next to nothing of the images: KL divergence {kl:.3g} nats per"
        " image with beta 30 (posterior collapse); try --set beta=1"
    ]


def test_five_epochs_are_too_few_for_a_vae(tmp_path):
    run = cn.train("vae-digits", runs=tmp_path, epochs=5, verbose=False)
    (line,) = stands_out(run)
    losses = [row["validation_loss"] for row in run.history]
    assert line == (
        "validation loss was still improving when training ended: from"
        f" {min(losses[:2]):.4g} to {min(losses):.4g} in the last 3 of 5 epochs;"
        " try --set epochs=15"
    )


def test_the_slope_of_a_critic_is_not_one_without_a_penalty(tmp_path):
    small = {"critic_steps": 2, "batch_size": 64, "ema": 0.0, "epochs": 2}
    small["network_options"] = {"filters": 4, "normalization": "layer"}
    changes = {"penalty": 0.0, "learning_rate": 0.01}
    run = train_images("wgan_gp-digits", tmp_path, **small, **changes)
    deviation = math.sqrt(run.history[-1]["penalty"])
    assert deviation > 2
    assert (
        f"the critic's slope is not 1 but off by {deviation:.2g} (root mean square, in"
        " the last epochs); try --set penalty=10"
    ) in stands_out(run)


def test_a_generator_makes_the_same_image_again_and_again(tmp_path):
    options = {"latent_size": 4, "generator_units": [16], "discriminator_units": [16]}
    changes = {"learning_rate": 0.05, "epochs": 4, "batch_size": 32, "ema": 0.0}
    run = train_images("gan-mnist", tmp_path, network_options=options, **changes)
    variety = run.metrics["validation"]["variety"]
    assert variety < 0.2
    (line,) = [line for line in stands_out(run) if "repeat" in line]
    assert line == (
        f"generated images repeat: to the most similar one it is {variety:.2g} of the"
        " distance between real images (mode collapse); try --set learning_rate=0.025"
    )


def facts_of(*top1, examples=2000, known_words=None, **changes):
    """Return the facts of a made classifier: what it scored, epoch by epoch."""
    rates = {"learning_rate": changes.get("learning_rate", 0.1)}
    history = [rates | {"validation_top1": score} for score in top1]
    values = {"network": "lstm", "data": "made", "epochs": len(top1)} | changes
    environment = {"validation_examples": examples, "class_names": ["a", "b"]}
    environment |= {"train_examples": 12800, "known_words": known_words}
    return Facts(recipe.build(values), history, {}, environment)


def test_a_gain_that_few_examples_have_by_chance_is_none():
    scores, constant = (0.7, 0.8, 0.85), {"schedule": "constant"}
    line = learning.still_improving(facts_of(*scores, **constant))
    assert "from 80.00% to 85.00% in the last epoch; try --set epochs=6" in line
    assert not learning.still_improving(facts_of(*scores, examples=100, **constant))
    # It is at its best, but no better than before by much.
    assert not learning.still_improving(facts_of(0.7, 0.849, 0.85, **constant))
    assert not learning.still_improving(facts_of(0.7, 0.85, 0.8, **constant))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schedule": "constant"}, ""),
        ({"schedule": "step", "milestones": [9]}, "try --set milestones=[2,3]"),
        ({"schedule": "cosine", "epochs": 90}, "after 4 of 90 epochs; try --set epo"),
        ({"schedule": "one_cycle", "warmup_epochs": 4.0}, "--set warmup_epochs=0.8"),
    ],
)
def test_what_to_change_where_training_ends_at_its_highest_rate(changes, says):
    line = learning.ended_at_peak(facts_of(0.7, 0.7, 0.7, 0.7, **changes))
    assert says in line
    assert bool(line) == bool(says)


def test_a_larger_vocabulary_is_proposed_only_where_it_holds_more():
    for known_words, says in ((5000, "--set vocabulary_size=20000"), (4000, "texts")):
        facts = facts_of(0.7, vocabulary_size=5000, known_words=known_words)
        facts.environment["unknown_words"] = 0.3
        line = answers.unknown_words(facts)
        assert line.startswith("30% of the words of the validation texts are unknown")
        assert says in line.removeprefix("30% of the words of the validation texts")


def test_variety_is_the_ratio_of_distances_to_the_nearest():
    real = np.array([[0.0], [2.0], [4.0], [6.0]])
    assert judging.variety(real, real / 4) == pytest.approx(0.25)
    assert judging.variety(real, np.repeat(real[:2], 2, axis=0)) == 0.0
    assert judging.variety(np.repeat(real[:2], 2, axis=0), real) is None
