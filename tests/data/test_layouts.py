"""Folders of images as published sets have them: each trains, or says what is wrong."""

import io

import numpy as np
import pytest
from PIL import Image

from classicnets import data
from classicnets.errors import UserError

CATS = [f"cat/{n}.png" for n in range(4)]
DOGS = [f"dog/{n}.png" for n in range(4)]


def below(folder, files=(*CATS, *DOGS)):
    return [f"{folder}/{file}" for file in files]


def lay(root, files):
    """Write a picture of its own at every path that ends as pictures do."""
    for number, file in enumerate(files):
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".png", ".jpg", ".tif"):
            pixels = np.random.default_rng(number).integers(256, size=(8, 8, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(path)
        else:
            path.write_text("")
    return root


def load(root, **options):
    splits = data.load(root, data.Options(progress=False, image_size=8, **options))
    parts = splits.train, splits.validation, splits.open_test()
    return splits, tuple(len(part) for part in parts)


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "val", "test"),
        ("Training", "Validation", "Testing"),
        ("train", "valid", "test"),
        ("TRAIN", "DEV", "TEST"),
        ("training_set", "validation_set", "test_set"),
        ("train-images", "val-images", "test-images"),
        ("trainset", "valset", "testset"),
        ("seg_train/seg_train", "seg_val/seg_val", "seg_test/seg_test"),
        ("train_data", "dev_data", "test_data"),
        ("training_set/training_set", "val", "test_set/test_set"),
    ],
)
def test_names_of_splits(tmp_path, train, validation, test):
    files = below(train) + below(validation, [CATS[0], DOGS[0]])
    lay(tmp_path, files + below(test, [*CATS[:2], *DOGS[:2]]))
    splits, sizes = load(tmp_path)
    assert sizes == (8, 2, 4)
    assert splits.class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("files", "classes", "sizes"),
    [
        # A train is a vehicle here.
        (
            [f"{name}/{n}.png" for name in ("bus", "car", "train") for n in range(5)],
            ("bus", "car", "train"),
            (9, 3, 3),
        ),
        # Classes whose folders have further ones, not all the same.
        (
            [*below("cat", ["a/0.png", "b/1.png", "2.png"]), *DOGS],
            ("cat", "dog"),
            (3, 2, 2),
        ),
        # One folder more in each class, as in Tiny ImageNet.
        (
            [f"{name}/images/{n}.png" for name in ("n1", "n2") for n in range(4)],
            ("n1", "n2"),
            (4, 2, 2),
        ),
        # What systems leave behind.
        (
            [*CATS, *DOGS, "__MACOSX/cat/0.png", ".DS_Store", "cat/.hidden.png"],
            ("cat", "dog"),
            (4, 2, 2),
        ),
    ],
)
def test_folders_of_classes(tmp_path, files, classes, sizes):
    splits, found = load(lay(tmp_path, files))
    assert (splits.class_names, found) == (classes, sizes)
    assert not [note for note in splits.notes if "left out" in note]


@pytest.mark.parametrize(
    ("files", "notes"),
    [
        (
            [*below("train"), "test/0.png", "test/1.png"],
            ["test is left out: its 2 images lie side by side, without labels"],
        ),
        (
            below("train") + below("test") + ["pred/0.png", "more.png"],
            ["2 images in ", "beside train/, in pred/ (1), more.png (1)"],
        ),
        ([*CATS, *DOGS, "logo.png"], ["1 images in ", "class folders (logo.png)"]),
        ([*CATS, *DOGS, "cat/readme.md"], ["1 files in ", "are ignored: 1 .md"]),
        (
            [*CATS, *DOGS, "dog/9.heic"],
            ["are ignored: 1 .heic", "pip install pillow-heif"],
        ),
    ],
)
def test_what_is_left_out_is_named(tmp_path, files, notes):
    splits, _ = load(lay(tmp_path, files))
    (note,) = [n for n in splits.notes if "left out" in n or "ignored" in n]
    for words in notes:
        assert words in note


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (below("fold1") + below("fold2"), "(fold1, fold2) have the same subfolders"),
        (
            [
                f"{name}/{part}/0.png"
                for name in ("a", "b")
                for part in ("train", "test")
            ],
            "have the same subfolders (test, train)",
        ),
        (["train/0.png", "test/1.png"], "train must have one subfolder per class"),
        (below("data/train") + below("data/test"), "did you mean"),
        (["cat/0.heic", "dog/0.HEIC"], "it has only 2 .heic; photos of phones"),
        (below("train") + below("training"), "one train folder, it has train and"),
        (below("train") + below("val", CATS), "must have the same classes|at least 2"),
        ([*CATS, *DOGS, "val/0.png"], "must have train/ where it has val/"),
        (["0.png", "1.png"], "its 2 images lie side by side"),
    ],
)
def test_what_cannot_be_meant_is_one_line(tmp_path, files, words):
    lay(tmp_path, files)
    with pytest.raises(UserError) as raised:
        load(tmp_path)
    assert any(word in str(raised.value) for word in words.split("|"))
    assert "\n" not in str(raised.value)


