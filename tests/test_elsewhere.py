"""Files, names and numbers from elsewhere cost a line, and neither time nor memory."""

import importlib
import io
import json
import os
import socket
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

from classicnets import cli, data, networks, optimization, recipe, terminal
from classicnets.data.images.decoding import resize_array
from classicnets.errors import UserError
from classicnets.networks import memory
from classicnets.runs import new
from classicnets.weights import saved
from classicnets.weights.loading import load_weights

# As Python does for the command; the name is no other's.
sys.path.append(str(Path(__file__).parent))
inputs = importlib.import_module("fuzzing_inputs")
sys.path.pop()

RED = "\x1b[31m"


@pytest.fixture
def odd(tmp_path):
    """Return a pipe, a socket, a device and a link to nothing, called as images."""
    folder = tmp_path / "odd"
    folder.mkdir()
    os.mkfifo(folder / "pipe.png")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(folder / "socket.png"))
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "gone.png").symlink_to(folder / "nowhere")
    return folder


def pictures(folder, count=5):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (40, 40), (number, 0, 0)).save(folder / f"{number}.png")
    return folder


# -- what is no file -----------------------------------------------------------------


def test_what_is_no_file_is_left_out_of_a_folder_and_said(odd, tmp_path):
    root = tmp_path / "root"
    pictures(root / "a")
    pictures(root / "b")
    odd.rename(root / "a" / "odd")
    splits = data.load(root, progress=False)
    assert sum(map(len, (splits.train, splits.validation, splits.open_test()))) == 10
    (note,) = [note for note in splits.notes if "ignored" in note]
    assert note.endswith(
        "4 files in " + str(root) + " are ignored: 4 pipe, device or broken link"
    )


@pytest.mark.parametrize(
    ("name", "what"),
    [("pipe", "a pipe"), ("socket", "a socket"), ("zero", "a device")],
)
def test_what_is_no_file_is_refused_by_name(name, what, odd):
    path = odd / f"{name}.png"
    with pytest.raises(UserError, match=f"{name}.png: it is no file but {what}$"):
        data.read_image(path, image_size=8, channels=3)
    with pytest.raises(UserError, match=f"{name}.png: it is no file but {what}$"):
        data.read_text(path)
    table = odd / f"{name}.csv"
    path.rename(table)
    with pytest.raises(UserError, match="must be a file or a folder"):
        data.load(table)


def test_a_stream_without_an_end_is_refused():
    with open("/dev/zero", "rb") as zeros:
        with pytest.raises(UserError, match="it has more than 268 MB"):
            data.read_text(zeros)
        with pytest.raises(UserError, match="it has more than 268 MB"):
            data.read_image(zeros, image_size=8, channels=3)


def test_an_image_file_that_is_almost_all_hole_is_refused(tmp_path):
    for name in "ab":
        pictures(tmp_path / "root" / name)
    hole = tmp_path / "root" / "a" / "hole.png"
    hole.touch()
    os.truncate(hole, 2**40)
    with pytest.raises(UserError, match="it has more than 268 MB"):
        data.read_image(hole, image_size=8, channels=3)
    splits = data.load(tmp_path / "root", progress=False, allow_corrupt=True)
    assert any("hole.png: it has more than 268 MB" in note for note in splits.notes)


# -- files that ask for more than they are -------------------------------------------


def test_a_jpeg_of_very_many_scans_is_refused(tmp_path):
    stream = io.BytesIO()
    Image.new("L", (2000, 2000)).save(stream, "JPEG", progressive=True)
    content = stream.getvalue()
    last = content.rindex(b"\xff\xda")
    scan = content[last:-2]  # without the end of the image
    path = tmp_path / "scans.jpg"
    path.write_bytes(content[:last] + scan * 600 + content[-2:])
    with pytest.raises(UserError, match=r"it has 60\d scans of 4,000,000 pixels"):
        data.read_image(path, image_size=32, channels=1)
    path.write_bytes(content[:last] + scan * 20 + content[-2:])
    assert not data.read_image(path, image_size=32, channels=1).any()


