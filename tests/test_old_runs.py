"""Run folders of an earlier commit still open, report, judge, predict and go on.

How they were made: old_runs/README.md. Only what the package offers to its users is
called here: the test outlives every move inside of it.
"""

import gzip
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import classicnets as cn
from classicnets import cli

OLD = Path(__file__).with_name("old_runs")
FINISHED = ["image-classifier", "text-classifier", "autoencoder", "vae", "gan"]
# Each was stopped on its way to the same end.
STOPPED = {"stopped-classifier": "image-classifier", "stopped-gan": "gan"}
FOLDS = [f"crossval-2folds-0/fold-{number}-0" for number in (1, 2)]
CLASSES = ("dark", "grey", "bright")


@pytest.fixture(autouse=True)
def old_data(monkeypatch):
    """The recipes name their data below the folder of the tests."""
    monkeypatch.setenv("CLASSICNETS_DATA", str(OLD.parent))


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """All of old_runs, with the networks as they were written."""
    folder = tmp_path_factory.mktemp("old") / OLD.name
    shutil.copytree(OLD, folder)
    for packed in folder.rglob("*.keras.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    return folder


@pytest.fixture
def copy(old, tmp_path):
    """Return a function that copies a run, to be changed, and returns its path."""

    def copied(name):
        return Path(shutil.copytree(old / name, tmp_path / name))

    return copied


@pytest.mark.parametrize("name", [f"{name}-0" for name in [*FINISHED, *STOPPED]])
def test_an_old_run_opens(name, old):
    run = cn.Run(old / name)
    assert run.recipe.data in ("old_runs/tiny.npz", "old_runs/tiny.csv")
    assert run.environment["backend"] == "tensorflow"
    assert run.status["state"] == ("stopped" if "stopped" in name else "finished")
    assert run.history[0]["epoch"] == 1
    finished = len(run.history) == run.recipe.epochs
    assert finished == ("validation" in run.metrics) == ("stopped" not in name)


@pytest.mark.parametrize("name", [*(f"{name}-0" for name in FINISHED), *FOLDS])
def test_an_old_run_is_judged_as_it_was(name, copy):
    run = cn.Run(copy(name))
    before = run.metrics
    for split in ("validation", "test"):
        assert_same(cn.evaluate(run, split), before[split])


@pytest.mark.parametrize("name", ["text-classifier-0", FOLDS[0]])
def test_an_old_run_is_judged_by_the_command(name, copy, capsys):
    run = cn.Run(copy(name))
    before = run.metrics["test"]
    command("evaluate", run.path, "--json")
    assert_same(json.loads(capsys.readouterr().out), before)
    assert (run.path / "report.html").is_file()


@pytest.mark.parametrize(
    "name", [*(f"{name}-0" for name in [*FINISHED, *STOPPED]), "crossval-2folds-0"]
)
def test_an_old_run_has_a_report(name, copy, capsys):
    path = copy(name)
    command("report", path)
    assert capsys.readouterr().out.strip() == str(path / "report.html")
    page = (path / "report.html").read_text(encoding="utf-8")
    assert name in page
    assert page.rstrip().endswith("</html>")


def test_an_old_classifier_of_images_predicts(old):
    run = cn.Run(old / "image-classifier-0")
    with np.load(OLD / "tiny.npz") as arrays:
        images, labels = arrays["x_test"], arrays["y_test"]
    logits = run.model.predict(images, verbose=0)
    right = (logits.argmax(axis=1) == labels).mean()
    assert right == pytest.approx(run.metrics["test"]["top1"])


def test_an_old_classifier_of_images_names_a_file(old, tmp_path):
    run = cn.Run(old / "image-classifier-0")
    with np.load(OLD / "tiny.npz") as arrays:
        image = arrays["x_test"][0, :, :, 0]
    Image.fromarray(image).save(tmp_path / "image.png")
    (result,) = cn.predict(run, [tmp_path / "image.png"], top=3)
    assert {entry["name"] for entry in result["classes"]} == set(CLASSES)
    assert sum(entry["probability"] for entry in result["classes"]) == pytest.approx(1)


def test_an_old_classifier_of_texts_predicts(old):
    run = cn.Run(old / "text-classifier-0")
    assert run.tokenizer.get_vocab_size() > 2
    found = cn.predict(run, ["word1 good word2", "word1 bad word2"], top=1)
    assert [row["classes"][0]["name"] for row in found] == ["good", "bad"]


@pytest.mark.parametrize("name", ["autoencoder-0", "vae-0"])
def test_old_autoencoders_reconstruct(name, old):
    with np.load(OLD / "tiny.npz") as arrays:
        images, labels = arrays["x_test"], arrays["y_test"]
    again = cn.reconstruct(cn.Run(old / name), images)
    assert again.shape == images.shape
    assert again.dtype == np.uint8
    dark, bright = (again[labels == label].mean() for label in (0, 2))
    assert dark < bright


@pytest.mark.parametrize("name", ["vae-0", "gan-0"])
def test_old_generators_draw(name, copy, capsys):
    path = copy(name)
    images = cn.sample(cn.Run(path), 6, seed=1)
    assert images.shape == (6, 8, 8, 1)
    assert images.std() > 0
    command("sample", path, "-n", 6)
    assert Path(capsys.readouterr().out.strip()).is_file()


@pytest.mark.parametrize("name", STOPPED)
def test_a_stopped_old_run_goes_on_to_the_end(name, old, copy):
    stopped = cn.Run(copy(f"{name}-0"))
    whole = cn.Run(old / f"{STOPPED[name]}-0")
    before = stopped.history
    assert 0 < len(before) < len(whole.history)
    run = cn.resume(stopped, verbose=False, allow_changed=["backend"])
    assert run.status["state"] == "finished"
    assert run.environment["resumed"][0]["step"] > 0
    assert run.model if run.recipe.task == "classify" else run.load("generator")
    # As the training that was left alone; another backend draws other dropout.
    same = len(whole.history if keras.backend.backend() == "tensorflow" else before)
    assert len(run.history) == len(whole.history)
    for row, expected in zip(run.history[:same], whole.history):
        for key in (key for key in expected if key.endswith("loss")):
            assert row[key] == pytest.approx(expected[key], rel=0.01), key


def test_a_finished_old_run_is_made_longer(copy):
    path = copy("vae-0")
    epochs = cn.Run(path).recipe.epochs + 1
    run = cn.resume(path, verbose=False, allow_changed=["backend"], epochs=epochs)
    assert len(run.history) == epochs


def test_an_old_cross_validation_opens(old, copy):
    path = copy("crossval-2folds-0")
    content = json.loads((path / "crossval.json").read_text(encoding="utf-8"))
    assert content["state"] == "finished"
    scores = [row["scores"]["top1"] for row in content["results"]]
    tested = [cn.Run(old / fold).metrics["test"]["top1"] for fold in FOLDS]
    assert scores == tested
    assert content["mean"]["top1"] == pytest.approx(np.mean(tested))


def assert_same(metrics, before):
    """Compare metrics, however deep, but for their seconds and their words.

    Those of now name the network and the data that they are of; a classifier has a
    rival, and a GAN's images a variety.
    """
    later = {"model", "data", "rival", "variety", "copies"} - before.keys()
    for key in (metrics.keys() | before.keys()) - {"seconds", "protocol"} - later:
        value, expected = metrics[key], before[key]
        if isinstance(expected, dict):
            assert_same(value, expected)
        elif isinstance(expected, int | float):
            assert value == pytest.approx(expected, rel=1e-4, abs=1e-4), key
        else:
            assert value == expected, key


def command(*words):
    """Run `classicnets` in this process."""
    cli.commands.main([str(word) for word in words], standalone_mode=False)
