"""The plain rival of a classifier: what it scores, and where it is said."""

import re
import subprocess
import sys

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import classicnets as cn
from classicnets import data
from classicnets.data import Examples, Splits
from classicnets.data.texts.words import split_words, word_rules
from classicnets.inference import plain_features, rival

RANDOM = np.random.default_rng(0)


def splits(train, validation, test, names=("a", "b")):
    """Return splits of (inputs, labels), where inputs are images or a list of texts."""

    def examples(inputs, labels):
        labels = np.asarray(labels, np.int32)
        if not isinstance(inputs, list):
            return Examples(inputs, labels)
        lengths = np.array([max(1, len(text.split())) for text in inputs], np.int32)
        return Examples(np.zeros((len(inputs), 1), np.int32), labels, inputs, lengths)

    train, validation, test = (examples(*part) for part in (train, validation, test))
    return Splits("made", names, train, validation, lambda: test, "", ())


def best_of(strengths, model, parts, labels):
    """Return the C that is best on the second part, and the score of the third."""
    scores = []
    for strength in strengths:
        model.set_params(logisticregression__C=strength)
        model.fit(parts[0], labels[0])
        scores.append([model.score(parts[k], labels[k]) for k in (1, 2)])
    best = int(np.argmax([validation for validation, _ in scores]))
    return strengths[best], *scores[best]


def texts(count):
    """Return texts of three classes whose words overlap, and their labels."""
    labels, words = RANDOM.integers(3, size=count), [f"word{n}" for n in range(60)]
    words += [*"好不吃", "Don't", "GOOD", "!", "…"]
    made = []
    for label in labels:
        weights = RANDOM.dirichlet(np.ones(len(words)) * 0.5)
        weights[label::3] *= 1.4
        made.append(" ".join(RANDOM.choice(words, 8, p=weights / weights.sum())))
    return made, labels


def test_of_texts_it_is_what_scikit_learn_makes_of_words_and_pairs():
    parts = [texts(count) for count in (300, 90, 150)]
    made = splits(*parts, names=("a", "b", "c"))
    by_hand = make_pipeline(
        TfidfVectorizer(
            tokenizer=lambda text: re.findall(r"[\w']+|!", text),
            token_pattern=None,
            ngram_range=(1, 2),
            sublinear_tf=True,
            min_df=2,
        ),
        LogisticRegression(max_iter=100),
    )
    inputs, labels = zip(*parts)
    C, validation, test = best_of((1, 3, 10, 30, 100), by_hand, inputs, labels)  # noqa: N806
    largest = (labels[2] == np.bincount(labels[0]).argmax()).mean()
    assert largest < test < 1
    assert rival.measure(made, made.open_test(), 0) == {
        "name": "TF-IDF of words and pairs of words with logistic regression",
        "top1": test,
        "C": C,
        "train_examples": 300,
        "of": 300,
        "largest_class": largest,
    }
    assert rival.measure(made, made.validation, 0)["top1"] == validation


def test_only_the_most_frequent_terms_are_kept():
    made, _ = texts(100)
    words = split_words(word_rules(), made)
    numbers = {name: number for number, name in enumerate(words.names)}
    by_hand = TfidfVectorizer(
        tokenizer=lambda text: re.findall(r"[\w']+|!", text),
        token_pattern=None,
        ngram_range=(1, 2),
        min_df=2,
    )
    by_hand.fit(made)
    every = plain_features._frequent_terms(words, numbers, 10_000)
    assert len(every) == len(by_hand.vocabulary_)
    few = plain_features._frequent_terms(words, numbers, 20)
    counts = np.asarray(plain_features._count(words, numbers, every).sum(axis=0))[0]
    kept = np.asarray(plain_features._count(words, numbers, few).sum(axis=0))[0]
    assert sorted(kept) == sorted(counts)[-20:]


def test_of_images_it_is_what_scikit_learn_makes_of_their_blocks():
    opened = data.load("digits", image_size=16)
    parts = [opened.train, opened.validation, opened.open_test()]
    means = [
        np.asarray(part.inputs, float).reshape(-1, 8, 2, 8, 2).mean(axis=(2, 4))
        for part in parts
    ]
    pixels = [np.rint(mean).reshape(-1, 64).astype("float32") for mean in means]
    by_hand = make_pipeline(StandardScaler(), LogisticRegression(max_iter=30))
    labels = [part.labels for part in parts]
    with pytest.warns(match="failed to converge"):
        C, _, test = best_of((0.01, 0.1, 1), by_hand, pixels, labels)  # noqa: N806
    metrics = rival.measure(opened, parts[2], 0)
    assert metrics["name"] == "logistic regression on 8x8 pixels"
    assert metrics["C"] == C
    assert metrics["top1"] == pytest.approx(test, abs=1.5 / len(parts[2]))
    assert metrics["top1"] > 0.95


