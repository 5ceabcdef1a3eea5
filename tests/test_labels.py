"""Several labels per example: what is learned, judged, shown and saved of them."""

import csv
import json

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy.special import expit
from sklearn import metrics
from sklearn.datasets import load_digits

import classicnets as cn
from classicnets import data, kinds, objectives, recipe
from classicnets.cli import commands
from classicnets.errors import UserError
from classicnets.inference.predicting import logits
from classicnets.reports import comparison, report
from classicnets.reports.stands_out import stands_out
from classicnets.tasks import scores

SMALL = {
    "task": "tag",
    "epochs": 3,
    "batch_size": 40,
    "image_size": 0,
    "network_options": {"units": (8,)},
    "deterministic": True,
}
FLIPPED = 0.1  # of the labels: nobody can know which


@pytest.fixture(scope="module")
def bands(tmp_path_factory):
    """Return an .npz of images with three bands, dark or light: a label for each.

    A label in ten is turned over.
    """
    random = np.random.default_rng(0)

    def part(count):
        on = random.random((count, 3)) < (0.5, 0.3, 0.2)
        levels = 255 * np.pad(on, ((0, 0), (0, 1)))
        images = levels.repeat(2, axis=1)[:, :, None].repeat(8, 2).astype("uint8")
        images = np.maximum(images, random.integers(60, size=images.shape))
        return images.astype("uint8"), on ^ (random.random((count, 3)) < FLIPPED)

    arrays = dict(zip(("x_train", "y_train"), part(1000)))
    arrays |= dict(zip(("x_test", "y_test"), part(500)))
    path = tmp_path_factory.mktemp("bands") / "bands.npz"
    np.savez(path, **arrays, class_names=np.array(["top", "middle", "low"]))
    return path


@pytest.fixture(scope="module")
def run(bands, tmp_path_factory):
    """Return a finished run on `bands`, judged on its test."""
    folder = tmp_path_factory.mktemp("runs")
    changes = SMALL | {"data": str(bands), "learning_rate": 0.03, "epochs": 6}
    made = cn.train("lstm-digits-rows", runs=folder, verbose=False, **changes)
    made.evaluate()
    report.write(made)
    return made


# -- what is learned and said --------------------------------------------------------


def test_what_can_be_known_is_learned_and_no_more(run):
    found = run.metrics["test"]
    assert abs(found["exact"] - (1 - FLIPPED) ** 3) < 0.05
    assert found["examples"] == 500
    assert run.class_names == ["top", "middle", "low"]
    assert run.recipe.kind is kinds.TAGGER


def test_scores_of_a_run_are_those_of_scikit_learn(run, bands):
    arrays = np.load(bands)
    model = keras.saving.load_model(run.path / "model.keras")
    answers = model.predict(arrays["x_test"][..., None], verbose=0)
    labels, found = arrays["y_test"].astype(int), run.metrics["test"]
    expected = metrics.average_precision_score(labels, answers, average=None)
    np.testing.assert_allclose(
        [row["average_precision"] for row in found["per_class"]], expected, rtol=1e-4
    )
    assert found["map"] == pytest.approx(expected.mean(), rel=1e-4)
    said = (answers >= 0).astype(int)
    f1 = metrics.f1_score(labels, said, average="macro")
    assert found["f1"] == pytest.approx(f1, rel=1e-4)
    assert found["exact"] == pytest.approx(metrics.accuracy_score(labels, said))
    assert [row["examples"] for row in found["per_class"]] == list(labels.sum(axis=0))


def test_the_best_epoch_has_the_highest_mean_average_precision(run):
    rows = run.history
    best = max(rows, key=lambda row: row["validation_map"])
    assert run.status["best"]["map"] == best["validation_map"]
    assert run.metrics["validation"]["map"] == pytest.approx(
        best["validation_map"], rel=1e-4
    )


