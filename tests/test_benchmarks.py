"""The benchmark runs and writes its table; it says nothing of who is faster."""

import csv
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]


def run_benchmarks(*arguments, module="benchmarks", **variables):
    paths = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    environment.pop("CLASSICNETS_DATA", None)
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.skipif(
    not importlib.util.find_spec("tensorflow"), reason="needs TensorFlow"
)
@pytest.mark.thorough
def test_a_row_of_the_benchmark_writes_a_table_and_its_rounds(tmp_path):
    names = ["ours-tensorflow-float32", "keras2021-float32", "pytorch-eager-float32"]
    peak = "matrix-product-float32"
    page = tmp_path / "speed.md"
    done = run_benchmarks(
        *("--rows", "resnet20-8", "--rounds", "1", "--steps", "1"),
        *("--contenders", ",".join([peak, *names]), "--out", str(page)),
    )
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert "Our best in float32: **ours-tensorflow-float32" in text
    assert "10,000 random images" in text
    with page.with_suffix(".csv").open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    rows = {row["contender"]: row for row in read if row["what"] != "inference"}
    inferred = {row["contender"]: row for row in read if row["what"] == "inference"}
    assert list(rows) == [peak, *names]
    if not importlib.util.find_spec("torch"):
        assert "No module named 'torch'" in rows.pop(names[2])["note"]
        assert "| pytorch-eager-float32 | | | | | | | | | | not available: " in text
        names.pop()
    elif measured := float(rows[names[0]]["share_of_peak"]):
        assert 0 < measured < 1
        assert "GFLOP/s in float32" in text
    del rows[peak]
    assert list(inferred) == names
    for name, row in rows.items():
        # ResNet-20 with 100 classes: 269,722 parameters with 10 (He et al. 2015,
        # table 6: 0.27M), and 90 more rows of 64 weights and a bias.
        assert int(row["parameters"]) == 269_722 + 90 * 65, name
        assert float(row["seconds_per_step"]) > 0, name
        assert float(row["peak_mib"]) > float(row["imports_mib"]) > 10, name
        assert f"| {name} |" in text
    svg = (tmp_path / "pictures" / "benchmarks.svg").read_text(encoding="utf-8")
    drawn = "".join(ElementTree.fromstring(svg).itertext())
    assert "resnet20-8: ours-tensorflow-float32" in drawn
    assert "keras2021-float32" in drawn


def test_an_unknown_row_or_contender_is_named_with_the_nearest_one():
    wrong_row = run_benchmarks("--rows", "resnet81-64")
    assert wrong_row.returncode == 2
    assert "got 'resnet81'. Did you mean 'resnet18'?" in wrong_row.stderr
    wrong_name = run_benchmarks("--contenders", "pytorch-eager-float31")
    assert wrong_name.returncode == 2
    assert "Did you mean 'pytorch-eager-float32'?" in wrong_name.stderr


