"""What is damaged, missing, changed or forbidden costs one line, and nothing else.

Full disks, killed processes and each bit of a checkpoint are in test_resume.py.
"""

import contextlib
import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import classicnets as cn
from classicnets import cli
from classicnets.runs.run import Run

TINY = {"epochs": 2, "checkpoint_steps": 2, "steps_per_call": 2}
LSTM = TINY | {"batch_size": 8, "network_options": {"units": [4]}}
SMALL = {"network_options": {"hidden_units": [16], "latent_size": 2}}
VAE = TINY | SMALL | {"sample_epochs": 1}
SCRIPT = "<script>alert('1')</script>"
QUOTED = '"good" onclick="alert(2)" <u>&amp;'


class StopInSecondEpoch(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            signal.raise_signal(signal.SIGTERM)


def train(recipe, runs, name, *, stopped=False, **changes):
    """Train, and stop in the second epoch if asked; return the run's folder."""
    callbacks = [StopInSecondEpoch()] if stopped else []
    given = {"runs": runs, "name": name, "callbacks": callbacks, "verbose": False}
    with contextlib.suppress(cn.Stopped):
        cn.train(recipe, **given, **changes)
    return Path(runs) / f"{name}-0"


@pytest.fixture
def call(monkeypatch, capsys):
    """Return a function that is the command: it returns the exit code and stderr."""
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["classicnets", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        return code, capsys.readouterr().err

    return command


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- every file of a run, damaged ----------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a folder of a text classifier's runs and a VAE's, finished or stopped."""
    home = tmp_path_factory.mktemp("home")
    random, names = np.random.default_rng(0), (SCRIPT, QUOTED)
    with (home / "texts.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        for number in range(60):
            name = names[number % 2]
            words = [f"word{n}" for n in random.integers(20, size=5)]
            rows.writerow([f"{name} {' '.join(words)}", name])
    texts = LSTM | {"data": str(home / "texts.csv"), "max_tokens": 8}
    train("lstm-digits-rows", home, "texts", **texts)
    train("lstm-digits-rows", home, "stopped", stopped=True, **texts)
    train("vae-digits", home, "vae", batch_size=512, **VAE)
    return home


def emptied(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path):
    content = bytearray(path.read_bytes())
    if content:
        content[len(content) // 2] ^= 1
    path.write_bytes(content)


def deleted(path):
    path.unlink()


def a_folder(path):
    path.unlink()
    path.mkdir()


EVERY = (emptied, cut, flipped, deleted, a_folder)
JSON = {"environment.json", "status.json", "metrics.json", "identity.json"}
PLAIN = JSON | {"history.csv", "recipe.toml", "tokenizer.json"}
EPOCHS = {"samples/epoch-0001.png", "samples/epoch-0002.png"}
SHEETS = EPOCHS | {"samples/training.png", "samples/reconstructions.png"}
# Shown as the reconstructions are.
ALIKE = {f"samples/{name}.png" for name in ("interpolation", "latent", "manifold")}
EXAMPLES = {"samples/validation.npz"}
TEXTS = {"recipe.toml", "environment.json", "model.keras", "tokenizer.json"}
CODES = {"recipe.toml", "decoder.keras"}
IMAGES = CODES | {"model.keras", "encoder.keras"}


def used(files):
    """Return what a command on networks refuses; runs of before lack identity.json."""
    return dict.fromkeys(EVERY, files | {"identity.json"}) | {deleted: files}


# By command and damage the files without which it must refuse. No other matters to it.
REFUSED = {
    ("texts", "report"): {
        emptied: JSON | EXAMPLES,
        cut: EXAMPLES,
        flipped: set(),
        deleted: {"recipe.toml"},
        a_folder: PLAIN - {"tokenizer.json"} | EXAMPLES | {"report.html"},
    },
    ("vae", "report"): dict.fromkeys(EVERY, frozenset())
    | {emptied: SHEETS, a_folder: EPOCHS},
    ("texts", "evaluate"): used(TEXTS),
    ("texts", "predict", "--text", "a word1"): used(TEXTS),
    ("vae", "sample", "-n", "2"): used(CODES),
    ("vae", "reconstruct"): used(IMAGES | {"environment.json"}) | {deleted: IMAGES},
    ("stopped", "resume"): {
        emptied: {"recipe.toml", "environment.json", "tokenizer.json"},
        cut: set(),
        flipped: set(),
        deleted: {"recipe.toml"},
        a_folder: PLAIN | {".lock", "checkpoints/step-00000007.safetensors"},
    },
}
# Cut, or with another bit, they may still have a meaning.
LENIENT = PLAIN | SHEETS | EXAMPLES
# Read by every report, an evaluation's too: tried with the report of the texts.
REPORTED = PLAIN | EXAMPLES | {"report.html"}


@pytest.mark.parametrize("damage", EVERY, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("command", REFUSED, ids=" ".join)
def test_a_damaged_file_is_one_line_or_does_not_matter(
    command, damage, home, tmp_path, call
):
    name, verb, *options = command
    whole = home / f"{name}-0"
    files = {str(path.relative_to(whole)) for path in contents(whole)} - ALIKE
    steps = sorted(file for file in files if file.startswith("checkpoints/step-"))
    # Without the checkpoints before the newest nothing could go on.
    files -= {file for file in files if file.startswith("checkpoints/")} - {steps[-1]}
    refused = REFUSED[command][damage] & files
    read = set().union(*REFUSED[command].values()) & files
    unsure = read & LENIENT if damage in (cut, flipped) else set()

    def outcome(damaged):
        shutil.rmtree(tmp_path / whole.name, ignore_errors=True)
        run = shutil.copytree(whole, tmp_path / whole.name)
        for file in damaged:
            damage(run / file)
        return call(verb, run, *options)

    wrong = []
    for file in sorted(refused | unsure):
        code, said = outcome([file])
        line = said.strip().splitlines()[-1:]
        if code == 2 and line[0].startswith("classicnets: "):
            continue
        if code != 0 or file not in unsure:
            wrong.append((file, code, line))
    assert wrong == []
    tried = command in (("texts", "evaluate"), ("vae", "report"))
    rest = sorted(files - refused - unsure - (REPORTED if tried else set()))
    code, said = outcome(rest)
    assert code == 0, (rest, said)


# -- changed data --------------------------------------------------------------------


@pytest.fixture(scope="module")
def photographed(tmp_path_factory):
    """Return a folder with photos/ of three classes and a stopped run on them."""
    folder = tmp_path_factory.mktemp("photographed")
    random = np.random.default_rng(0)
    for name in ("ant", "bee", "cow"):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(8):
            pixels = random.integers(256, size=(8, 8), dtype=np.uint8)
            image = Image.fromarray(pixels)
            image.save(folder / "photos" / name / f"{number}.bmp")
    given = LSTM | {"batch_size": 4, "data": "photos", "image_size": 8}
    with contextlib.chdir(folder):
        train("lstm-digits-rows", "runs", "p", stopped=True, **given)
    return folder


def swapped(photos):
    """Exchange two files, as by a mistake in sorting them: sizes and dates stay."""
    (photos / "ant" / "0.bmp").rename(photos / "between")
    (photos / "bee" / "0.bmp").rename(photos / "ant" / "0.bmp")
    (photos / "between").rename(photos / "bee" / "0.bmp")


def replaced(photos):
    status = (photos / "ant" / "0.bmp").stat()
    shutil.copy(photos / "ant" / "1.bmp", photos / "ant" / "0.bmp")
    os.utime(photos / "ant" / "0.bmp", ns=(status.st_atime_ns, status.st_mtime_ns))


def removed(photos):
    for name in ("ant", "bee", "cow"):
        for number in range(3):
            (photos / name / f"{number}.bmp").unlink()


def added(photos):
    for number in range(8, 18):
        shutil.copy(photos / "ant" / "1.bmp", photos / "ant" / f"{number}.bmp")


def renamed(photos):
    (photos / "cow").rename(photos / "zebu")


def one_class_less(photos):
    shutil.rmtree(photos / "cow")


def gone(photos):
    shutil.rmtree(photos)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (swapped, "the data must be that of the run so far: photos is"),
        (replaced, "--allow-changed data goes on all the same"),
        (removed, "train examples, were"),
        (added, "train examples, were"),
        (renamed, "the classes must be those of .*: 'zebu' is new; 'cow' is gone"),
        (one_class_less, "the classes must be those of .*: 'cow' is gone"),
        (gone, "no file, folder or data set is called 'photos'"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_training_goes_on_with_its_own_data_only(
    change, message, photographed, tmp_path, monkeypatch, call
):
    home = shutil.copytree(photographed, tmp_path / "home")
    monkeypatch.chdir(home)
    monkeypatch.delenv("CLASSICNETS_DATA", raising=False)  # it may have photos too
    change(home / "photos")
    before = contents(home / "runs")
    code, said = call("resume", "runs/p-0")
    assert code == 2
    assert re.search(message, said.splitlines()[-1])
    assert contents(home / "runs") == before
    if "classes" in message:
        code, said = call("resume", "runs/p-0", "--allow-changed", "data")
        assert code == 2
        assert re.search(message, said.splitlines()[-1])
        assert contents(home / "runs") == before
    elif change is not gone:
        code, said = call("resume", "runs/p-0", "--allow-changed", "data")
        assert code == 0, said
        assert len(Run("runs/p-0").history) == 2


def test_a_finished_run_without_checkpoints_is_not_trained_anew(home, tmp_path, call):
    run = shutil.copytree(home / "texts-0", tmp_path / "texts-0")
    shutil.rmtree(run / "checkpoints")
    before = contents(run)
    code, said = call("resume", run, "--set", "epochs=5")
    assert code == 2
    assert "what is left is 2 epochs of history, model.keras" in said
    assert contents(run) == before


@pytest.mark.parametrize("file", ["environment.json", "tokenizer.json"])
def test_a_removed_file_is_written_anew(file, home, tmp_path, call):
    run = shutil.copytree(home / "stopped-0", tmp_path / "stopped-0")
    (run / file).unlink()
    assert call("resume", run)[0] == 0
    assert call("predict", run, "--text", "word1")[0] == 0
    if file == "tokenizer.json":
        assert (run / file).read_bytes() == (home / "stopped-0" / file).read_bytes()


# -- folders that nobody may write to ------------------------------------------------

# Root may write everywhere: a process that gives these rights up may not.
WITHOUT_RIGHTS = """
import ctypes, os, sys
DROP, OVERRIDE, READ_SEARCH = 24, 1, 2  # PR_CAPBSET_DROP, CAP_DAC_...
if os.geteuid() == 0:
    prctl = ctypes.CDLL(None).prctl
    if prctl(DROP, OVERRIDE, 0, 0, 0) or prctl(DROP, READ_SEARCH, 0, 0, 0):
        sys.exit(77)
os.execv(sys.executable, [sys.executable, "-m", "classicnets", *sys.argv[1:]])
"""


def without_rights(*arguments, folder):
    if sys.platform != "linux":
        pytest.skip("needs Linux, to give up what root may do")
    command = [sys.executable, "-c", WITHOUT_RIGHTS, *map(str, arguments)]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)


def ended(process):
    """Return the exit code of a process and the last line that it said."""
    _, said = process.communicate(timeout=600)
    if process.returncode == 77:
        pytest.skip("root may not give up its rights here")
    assert "Traceback" not in said
    return process.returncode, said.splitlines()[-1]


@contextlib.contextmanager
def forbidden(*folders, mode=0o555):
    """Let nobody write to the folders meanwhile."""
    for folder in folders:
        folder.chmod(mode)
    try:
        yield
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_a_runs_folder_that_nobody_may_write_to_is_said(tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    with forbidden(runs):
        process = without_rights("train", "vae-digits", folder=tmp_path)
        code, said = ended(process)
    assert code == 2
    expected = "classicnets: the run's folder runs/vae-digits-0 cannot be made: "
    assert said == f"{expected}Permission denied."
    assert list(runs.iterdir()) == []


def test_a_run_s_folder_that_is_closed_to_its_training_costs_nothing(tmp_path, call):
    endless = ["epochs=100000", "batch_size=512", "checkpoint_steps=4"]
    options = [word for key in endless for word in ("--set", key)]
    process = without_rights("train", "vae-digits", *options, folder=tmp_path)
    run = tmp_path / "runs" / "vae-digits-0"
    while not (run / "history.csv").exists() and process.poll() is None:
        time.sleep(0.1)
    with forbidden(run, *(path for path in run.iterdir() if path.is_dir())):
        code, said = ended(process)
        kept = contents(run)
    assert code == 1
    assert re.fullmatch(
        r"classicnets: Permission denied: .*/runs/vae-digits-0/.* The checkpoints are"
        " whole; .* go on with: classicnets resume runs/vae-digits-0",
        said,
    )
    assert contents(run) == kept
    epochs = len(Run(run).history) + 2
    assert call("resume", run, "--set", f"epochs={epochs}")[0] == 0
    assert len(Run(run).history) == epochs


def test_a_finished_run_that_nobody_may_write_to_is_told_of(home, tmp_path):
    run = shutil.copytree(home / "vae-0", tmp_path / "vae-0")
    before = contents(run)
    with forbidden(run, run / "samples"):
        code, said = ended(without_rights("report", run, folder=tmp_path))
    assert code == 1
    assert re.fullmatch(r"classicnets: .*Permission denied: '.*/report.html'", said)
    assert contents(run) == before


def test_data_that_nobody_may_read_are_named(photographed, tmp_path):
    home = shutil.copytree(photographed, tmp_path / "home")
    for folder in (home / "photos", home / "photos" / "bee"):
        with forbidden(folder, mode=0):
            process = without_rights("resume", "runs/p-0", folder=home)
            code, said = ended(process)
        assert code == 2
        where = folder.relative_to(home)
        assert said == f"classicnets: cannot read {where}: Permission denied"