def test_two_digits_side_by_side_are_two_labels(tmp_path):
    random, digits = np.random.default_rng(0), load_digits()
    pairs = random.integers(len(digits.images), size=(1_000, 2))
    images = np.concatenate(digits.images[pairs].swapaxes(0, 1), axis=2)
    labels = np.zeros((len(pairs), 10), "uint8")
    np.put_along_axis(labels, digits.target[pairs], 1, axis=1)
    path = tmp_path / "pairs.npz"
    np.savez(path, x_train=images / 16, y_train=labels)
    changes = {"task": "tag", "data": str(path), "image_size": 0, "epochs": 7}
    run = cn.train(
        "resnet20-digits", runs=tmp_path, verbose=False, **changes, crop_padding=1
    )
    found, splits = run.evaluate(), data.load(path, labels=kinds.SETS)
    test = splits.open_test()
    answers = logits(run, test.inputs)
    assert found["map"] > 0.9
    assert found["map"] == pytest.approx(
        metrics.average_precision_score(test.labels, answers), rel=1e-5
    )
    shares = found["rival"]["shares"]
    assert shares == pytest.approx(test.labels.mean(), rel=1e-6)
    assert 2 * shares < found["rival"]["map"] < found["map"]


def test_texts_have_several_labels_too(tmp_path):
    random, names = np.random.default_rng(1), ("sport", "politics", "music")
    path = tmp_path / "topics.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        for _ in range(600):
            own = [name for name in names if random.random() < 0.4]
            words = [f"about{name}" for name in own]
            words += list(random.choice(["so", "it", "is", "was"], 4))
            rows.writerow([" ".join(random.permutation(words)), "|".join(own)])
    run = cn.train(
        recipe.build(
            {
                "network": "lstm",
                "data": str(path),
                "task": "tag",
                "epochs": 8,
                "batch_size": 20,
                "optimizer": "adam",
                "learning_rate": 0.03,
                "network_options": {
                    "units": (8,),
                    "embedding_size": 4,
                    "pooling": "max",
                },
            }
        ),
        runs=tmp_path,
        verbose=False,
    )
    found = run.evaluate()
    assert found["map"] > 0.95
    assert "TF-IDF" in found["rival"]["name"]
    both, none = cn.predict(run, ["aboutsport so aboutmusic it", "so it is"])
    assert sorted(both["labels"]) == ["music", "sport"]
    assert none["labels"] == []
    assert "aboutsport" in report.write(run).read_text("utf-8")


# -- scores --------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:No positive class found")
def test_scores_are_those_of_scikit_learn_also_of_ties_and_of_labels_of_nobody():
    random = np.random.default_rng(0)
    labels = (random.random((200, 6)) < 0.3).astype("uint8")
    labels[:, 2] = 0
    labels[:, 5] = 1
    answers = np.round(random.normal(size=(200, 6)) + labels).astype("float32")
    answers[:, 4] = 0.25  # all the same
    answers[:, 2] = -1
    found = scores.judge_sets(answers, labels, list("abcdef"))
    expected = metrics.average_precision_score(labels, answers, average=None)
    rows = found["per_class"]
    assert rows[2]["average_precision"] is None
    assert rows[2]["f1"] is None
    assert rows[4]["average_precision"] == pytest.approx(labels[:, 4].mean())
    kept = [0, 1, 3, 4, 5]
    values = [rows[k]["average_precision"] for k in kept]
    np.testing.assert_allclose(values, expected[kept], rtol=1e-12)
    assert found["map"] == pytest.approx(expected[kept].mean(), rel=1e-12)
    said = (answers >= 0).astype(int)
    by_label = metrics.precision_recall_fscore_support(
        labels, said, zero_division=np.nan
    )
    for k in kept:
        for key, row in zip(("precision", "recall", "f1"), by_label):
            assert rows[k][key] == pytest.approx(row[k], rel=1e-12)
    f1 = metrics.f1_score(labels[:, kept], said[:, kept], average="macro")
    assert found["f1"] == pytest.approx(f1, rel=1e-12)
    assert found["exact"] == metrics.accuracy_score(labels, said)
    loss = np.sum(
        [
            metrics.log_loss(
                labels[:, k], expit(answers[:, k].astype(float)), labels=[0, 1]
            )
            for k in range(6)
        ]
    )
    assert found["loss"] == pytest.approx(loss, rel=1e-6)


