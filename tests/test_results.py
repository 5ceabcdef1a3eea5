"""Results as data: every number that is claimed has a row, and runs become rows."""

import importlib.util
import math
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import classicnets as cn
from classicnets import files, kinds
from classicnets import recipe as recipes
from classicnets.runs import folds as crossval_folder
from classicnets.runs import record
from classicnets.runs.run import Run

ROOT = Path(__file__).parents[1]
ROWS = record.read(ROOT / "docs" / "results.csv")


def load_tool():
    spec = importlib.util.spec_from_file_location("results", ROOT / "tools/results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


results = load_tool()

# -- docs ----------------------------------------------------------------------------


def test_the_page_is_what_the_table_says():
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert page == results.page(ROWS), "python tools/results.py writes it"


def test_a_changed_row_changes_the_page():
    """Each metric on the page; a mean stands for its seeds."""
    for place, row in enumerate(ROWS):
        shown = row["metric"] in ("top1", "elbo", "kid", "fid")
        if shown and row["split"] == "test" and (row["seed"] or row["seeds"]):
            other = {**row, "value": str(float(row["value"]) + 0.5)}
            rows = [*ROWS[:place], other, *ROWS[place + 1 :]]
            assert results.page(rows) != results.page(ROWS), row


@pytest.mark.parametrize("name", recipes.names())
def test_every_number_of_a_header_has_a_row(name):
    assert unfounded(header(name), rows_of(name)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("89.29", "89.92"),
        ("0.11 %", "0.10 %"),
        ("89.18", "89.81"),
        ("(3 seeds", "(5 seeds"),
        ("25,000", "24,576"),
        ("637 to", "437 to"),
        ("60d71b2", "60d71b3"),
    ],
)
def test_a_header_without_its_row_is_found(old, new):
    text = header("lstm-imdb-400")
    assert old in text
    found = unfounded(text.replace(old, new), rows_of("lstm-imdb-400"))
    assert found == [re.search(r"[\w.,]+", new).group()]


def test_a_number_of_a_recipe_without_rows_is_found():
    assert unfounded("Measured: 99.1 % in 12 s.", []) == ["99.1", "12"]
    assert unfounded("Measured: nothing yet; 200 epochs on 3 GPUs.", []) == []


def test_rows_name_recipes_and_anchors_that_there_are():
    for row in ROWS:
        assert row["recipe"] in recipes.names()
        anchor = record.ANCHORS.get((row["recipe"], row["metric"]))
        if anchor and row["split"] == "test":
            assert float(row["anchor"]) == anchor[0]
            assert row["anchor_source"] == anchor[1]
        else:
            assert row["anchor"] == row["anchor_source"] == ""
    assert {recipe for recipe, _ in record.ANCHORS} <= set(recipes.names())


def test_a_mean_agrees_with_the_seeds_that_are_known():
    means = [row for row in ROWS if row["seeds"]]
    compared = 0
    for mean in means:
        keys = (*results.CONDITIONS, "metric", "split")
        values = [
            float(row["value"])
            for row in ROWS
            if not row["seeds"] and all(row[key] == mean[key] for key in keys)
        ]
        if values:
            compared += 1
            assert len(values) == int(mean["seeds"])
            assert sum(values) / len(values) == pytest.approx(
                float(mean["value"]), abs=1e-4
            )
    assert compared


def test_a_line_of_the_page_is_the_mean_of_its_seeds():
    rows = [
        blank(recipe="vgg11-digits", seed=str(seed), value=value, machine="m")
        for seed, value in enumerate(("0.5", "0.6", "0.7"))
    ]
    table = results.page(rows).split("## Classifiers")[1].split("```")[0]
    assert "| `vgg11-digits` | 3 | 60.00 ± 10.00 % of 100 |" in table
    other = blank(recipe="vgg11-digits", seed="3", value="0.9", commit="abc1234")
    table = results.page([*rows, other]).split("## Classifiers")[1]
    assert "| `vgg11-digits` | 1 | 90.00 % of 100 |" in table


def blank(**cells):
    own = {"split": "test", "metric": "top1", "examples": "100", "seconds": "1"}
    return dict.fromkeys(record.COLUMNS, "") | own | cells


def header(name):
    """What the comment above a recipe says was measured."""
    path = ROOT / "src" / "classicnets" / "recipes" / f"{name}.toml"
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next(k for k, line in enumerate(lines) if not line.startswith("#"))
    text = "\n".join(line.removeprefix("#").strip() for line in lines[:end])
    found = re.search(r"^Measured.*?(?=\n\n|\nDiffers|\Z)", text, re.M | re.S)
    return " ".join(found.group().split()) if found else ""


