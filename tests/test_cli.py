"""The command, as a person types it: in a process of its own."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
COMMAND = [sys.executable, "-m", "classicnets"]


def call(*arguments, folder=None, stdin=None, **environment):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=folder,
        input=stdin,
        env={**os.environ, **environment},
        capture_output=True,
        text=stdin is None,
    )


def python(code, **environment):
    """Run a program in a process of its own."""
    command = [sys.executable, "-c", code]
    environment = {**os.environ, **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Return a folder of JPEG files of three classes that nobody prepared."""
    folder = tmp_path_factory.mktemp("photos") / "my photos"
    random = np.random.default_rng(0)
    for k, name in enumerate(("red things", "green", "bleu <b>")):
        (folder / name / "more").mkdir(parents=True)
        for number in range(14):
            width, height = random.integers(40, 90, size=2)
            pixels = random.integers(0, 120, size=(height, width, 3))
            pixels[..., k] += 130
            where = folder / name / ("more" if number % 2 else ".")
            Image.fromarray(pixels.astype(np.uint8)).save(where / f"{number}.jpg")
    return folder


@pytest.fixture(scope="module")
def run_folder(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    result = call(
        *("train", "resnet20-digits", "--data", photos, "--seed", 7),
        *("--set", "epochs=20", "--set", "batch_size=8", "--set", "image_size=16"),
        *("--set", "crop_padding=0", "--set", "learning_rate=0.03"),
        folder=folder,
    )
    assert result.returncode == 0, result.stderr
    run = result.stdout.strip().splitlines()[-1]
    assert os.path.basename(run) == "resnet20-digits-7"
    return run, result.stderr


def test_a_folder_of_photos_trains_and_the_output_says_what_was_adapted(run_folder):
    _, notes = run_folder
    for words in ("16x16x3", "3 classes", "set aside as test", "validation"):
        assert words in notes


def test_the_test_split_is_judged_and_counted(run_folder):
    run, _ = run_folder
    result = call("evaluate", run, "--json")
    assert result.returncode == 0, result.stderr
    metrics = json.loads(result.stdout)
    assert metrics["examples"] == 9  # 20 % of 14 per class, rounded
    assert metrics["top1"] > 0.8
    table = call("evaluate", run, "--split", "validation")
    assert "top1" in table.stdout


def test_single_files_folders_and_standard_input_are_classified(run_folder, photos):
    run, _ = run_folder
    file = photos / "green" / "0.jpg"
    one = call("predict", run, file, "--json")
    assert one.returncode == 0, one.stderr
    answer = json.loads(one.stdout)
    assert answer["classes"][0]["name"] == "green"
    assert answer["classes"][0]["probability"] > 0.5

    many = call("predict", run, photos, "--json", "--top", 1)
    lines = [json.loads(line) for line in many.stdout.splitlines()]
    assert len(lines) == 42
    assert all(len(line["classes"]) == 1 for line in lines)

    stdin = call("predict", run, "-", "--json", stdin=file.read_bytes())
    assert json.loads(stdin.stdout)["classes"] == answer["classes"]


def test_a_file_that_is_no_image_is_named_and_the_others_are_classified(
    run_folder, photos, tmp_path
):
    run, _ = run_folder
    text = tmp_path / "notes.jpg"
    text.write_text("not a picture")
    result = call("predict", run, text, photos / "green" / "0.jpg")
    assert result.returncode == 2
    assert "notes.jpg" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert "green" in result.stdout


def test_the_report_is_written_again(run_folder):
    run, _ = run_folder
    os.remove(os.path.join(run, "report.html"))
    result = call("report", run)
    assert result.returncode == 0, result.stderr
    page = (Path(run) / "report.html").read_text(encoding="utf-8")
    assert "bleu &lt;b&gt;" in page
    assert "bleu <b>" not in page


def test_list_shows_networks_by_their_kinds_recipes_and_data():
    page = call("list").stdout
    for word in ("vgg19_bn", "resnet152", "resnet110", "resnet20-digits", "cifar100"):
        assert word in page
    for heading, first in (("classifiers", "vgg11"), ("VAEs", "vae"), ("GANs", "gan")):
        assert re.search(rf"^{heading}\b.*\n  {first}\b", page, re.M)


@pytest.mark.parametrize("word", ["list", "--help"])
def test_list_and_help_start_no_backend_and_read_no_images(word):
    code = (
        f"import sys, classicnets.cli as c; sys.argv[1:] = ['{word}']; c.main(); "
        "slow = {'keras', 'tensorflow', 'jax', 'torch', 'numpy', 'cv2', 'PIL'}; "
        "bad = slow & set(sys.modules); sys.exit(str(bad) if bad else 0)"
    )
    result = python(code)
    assert result.returncode == 0, result.stderr


def test_keras_starts_without_what_it_can_do_without_and_that_is_there_later():
    code = """if True:
        import sys
        from classicnets.cli.backend import start_backend

        start_backend()
        import keras
        slow = {"jax", "pandas", "sklearn"} - {keras.config.backend()}
        assert not slow & set(sys.modules), slow & set(sys.modules)
        from sklearn.datasets import load_digits
    """
    result = python(code)
    assert result.returncode == 0, result.stderr


def test_the_backend_that_keras_is_set_to_in_its_file_is_not_hidden(tmp_path):
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    code = """if True:
        import sys
        from classicnets.cli.backend import backend_name
        from classicnets.runs import environment

        assert backend_name() == "jax"
        with environment.lean_imports():
            assert "jax" not in sys.modules
            assert sys.modules["pandas"] is None
    """
    result = python(code, KERAS_HOME=str(tmp_path), KERAS_BACKEND="")
    assert result.returncode == 0, result.stderr


def test_show_counts_what_the_paper_counts(tmp_path):
    picture = tmp_path / "net.png"
    result = call(
        "show", "resnet20", "--input", "32x32x3", "--classes", 10, "--plot", picture
    )
    assert result.returncode == 0, result.stderr
    assert "269,722 trained parameters" in result.stdout
    assert "arXiv:1512.03385" in result.stdout
    with Image.open(picture) as image:
        assert image.width > 300


def test_data_are_prepared_once(photos, tmp_path):
    cache = tmp_path / "cache"
    first = call("data", "prepare", photos, CLASSICNETS_CACHE=str(cache))
    assert first.returncode == 0, first.stderr
    assert "3 classes" in first.stdout
    files = {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")}
    second = call("data", "prepare", photos, CLASSICNETS_CACHE=str(cache))
    assert second.returncode == 0
    assert files == {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")}


def test_a_terminated_training_run_says_how_to_go_on(tmp_path):
    endless = ["--set", "epochs=100000", "--set", "batch_size=256"]
    command = [*COMMAND, "train", "vae-digits", "--name", "v", *endless]
    history = tmp_path / "runs" / "v-0" / "history.csv"
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        while not history.exists():
            assert process.poll() is None
            time.sleep(0.1)
        process.terminate()
        message = process.stderr.read().decode().splitlines()[-1]
    assert process.returncode == 143
    advice = re.fullmatch(
        r"classicnets: stopped after [\d,]+ steps; go on with: classicnets (.*)",
        message,
    )
    assert advice[1] == "resume runs/v-0"
    refused = call(*advice[1].split(), "--set", "seed=1", folder=tmp_path)
    assert refused.returncode == 2
    assert "seed is 1, was 0" in refused.stderr
    assert list((tmp_path / "runs" / "v-0" / "checkpoints").glob("step-*"))


def test_doctor_says_what_runs():
    result = call("doctor")
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"runs on .*: [\d,]+ images/s through", result.stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "no command 'trian'. Did you mean 'train'?"),
        (["data", "perpare"], "Did you mean 'prepare'?"),
        (["train"], "Missing argument 'RECIPE'"),
        (["train", "resnet20-digit"], "Did you mean 'resnet20-digits'?"),
        (["train", "resnet20-digits", "--set", "epoch=2"], "Did you mean 'epochs'?"),
        (["train", "resnet20-digits", "--set", "epochs=x"], "epochs must be int"),
        (["train", "resnet20-digits", "--seed", "-1"], "--seed"),
        (["train", "resnet20-digits", "--backend", "mxnet"], "'mxnet' is not one of"),
        (["train", "resnet20-digits", "--dat", "x"], "No such option"),
        (["train", "none/of.toml"], "no recipe file at none/of.toml"),
        (["train", "resnet20-digits", "--data", "mnits"], "Did you mean 'mnist'?"),
        (["evaluate", "nowhere"], "nowhere"),
        (["predict", "nowhere", "a.png"], "nowhere"),
        (["report", "nowhere"], "nowhere"),
        (["show", "resnet19"], "resnet19"),
        (["show", "resnet18", "--input", "32x"], "--input must look like 32x32x3"),
        (["show", "resnet18", "--input", "32"], "resnet18 takes images"),
        (["show", "resnet18", "--option", "stm=small"], "'stem'"),
        (["show", "vgg16", "--input", "8x8x3"], "32"),
        (["data", "prepare", "nowhere"], "nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments, message, tmp_path):
    result = call(*arguments, folder=tmp_path)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert not list(tmp_path.iterdir())


def test_a_backend_that_is_not_installed_is_named_with_its_cure():
    # A file that hides the installed package is what an uninstalled one looks like.
    code = (
        "import sys, importlib.util as u; real = u.find_spec; "
        "u.find_spec = lambda name, *a: None if name == 'jax' else real(name, *a); "
        "import classicnets.cli as c; "
        "sys.argv[1:] = ['train', 'resnet20-digits', '--backend', 'jax']; c.main()"
    )
    result = python(code)
    assert result.returncode == 2
    assert "pip install 'classicnets[jax]'" in result.stderr


# -- runs that make images -------------------------------------------------------------


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Return a folder of 30 pictures without labels, some in a subfolder."""
    folder = tmp_path_factory.mktemp("pool") / "my pictures"
    (folder / "more").mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(30):
        pixels = random.integers(256, size=(40, 50, 3), dtype=np.uint8)
        where = folder / ("more" if number % 3 else ".")
        Image.fromarray(pixels).save(where / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def vae_run(pool, tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    result = call(
        *("train", "vae-digits", "--data", pool, "--set", "epochs=2"),
        *("--set", "image_size=16", "--set", "batch_size=8"),
        folder=folder,
    )
    assert result.returncode == 0, result.stderr
    assert "30 images as 16x16x3" in result.stderr
    return folder, result.stdout.strip().splitlines()[-1]


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_samples_and_paths_between_them_are_drawn(vae_run):
    folder, run = vae_run
    drawn = call("sample", run, "-n", 6, "--seed", 3, folder=folder)
    assert drawn.returncode == 0, drawn.stderr
    assert drawn.stdout.strip().endswith("samples/sample-3.png")
    three_columns = size_of(drawn.stdout.strip())
    paths = call(
        "interpolate", run, "-n", 2, "--steps", 3, "-o", "w.png", folder=folder
    )
    assert paths.stdout.strip() == "w.png"
    assert size_of(folder / "w.png") == three_columns


def test_pictures_are_reconstructed(vae_run, pool):
    folder, run = vae_run
    one = call("reconstruct", run, pool / "0.png", "-o", "one.png", folder=folder)
    assert one.returncode == 0, one.stderr
    some = call("reconstruct", run, pool, "-o", "some.png", folder=folder)
    assert some.returncode == 0, some.stderr
    assert size_of(folder / "some.png")[0] > size_of(folder / "one.png")[0]


def test_the_evaluation_says_what_it_measured(vae_run):
    folder, run = vae_run
    result = call("evaluate", run, folder=folder)
    assert result.returncode == 0, result.stderr
    scores = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert scores["examples"] == "6"
    assert float(scores["elbo"]) == pytest.approx(
        float(scores["reconstruction"]) + float(scores["kl"]), abs=1e-3
    )


def test_a_pool_is_prepared_without_labels(pool, tmp_path):
    arguments = ("data", "prepare", pool, "--image-size", 16)
    result = call(*arguments, "--unlabelled", CLASSICNETS_CACHE=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert "classes" not in result.stdout
    assert "images 16x16x3" in result.stdout


WRONG_IMAGES = {
    "-o must name a .png file": ("sample", "RUN", "-o", "grid.jpg"),
    "a folder that exists": ("sample", "RUN", "-o", "no/such/grid.png"),
    "no classes to predict": ("predict", "RUN", "cat.jpg"),
    "cannot read": ("reconstruct", "RUN", "missing.png"),
    "a run is a folder": ("interpolate", "nowhere"),
}


@pytest.mark.parametrize("message", WRONG_IMAGES)
def test_a_wrong_wish_for_images_is_one_line_and_exit_code_2(message, vae_run):
    folder, run = vae_run
    arguments = [run if word == "RUN" else word for word in WRONG_IMAGES[message]]
    result = call(*arguments, folder=folder)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("setting", [None, "0"])
def test_tensorflow_convolves_by_onednn_unless_set_otherwise(setting):
    code = f"import os; os.environ.pop({ONEDNN!r}, None); import classicnets; "
    if setting:
        code = "import os, classicnets; "
    code += f"print(os.environ[{ONEDNN!r}])"
    result = python(code, **({ONEDNN: setting} if setting else {}))
    assert result.stdout.strip() == (setting or "1")
