"""A run's folder: made, opened, written to, found again."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import classicnets
from classicnets import recipe as recipes
from classicnets.errors import UserError
from classicnets.runs import environment, history, new
from classicnets.runs.run import Run

RECIPE = recipes.build(
    {"network": "resnet20", "data": "digits", "epochs": 2, "seed": 5}
)


@pytest.fixture
def run(tmp_path):
    environment = {"backend": "jax"}
    return new.create(tmp_path / "runs", "small", RECIPE, environment=environment)


def test_a_run_is_found_again_by_its_folder(run):
    found = Run(run.path)
    assert found.name == "small-5"
    assert found.recipe == recipes.load(run.path / "recipe.toml")
    assert found.recipe.seed == 5
    assert found.environment == {"backend": "jax"}
    assert found.status["state"] == "running"
    assert found.history == []
    assert found.metrics == {}
    assert found.samples("test") == {}


def test_a_taken_name_is_never_written_over(run):
    for name in ("small-5-2", "small-5-3"):
        assert new.create(run.path.parent, "small", RECIPE, environment={}).name == name
    assert run.environment == {"backend": "jax"}


@pytest.mark.parametrize("name", ["", "../up", "a/b", "C:\\a", ".hidden", "-n", "a\n"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="plain folder name"):
        new.create(tmp_path, name, RECIPE, environment={})
    assert list(tmp_path.iterdir()) == []


def test_a_runs_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(UserError, match=r"must be a folder, .* is a file"):
        new.create(tmp_path / "runs", "small", RECIPE, environment={})


def test_what_is_no_run_is_refused_with_the_nearest_one(run):
    new.create(run.path.parent, "other", RECIPE, environment={})
    with pytest.raises(UserError, match=r"Did you mean .*small-5\?"):
        Run(run.path.parent / "smal-5")
    with pytest.raises(UserError, match=r"holds recipe.toml.*Did you mean"):
        Run(run.path.parent)


def test_history_reads_back_the_same_numbers(run):
    rows = [
        {"epoch": 1, "loss": 1 / 3, "accuracy": 0.1},
        {"epoch": 2, "loss": 5e-324},  # nothing measured for accuracy
        {"epoch": 3, "loss": np.float32(0.1), "accuracy": np.int64(1)},
        {"epoch": 4, "loss": float("inf"), "accuracy": 0.5},
    ]
    for row in rows:
        run.append_history(row)
    assert run.history == rows
    with (run.path / "history.csv").open(newline="") as lines:
        table = list(csv.reader(lines))
    assert table[0] == ["epoch", "loss", "accuracy"]
    assert table[2] == ["2", "5e-324", ""]


def test_a_resumed_training_replaces_the_epochs_it_repeats(run):
    for epoch in (1, 2, 3):
        run.append_history({"epoch": epoch, "loss": epoch / 10})
    resumed = Run(run.path)
    resumed.append_history({"epoch": 2, "loss": 7.0})
    assert resumed.history == [{"epoch": 1, "loss": 0.1}, {"epoch": 2, "loss": 7.0}]
    assert len(list(run.path.glob("events.out.tfevents.*"))) == 2


def test_half_a_row_of_a_killed_process_is_not_read_and_goes_with_the_next(run):
    path = run.path / "history.csv"
    run.append_history({"epoch": 1, "loss": 0.25})
    start = path.stat().st_size
    run.append_history({"epoch": 2, "loss": 0.125})
    whole = path.read_bytes()
    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        assert run.history == [{"epoch": 1, "loss": 0.25}]
        run.append_history({"epoch": 2, "loss": 0.125})
        assert path.read_bytes() == whole


def test_a_row_that_the_disk_has_no_room_for_leaves_the_others(run):
    resource = pytest.importorskip("resource")
    path = run.path / "history.csv"
    run.append_history({"epoch": 1, "loss": 0.25})
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 3, limits[1]))
    try:
        with pytest.raises(OSError, match=r"history\.csv"):
            history.append(path, {"epoch": 2, "loss": 0.125})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before


def test_a_row_is_appended_and_the_others_are_not_written_again(run):
    path = run.path / "history.csv"
    rows = [f"{epoch},{1 / epoch!r}\n" for epoch in range(1, 400)]
    path.write_text("epoch,loss\n" + "".join(rows))
    number = path.stat().st_ino  # a file that is replaced has another
    run.append_history({"epoch": 400, "loss": 0.5})
    assert path.stat().st_ino == number
    assert [row["epoch"] for row in run.history] == list(range(1, 401))
    assert run.history[-1] == {"epoch": 400, "loss": 0.5}


def test_a_new_column_after_the_first_row_is_refused(run):
    run.append_history({"epoch": 1, "loss": 0.5})
    with pytest.raises(ValueError, match="first row fixed the columns"):
        run.append_history({"epoch": 2, "los": 0.5})
    assert len(run.history) == 1


def test_metrics_of_another_split_are_kept(run):
    run.save_metrics("validation", {"top1": np.float32(0.5), "examples": np.int64(4)})
    run.save_metrics("test", {"confusion": np.eye(2, dtype=int), "loss": np.nan})
    assert run.metrics == {
        "validation": {"top1": 0.5, "examples": 4},
        "test": {"confusion": [[1, 0], [0, 1]], "loss": None},
    }
    # strict JSON: readers other than Python's know no NaN
    json.loads(
        (run.path / "metrics.json").read_text(),
        parse_constant=lambda name: pytest.fail(name),
    )


def test_facts_of_an_earlier_status_do_not_stay(run):
    run.set_status("failed", reason="loss is not finite")
    run.set_status("running", epoch=3)
    assert run.status.keys() == {"state", "updated", "process", "epoch"}
    with pytest.raises(ValueError, match="state must be one of"):
        run.set_status("done")


def test_samples_hold_plain_arrays_only(run):
    images = np.arange(32, dtype=np.uint8).reshape(2, 4, 4, 1)
    run.save_samples("test", {"images": images, "labels": np.array([1, 0])})
    np.testing.assert_array_equal(run.samples("test")["images"], images)
    with pytest.raises(ValueError, match="allow_pickle"):
        run.save_samples("test", {"images": np.array([object()])})
    np.testing.assert_array_equal(run.samples("test")["images"], images)

    np.savez(run.path / "samples" / "test.npz", images=np.array([{}], dtype=object))
    with pytest.raises(UserError, match="Python objects"):
        run.samples("test")


def test_a_write_that_fails_leaves_the_old_file_and_no_other(run, monkeypatch):
    before = sorted(run.path.iterdir())

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        run.save_text("recipe.toml", "half")
    assert (run.path / "recipe.toml").read_text() == recipes.to_toml(RECIPE)
    assert sorted(run.path.iterdir()) == before


def test_a_broken_file_is_named(run):
    run.save_text("metrics.json", "{")
    with pytest.raises(UserError, match=r"metrics\.json must be JSON"):
        _ = run.metrics
    run.save_text("history.csv", "epoch,loss\n1,low\n")
    with pytest.raises(UserError, match=r"history\.csv must be a number"):
        _ = run.history


def test_the_model_loads_and_a_missing_one_is_explained(run):
    with pytest.raises(
        UserError, match=r"small-5 has no model.keras: .* it is running"
    ):
        _ = run.model
    import keras

    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    model.save(run.path / "model.keras")
    batch = np.ones((1, 2), np.float32)
    np.testing.assert_array_equal(
        run.model.predict_on_batch(batch), model.predict_on_batch(batch)
    )


def test_environment_says_what_is_installed_and_how_it_was_called(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/bin/classicnets", "train", "my recipe.toml"])
    found = environment.describe("abc", "cpu")
    assert found["command"] == "classicnets train 'my recipe.toml'"
    assert found["data_fingerprint"] == "abc"
    assert found["device"] == "cpu"
    assert found["numpy"] == np.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    json.dumps(found)


def test_a_checkout_that_is_not_installed_has_no_version_and_says_its_commit(tmp_path):
    package = Path(classicnets.__file__).parent
    shutil.copytree(package, tmp_path / "src" / "classicnets")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    code = (
        "import json; from classicnets.runs import environment;"
        "print(json.dumps(environment.describe('f', 'cpu')))"
    )
    answer = subprocess.run(
        [sys.executable, "-S", "-c", code],  # without what is installed
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(answer.stdout)
    assert found["classicnets"] is None
    assert found["keras"] is None


def test_a_run_and_its_report_need_no_backend(tmp_path):
    code = (
        "import sys; from classicnets.reports import report;"
        "from classicnets.runs import environment, new;"
        "from classicnets import recipe;"
        f"it = new.create({str(tmp_path)!r}, 'a', recipe.load('resnet20-digits'),"
        " environment=environment.describe('f', 'cpu'));"
        "it.append_history({'epoch': 1, 'loss': 1.0});"
        "report.write(it);"
        "print(sorted({'keras', 'jax', 'torch', 'tensorflow'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_a_model_that_carries_code_is_refused(run):
    images = keras.Input((2,))
    keras.Model(images, keras.layers.Lambda(lambda x: x + 1)(images)).save(
        run.path / "model.keras"
    )
    with pytest.raises(UserError, match="it carries code, in a Lambda layer"):
        _ = run.model


def test_every_truncation_and_many_flipped_bytes_of_a_model_are_one_line(run):
    images = keras.Input((2,))
    path = run.path / "model.keras"
    keras.Model(images, keras.layers.Dense(1)(images)).save(path)
    content = path.read_bytes()
    whole = run.load("model").get_weights()
    for place in range(0, len(content), 97):
        path.write_bytes(content[:place])
        with pytest.raises(UserError, match=r"model.keras cannot be opened"):
            run.load("model")
        path.write_bytes(content[:place] + b"~" + content[place + 1 :])
        try:
            found = run.load("model").get_weights()
        except UserError:
            continue
        # A byte of padding or of a date.
        for ours, theirs in zip(found, whole):
            np.testing.assert_array_equal(ours, theirs)
