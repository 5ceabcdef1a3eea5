"""The benchmark runs and writes its table; it says nothing of who is quicker."""

import csv
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run_benchmarks(*arguments, module="benchmarks"):
    paths = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    environment.pop("CLASSICNETS_DATA", None)
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.skipif(
    not importlib.util.find_spec("tensorflow"), reason="needs TensorFlow"
)
def test_a_row_of_the_benchmark_writes_a_table_and_its_rounds(tmp_path):
    names = ["ours-tensorflow-float32", "keras2021-float32", "pytorch-eager-float32"]
    page = tmp_path / "speed.md"
    done = run_benchmarks(
        *("--rows", "resnet20-8", "--rounds", "1", "--steps", "1"),
        *("--contenders", ",".join(names), "--out", str(page)),
    )
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert "Our best in float32: **ours-tensorflow-float32" in text
    assert "10,000 random images" in text
    with page.with_suffix(".csv").open(newline="", encoding="utf-8") as file:
        rows = {row["contender"]: row for row in csv.DictReader(file)}
    assert list(rows) == names
    if not importlib.util.find_spec("torch"):
        assert "No module named 'torch'" in rows.pop(names[2])["note"]
        assert "| pytorch-eager-float32 | | | | | | | not available: " in text
    for name, row in rows.items():
        # ResNet-20 with 100 classes: 269,722 parameters with 10 (He et al. 2015,
        # table 6: 0.27M), and 90 more rows of 64 weights and a bias.
        assert int(row["parameters"]) == 269_722 + 90 * 65, name
        assert float(row["seconds_per_step"]) > 0, name
        assert f"| {name} |" in text


def test_an_unknown_row_or_contender_is_named_with_the_nearest_one():
    wrong_row = run_benchmarks("--rows", "resnet81-64")
    assert wrong_row.returncode == 2
    assert "got 'resnet81'. Did you mean 'resnet18'?" in wrong_row.stderr
    wrong_name = run_benchmarks("--contenders", "pytorch-eager-float31")
    assert wrong_name.returncode == 2
    assert "Did you mean 'pytorch-eager-float32'?" in wrong_name.stderr


def test_a_race_to_a_quality_is_compared_seed_by_seed():
    from benchmarks import quality

    seconds = {"ours-torch": [10.0, 20.0, 5.0], "keras2021": [30.0, 40.0, float("inf")]}
    rows = [
        (name, seed, 1, value, 0.85)
        for name, values in seconds.items()
        for seed, value in enumerate(values)
    ]
    page = quality.page(seconds, rows)
    ours = next(line for line in page.splitlines() if line.startswith("| ours"))
    assert "| 3.00 (2.00..inf) | 1 1 1 | 0.8500 0.8500 0.8500 |" in ours


def test_a_race_of_an_unknown_backend_is_refused():
    found = run_benchmarks("--help", module="benchmarks.quality")
    assert "--backends" in found.stdout
    found = run_benchmarks("--backends", "theano", module="benchmarks.quality")
    assert found.returncode == 2
    assert "backends must be among" in found.stderr