def table(root, text, name="train.csv"):
    (root / name).write_text(text, encoding="utf-8")
    return root / name


PICTURES = [f"images/{n}.png" for n in range(8)]
LABELS = [f"{n},{'ab'[n % 2]}" for n in range(8)]


@pytest.mark.parametrize(
    ("header", "cell"),
    [
        ("id,label", "{n}"),
        ("id,label", "{n}.png"),
        ("image_id,class", "images/{n}.png"),
        ("filename,category", "./images/{n}.png"),
        ("path,target", "/kaggle/input/pets/images/{n}.png"),
        ("file_name,label", "images\\{n}.png"),
        ("image,标签", "{n}.png"),
    ],
)
def test_a_table_names_images_and_labels(tmp_path, header, cell):
    lay(tmp_path, PICTURES)
    rows = [f"{cell.format(n=n)},{'ab'[n % 2]}" for n in range(8)]
    path = table(tmp_path, "\n".join([header, *rows]))
    splits, sizes = load(tmp_path)
    assert (splits.class_names, sizes) == (("a", "b"), (4, 2, 2))
    name, label = header.split(",")
    assert f"train.csv: images from {name!r}, labels from {label!r}" in splits.notes
    assert load(path)[0].fingerprint == splits.fingerprint


def test_tables_name_the_splits(tmp_path):
    lay(tmp_path, [*PICTURES, "images/left.png"])
    for name, rows in (
        ("train", LABELS[:4]),
        ("val", LABELS[4:6]),
        ("test", LABELS[6:]),
    ):
        table(tmp_path, "\n".join(["id,label", *rows]), f"{name}.csv")
    splits, sizes = load(tmp_path)
    assert sizes == (4, 2, 2)
    assert any("1 images in" in note and "left out" in note for note in splits.notes)


def test_a_test_without_labels_is_left_out(tmp_path):
    lay(tmp_path, [*PICTURES, "test/8.png"])
    table(tmp_path, "\n".join(["id,label", *LABELS]))
    table(tmp_path, "id\n8\n", "test.csv")
    splits, sizes = load(tmp_path)
    assert sizes == (4, 2, 2)
    assert "test.csv: left out, without labels of images" in splits.notes


def test_other_labels_are_other_data(tmp_path):
    lay(tmp_path, PICTURES)
    prints = set()
    for letters in ("ab", "ba"):
        rows = [f"{n},{letters[n % 2 if n < 6 else 0]}" for n in range(8)]
        table(tmp_path, "\n".join(["id,label", *rows]))
        prints.add(load(tmp_path)[0].fingerprint)
    assert len(prints) == 2


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([*LABELS, "99,a"], "may be broken"),
        ([f"x{n},a" for n in range(8)], "at least 2 classes|one subfolder"),
        ([*LABELS, "0,b"], "must have one label and split, 0 has two"),
        ([*LABELS[:-1], "7,"], "must have a label, line 9 has none"),
    ],
)
def test_a_table_that_does_not_fit_is_one_line(tmp_path, rows, words):
    lay(tmp_path, PICTURES)
    table(tmp_path, "\n".join(["id,label", *rows]))
    with pytest.raises(UserError) as raised:
        load(tmp_path)
    assert any(word in str(raised.value) for word in words.split("|"))


def test_a_table_of_class_names_is_no_table_of_images(tmp_path):
    lay(tmp_path, [*CATS, *DOGS])
    table(tmp_path, "id,label\ncat,a cat\ndog,a dog\n", "classes.csv")
    splits, _ = load(tmp_path)
    assert splits.class_names == ("cat", "dog")


@pytest.mark.parametrize(("ending", "difference"), [("tiff", 0), ("avif", 12)])
def test_pictures_of_further_kinds_are_read(tmp_path, ending, difference):
    ramp = np.add.outer(np.arange(16), np.arange(16))[..., None] * np.array([8, 4, 2])
    image = Image.fromarray(ramp.astype(np.uint8))
    found = []
    for kind in ("png", ending):
        stream = io.BytesIO()
        image.save(stream, kind)
        stream.seek(0)
        found.append(data.read_image(stream, image_size=16, channels=3).astype(int))
    assert np.abs(found[0] - found[1]).max() <= difference


def test_a_source_may_be_a_test_as_a_whole(tmp_path):
    lay(tmp_path / "one", CATS)
    splits, _ = load(tmp_path / "one", whole=True)
    assert (splits.class_names, len(splits.open_test())) == (("cat",), 4)
    assert "one has no test split: all 4 examples are judged" in splits.notes
    lay(tmp_path / "two", below("train") + below("val", CATS + DOGS[:1]))
    splits, _ = load(tmp_path / "two", whole=True)
    assert len(splits.open_test()) == 13
    lay(tmp_path / "own", below("train") + below("test", CATS + DOGS[:1]))
    splits, _ = load(tmp_path / "own", whole=True)
    assert len(splits.open_test()) == 5