def test_an_archive_that_unpacks_to_far_more_than_it_is_is_refused(tmp_path):
    array = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (2_000_000, 28, 28)}
    np.lib.format.write_array_header_1_0(array, header)
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", array.getvalue() + bytes(2_000_000))
        archive.filelist[0].file_size = 2_000_000 * 28**2 + 200
    with pytest.raises(UserError, match=r"a 100th of what .* 2.0 MB for 1.6 GB"):
        data.load(path)


def test_images_that_would_not_fit_into_memory_are_refused():
    images = np.broadcast_to(np.zeros((1, 8, 8, 3), np.uint8), (10**8, 8, 8, 3))
    with pytest.raises(UserError, match=r"100,000,000 images of 4096x4096 must fit"):
        resize_array(images, 4096, 3, "crop")
    memory.check(1000, "little")


@pytest.fixture
def small(tmp_path):
    """Return the parts of a small network's file, and what writes it with others."""
    pixels = keras.Input((250,))
    model = keras.Model(pixels, keras.layers.Dense(250, name="logits")(pixels))
    path = tmp_path / "small.keras"
    model.save(path)

    def write(**changes):
        names = {"config": "config.json", "weights": "model.weights.h5"}
        changed = {names[key]: content for key, content in changes.items()}
        path.write_bytes(inputs.zipped(parts | changed))
        return path

    parts = inputs.unzipped(path.read_bytes())
    return parts, write


def test_a_model_whose_layers_are_larger_than_its_weights_is_refused(small):
    parts, write = small
    # No number is more than the weights have bytes, and their product is 8 GB.
    config = parts["config.json"].replace(b"250", b"45000")
    with pytest.raises(UserError, match="layers have more numbers than its weights"):
        saved.load(write(config=config))
    assert saved.load(write()).count_params() == 250 * 251


def test_weights_that_promise_more_than_they_are_are_refused(small, tmp_path):
    _, write = small
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:  # what is not written takes no room
        file.create_dataset("layers/dense/vars/0", shape=(45000, 45000), dtype="f4")
    with pytest.raises(UserError, match=r"promise 8,100,000,000"):
        saved.load(write(weights=stream.getvalue()))
    path = tmp_path / "empty.weights.h5"
    path.write_bytes(stream.getvalue())
    with pytest.raises(ValueError, match="must be weights saved by Keras 3"):
        load_weights(networks.create("resnet20", (8, 8, 3), 2), path)


# -- numbers -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        f"epochs={10**18}",
        f"batch_size={10**18}",
        f"steps_per_call={10**8}",
        f"evaluation_batch_size={2**40}",
        f"crop_padding={10**6}",
        f"image_size={10**6}",
        f"early_stopping={10**400}",
        f"progressive_sizes=[[0, {10**6}]]",
    ],
)
def test_a_number_without_measure_is_refused(change):
    with pytest.raises(UserError, match=r"must (be at most|have 1 to) [\d,]+"):
        recipe.load("resnet20-digits", [change])


def test_more_tokens_than_a_text_has_are_refused(tiny_texts):
    with pytest.raises(UserError, match="max_tokens must be at most 100,000, got"):
        data.load(tiny_texts(), max_tokens=10**9)


def test_a_seed_may_be_large():
    assert recipe.load("resnet20-digits", [f"seed={2**63 - 1}"]).seed == 2**63 - 1


@pytest.mark.parametrize(
    ("network", "shape", "options"),
    [
        ("lstm", (8, 8, 1), {"units": [100_000]}),
        ("lstm", (None,), {"vocabulary_size": 10**9}),
        ("vae", (28, 28, 1), {"hidden_units": [10**9]}),
        # The first layers would fit.
        ("dcgan", (32, 32, 3), {"filters": 100_000}),
        ("vae", (28, 28, 1), {"hidden_units": [300_000, 300_000]}),
    ],
)
def test_a_network_beyond_all_memory_is_refused_before_it_takes_any(
    network, shape, options
):
    pytest.importorskip("resource")
    most = resident()
    with pytest.raises(UserError, match=f"{network} must have at most [\\d,]+ param"):
        networks.build(network, shape, 10, **options)
    assert resident() - most < 2**30
    # Nothing of it is left that would be made later.
    small = networks.create("vae", (8, 8, 1), hidden_units=[4], latent_size=2)
    assert small(np.zeros((1, 8, 8, 1)))
    with keras.StatelessScope():
        pass
    assert resident() - most < 2**30