def rows_of(name):
    return [row for row in ROWS if row["recipe"] == name]


def unfounded(text, rows):
    """The numbers of a text that no row says: results, seconds, counts, commits."""
    text = re.sub(r"(TensorFlow|PyTorch|JAX) \d+\.\d+", "", text)
    numbers = r"\d[\d,]*"
    commits = re.findall(r"commit ([0-9a-f]{7})\b", text)
    text = re.sub(r"commit [0-9a-f]{7}\b", "", text)
    claims = re.findall(
        rf"(-?{numbers}\.\d+)"  # 98.14
        rf"|({numbers})(?= %)"
        rf"|({numbers})(?= s\b)"
        rf"|({numbers})(?= to {numbers} s\b)"
        rf"|of ({numbers})\b(?! seeds?)"
        rf"|({numbers})(?= seeds?\b)"
        rf"|({numbers})(?= (?:generated|test|validation))",
        text,
    )
    known = [value for row in rows for value in values_of(row)]
    for group in results._groups(rows).values():
        for metric, split in {(row["metric"], row["split"]) for row in group}:
            scale = 100 if metric in kinds.SHARES else 1
            found = results.measured(group, metric, split)
            known += [scale * value for value in found[:2] if value is not None]
            known.append(found[2])
    wrong = [claim for claim in map("".join, claims) if not stands(claim, known)]
    told = {row["commit"] for row in rows}
    return wrong + [commit for commit in dict.fromkeys(commits) if commit not in told]


def values_of(row):
    scale = 100 if row["metric"] in kinds.SHARES else 1
    for column in ("value", "anchor"):
        if row[column]:
            yield scale * float(row[column])
    if row["examples"]:
        yield float(row["examples"])
    yield from map(float, re.findall(r"[\d.]+", row["seconds"]))


def stands(claim, known):
    """Whether a number is one of the known ones, rounded to its own digits."""
    digits = len(claim.partition(".")[2])
    value = float(claim.replace(",", ""))
    half = 0.5 * 10.0**-digits + 1e-9
    return any(abs(value - other) <= half for other in known)


# -- record --------------------------------------------------------------------------

