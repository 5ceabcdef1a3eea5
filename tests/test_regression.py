"""Numbers as labels: what is learned, judged, shown and saved of them."""

import csv
import json
import shutil

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn import metrics
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

import classicnets as cn
from classicnets import data, kinds, objectives, recipe
from classicnets.errors import UserError
from classicnets.inference import rival
from classicnets.inference.predicting import logits
from classicnets.reports import comparison, report
from classicnets.reports.stands_out import stands_out
from classicnets.runs import environment
from classicnets.tasks import scores

NOISE = 0.5  # deviation of what no network can know

IMAGES = {
    "task": "regress",
    "image_size": 0,
    "crop_padding": 0,
    "weight_decay": 0.0,
    "batch_size": 32,
    "epochs": 8,
    "learning_rate": 0.03,
    "warmup_epochs": 2.0,
    "deterministic": True,
}
SMALL = {
    "task": "regress",
    "epochs": 2,
    "batch_size": 40,
    "network_options": {"units": (4,)},
    "deterministic": True,
}
TEXTS = {
    "network": "lstm",
    "task": "regress",
    "epochs": 6,
    "batch_size": 20,
    "optimizer": "adam",
    "learning_rate": 0.03,
    "network_options": {"units": (8,), "embedding_size": 4},
}


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """Return an .npz of grey images whose label is 20 + their brightness + noise."""
    random = np.random.default_rng(0)

    def part(count):
        level = random.uniform(0.0, 1.0, count)
        images = np.rint(255 * level)[:, None, None].repeat(8, 1).repeat(8, 2)
        return images.astype("uint8"), 20 + 6 * level + random.normal(0, NOISE, count)

    arrays = dict(zip(("x_train", "y_train"), part(800)))
    arrays |= dict(zip(("x_test", "y_test"), part(400)))
    path = tmp_path_factory.mktemp("noisy") / "noisy.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def run(noisy, tmp_path_factory):
    """Return a finished run on `noisy`, judged on its test."""
    folder = tmp_path_factory.mktemp("runs")
    changes = SMALL | {"epochs": 10, "batch_size": 20, "learning_rate": 0.03}
    changes |= {"data": str(noisy), "network_options": {"units": (8,)}}
    made = cn.train("lstm-digits-rows", runs=folder, verbose=False, **changes)
    made.evaluate()
    report.write(made)
    return made


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Return a CSV of texts: 2 for each "good", -1 for each "bad", and noise."""
    random = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("texts") / "stars.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label", "split"])
        for number in range(700):
            words = random.choice(["good", "bad", "so", "it", "is"], 6)
            worth = 2.0 * (words == "good").sum() - (words == "bad").sum()
            label = worth + random.normal(0, NOISE)
            rows.writerow([" ".join(words), label, "train" if number < 500 else "test"])
    return path


# -- what is learned and said --------------------------------------------------------


def test_the_error_comes_near_the_noise_of_the_labels_and_not_below(run):
    assert 0.95 * NOISE < run.metrics["test"]["rmse"] < 1.2 * NOISE
    assert run.metrics["test"]["examples"] == 400
    assert run.recipe.kind is kinds.REGRESSOR


def test_scores_and_the_saved_model_are_in_the_unit_of_the_labels(run, noisy):
    arrays = np.load(noisy)
    model = keras.saving.load_model(run.path / "model.keras")
    values = model.predict(arrays["x_test"][..., None], verbose=0)
    assert values.shape == (400, 1)
    found, labels = run.metrics["test"], arrays["y_test"]
    assert found["rmse"] == pytest.approx(
        metrics.root_mean_squared_error(labels, values[:, 0]), rel=1e-5
    )
    assert found["mae"] == pytest.approx(
        metrics.mean_absolute_error(labels, values[:, 0]), rel=1e-5
    )
    assert found["r2"] == pytest.approx(
        metrics.r2_score(labels, values[:, 0]), rel=1e-5
    )


def test_training_says_where_the_labels_lie(noisy, tmp_path, capsys):
    changes = SMALL | {"data": str(noisy), "epochs": 1}
    cn.train("lstm-digits-rows", runs=tmp_path, **changes)
    (line,) = (
        line
        for line in capsys.readouterr().err.splitlines()
        if line.startswith("labels: ")
    )
    assert [round(float(n)) for n in line.replace(",", "").split()[1:5:2]] == [19, 27]


def test_the_best_epoch_is_that_of_the_lowest_validation_error(run):
    rows = run.history
    best = min(rows, key=lambda row: row["validation_rmse"])
    assert run.status["best"]["epoch"] == best["epoch"]
    assert run.metrics["validation"]["rmse"] == pytest.approx(
        best["validation_rmse"], rel=1e-5
    )
    # 1 is the loss of always the mean.
    labels = data.load(run.recipe.data, labels=kinds.NUMBERS).train.labels
    assert best["validation_loss"] == pytest.approx(
        (best["validation_rmse"] / labels.std()) ** 2
    )


def test_texts_have_numbers_too(table, tmp_path):
    changes = TEXTS | {"data": str(table)}
    network, source = changes.pop("network"), changes.pop("data")
    run = cn.train(
        recipe.build({"network": network, "data": source, **changes}),
        runs=tmp_path,
        verbose=False,
    )
    found = run.evaluate()
    assert 0.9 * NOISE < found["rmse"] < 1.5 * NOISE
    plain = found["rival"]
    assert "TF-IDF" in plain["name"]
    assert "ridge" in plain["name"]
    good, bad = (
        cn.predict(run, [" ".join([word] * 6)])[0]["value"] for word in ("good", "bad")
    )
    assert good > 5
    assert bad < -1.5


def test_the_angle_of_a_turned_digit_is_learned(tmp_path):
    random, digits = np.random.default_rng(0), load_digits().images[:800]
    angles = random.uniform(-60, 60, len(digits)).astype("float32")
    turned = [
        np.asarray(
            Image.fromarray((digit * (255 / 16)).astype("uint8"))
            .resize((16, 16), Image.Resampling.BILINEAR)
            .rotate(float(angle), Image.Resampling.BILINEAR)
        )
        for digit, angle in zip(digits, angles)
    ]
    path = tmp_path / "turned.npz"
    np.savez(path, x_train=np.stack(turned), y_train=angles)
    changes = IMAGES | {"data": str(path), "epochs": 5, "learning_rate": 0.05}
    run = cn.train("resnet20-digits", runs=tmp_path, verbose=False, **changes)
    found = run.evaluate()
    assert found["r2"] > 0.9
    assert found["rmse"] < 0.3 * np.std(angles)
    page = report.write(run).read_text("utf-8")
    assert page.count("<circle") > 160
    assert "The largest errors" in page


# -- scores --------------------------------------------------------------------------


def test_scores_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    labels = random.normal(1e6, 3.0, 200)
    values = (labels + random.normal(0, 2.0, 200)).astype("float32")
    found = scores.judge_numbers(values, labels)
    assert found["rmse"] == pytest.approx(
        metrics.root_mean_squared_error(labels, values), rel=1e-12
    )
    assert found["mae"] == pytest.approx(
        metrics.mean_absolute_error(labels, values), rel=1e-12
    )
    assert found["r2"] == pytest.approx(metrics.r2_score(labels, values), rel=1e-9)


def test_labels_that_are_all_the_same_have_no_r2():
    assert scores.judge_numbers(np.ones(3), np.full(3, 0.1))["r2"] is None


def test_the_loss_is_the_mean_of_the_squares():
    loss = objectives.squared_error(np.float32([[1.0], [4.0]]), np.float32([[3], [5]]))
    assert float(loss) == 2.5


def test_the_rival_is_ridge_regression_or_the_mean(noisy):
    splits = data.load(noisy, labels=kinds.NUMBERS)
    found = rival.measure(splits, splits.open_test(), 0, kinds.NUMBERS)
    train, test = splits.train, splits.open_test()

    def rows(images):
        return np.asarray(images).reshape(len(images), -1).astype("float32")

    scaler = StandardScaler().fit(rows(train.inputs))
    model = Ridge(alpha=found["alpha"])
    model.fit(scaler.transform(rows(train.inputs)), train.labels)
    answers = model.predict(scaler.transform(rows(test.inputs)))
    expected = metrics.root_mean_squared_error(test.labels, answers)
    assert found["rmse"] == pytest.approx(expected, rel=1e-4)
    constant = np.full(len(test), train.labels.mean())
    assert found["mean"] == pytest.approx(
        metrics.root_mean_squared_error(test.labels, constant)
    )
    assert found["rmse"] < found["mean"]


# -- what every run has ----------------------------------------------------------------


def test_a_resumed_run_is_the_same_to_the_bit(noisy, tmp_path):
    short = SMALL | {"data": str(noisy), "image_size": 0}
    whole = cn.train("lstm-digits-rows", runs=tmp_path, verbose=False, **short)

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch > 10:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cn.train(
            "lstm-digits-rows",
            runs=tmp_path / "stopped",
            callbacks=[Stop()],
            verbose=False,
            checkpoint_steps=5,
            **short,
        )
    again = cn.resume(tmp_path / "stopped" / whole.name, verbose=False)
    for array, expected in zip(again.model.get_weights(), whole.model.get_weights()):
        np.testing.assert_array_equal(array, expected)
    assert again.metrics["validation"]["rmse"] == whole.metrics["validation"]["rmse"]


def test_a_prediction_is_a_number_in_words_and_in_json(run, tmp_path, command):
    Image.fromarray(np.full((8, 8), 204, "uint8")).save(tmp_path / "light.png")
    (answer,) = cn.predict(run, [tmp_path / "light.png"])
    assert answer["value"] == pytest.approx(20 + 6 * 0.8, abs=1.0)
    assert set(answer) == {"input", "value"}
    picture = str(tmp_path / "light.png")
    line = command("predict", str(run.path), picture)
    assert line.split()[-1] == f"{answer['value']:g}"
    line = json.loads(command("predict", str(run.path), picture, "--json"))
    assert line["value"] == pytest.approx(answer["value"], rel=1e-6)


@pytest.fixture
def command():
    """Return a function that runs a command in this process and returns its output."""
    from click.testing import CliRunner

    from classicnets.cli import commands

    def call(*arguments):
        result = CliRunner().invoke(commands, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    return call


def test_evaluate_says_the_scores_and_the_rivals(run, command):
    lines = dict(
        line.split(maxsplit=1)
        for line in command("evaluate", str(run.path)).splitlines()
    )
    assert float(lines["rmse"]) == pytest.approx(run.metrics["test"]["rmse"], abs=1e-4)
    assert "ridge regression" in lines["rival"]


def test_the_page_shows_the_answers_and_the_largest_errors_first(run):
    arrays = run.samples("test")
    errors = np.abs(arrays["values"] - arrays["labels"])
    every = np.abs(arrays["all_values"] - arrays["all_labels"])
    np.testing.assert_allclose(errors[:24], np.sort(every)[::-1][:24])
    page = (run.path / "report.html").read_text("utf-8")
    assert f"{run.metrics['test']['rmse']:.4g}" in page
    assert page.count("<circle class") >= 400


def test_runs_are_compared_by_their_squared_errors(run, noisy, tmp_path):
    poor = cn.train(
        "lstm-digits-rows",
        runs=tmp_path,
        verbose=False,
        **SMALL | {"data": str(noisy), "learning_rate": 1e-9},
    )
    poor.evaluate()
    found = comparison.compare([run, poor])
    (verdict,) = found.verdicts
    assert "squared error" in verdict.words
    assert verdict.better == comparison.label(run, [run, poor])
    useless = "is no better than always the mean of the labels"
    assert any(useless in line for line in stands_out(poor))
    assert not any(useless in line for line in stands_out(run))


def test_a_cross_validation_has_plain_folds(noisy, tmp_path):
    changes = SMALL | {"data": str(noisy), "epochs": 1}
    folder = cn.cross_validate(
        "lstm-digits-rows", folds=2, runs=tmp_path, verbose=False, **changes
    )
    assert folder.content["splitter"] == "KFold"
    assert [row["examples"] for row in folder.rows] == [400, 400]
    assert set(folder.content["mean"]) == {"rmse", "mae", "r2", "rival"}
    assert "RMSE" in (folder.path / "report.html").read_text("utf-8")


def test_an_exported_file_gives_the_value(run):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    if environment.backend() != "tensorflow":
        pytest.skip("written on TensorFlow")
    from classicnets.inference import export

    path, _ = export.export(run, "model", "onnx")
    session = onnxruntime.InferenceSession(path)
    images = np.random.default_rng(0).integers(256, size=(3, 8, 8, 1), dtype=np.uint8)
    (values,) = session.run(["value"], {"pixels": images})
    np.testing.assert_allclose(values, logits(run, images), rtol=1e-4)


def test_a_recipe_of_classes_becomes_one_of_numbers(tmp_path):
    photos = recipe.load("photos", ["task=regress", "data=x"])
    assert photos.kind is kinds.REGRESSOR
    assert photos.label_smoothing == 0.0  # classes alone have it
    assert photos.flip
    assert photos.objective == "squared_error"
    adapted = recipe.adapt(recipe.load("photos"), {"task": "regress"})
    assert adapted.label_smoothing == 0.0
    assert adapted.kind is kinds.REGRESSOR


@pytest.mark.parametrize(
    "change, words",
    [
        ("label_smoothing=0.1", "label_smoothing is for a classifier"),
        ("cutmix=1.0", "cutmix is for a classifier"),
        ("objective=cross_entropy", "objective of a regressor must be one of"),
    ],
)
def test_keys_of_classes_are_refused(change, words):
    with pytest.raises(UserError, match=words):
        recipe.load("photos", ["task=regress", change])


def test_a_network_of_other_tasks_is_refused():
    with pytest.raises(
        UserError, match="vae is for the task reconstruct, got task reg"
    ):
        recipe.load("vae-digits", ["task=regress"])
    with pytest.raises(UserError, match="classify or regress"):
        recipe.load("photos", ["task=reconstruct"])


# -- the data --------------------------------------------------------------------------


def numbers(path, **options):
    return data.load(path, labels=kinds.NUMBERS, **options)


def test_numbers_of_a_table_are_read_as_they_are(tmp_path):
    values = [3.75, -2, 1e9 + 0.5, 0, 7, 1.25, 3.75, 8, 9, 10]
    lines = [json.dumps({"text": f"word{k}", "label": v}) for k, v in enumerate(values)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    table = "\n".join(["text,label", *(f"word{k},{v!r}" for k, v in enumerate(values))])
    (tmp_path / "a.csv").write_text(table)
    for name in ("a.jsonl", "a.csv"):
        splits = numbers(tmp_path / name)
        parts = [splits.train, splits.validation, splits.open_test()]
        found = {
            text: label
            for part in parts
            for text, label in zip(part.texts, part.labels.tolist())
        }
        assert found == {f"word{k}": float(v) for k, v in enumerate(values)}
        assert splits.class_names == ()


@pytest.mark.parametrize(
    "cell, words",
    [
        ("good", "line 3 has 'good'"),
        ("nan", "finite numbers"),
        ('"3,5"', "finite numbers such as 3.75, line 3 has '3,5'"),
        ("", "must have a label, line 3 has none"),
    ],
)
def test_what_is_no_number_is_named(tmp_path, cell, words):
    path = tmp_path / "a.csv"
    path.write_text(f"text,label\none,1\ntwo,{cell}\nthree,3\n")
    with pytest.raises(UserError, match=words):
        numbers(path)


def test_folders_called_by_numbers_are_numbers(tmp_path):
    for age in ("21", "34.5", "40"):
        (tmp_path / "faces" / age).mkdir(parents=True)
        for number in range(4):
            picture = Image.new("L", (8, 8), color=int(float(age)) + number)
            picture.save(tmp_path / "faces" / age / f"{number}.png")
    splits = numbers(tmp_path / "faces", image_size=8)
    labels = np.concatenate(
        [splits.train.labels, splits.validation.labels, splits.open_test().labels]
    )
    assert sorted(set(labels)) == [21.0, 34.5, 40.0]
    for image, label in zip(splits.train.inputs, splits.train.labels):
        assert int(label) <= image[0, 0, 0] < int(label) + 4
    shutil.move(tmp_path / "faces" / "40", tmp_path / "faces" / "old")
    with pytest.raises(UserError, match="got the class 'old'"):
        numbers(tmp_path / "faces", image_size=8)


def test_a_digit_is_a_number_and_a_clothing_is_none():
    splits = numbers("digits")
    assert splits.train.labels.dtype == np.float64
    assert set(splits.train.labels) == set(range(10))


def test_numbers_of_arrays_are_checked(tmp_path):
    images, path = np.zeros((9, 8, 8), "uint8"), tmp_path / "a.npz"

    def refused(y, words, labels=kinds.NUMBERS):
        np.savez(path, x_train=images, y_train=y)
        with pytest.raises(UserError, match=words):
            data.load(path, labels=labels)

    refused(np.full(9, np.nan), "finite")
    refused(np.zeros((9, 2)), "must be numbers of shape")
    refused(np.zeros(8), "one label per image")
    refused(np.linspace(0, 1, 9), "--set task=regress", labels=kinds.CLASSES)
    refused(np.arange(100, 109), "--set task=regress", labels=kinds.CLASSES)


def test_classes_that_may_be_numbers_are_pointed_out(tmp_path):
    path = tmp_path / "a.csv"
    rows = [f"word{k},{k / 7:.3f}" for k in range(60)]
    path.write_text("\n".join(["text,label", *rows]))
    with pytest.raises(UserError, match="--set task=regress"):
        data.load(path)
    rows = [f"word{k},{k % 30}" for k in range(300)]
    path.write_text("\n".join(["text,label", *rows]))
    notes = data.load(path).notes
    assert any("30 classes" in note and "task=regress" in note for note in notes)


def test_labels_that_are_all_the_same_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x_train=np.zeros((40, 8, 8), "uint8"), y_train=np.full(40, 2.5))
    with pytest.raises(UserError, match=r"must differ, those of a\.npz are all 2\.5"):
        cn.train(
            "resnet20-digits", runs=tmp_path, verbose=False, **IMAGES, data=str(path)
        )
