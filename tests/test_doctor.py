"""What `classicnets doctor` says of data; test_cli.py has what it says of backends."""

import re

import numpy as np
import pytest
from PIL import Image

from classicnets.cli import doctor

GOOD = {
    "x_train": np.zeros((24, 8, 8, 3), np.uint8),
    "y_train": np.arange(24) % 3,
    "x_test": np.zeros((9, 8, 8, 3), np.uint8),
    "y_test": np.arange(9) % 3,
}


def draw(folder, count):
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number:03}.png")


def answer(path):
    """Return the line on a file or folder, and whether it can be trained on."""
    (line,), well = doctor.examine_data([str(path)])
    assert line.startswith(f"data {path}: ")
    return line.removeprefix(f"data {path}: "), well


def test_a_folder_of_classes_is_counted_and_some_of_it_read(tmp_path):
    draw(tmp_path / "ant", 150)
    draw(tmp_path / "bee", 50)
    (tmp_path / "bee" / "notes.md").write_text("")
    line, well = answer(tmp_path)
    assert well
    assert line.startswith("200 images of 2 classes, 100 of them read; 1 files in")


@pytest.mark.parametrize(("broken", "well"), [(1, True), (30, False)])
def test_images_that_cannot_be_decoded_are_named(broken, well, tmp_path):
    draw(tmp_path / "ant", 50)
    draw(tmp_path / "bee", 50)
    for number in range(broken):
        (tmp_path / "bee" / f"{number:03}.png").write_bytes(b"no picture")
    line, readable = answer(tmp_path)
    assert readable == well
    assert f"{broken} of 100" in line
    assert "bee/000.png: it is no JPEG" in line


def test_an_empty_class_folder_and_a_flat_folder_serve_without_labels_only(tmp_path):
    draw(tmp_path / "classes" / "ant", 4)
    draw(tmp_path / "classes" / "bee", 4)
    (tmp_path / "classes" / "cow").mkdir()
    line, well = answer(tmp_path / "classes")
    assert well
    assert "8 images, 8 of them read; without labels only: every class folder" in line
    assert f"{tmp_path / 'classes' / 'cow'} has none" in line
    draw(tmp_path / "flat", 5)
    line, well = answer(tmp_path / "flat")
    assert well
    assert "5 images, 5 of them read; without labels only" in line


def test_a_folder_of_texts_is_read_too(tmp_path):
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
        for number in range(4):
            (tmp_path / name / f"{number}.txt").write_text("a word")
    assert answer(tmp_path) == ("8 texts of 2 classes, 8 of them read", True)
    (tmp_path / "bad" / "0.txt").write_bytes(b"\xff\xfe\xff")
    line, well = answer(tmp_path)
    assert not well
    assert "bad/0.txt: it is not UTF-16" in line


def test_tables_are_read(tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_text("text,label\nfine,1\npoor,0\nfair,1\n")
    assert answer(path) == ("3 texts of 2 classes", True)
    path.write_text("text,label\nfine,1\npoor\n")
    line, well = answer(path)
    assert not well
    assert "cannot be trained on: every row of" in line
    path = tmp_path / "reviews.parquet"
    path.write_bytes(b"PAR1 and no more")
    assert "must be Parquet, it is broken" in answer(path)[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "images of 8x8x3, 21 to train on, 3 to validate, 9 to test, 3 classes"),
        (
            {"y_train": np.arange(23) % 3},
            "without labels only: y_train of",
        ),
        ({"x_train": np.zeros((24, 3, 8, 8))}, "channels last, got shape"),
        ({"x_test": np.full((9, 8, 8, 3), 7.5)}, "x_test of .* must be uint8"),
        ({"x_train": np.full((24, 8, 8, 3), None)}, "must be an array of numbers"),
    ],
    ids=["whole", "labels", "channels", "values", "objects"],
)
def test_arrays_that_are_wrong_are_named(changes, message, tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, **(GOOD | changes))
    line, well = answer(path)
    assert re.search(message, line)
    assert well == (not changes or "without labels" in message)


@pytest.mark.parametrize("place", [0.25, 0.9])
def test_a_damaged_archive_is_named_even_if_only_its_test_is_hit(place, tmp_path):
    path = tmp_path / "set.npz"
    noise = np.random.default_rng(0).integers(256, size=(24, 8, 8, 3), dtype=np.uint8)
    np.savez(
        path,
        **(GOOD | {"x_train": noise, "x_test": noise, "y_test": np.arange(24) % 3}),
    )
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    line, well = answer(path)
    assert not well
    assert "it is broken: Bad CRC-32" in line


def test_without_a_path_the_named_sets_and_the_folder_are_examined(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("CLASSICNETS_DATA", str(tmp_path))
    np.savez(tmp_path / "mnist.npz", **GOOD)
    np.savez(tmp_path / "own.npz", **GOOD)
    draw(tmp_path / "photos" / "ant", 4)
    draw(tmp_path / "photos" / "bee", 4)
    (tmp_path / "README.md").write_text("")
    (tmp_path / "tables").mkdir()
    rows = "".join(f"a {word} film,{word}\n" for word in ("good", "bad") * 4)
    (tmp_path / "tables" / "films.csv").write_text("text,label\n" + rows)
    (tmp_path / "cifar10.npz").write_bytes(b"")
    lines, well = doctor.examine_data([])
    assert not well
    lines = dict(line.removeprefix("data ").split(": ", 1) for line in lines)
    assert lines.pop("mnist").startswith(f"{tmp_path / 'mnist.npz'}: images of 8x8x3")
    assert "must be a .npz file, it is empty" in lines.pop("cifar10")
    assert lines.pop(f"{tmp_path / 'own.npz'}").endswith("3 classes")
    assert lines.pop(f"{tmp_path / 'photos'}").startswith("8 images of 2 classes")
    films = str(tmp_path / "tables" / "films.csv")
    assert lines.pop(films) == "8 texts of 2 classes"
    names = ("fashion_mnist", "cifar100", "imdb")
    assert lines == dict.fromkeys(names, "will be downloaded")


def test_a_data_folder_that_is_none_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("CLASSICNETS_DATA", str(tmp_path / "none"))
    lines, well = doctor.examine_data([])
    assert lines == [f"CLASSICNETS_DATA is {tmp_path / 'none'}, which is not a folder"]
    assert not well