SMALL = {"epochs": 1, "batch_size": 256, "verbose": False}
VAE = SMALL | {"network_options": {"hidden_units": [16], "latent_size": 2}}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of the lstm recipe with other options, judged on its test split."""
    run = cn.train(
        "lstm-digits-rows",
        runs=tmp_path_factory.mktemp("runs"),
        network_options={"units": [4], "dropout": 0.2},
        **SMALL,
    )
    run.evaluate()
    return run


@pytest.fixture
def run(trained):
    """The same, as if a clean checkout had trained it."""
    names = ("environment.json", "status.json", "metrics.json", "recipe.toml")
    before = {name: (trained.path / name).read_text("utf-8") for name in names}
    edit(trained, "environment.json", commit=COMMIT)
    yield Run(trained.path)
    for name, text in before.items():
        (trained.path / name).write_text(text, encoding="utf-8")


def edit(run, name, **values):
    run.save_json(name, files.read_json(run.path / name) | values)


def test_a_run_becomes_a_row_a_metric(run, tmp_path):
    path = tmp_path / "results.csv"
    added = record.record(run, path, shared=True)
    assert record.read(path) == added
    found = {(row["split"], row["metric"]): row for row in added}
    assert found.keys() == {
        (split, metric)
        for split in ("test", "validation")
        for metric in ("top1", "top5", "loss")
    }
    row, metrics = found["test", "top1"], run.metrics["test"]
    assert float(row["value"]) == pytest.approx(metrics["top1"], abs=1e-5)
    assert row["examples"] == "359"
    assert row["recipe"] == "lstm-digits-rows"
    assert row["seed"] == "0"
    assert row["commit"] == COMMIT[:7]
    assert row["precision"] == "float32"
    assert row["differs"] == "epochs=1 batch_size=256 network_options.units=[4]"
    assert row["machine"].endswith(", shared")
    assert math.isclose(
        float(row["seconds"]), run.status["seconds"], rel_tol=0.01, abs_tol=0.06
    )
    assert row["backend"].split(" ")[0] in record.BACKENDS.values()


def test_rows_are_appended_and_never_twice(run, tmp_path):
    path = tmp_path / "results.csv"
    files.write_csv(path, record.COLUMNS, ROWS)
    added = record.record(run, path)
    assert record.read(path) == [*ROWS, *added]
    before = path.read_bytes()
    with pytest.raises(cn.UserError, match=r"is in .* already: lstm-digits-rows, seed"):
        record.record(run, path)
    assert path.read_bytes() == before


def test_the_anchor_of_a_recipe_comes_with_its_row(run, tmp_path):
    again = run.path.parent / "lstm-imdb-0"
    run.path.rename(again)
    try:
        top1, *_ = record.rows(Run(again))
    finally:
        again.rename(run.path)
    anchor, source = record.ANCHORS["lstm-imdb", "top1"]
    assert (float(top1["anchor"]), top1["anchor_source"]) == (anchor, source)
    assert "data=digits" in top1["differs"]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("status.json", {"state": "stopped"}, "must be finished, .* is stopped"),
        ("environment.json", {"commit": f"{COMMIT}-dirty"}, "in no commit, on top of"),
        (
            "environment.json",
            {"resumed": [{"backend": "jax", "commit": f"{COMMIT}-dirty"}]},
            "in no commit, on top of 0123456",
        ),
        ("environment.json", {"backend": None}, "must say where the run was trained"),
    ],
)
def test_what_is_no_result_is_refused(run, tmp_path, name, values, message):
    edit(run, name, **values)
    with pytest.raises(cn.UserError, match=message):
        record.record(run, tmp_path / "results.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_run_whose_test_is_closed_is_refused(run, tmp_path):
    metrics = run.metrics
    del metrics["test"]
    run.save_json("metrics.json", metrics)
    with pytest.raises(
        cn.UserError, match=r"classicnets evaluate .*lstm-digits-rows-0"
    ):
        record.record(run, tmp_path / "results.csv")


def test_a_fold_is_no_result(run, tmp_path):
    changed = recipes.load(run.path / "recipe.toml", ["folds=2", "fold=1"])
    run.save_text("recipe.toml", recipes.to_toml(changed))
    with pytest.raises(cn.UserError, match="is a fold of a cross-validation"):
        record.record(run, tmp_path / "results.csv")
    assert not crossval_folder.is_one(run.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "a,b\n1,2\n", "must have the columns recipe, seed"),
        (lambda text: text.replace(",0.6242,", ",much,"), "value in line 2 .* 'much'"),
        (lambda text: text.replace(",0.6242,", ",nan,"), "value in line 2 .* 'nan'"),
        (lambda text: text.replace(",0.6242,", ",,"), "value in line 2"),
        (lambda text: text + "more,cells\n", "must have 18 cells in line"),
        (lambda text: text + '"', "must be CSV"),
    ],
)
def test_a_table_that_is_none_is_refused_and_kept(run, tmp_path, change, message):
    path = tmp_path / "results.csv"
    files.write_csv(path, record.COLUMNS, ROWS)
    path.write_text(change(path.read_text()))
    before = path.read_bytes()
    with pytest.raises(cn.UserError, match=message):
        record.record(run, path)
    assert path.read_bytes() == before


def test_a_vae_is_recorded_by_its_bounds(tmp_path):
    run = cn.train("vae-digits", runs=tmp_path, **VAE)
    run.evaluate()
    found = {row["metric"] for row in record.rows(run) if row["split"] == "test"}
    assert found == {"elbo", "reconstruction", "kl", "nll"}


def test_a_fresh_run_of_a_short_recipe_scores_what_is_recorded(tmp_path):
    """The recipe as it is shipped, to its end: on another processor other bits."""
    run = cn.train("vae-digits", runs=tmp_path, verbose=False)
    fresh = run.evaluate()
    rows = [row for row in rows_of("vae-digits") if row["split"] == "test"]
    for metric in ("elbo", "reconstruction", "kl", "nll"):
        values = [float(row["value"]) for row in rows if row["metric"] == metric]
        deviation = statistics.stdev(values)
        mean = statistics.fmean(values)
        assert fresh[metric] == pytest.approx(mean, abs=5 * deviation), metric


def test_the_command_records(run, tmp_path):
    def call(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "classicnets", "record", *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    first = call(run.path, "--to", "results.csv")
    assert first.returncode == 0, first.stderr
    assert "lstm-digits-rows test top1 " in first.stdout
    assert len(record.read(tmp_path / "results.csv")) == 6
    for arguments in ((run.path, "--to", "results.csv"), (run.path,)):
        again = call(*arguments)
        assert again.returncode == 2
        assert len(again.stderr.splitlines()) == 1