def test_a_label_that_nobody_has_but_is_given_has_an_f1_of_0():
    found = scores.judge_sets(np.float32([[1, 1], [1, -1]]), np.array([[0, 1], [0, 0]]))
    assert found["f1"] == 0.5
    assert found["map"] == 1.0


def test_no_label_at_all_has_no_mean_average_precision():
    assert scores.judge_sets(np.zeros((3, 2)), np.zeros((3, 2)))["map"] is None


def test_the_loss_is_that_of_a_coin_per_label():
    answers, labels = np.float32([[0, 1000], [-1000, 2]]), np.float32([[1, 1], [0, 0]])
    loss = float(objectives.binary_cross_entropy(answers, labels))
    assert loss == pytest.approx((np.log(2) + 0 + 0 + np.log1p(np.exp(2))) / 2)


# -- what every run has ----------------------------------------------------------------


def call(*arguments):
    result = CliRunner().invoke(commands, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_prediction_has_all_labels_in_words_and_in_json(run, tmp_path):
    image = np.zeros((8, 8), "uint8")
    image[0:2] = image[4:6] = 255
    Image.fromarray(image).save(tmp_path / "two.png")
    picture = str(tmp_path / "two.png")
    (answer,) = cn.predict(run, [picture], top=2)
    assert answer["labels"] == ["top", "low"]
    names = [each["name"] for each in answer["classes"]]
    assert sorted(names) == ["low", "top"]
    assert all(each["probability"] >= 0.5 for each in answer["classes"])
    assert json.loads(call("predict", str(run.path), picture, "--json"))["labels"] == [
        "top",
        "low",
    ]
    assert f"{picture}  top, low  (" in call("predict", str(run.path), picture)


def test_the_page_goes_label_by_label_worst_first(run):
    page = (run.path / "report.html").read_text("utf-8")
    rows = run.metrics["test"]["per_class"]
    worst = min(rows, key=lambda row: row["average_precision"])["name"]
    places = [page.index(f'<td class="text">{row["name"]}</td>') for row in rows]
    assert min(places) == page.index(f'<td class="text">{worst}</td>')
    assert "The largest losses" in page


def test_runs_are_compared_and_a_useless_one_stands_out(run, bands, tmp_path):
    changes = SMALL | {"data": str(bands), "epochs": 1, "learning_rate": 1e-9}
    poor = cn.train("lstm-digits-rows", runs=tmp_path, verbose=False, **changes)
    poor.evaluate()
    (verdict,) = comparison.compare([run, poor]).verdicts
    assert "nats per example" in verdict.words
    assert verdict.better == comparison.label(run, [run, poor])
    assert not any("chance" in line for line in stands_out(run))


def test_keys_of_one_class_are_refused():
    with pytest.raises(UserError, match="label_smoothing is for a classifier, "):
        recipe.load("photos", ["task=tag", "label_smoothing=0.1"])
    assert recipe.load("photos", ["task=tag", "cutmix=1.0"]).label_smoothing == 0.0


def test_other_labels_than_a_runs_are_refused(run, tmp_path):
    path = tmp_path / "other.npz"
    images, labels = np.zeros((20, 8, 8), "uint8"), np.eye(4, dtype=int)[[0, 1] * 10]
    np.savez(path, x_train=images, y_train=labels)
    with pytest.raises(UserError, match="the model knows the classes top, middle, low"):
        run.evaluate(data=str(path))


# -- the data --------------------------------------------------------------------------


def sets(path, **options):
    splits = data.load(path, labels=kinds.SETS, **options)
    parts = [splits.train, splits.validation, splits.open_test()]
    names = np.array(splits.class_names)
    found = {
        text: tuple(names[row == 1])
        for part in parts
        for text, row in zip(part.texts, part.labels)
    }
    return found, splits


@pytest.mark.parametrize(
    "cells",
    [
        ["a|b", "b", "", "c | a", "a|b", "c"],
        ["a;b", "b", "", "c; a", "a;b;", "c"],
        ["a, b", "b", "", "c,a", "a,b", "c"],
        ['["a", "b"]', '["b"]', "[]", '["c", "a"]', '["a","b"]', '["c"]'],
        ["['a', 'b']", "['b']", "[]", "['c', 'a']", "['a','b']", "['c']"],
        [["a", "b"], ["b"], [], ["c", "a"], ["a", "b"], ["c"]],
        [["a", "b"], "b", None, ["c", "a"], "a|b", "c"],
    ],
)
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_labels_are_cut_from_a_cell_or_come_as_a_list(tmp_path, cells, ending):
    path = tmp_path / f"made.{ending}"
    texts = [f"word{k}" for k in range(len(cells))]
    is_plain = all(isinstance(cell, str) for cell in cells)
    if ending == "csv" and is_plain:
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *zip(texts, cells)])
    elif ending == "parquet" and (is_plain or None not in cells):
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.table({"text": texts, "label": cells}), path)
    elif ending == "jsonl":
        rows = [{"text": t, "label": c} for t, c in zip(texts, cells)]
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        pytest.skip("such a column cannot be written")
    found, splits = sets(path)
    expected = [("a", "b"), ("b",), (), ("a", "c"), ("a", "b"), ("c",)]
    assert found == dict(zip(texts, expected))
    assert splits.class_names == ("a", "b", "c")
    assert "examples without any label: 1" in splits.notes


