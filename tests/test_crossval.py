"""A cross-validation: its folds, its means, and that a killed one goes on."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from pages import Page
from safetensors.numpy import load_file

import classicnets as cn
from classicnets import crossval
from classicnets.reports import crossval as report_crossval
from classicnets.runs import folds as crossval_folder
from classicnets.runs.folds import CrossValidation
from classicnets.runs.run import Run

SMALL = {"epochs": 1, "batch_size": 256, "verbose": False}
LSTM = SMALL | {"network_options": {"units": [4]}}
VAE = SMALL | {"network_options": {"hidden_units": [16], "latent_size": 2}}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    return cn.cross_validate("lstm-digits-rows", folds=3, runs=runs, **LSTM)


def command(runs, *more):
    return [
        *(sys.executable, "-m", "classicnets", "crossval", "lstm-digits-rows"),
        *("--folds", "2", "--runs", str(runs), "--set", "network_options.units=[4]"),
        *("--set", "epochs=10", "--set", "batch_size=256", *more),
        *("--set", "deterministic=true", "--set", "checkpoint_steps=1"),
    ]


def cut(arguments, run, number):
    """Send a signal to a process as soon as a run of it has saved a step."""
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        ends = time.monotonic() + 300
        while not list((run / "checkpoints").glob("step-*[1-9]*")):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < ends
            time.sleep(0.01)
        process.send_signal(number)
        said = process.communicate()[1]
    return process.returncode, said


def test_a_killed_cross_validation_ends_as_the_one_that_was_left_alone(tmp_path):
    # At the same time, on the other core.
    with (tmp_path / "said").open("w") as said_of_whole:
        whole = subprocess.Popen(command(tmp_path / "whole"), stdout=said_of_whole)
    name = "lstm-digits-rows-2folds-0"
    folder = tmp_path / "killed" / name
    first, second = folder / "fold-1-0", folder / "fold-2-0"
    code, said = cut(command(tmp_path / "killed"), first, signal.SIGTERM)
    assert code == 128 + signal.SIGTERM
    stopped = f"stopped in fold 1 of 2; go on with: classicnets resume {folder}"
    assert said.splitlines()[-1] == f"classicnets: {stopped}"
    resume = [sys.executable, "-m", "classicnets", "resume", str(folder)]
    assert cut(resume, second, signal.SIGKILL)[0] == -signal.SIGKILL
    assert Run(second).status["state"] == "running"
    before = Run(first).environment, os.stat(first / "model.keras").st_mtime_ns

    (folder / ".crossval.json.0123abcd").write_text("{")  # a write that was cut
    # The command of the beginning goes on in the same folder.
    again = subprocess.run(command(tmp_path / "killed"), capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert whole.wait() == 0
    said = again.stdout.replace("/killed/", "/whole/")
    assert said == (tmp_path / "said").read_text()
    assert [path.name for path in (tmp_path / "killed").iterdir()] == [name]
    assert not (folder / ".crossval.json.0123abcd").exists()
    # What was over is left alone; what was cut was not begun anew.
    after = Run(first).environment, os.stat(first / "model.keras").st_mtime_ns
    assert after == before
    assert Run(second).environment["resumed"][0]["step"] > 0

    left_alone = tmp_path / "whole" / name
    for run in (first, second):
        compare(run / "checkpoints", left_alone / run.name / "checkpoints")
    assert scores(CrossValidation(folder)) == scores(CrossValidation(left_alone))


def compare(folder, expected):
    files = sorted(path.name for path in expected.iterdir())
    assert sorted(path.name for path in folder.iterdir()) == files
    assert len(files) > 1
    for name in files:
        ours, theirs = load_file(folder / name), load_file(expected / name)
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            assert value.tobytes() == theirs[key].tobytes(), (name, key)


def scores(found):
    content = found.content
    rows = [(row["fold"], row["scores"]) for row in content["results"]]
    return rows, content["mean"], content["std"], content["state"]


@pytest.fixture
def copy(found, tmp_path):
    """The same in a folder of its own, to be changed."""
    shutil.copytree(found.path, tmp_path / found.path.name)
    return CrossValidation(tmp_path / found.path.name)


def test_means_and_deviations_are_those_of_the_folds(found):
    content = json.loads((found.path / "crossval.json").read_text("utf-8"))
    assert content["state"] == "finished"
    top1 = []
    for number in (1, 2, 3):
        run = Run(found.path / f"fold-{number}-0")
        metrics = run.evaluate("test")
        assert metrics == run.metrics["test"]
        assert run.recipe.fold == number
        top1.append(metrics["top1"])
    rows = content["results"]
    assert [row["scores"]["top1"] for row in rows] == top1
    assert rows[0]["scores"].keys() == {*("loss", "top1", "top5", "f1", "auc", "rival")}
    assert sum(row["examples"] for row in rows) == 1438  # 1,797 without the test
    assert content["mean"]["top1"] == pytest.approx(np.mean(top1))
    assert content["std"]["top1"] == pytest.approx(np.std(top1, ddof=1))

    with (found.path / "crossval.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [row["fold"] for row in table] == ["1", "2", "3", "mean", "std"]
    assert float(table[3]["top1"]) == content["mean"]["top1"]


def test_an_unfinished_one_is_found_again_and_a_finished_one_left_alone(copy):
    content = {key: copy.content[key] for key in ("recipe", "folds", "groups")}
    content |= {key: copy.content[key] for key in ("splitter", "backend")}

    def find(**changes):
        given = copy.path.parent, "lstm-digits-rows", content | changes
        return crossval_folder.find_or_create(*given).path.name

    name = "lstm-digits-rows-3folds-0"
    assert find() == f"{name}-2"
    copy.save("running")
    assert find() == name
    other = content["recipe"] | {"learning_rate": 0.5}
    assert find(recipe=other) == f"{name}-3"
    assert find(recipe=other) == f"{name}-3"
    assert find(groups="writers.txt") == f"{name}-4"


def test_a_vae_is_judged_by_its_bound_in_folds_of_groups(tmp_path):
    groups = tmp_path / "writers.txt"
    groups.write_text("\n".join(f"writer {k % 30}" for k in range(1797)))
    given = VAE | {"groups": str(groups)}
    found = cn.cross_validate("vae-digits", folds=2, runs=tmp_path, **given)
    assert found.content["splitter"] == "GroupKFold"
    assert {"elbo", "reconstruction", "kl", "nll"} == found.content["mean"].keys()
    assert sum(row["examples"] for row in found.content["results"]) == 1438
    assert Run(found.path / "fold-2-0").recipe.groups == str(groups)
    assert "nats" in (found.path / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("recipe", "changes", "message"),
    [
        ("lstm-digits-rows", {"folds": 1}, "folds must be at least 2, got 1."),
        ("lstm-digits-rows", {"folds": 999}, "the smallest of digits has 139"),
        ("lstm-digits-rows", {"fold": 2}, "fold is for the folds to set"),
        ("lstm-digits-rows", {"data": "digitz"}, "Did you mean 'digits'?"),
        ("lstm-digits-rows", {"groups": "writer"}, "groups must be a text file"),
        ("lstm-digits-rows", {"name": "../up"}, "must be a plain folder name"),
        ("wgan_gp-digits", {}, "a GAN is judged by the images it makes"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_no_folder(
    tmp_path, recipe, changes, message
):
    with pytest.raises(cn.UserError, match=re.escape(message)):
        cn.cross_validate(recipe, runs=tmp_path, verbose=False, **changes)
    assert list(tmp_path.iterdir()) == []


def test_a_fold_that_was_trained_otherwise_is_refused(copy):
    file = copy.fold_path(2) / "recipe.toml"
    file.write_text(file.read_text().replace("epochs = 1\n", "epochs = 2\n"))
    with pytest.raises(cn.UserError, match="by another recipe, epochs is 2 there"):
        crossval.resume(copy, verbose=False)


def test_another_backend_is_refused(copy):
    content = copy.content | {"backend": "another"}
    (copy.path / "crossval.json").write_text(json.dumps(content))
    with pytest.raises(cn.UserError, match="began on another, this is"):
        crossval.resume(copy.path, verbose=False)


def test_two_processes_do_not_share_one(copy):
    with copy.locked(), pytest.raises(cn.UserError, match="must not be trained twice"):
        crossval.resume(copy, verbose=False)


def test_a_damaged_file_is_one_line(tmp_path):
    for text in ("", "[]", "{}", '{"recipe": 3}', '{"recipe": {"network": "x"}}'):
        (tmp_path / "crossval.json").write_text(text)
        with pytest.raises(cn.UserError, match=r"crossval\.json must be as"):
            CrossValidation(tmp_path)


def test_the_command_resumes_and_reports_by_the_folder(found):
    def call(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "classicnets", *map(str, arguments)],
            capture_output=True,
            text=True,
        )

    (found.path / "report.html").unlink()
    result = call("report", found.path)
    assert result.stdout.strip() == str(found.path / "report.html"), result.stderr
    result = call("resume", found.path, "--set", "epochs=3")
    assert result.returncode == 2
    assert result.stderr.startswith("classicnets: a cross-validation goes on as it")
    result = call("evaluate", found.path)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert "Did you mean" in result.stderr


def test_the_page_shows_every_fold_and_loads_nothing(found):
    page = Page((found.path / "report.html").read_text("utf-8"))
    content = found.content
    for row in content["results"]:
        assert f"{row['scores']['loss']:.3f}" in page.text
    assert f"{content['mean']['loss']:.3f}" in page.text
    assert "1,438 examples right while held out" in page.text
    assert {"svg", "table"} <= set(page.tags)
    assert not {"script", "link"} & set(page.tags)
    # The folds' own pages, beside this one.
    assert page.links == [f"fold-{number}-0/report.html" for number in (1, 2, 3)]
    assert all((found.path / link).is_file() for link in page.links)


def test_a_page_is_written_before_the_end(copy):
    """Of one whose first fold alone is over."""
    for number in (2, 3):
        shutil.rmtree(copy.path / f"fold-{number}-0")
    page = Page(report_crossval.write(CrossValidation(copy.path)).read_text("utf-8"))
    assert "1 of 3 folds are over." in page.text
    assert "classicnets resume" in page.text


def test_a_strangers_text_is_text_on_the_page(copy):
    names = ("<script>alert(1)</script>", 'b" onload="c', *"23456789")
    run = copy.fold(1)
    run.save_json("environment.json", run.environment | {"class_names": names})
    copy.content["recipe"]["data"] = "<i>photos"
    copy.save("finished")
    page = Page(report_crossval.write(CrossValidation(copy.path)).read_text("utf-8"))
    assert not {"script", "i"} & set(page.tags)
    assert all(text in page.text for text in (*names, "<i>photos"))