def test_what_it_learns_from_is_a_part_of_many_examples_and_said():
    labels = np.arange(5_100) % 2
    images = (
        RANDOM.integers(156, size=(5_100, 2, 2, 1)) + 100 * labels[:, None, None, None]
    )
    part = (images.astype("uint8"), labels)
    made = splits(part, part, part)
    metrics = rival.measure(made, made.validation, 0)
    assert (metrics["train_examples"], metrics["of"]) == (5_000, 5_100)
    assert rival.in_words(metrics) == (
        "logistic regression on 2x2 pixels on 5,000 of 5,100 training examples"
    )
    long = [" ".join(["word"] * 60_000 + [word]) for word in ["yes", "no"] * 10]
    made = splits((long, labels[:20]), (long[:2], labels[:2]), (long[:2], labels[:2]))
    metrics = rival.measure(made, made.validation, 0)
    assert metrics["train_examples"] == 16  # of 60,001 words each


@pytest.mark.parametrize(
    "train, largest",
    [
        # As a sample of very many may be.
        ((["yes yes", "yes no", "no no"], [1, 1, 1]), 0.5),
        ((["", "?", "…", "one", "two"], [0, 0, 0, 1, 1]), 0.5),
        ((["yes it is", "yes we can", "no it is", "no"], [0, 0, 1, 1]), None),
    ],
    ids=["one class", "no word twice", "validation of one class"],
)
def test_where_nothing_can_be_learned_it_is_the_largest_class(train, largest):
    made = splits(train, (["yes", "…"], [0, 0]), (["no", "yes"], [1, 0]))
    metrics = rival.measure(made, made.open_test(), 0)
    if largest is None:  # a class that is missing from the validation is no matter
        assert metrics["top1"] in (0.5, 1.0)
        return
    assert metrics["name"] == rival.LARGEST_CLASS
    assert (metrics["top1"], metrics["C"]) == (largest, None)
    assert metrics["train_examples"] == metrics["of"] == len(train[1])


def train(folder, images, labels, **changes):
    np.savez(folder / "made.npz", x_train=images.astype("uint8"), y_train=labels)
    options = {"units": [8], "dropout": 0.0, "bidirectional": False}
    changes |= {"network_options": options, "data": str(folder / "made.npz")}
    return cn.train("lstm-digits-rows", runs=folder, batch_size=20, **changes)


def test_a_network_that_is_worse_is_said_so_at_the_end_and_in_its_report(
    tmp_path, capsys
):
    labels = np.arange(150) % 5
    bright = np.arange(10) // 2 == labels[:, None]  # two rows of ten
    images = (
        RANDOM.integers(150, size=(150, 10, 10, 1)) + 100 * bright[:, :, None, None]
    )
    run = train(tmp_path, images, labels, epochs=1, learning_rate=0.0)

    last = capsys.readouterr().err.splitlines()[-1]
    metrics = run.metrics["validation"]
    assert metrics["top1"] < metrics["rival"]["top1"] == 1.0
    name = "logistic regression on 8x8 pixels"
    assert f"{name} has 100.00% right, this network {metrics['top1']:.2%}" in last
    assert f"classicnets train photos --data {run.recipe.data}" in last
    assert f"classicnets resume {run.typed_path} --set epochs=2" in last
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert (
        f"Less than the 100.0\N{NARROW NO-BREAK SPACE}% of a plain rival: {name}"
        in page
    )

    command = [sys.executable, "-m", "classicnets", "evaluate", str(run.path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^rival +1\.0000  {name}$", printed, re.MULTILINE)
    assert run.metrics["test"]["rival"]["top1"] == 1.0
    assert "rival" not in run.evaluate("train")
    # Whether there is one decides nothing of what is learned.
    recipe = (run.path / "recipe.toml").read_text(encoding="utf-8")
    run.save_text("recipe.toml", recipe.replace("rival = true", "rival = false"))
    assert "rival" not in run.evaluate()
    assert cn.resume(run, epochs=2).metrics["validation"].keys() >= {"top1"}
    assert "rival" not in run.metrics["validation"]


def test_of_a_network_that_is_better_nothing_is_said(tmp_path, capsys):
    labels = np.arange(120) % 2
    stripes = np.arange(16) % 2 * 200  # grey, where two of them make a pixel
    images = np.where(labels[:, None, None], stripes[:, None], stripes)[..., None]
    images = images + RANDOM.integers(50, size=images.shape)
    run = train(tmp_path, images, labels, epochs=4, learning_rate=0.03)

    metrics = run.metrics["validation"]
    assert metrics["top1"] > 0.9 > metrics["rival"]["top1"]
    assert "rival" not in capsys.readouterr().err
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "More than the" in page