def test_a_name_may_hold_what_does_not_cut_the_column(tmp_path):
    path = tmp_path / "made.jsonl"
    cells = ["x;y|z", "z", "x;y", "z, w", "z", "z"]
    rows = [{"text": f"word{k}", "label": cell} for k, cell in enumerate(cells)]
    path.write_text("\n".join(map(json.dumps, rows)))
    found, splits = sets(path)
    assert splits.class_names == ("x;y", "z", "z, w")
    assert found["word0"] == ("x;y", "z")
    assert any("cut at '|', 3 different ones" in note for note in splits.notes)


def test_one_class_per_example_is_one_label():
    splits = data.load("digits", labels=kinds.SETS)
    assert splits.train.labels.shape == (len(splits.train), 10)
    assert (splits.train.labels.sum(axis=1) == 1).all()


def test_rows_of_arrays_are_checked(tmp_path):
    images, path = np.zeros((9, 8, 8), "uint8"), tmp_path / "a.npz"

    def refused(words, labels=kinds.SETS, **arrays):
        np.savez(path, x_train=images, **arrays)
        with pytest.raises(UserError, match=words):
            data.load(path, labels=labels)

    refused("0 and 1 alone", y_train=np.full((9, 2), 2))
    refused("must be", y_train=np.zeros((8, 2)))
    refused("a row of 0 and 1", y_train=np.eye(9), class_names=np.array(["a", "b"]))
    refused("--set task=tag", labels=kinds.CLASSES, y_train=np.eye(9))


def test_classes_that_are_several_labels_are_pointed_out(tmp_path):
    path = tmp_path / "a.csv"
    rows = [f"word{k},a|b{k}|c{k % 3}" for k in range(30)]
    path.write_text("\n".join(["text,label", *rows]))
    with pytest.raises(UserError, match="--set task=tag"):
        data.load(path)


def test_a_label_that_no_training_example_has_is_named(tmp_path, capsys):
    path = tmp_path / "a.npz"
    images, labels = np.zeros((60, 8, 8), "uint8"), np.eye(3, dtype=int)[[0, 1] * 30]
    np.savez(path, x_train=images, y_train=labels)
    cn.train("lstm-digits-rows", runs=tmp_path, **SMALL | {"epochs": 1}, data=str(path))
    assert "labels without a training example: 1 (2)" in capsys.readouterr().err


def test_another_kind_of_labels_is_refused():
    with pytest.raises(UserError, match="labels must be one of classes, numbers, sets"):
        data.load("digits", labels="floats")


def test_examples_without_any_label_teach_nothing(tmp_path):
    path = tmp_path / "a.npz"
    images = np.zeros((60, 8, 8), "uint8")
    np.savez(path, x_train=images, y_train=np.zeros((60, 2), int))
    with pytest.raises(
        UserError, match=r"no example to train on of a\.npz has a label"
    ):
        cn.train("lstm-digits-rows", runs=tmp_path, **SMALL, data=str(path))