def test_a_machine_without_a_gpu_is_refused_in_one_line(tmp_path):
    done = run_benchmarks("--device", "gpu", PATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("nvidia-smi finds none.")


def result(name, *seconds, precision="float32", operations=0.0, note=""):
    from benchmarks.table import Result, Turns
    from benchmarks.worker import Contender

    training = Turns(1, list(seconds), [0.0] * len(seconds))
    contender = Contender(name, "", "", precision)
    return Result(contender, training, operations=operations, note=note)


def test_rows_that_miss_their_target_stand_first_with_the_reason(monkeypatch):
    from benchmarks import page, table

    fast = [
        result("ours-jax-float32", 1.0, 1.0),
        result("ours-torch-float32", 8.0, 8.0),
        result("keras2021-float32", 6.0, 8.0),
        result("pytorch-eager-float32", 1.0, 1.5),
    ]
    slow = [result("ours-jax-float32", 1.0), result("pytorch-eager-float32", 0.5)]
    measured = {table.Row("vae", 512): fast, table.Row("dcgan", 64): slow}
    monkeypatch.setitem(table.REASONS, "dcgan-64", "it waits.")
    monkeypatch.setitem(table.REASONS, "vae-512", "unseen.")
    text = page.summary([page.outcome(*each) for each in measured.items()])
    rows = [line for line in text.splitlines() if line.startswith("|")][2:]
    # The dense VAE must be 1.2 times as fast as PyTorch and 6 times as the old style.
    assert rows[0].startswith("| dcgan-64 | ours-jax-float32 | **0.50 (0.50..0.50)**")
    assert rows[1].startswith("| vae-512 | ours-jax-float32 | **1.25 (1.00..1.50)**")
    assert "| 1.2 | pytorch-eager-float32 | 7.00 (6.00..8.00) | 6.0 |" in rows[1]
    assert [row.endswith("| yes |") for row in rows] == [False, True]
    assert "- dcgan-64: it waits." in text
    assert "unseen" not in text
    # Nothing to compare with is no target met.
    assert not page.outcome(table.Row("vae", 512), fast[:2]).met


def test_the_share_of_the_peak_is_taken_in_the_same_precision_and_round():
    from benchmarks import page, table

    results = [
        result("matrix-product-float32", 2.0, 1.0, operations=8e9),
        result("matrix-product-bfloat16", 1.0, precision="bfloat16", operations=8e9),
        result("ours-jax-float32", 1.0, 1.0, operations=2e9),
        result("ours-jax-mixed_bfloat16", 0.5, precision="mixed_bfloat16"),
        result("pytorch-eager-float32", 2.0, 2.0),
    ]
    found = [table.shares(each, results) for each in results[2:]]
    assert found == [[0.5, 0.25], [0.5], [0.25, 0.125]]
    text = page.section(table.Row("vae", 8), results)
    assert "6 GFLOP/s in float32, 8 GFLOP/s in bfloat16" in text
    assert "matrix-product" not in text


def test_a_contender_that_is_not_there_is_listed_with_the_reason():
    from benchmarks import page, table

    results = [result("ours-jax-float32", 1.0), result("keras2021-float32", note="a|b")]
    text = page.section(table.Row("vae", 8), results)
    assert "| keras2021-float32 | | | | | | | | | | not available: a/b |" in text
    rows = list(
        csv.DictReader(table.rounds_csv({table.Row("vae", 8): results}).split())
    )
    assert [row["seconds_per_step"] for row in rows] == ["1.000000", ""]


def test_operations_of_a_step_match_their_count_by_hand():
    from benchmarks import operations
    from benchmarks.worker import Contender, Job
    from classicnets import networks

    def count(network, built, options, classes=0):
        job = Job(Contender("", "", "", ""), network, 8, "", "")
        return operations.of_step(job, built, options, classes)

    sizes = {"hidden_units": [128], "latent_size": 20}
    vae = networks.create("vae", (28, 28, 1), **sizes)
    by_hand = 784 * 128 + 2 * 128 * 20 + 20 * 128 + 128 * 784
    assert count("vae", vae, sizes) == 6 * 8 * by_hand
    sizes = {"units": [64, 64], "vocabulary_size": 50, "embedding_size": 100}
    lstm = networks.create("lstm", (None,), 2, **sizes)
    # Four gates of 64 units on 100 + 64 numbers, then on 64 + 64, at each token.
    by_hand = 4 * 64 * (100 + 64 + 64 + 64)
    assert count("lstm", lstm, sizes, 2) == 6 * 8 * (100 * by_hand + 64 * 2)
    assert count("lstm400", lstm, sizes, 2) == 6 * 8 * (400 * by_hand + 64 * 2)
    # Generator and critic: 5 (1 + 12 C) + 3 + 2 C, and 1 + 6 D + 3 + 2 D.
    assert operations.gan("wgan_gp", 1, 0) == 8
    assert operations.gan("wgan_gp", 0, 1) == 62
    assert operations.gan("dcgan", 1, 0) == 4
    assert operations.gan("dcgan", 0, 1) == 8


def test_the_peak_of_memory_has_seen_what_was_freed_since():
    program = (
        "import numpy; from benchmarks.memory import peak_memory;"
        "before = peak_memory(); numpy.ones(100 * 2**20, 'uint8');"
        "print(peak_memory() - before)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert 90 < float(found.stdout) < 150


@pytest.fixture
def faces(tmp_path, monkeypatch):
    """Twenty grey JPEGs; the mean of all their pixels is 95."""
    monkeypatch.setenv("CLASSICNETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "faces").mkdir()
    for number in range(20):
        pixels = np.full((96, 96, 3), 10 * number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "faces" / f"{number}.jpg", quality=100)
    return tmp_path / "faces"


def test_ours_delivers_a_folder_from_a_process_of_its_own(faces):
    from benchmarks import folders

    reading = folders.in_a_process("ours", str(faces), epochs=3)
    folders.check_alike([reading], 20)
    assert reading.mean == pytest.approx(95 / 127.5 - 1, abs=0.01)
    assert len(reading.seconds) == 3
    assert reading.peak > reading.own
    with pytest.raises(SystemExit, match="must deliver all 21 images"):
        folders.check_alike([reading], 21)


@pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow",
    reason="imports TensorFlow",
)
@pytest.mark.parametrize("area", [False, True])
def test_the_peer_delivers_the_batches_that_ours_does(faces, area):
    from benchmarks import folders

    theirs = folders.open_tfdata(str(faces), area=area)(0)
    ours = folders.open_ours(str(faces))(0)
    batches = [[np.asarray(batch) for batch in each] for each in (ours, theirs)]
    levels = []
    for found in map(np.concatenate, batches):
        assert (found.shape, found.dtype) == ((20, 64, 64, 3), np.float32)
        levels.append(np.sort(found.mean((1, 2, 3))))
    assert levels[0] == pytest.approx(10 * np.arange(20) / 127.5 - 1, abs=0.01)
    assert levels[0] == pytest.approx(levels[1], abs=0.01)


def test_copies_of_a_folder_are_links(faces, tmp_path):
    from benchmarks import folders

    files = folders.image_files(str(faces))
    (tmp_path / "copies").mkdir()
    folders.link_copies(files, tmp_path / "copies", 3)
    links = folders.image_files(str(tmp_path / "copies"))
    assert len(links) == 60
    assert all(link.samefile(files[n % 20]) for n, link in enumerate(links))


def test_folders_are_compared_round_by_round(monkeypatch, tmp_path):
    from benchmarks import folders_page

    def reading(name, *seconds, copies=1):
        return folders_page.Reading(
            name, copies, 100 * copies, seconds, 3 * 2**20, 2**20, 0.0
        )

    rounds = [
        [
            reading("ours", 2.0, 0.1, 0.3, 0.2),
            reading("tfdata2021", first, 1.0, 1.0, 1.0),
            reading("tfdata2021-area", 4.0, 2.0, 2.0, 2.0),
        ]
        for first in (1.0, 3.0, 2.0)
    ]
    growth = [rounds[0][0], reading("ours", 8.0, 0.8, 0.8, 0.8, copies=4)]
    monkeypatch.setattr(sys, "argv", ["folders", str(tmp_path)])
    out = tmp_path / "page.md"
    folders_page.write(out, rounds, growth, 5 * 2**20)
    text = out.read_text(encoding="utf-8")
    assert f"python -m benchmarks.folders {tmp_path.name}`" in text
    assert "100 images, 5 MiB" in text
    assert "epochs: 1 + 3" in text
    peer = (
        "| tfdata2021 | 2.00 | 50 | 1.00 (0.50..1.50) | 1.00 | 100 | 5.00 (5.00..5.00)"
    )
    assert f"{peer} | 3 | 1 |" in text
    assert "| 400 | 5 | 50 | 500 | 3 | 1 |" in text
    with out.with_suffix(".csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 3 * 4 + 4


def test_a_folder_without_images_is_not_raced(tmp_path):
    done = run_benchmarks(str(tmp_path), module="benchmarks.folders")
    assert done.returncode == 2
    assert "must hold images (.jpg, .jpeg, .png)" in done.stderr