def resident():
    """Return the most memory that this process has taken."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_a_network_that_is_counted_first_starts_at_the_same_weights(monkeypatch):
    def weights():
        keras.utils.set_random_seed(3)
        return networks.create("vae", (8, 8, 1), hidden_units=[4]).get_weights()

    expected = weights()
    monkeypatch.setattr(networks, "_MOST_AT_ONCE", 100)
    for got, right in zip(weights(), expected, strict=True):
        assert np.array_equal(got, right)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": [4] * 1000}, "units must have 100 numbers at most, got 1,000"),
        ({"units": [10**30]}, "units must be at most 2,000,000,000, got 1,000,0"),
    ],
)
def test_options_without_measure_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        networks.create("lstm", (8, 8, 1), 10, **options)


def test_learning_rates_beyond_all_memory_are_refused():
    endless = recipe.load("resnet20-digits", ["epochs=1000000"])
    with pytest.raises(UserError, match=r"learning rates of [\d,]+ steps must fit"):
        optimization.learning_rates(endless, 10**9)


# -- names ---------------------------------------------------------------------------


def test_names_that_are_no_utf_8_are_read(tmp_path):
    for name in (b"caf\xe9", b"tea"):
        pictures(tmp_path / "root" / os.fsdecode(name))
    broken = os.fsencode(tmp_path / "root" / "tea") + b"/\xff.png"
    Path(os.fsdecode(broken)).write_bytes(b"no image")
    splits = data.load(tmp_path / "root", progress=False, allow_corrupt=True)
    assert splits.class_names == ("caf\ufffd", "tea")
    assert any("tea/\ufffd.png" in note for note in splits.notes)


@pytest.mark.parametrize("key", ["data", "weights", "groups"])
def test_a_recipe_has_no_path_that_it_could_not_write(key):
    with pytest.raises(UserError, match=rf"{key} must be UTF-8, got '\\udcff'"):
        recipe.load("resnet20-digits", [f"{key}=\udcff"])


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
def test_what_a_terminal_cannot_show_or_would_obey_is_written_out(
    encoding, monkeypatch
):
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    names = {"name": f"é好👍{RED}\udcff\x9b", "of": "two\tcells"}
    terminal.echo(json.dumps(names, ensure_ascii=False))
    terminal.echo(names["name"])
    first, second = written.getvalue().decode(encoding).splitlines()
    assert json.loads(first) == names
    assert not {"\x1b", "\x9b"} & set(second)
    assert ("好" in second) == (encoding == "utf-8")
    monkeypatch.setattr(sys, "stdout", None)  # closed
    terminal.echo("nowhere")


def test_a_bar_says_names_without_their_codes(capsys):
    terminal.Bar(1, 1).say(f"run {RED}evil[/red]")
    assert capsys.readouterr().err == "run \\u001b[31mevil[/red]\n"


def test_an_error_says_names_without_their_codes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["classicnets", "report", str(tmp_path / RED)])
    with pytest.raises(SystemExit):
        cli.main()
    said = capsys.readouterr().err
    assert "\\u001b[31m" in said
    assert RED not in said


@pytest.mark.parametrize("name", [f"a{RED}", "a\x9bm", "a\udcff"])
def test_a_run_has_a_plain_name(name, tmp_path):
    plain = recipe.load("resnet20-digits")
    with pytest.raises(UserError, match="a run's name must be a plain folder name"):
        new.create(tmp_path, name, plain, environment={})


def test_closed_standard_input_is_said(tmp_path, monkeypatch, capsys):
    run = new.create(tmp_path, "r", recipe.load("resnet20-digits"), environment={})
    monkeypatch.setattr(sys, "argv", ["classicnets", "predict", str(run.path), "-"])
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said == "classicnets: - is standard input, which is closed.\n"
