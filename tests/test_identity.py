"""No number of other data, of another network or of an earlier one is the run's."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import classicnets as cn
from classicnets import files, pictures
from classicnets.inference import evaluation, export, predicting, sampling
from classicnets.reports import report
from classicnets.runs import record
from classicnets.runs.folds import CrossValidation
from classicnets.runs.run import Run

LSTM = {"network_options": {"units": [4]}, "batch_size": 256, "epochs": 1}
VAE = {
    "network_options": {"hidden_units": [16], "latent_size": 2},
    "batch_size": 256,
    "epochs": 1,
}
FOLDER = {"network_options": {"units": [4]}, "image_size": 8, "batch_size": 8}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of two classes, dark and bright, and a run on it, judged on its test."""
    place = tmp_path_factory.mktemp("folder")
    for number in range(60):
        _write_image(place / "few", number)
    run = cn.train(
        "lstm-digits-rows",
        data=str(place / "few"),
        runs=place / "runs",
        verbose=False,
        epochs=2,
        **FOLDER,
    )
    run.evaluate()
    return place


@pytest.fixture
def grown(folder, tmp_path):
    """A copy of the run and of its folder, in which each class has one image more."""
    shutil.copytree(folder / "runs", tmp_path / "runs")
    shutil.copytree(folder / "few", tmp_path / "few")
    run = Run(tmp_path / "runs" / "lstm-digits-rows-0")
    recipe = run.path / "recipe.toml"
    text = recipe.read_text("utf-8")
    recipe.write_text(text.replace(str(folder), str(tmp_path)), "utf-8")
    assert run.evaluate()["examples"] == 12  # the folder has only moved
    for number in (60, 61):
        _write_image(tmp_path / "few", number)
    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of one epoch, judged, exported and recorded as of a clean checkout."""
    runs = tmp_path_factory.mktemp("runs")
    run = cn.train("lstm-digits-rows", runs=runs, verbose=False, **LSTM)
    run.evaluate()
    return run


@pytest.fixture
def run(trained, tmp_path):
    """A copy of it."""
    shutil.copytree(trained.path, tmp_path / "lstm-digits-rows-0")
    return Run(tmp_path / "lstm-digits-rows-0")


def test_metrics_name_the_network_and_the_data_that_they_are_of(run):
    for metrics in run.metrics.values():
        assert metrics["model"] == run.digest("model")
        assert metrics["data"] == run.environment["data_fingerprint"]


@pytest.mark.parametrize(
    "use",
    [
        lambda run: run.evaluate(),
        lambda run: run.evaluate("validation"),
        lambda run: predicting.images(run, [], most=4),
    ],
)
def test_data_that_have_grown_are_refused_with_the_difference(grown, use):
    before = grown.metrics
    with pytest.raises(cn.UserError, match=r"few is .*, was .* --allow-changed data"):
        use(grown)
    assert grown.metrics == before


def test_what_was_allowed_to_change_is_said_in_the_metrics(grown):
    metrics = evaluation.evaluate(grown, allow_changed=["data"])
    assert "few is" in metrics["data_changed"]
    page = report.write(grown).read_text("utf-8")
    assert "judged on data that had changed since the training run" in page
    assert f"are of the network {metrics['model'][:12]} and the data" in page
    assert grown.metrics["test"]["data_changed"] == metrics["data_changed"]
    files.write_json(
        grown.path / "environment.json", grown.environment | {"commit": COMMIT}
    )
    with pytest.raises(cn.UserError, match="judged on data that had changed"):
        record.record(grown, grown.path / "results.csv")


def test_files_of_before_keep_their_splits_where_a_folder_has_grown(grown):
    """What was trained on is never judged as test: the new ones are trained on."""
    before = grown.files
    assert {part: len(files) for part, files in before.items()} == {
        **{"train": 44, "validation": 4, "test": 12}
    }
    splits = predicting.load_data(grown, allow_changed=["data"])
    assert splits.files["test"] == before["test"]
    assert splits.files["validation"] == before["validation"]
    new = {"dark/060.png", "bright/061.png"}
    assert set(splits.files["train"]) == new | set(before["train"])
    assert len(splits.open_test()) == 12
    assert "60 of the 60 files of before are in few and keep" in splits.notes[-1]
    changed = grown.evaluate(allow_changed=["data"])["data_changed"]
    assert "46 train examples, were 44; files of before keep their splits" in changed

    longer = cn.resume(grown, epochs=3, allow_changed=["data"], verbose=False)
    assert set(longer.files["train"]) == new | set(before["train"])
    assert (
        longer.evaluate()["examples"] == 12
    )  # by the splits that it was made longer with


def test_splits_drawn_by_an_edited_recipe_are_refused(run):
    recipe = run.path / "recipe.toml"
    recipe.write_text(recipe.read_text("utf-8").replace("split_seed = 0", ""), "utf-8")
    recipe.write_text("split_seed = 3\n" + recipe.read_text("utf-8"), "utf-8")
    with pytest.raises(cn.UserError, match="split_seed is 3, was 0"):
        run.evaluate("validation")


def test_a_longer_training_keeps_nothing_of_the_network_before_as_its_own(run):
    """All of it lies apart, and is a run like any other."""
    export.export(run, "model", "onnx")
    before = run.metrics["test"], run.digest("model")
    exports = run.exports
    cached = run.model
    longer = cn.resume(run.path, epochs=2, verbose=False)

    assert "test" not in longer.metrics
    assert longer.samples("test") == {}
    assert longer.exports == {}
    assert not (longer.path / "model.onnx").exists()
    assert longer.metrics["validation"]["model"] == longer.digest("model") != before[1]
    page = (longer.path / "report.html").read_text("utf-8")
    assert "The test split has not been opened" in page
    with pytest.raises(cn.UserError, match="must be judged on its test split"):
        record.record(longer, longer.path / "results.csv")
    assert run.model is not cached  # a run that was opened before, too

    earlier = Run(run.path / "earlier" / "epoch-0001")
    assert (earlier.metrics["test"], earlier.digest("model")) == before
    assert earlier.exports == exports
    assert exports["model.onnx"]["model"] == before[1]
    assert (earlier.path / "model.onnx").is_file()
    assert len(earlier.history) == earlier.recipe.epochs == 1
    assert earlier.evaluate()["top1"] == before[0]["top1"]


def test_a_longer_training_that_is_stopped_has_no_network_yet(run):
    """Nor does a second one lose what the first has put aside."""

    class Stop(cn.training.keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(cn.Stopped):
            cn.resume(run.path, epochs=3, callbacks=[Stop()], verbose=False)
    assert run.metrics == {}
    with pytest.raises(cn.UserError, match="a finished run has one, it is stopped"):
        run.evaluate()
    report.write(run)
    page = (run.path / "report.html").read_text("utf-8")
    assert "No split has been measured yet" in page
    assert [folder.name for folder in (run.path / "earlier").iterdir()] == [
        "epoch-0001"
    ]


def test_a_network_of_another_run_is_refused(run, tmp_path):
    other = cn.train(
        "lstm-digits-rows", runs=tmp_path / "other", verbose=False, seed=1, **LSTM
    )
    shutil.copy(other.path / "model.keras", run.path)
    message = "model.keras in .* must be what this run wrote"
    with pytest.raises(cn.UserError, match=message):
        run.evaluate()
    with pytest.raises(cn.UserError, match=message):
        cn.predict(run, [])
    with pytest.raises(cn.UserError, match=message):
        export.export(run, "model", "onnx")


def test_numbers_of_another_network_are_not_shown(run):
    """Metrics and examples of an earlier network, in files that were put back."""
    metrics = files.read_json(run.path / "metrics.json")
    metrics["test"]["model"] = "0" * 64
    files.write_json(run.path / "metrics.json", metrics)
    assert set(run.metrics) == {"validation"}
    assert run.samples("test") == {}
    assert run.samples("validation")


def test_names_of_classes_that_were_swapped_are_refused(run):
    names = run.class_names
    swapped = run.environment | {"class_names": names[::-1]}
    files.write_json(run.path / "environment.json", swapped)
    with pytest.raises(cn.UserError, match=r"class_names of environment\.json"):
        cn.predict(run, [])


def test_a_tokenizer_of_another_run_is_refused(tmp_path, tiny_texts):
    options = {"network_options": {"units": [2]}, "epochs": 1, "batch_size": 8}
    options |= {"max_tokens": 12, "verbose": False, "vocabulary_size": 30}
    run = cn.train("lstm-imdb", data=str(tiny_texts()), runs=tmp_path, **options)
    path = run.path / "tokenizer.json"
    content = json.loads(path.read_text("utf-8"))
    vocabulary = content["model"]["vocab"]
    first, second, *_ = (word for word in vocabulary if word.startswith("word"))
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(cn.UserError, match=r"tokenizer\.json .* must be what this run"):
        cn.predict(Run(run.path), ["good"])


def test_a_fold_of_other_data_is_refused(folder, tmp_path):
    """Whether its fold had begun when the data changed, or not."""
    shutil.copytree(folder / "few", tmp_path / "few")
    options = {"folds": 3, "runs": tmp_path / "runs", "name": "exp[1]", "epochs": 1}
    options |= {"data": str(tmp_path / "few"), "verbose": False, **FOLDER}
    result = cn.cross_validate("lstm-digits-rows", **options)
    shutil.rmtree(result.fold(3).path)  # killed before it
    files.write_json(
        result.path / "crossval.json", result.content | {"state": "running"}
    )
    for number in (60, 61):
        _write_image(tmp_path / "few", number)
    with pytest.raises(cn.UserError, match="data must be those of the other runs: few"):
        cn.cross_validate("lstm-digits-rows", **options)
    assert len(list((tmp_path / "runs").iterdir())) == 1  # it went on, brackets and all
    edited = result.fold(2).environment | {"data_fingerprint": "0" * 64}
    files.write_json(result.fold(2).path / "environment.json", edited)
    with pytest.raises(cn.UserError, match="folds must be of the same data"):
        CrossValidation(result.path).save("finished")


def test_a_run_whose_checkpoints_are_gone_is_not_begun_anew(run):
    for file in (run.path / "checkpoints").glob("step-*"):
        file.unlink()
    before = {path: path.stat().st_mtime_ns for path in sorted(run.path.rglob("*"))}
    left = "1 epochs of history, best-0001.safetensors, model.keras"
    with pytest.raises(cn.UserError, match=f"are gone, what is left is {left}"):
        cn.resume(run, epochs=2, verbose=False)
    assert {p: p.stat().st_mtime_ns for p in sorted(run.path.rglob("*"))} == before


def test_a_run_that_was_killed_before_its_report_gets_it(run):
    run.set_status("finished", **{"epoch": 1, "best": run.status["best"]})
    assert not report.is_current(run)
    cn.resume(run, verbose=False)
    assert report.is_current(run)
    with pytest.raises(cn.UserError, match="trained for all of its 1 epochs"):
        cn.resume(run, verbose=False)


def test_a_run_goes_on_without_the_weights_that_it_began_from(trained, tmp_path):
    weights = shutil.copy(trained.path / "model.keras", tmp_path / "start.keras")
    options = LSTM | {"weights": str(weights), "freeze": True, "verbose": False}
    run = cn.train("lstm-digits-rows", runs=tmp_path / "runs", **options)
    (tmp_path / "start.keras").unlink()
    longer = cn.resume(run.path, epochs=2, verbose=False)
    assert len(longer.history) == 2
    ours, theirs = longer.model.get_weights(), trained.model.get_weights()
    same = [np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True)]
    assert all(same[:-2])
    assert not any(same[-2:])  # only the head was trained


def test_sigterm_while_inputs_are_read_ends_as_in_training(trained):
    script = (
        "import os, signal, sys, threading, time\n"
        "from classicnets import cli\n"
        "def stop():\n"
        "    while 'classicnets.inference.predicting' not in sys.modules:\n"
        "        time.sleep(0.05)\n"
        "    time.sleep(0.5)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "threading.Thread(target=stop).start()\n"
        "sys.argv = ['classicnets', 'predict', sys.argv[1], '-']\n"
        "cli.main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(trained.path)],
        stdin=subprocess.PIPE,  # nothing ever comes
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        said = process.stderr.read()
    assert (process.returncode, said.strip()) == (143, "classicnets: stopped.")


def _write_image(folder, number):
    """Write an image of noise, dark where the number is even, else bright."""
    random = np.random.default_rng(number)
    pixels = random.integers(128, size=(8, 8), dtype=np.uint8) + 127 * (number % 2)
    path = folder / ("dark", "bright")[number % 2] / f"{number:03}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.mark.parametrize("file", ["step", "best"])
def test_checkpoints_of_another_training_run_are_refused(run, tmp_path, file):
    """Of the same recipe on other data: no variable has another shape."""
    noise = np.random.default_rng(0).integers(256, size=(700, 8, 8, 1), dtype=np.uint8)
    np.savez(tmp_path / "noise.npz", x_train=noise, y_train=np.arange(700) % 10)
    data = str(tmp_path / "noise.npz")
    options = {"runs": tmp_path / "other", "verbose": False} | LSTM
    other = cn.train("lstm-digits-rows", data=data, **options)
    if file == "best":
        name = "best-0001.safetensors"
        shutil.copy(other.path / "checkpoints" / name, run.path / "checkpoints")
        message = "no checkpoint is whole: .* has the weights of another training run"
    else:
        shutil.rmtree(run.path / "checkpoints")
        shutil.copytree(other.path / "checkpoints", run.path / "checkpoints")
        message = "the data must be that of the run so far"
    with pytest.raises(cn.UserError, match=message):
        cn.resume(run, epochs=2, verbose=False)


def test_parts_of_another_run_are_refused(tmp_path):
    options = {"runs": tmp_path, "verbose": False} | VAE
    run, other = (cn.train("vae-digits", seed=seed, **options) for seed in (0, 1))
    images = predicting.images(run, [], most=4)
    for part, use in {
        "decoder": lambda: sampling.sample(run, 2),
        "encoder": lambda: sampling.reconstruct(run, images),
        "model": lambda: run.evaluate("validation"),
    }.items():
        own = (run.path / f"{part}.keras").read_bytes()
        use()
        shutil.copy(other.path / f"{part}.keras", run.path)
        with pytest.raises(cn.UserError, match=f"{part}.keras in .* must be what this"):
            use()
        (run.path / f"{part}.keras").write_bytes(own)


def test_a_changed_test_is_refused_though_training_never_opened_it(tmp_path, tiny_set):
    path = shutil.copy(tiny_set(shape=(8, 8, 1), train=60), tmp_path)
    options = {"data": str(path), "runs": tmp_path, "verbose": False, "batch_size": 8}
    options |= {"network_options": {"units": [2]}, "epochs": 1}
    run = cn.train("lstm-digits-rows", **options)
    run.evaluate()
    with np.load(path) as opened:
        arrays = dict(opened)
    arrays["x_test"][0, 0, 0] ^= 1
    np.savez(path, **arrays)
    with pytest.raises(cn.UserError, match=r"its test is .*, was .*"):
        run.evaluate()


def test_a_recipe_that_was_edited_after_the_end_is_not_recorded(run):
    files.write_json(
        run.path / "environment.json", run.environment | {"commit": COMMIT}
    )
    recipe = run.path / "recipe.toml"
    text = recipe.read_text("utf-8")
    recipe.write_text(text.replace("epochs = 1", "epochs = 90"), "utf-8")
    with pytest.raises(cn.UserError, match="epochs is 90, was 1"):
        record.record(Run(run.path), run.path / "results.csv")
    recipe.write_text(text, "utf-8")
    rows = record.record(Run(run.path), run.path / "results.csv")
    assert {row["model"] for row in rows} == {run.digest("model")[:12]}


def test_rows_that_were_cut_from_the_history_are_noted(run, capsys):
    text = (run.path / "history.csv").read_text("utf-8")
    (run.path / "history.csv").write_text(text.splitlines()[0] + "\n", "utf-8")
    cn.resume(run, epochs=2)
    assert "history.csv has 0 of 1 epochs." in capsys.readouterr().err


def test_a_picture_of_another_network_is_not_shown(tmp_path):
    run = cn.train("vae-digits", runs=tmp_path, verbose=False, **VAE)
    picture = run.path / "samples" / "interpolation.png"
    assert pictures.about(picture)["model"] == run.digest("decoder")
    before = (run.path / "report.html").read_text("utf-8")
    picture.write_bytes(pictures.encode_png(np.zeros((9, 9), np.uint8), {"model": "0"}))
    report.write(run)
    page = (run.path / "report.html").read_text("utf-8")
    assert page.count("<img") == before.count("<img") - 1
