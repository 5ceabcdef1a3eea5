"""Folders of images: layouts, the cache, and what a stranger's folder may contain."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from classicnets import data
from classicnets.errors import UserError


def load(folder, **options):
    return data.load(folder, progress=False, **options)


def everything(splits):
    parts = [splits.train, splits.validation, splits.open_test()]
    return np.concatenate([part.inputs[:] for part in parts])


def entries(cache):
    return [path for path in (cache / "folders").iterdir() if path.is_dir()]


def test_a_subfolder_is_a_class(image_folder):
    splits = load(image_folder({"b": 20, "a": 10}))
    assert splits.name == "pictures"
    assert splits.class_names == ("a", "b")
    assert np.bincount(splits.train.labels).tolist() == [7, 14]
    assert np.bincount(splits.validation.labels).tolist() == [1, 2]
    assert np.bincount(splits.open_test().labels).tolist() == [2, 4]
    assert splits.train.inputs.dtype == np.uint8
    # The colour says which class an image is of (20 in red for "a", 0 for "b").
    for part in (splits.train, splits.validation, splits.open_test()):
        assert (part.inputs[:][:, 0, 0, 0] == np.where(part.labels == 0, 20, 0)).all()
    greens = everything(splits)[:, 0, 0, 1]
    assert sorted(greens) == sorted([*range(20), *range(10)])


def test_images_are_decoded_as_read_image_does(image_folder):
    root = image_folder({"a": 10, "b": 10}, size=(100, 70), ending="jpg")
    splits = load(root, image_size=24, resize="fit")
    expected = [
        data.read_image(path, image_size=24, channels=3, resize="fit").tobytes()
        for path in root.rglob("*.jpg")
    ]
    assert sorted(map(bytes, everything(splits))) == sorted(expected)


@pytest.mark.parametrize(
    ("short", "size"), [(20, 32), (35, 32), (36, 40), (48, 48), (300, 64)]
)
def test_the_size_is_the_median_short_side(image_folder, short, size):
    root = image_folder({"a": 4, "b": 4}, size=(short + 30, short))
    assert load(root).train.inputs.shape[1:] == (size, size, 3)


def test_grey_images_alone_have_one_channel(image_folder):
    root = image_folder({"a": 4, "b": 4}, mode="L")
    assert load(root).train.inputs.shape[-1] == 1
    Image.new("RGB", (40, 40)).save(root / "a" / "colour.png")
    assert load(root).train.inputs.shape[-1] == 3
    assert load(root, channels=1).train.inputs.shape[-1] == 1


def test_a_mixed_folder_is_read_completely(tmp_path):
    root = tmp_path / "mixed"
    made = {"deep/er/x.JPG": "RGB", "y.jpeg": "CMYK", "z.png": "RGBA", "p.gif": "P"}
    made |= {"g.webp": "RGB", "l.bmp": "L", "b.png": "1", "la.png": "LA"}
    for name in ("cat", "dog"):
        for number, (file, mode) in enumerate(made.items()):
            path = root / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new(mode, (30 + 7 * number, 50 - 3 * number)).save(path)
        (root / name / "notes.txt").write_text("no image")
        (root / name / ".hidden.jpg").write_text("no image")
        (root / name / "Thumbs.db").write_text("no image")
    (root / ".git").mkdir()
    (root / "__MACOSX").mkdir()
    (root / "README.md").write_text("beside the classes")
    splits = load(root)
    assert len(everything(splits)) == 2 * len(made)
    assert any("2 .txt" in note and "2 .db" in note for note in splits.notes)


def test_links_to_folders_are_followed_and_circles_end(image_folder, tmp_path):
    root = image_folder({"a": 5})
    other = image_folder({"b": 5}, name="elsewhere")
    (root / "b").symlink_to(other / "b")
    (root / "a" / "up").symlink_to(root / "a")
    assert len(everything(load(root))) == 10


def test_names_of_any_script_are_fine(image_folder):
    splits = load(image_folder({"猫": 4, "Hündin 2": 4}))
    assert splits.class_names == ("Hündin 2", "猫")


# train/ val/ test/


@pytest.mark.parametrize("name", ["val", "validation", "Val"])
def test_parts_that_are_there_are_honoured(image_folder, name):
    counts = {"train/a": 4, "train/b": 5, f"{name}/a": 1, f"{name}/b": 2}
    root = image_folder(counts | {"test/a": 3, "test/b": 1})
    splits = load(root)
    assert np.bincount(splits.train.labels).tolist() == [4, 5]
    assert np.bincount(splits.validation.labels).tolist() == [1, 2]
    assert np.bincount(splits.open_test().labels).tolist() == [3, 1]
    # Image i of the k-th folder made has the red 20 k.
    assert set(splits.train.inputs[:, 0, 0, 0].tolist()) == {0, 20}
    assert set(splits.validation.inputs[:, 0, 0, 0].tolist()) == {40, 60}
    assert set(splits.open_test().inputs[:, 0, 0, 0].tolist()) == {80, 100}


def test_parts_are_slices_of_the_memory_map(image_folder):
    counts = {"train/a": 4, "train/b": 5, "val/a": 1, "val/b": 2}
    splits = load(image_folder(counts | {"test/a": 3, "test/b": 1}))
    for part in (splits.train, splits.validation, splits.open_test()):
        assert isinstance(part.inputs, np.memmap)


def test_a_missing_validation_is_carved_from_train_alone(image_folder):
    root = image_folder({"train/a": 10, "train/b": 10, "test/a": 3, "test/b": 3})
    splits = load(root, validation_fraction=0.2)
    assert set(splits.validation.inputs[:][:, 0, 0, 0].tolist()) == {0, 20}
    assert (len(splits.train), len(splits.validation)) == (16, 4)
    assert len(splits.open_test()) == 6


def test_a_missing_test_is_carved_from_train_alone(image_folder):
    root = image_folder({"train/a": 10, "train/b": 10, "val/a": 3, "val/b": 3})
    splits = load(root)
    assert (len(splits.train), len(splits.validation)) == (16, 6)
    assert set(splits.open_test().inputs[:][:, 0, 0, 0].tolist()) == {0, 20}


def test_the_size_is_not_chosen_by_the_test(image_folder):
    root = image_folder({"train/a": 4, "train/b": 4})
    image_folder({"test/a": 9, "test/b": 9}, size=(64, 64), mode="L")
    assert load(root).train.inputs.shape[1:] == (40, 40, 3)


# Errors


def one_line(folder, message, **options):
    with pytest.raises(UserError, match=message) as raised:
        load(folder, **options)
    assert "\n" not in str(raised.value)


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.md").write_text("hello")
    one_line(
        tmp_path, r"must hold images \(.jpg, .*\) or texts \(.txt\) in one subfolder"
    )


def test_images_without_a_class_folder_are_refused(image_folder):
    root = image_folder({"a": 3})
    one_line(
        root / "a",
        r"such as cat/1.jpg .* 3 images lie side by side; tasks without labels take",
    )


def test_one_class_is_refused(image_folder):
    one_line(image_folder({"a": 5}), "at least 2 classes, it has only 'a'$")


def test_a_folder_around_the_folder_is_pointed_out(image_folder):
    root = image_folder({"data/a": 5, "data/b": 5})
    one_line(root, "did you mean .*pictures/data?")


def test_a_near_empty_class_is_refused(image_folder):
    one_line(
        image_folder({"a": 5, "b": 2}), "at least 3 examples.*'b' of pictures has 2"
    )


def test_a_class_folder_without_images_is_refused(image_folder):
    root = image_folder({"a": 5, "b": 5, "c": 0})
    one_line(root, "every class folder must hold images, .*c has none")


def test_parts_with_different_classes_are_refused(image_folder):
    counts = {"train/a": 5, "train/b": 5, "test/a": 2}
    one_line(
        image_folder(counts | {"test/c": 2}, name="one"),
        "train/ and test/ .* same classes, test/ has no 'b' as train/ has",
    )
    one_line(
        image_folder(counts | {"test/b": 2, "test/c": 2}, name="two"),
        "same classes, train/ has no 'c' as test/ has",
    )


def test_a_test_without_a_train_is_refused(image_folder):
    root = image_folder({"test/a": 5, "val/a": 5})
    one_line(root, "must have train/ where it has test/ and val/")


def test_two_validation_folders_are_refused(image_folder):
    root = image_folder({"train/a": 5, "val/a": 5, "validation/a": 5})
    one_line(root, "must have one validation folder, it has val and validation")


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    one_line(tmp_path / "nowhere", "no file, folder or data set is called")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)
def test_an_unreadable_file_is_an_error(image_folder):
    root = image_folder({"a": 5, "b": 5})
    (root / "a" / "000.png").chmod(0)
    one_line(root, r"cannot read .*000\.png: Permission denied")


def test_a_cache_that_cannot_be_written_is_an_error(image_folder, cache):
    cache.write_text("a file where the folder should be")
    one_line(
        image_folder({"a": 5, "b": 5}), "cache .* must be writable.*CLASSICNETS_CACHE"
    )


def test_prepare_wants_a_folder():
    with pytest.raises(UserError, match="prepare needs a folder of images, digits is"):
        data.prepare("digits")


# Broken files


def test_a_few_broken_files_are_skipped_and_named(image_folder):
    root = image_folder({"a": 100, "b": 100})
    (root / "a" / "007.png").write_bytes(b"")
    (root / "b" / "003.png").write_bytes((root / "b" / "003.png").read_bytes()[:50])
    splits = load(root)
    assert len(everything(splits)) == 198
    assert set(everything(splits)[:, 0, 0, 0]) == {0, 20}
    note = next(note for note in splits.notes if "broken and skipped" in note)
    assert (
        "2 of 200 files are broken and skipped: a/007.png: it is empty; b/003" in note
    )


def test_labels_stay_with_their_images_when_files_are_skipped(image_folder):
    root = image_folder({"a": 100, "b": 100})
    (root / "a" / "000.png").write_bytes(b"")
    splits = load(root)
    for part in (splits.train, splits.validation, splits.open_test()):
        assert (part.inputs[:][:, 0, 0, 0] == 20 * part.labels).all()


def test_one_broken_file_in_forty_stops_unless_allowed(image_folder):
    root = image_folder({"a": 20, "b": 20})
    (root / "a" / "000.png").write_bytes(b"not an image")
    one_line(
        root,
        r"at most 1% .* unless allow_corrupt is set, 1 of 40 are \(2.5%\): a/000.png",
    )
    assert len(everything(load(root, allow_corrupt=True))) == 39


def test_all_files_broken_is_an_error_even_if_allowed(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(3):
            (tmp_path / name / f"{i}.jpg").write_text("hello")
    one_line(tmp_path, "none of the 6 images in", allow_corrupt=True)


def test_a_class_that_is_all_broken_is_an_error(image_folder):
    root = image_folder({"a": 20, "b": 3})
    for path in (root / "b").iterdir():
        path.write_text("hello")
    one_line(root, "class 'b' of pictures has 0", allow_corrupt=True)


def test_copies_of_a_file_are_counted(image_folder):
    root = image_folder({"a": 5, "b": 5})
    shutil.copy(root / "a" / "000.png", root / "b" / "copy.png")
    assert any("1 files are exact copies" in note for note in load(root).notes)


# The cache


@pytest.fixture
def opened():
    """The image files that are opened."""
    paths = []
    watching = True

    def watch(event, arguments):  # cannot be removed, hence the switch
        if watching and event == "open" and str(arguments[0]).endswith(".png"):
            paths.append(arguments[0])

    sys.addaudithook(watch)
    yield paths
    watching = False


def test_a_second_load_opens_no_image_file(image_folder, opened):
    root = image_folder({"a": 5, "b": 5})
    opened.clear()
    first = load(root)
    assert len(opened) == 20  # the headers, which say how large and grey, then all
    opened.clear()
    second = load(root)
    assert opened == []
    assert second.fingerprint == first.fingerprint
    assert np.array_equal(everything(second), everything(first))


def test_what_was_decided_is_in_the_cache_for_who_asks_for_it(image_folder, opened):
    root = image_folder({"a": 5, "b": 5})
    first = load(root)
    opened.clear()
    # As an evaluation does, which asks for the size of the network.
    second = load(root, image_size=(40, 40), channels=3)
    assert opened == []
    assert second.fingerprint == first.fingerprint
    load(root, image_size=40)
    assert len(opened) == 10  # the headers alone, to choose the channels


def test_a_changed_file_is_seen(image_folder):
    root = image_folder({"a": 5, "b": 5})
    first = load(root)
    Image.new("RGB", (48, 40), (250, 250, 250)).save(root / "a" / "000.png")
    second = load(root)
    assert second.fingerprint != first.fingerprint
    assert everything(second).max() == 250 > everything(first).max()


def test_a_copy_of_the_folder_uses_the_same_entry(image_folder, tmp_path, cache):
    root = image_folder({"a": 5, "b": 5})
    first = load(root)
    shutil.copytree(root, tmp_path / "copy")
    assert load(tmp_path / "copy").fingerprint == first.fingerprint
    assert len(entries(cache)) == 1


def test_every_option_that_changes_the_pixels_has_its_entry(image_folder, cache):
    root = image_folder({"a": 5, "b": 5})
    options = [{}, {"image_size": 16}, {"channels": 1}, {"resize": "stretch"}]
    prints = {load(root, **option).fingerprint for option in options}
    assert len(prints) == len(entries(cache)) == 4
    load(root, split_seed=3, validation_fraction=0.4, image_size=40, channels=3)
    assert len(entries(cache)) == 4


def test_what_a_killed_decode_left_is_not_used_and_goes_in_time(image_folder, cache):
    root = image_folder({"a": 5, "b": 5})
    fresh, old = cache / "folders" / "part-fresh", cache / "folders" / "part-old"
    for folder in (fresh, old):
        folder.mkdir(parents=True)
        (folder / "images.npy").write_bytes(b"half")
    three_days_ago = time.time() - 3 * 24 * 3600
    for path in (old / "images.npy", old):
        os.utime(path, (three_days_ago, three_days_ago))
    assert len(everything(load(root))) == 10
    assert fresh.exists()  # perhaps another process is at it
    assert not old.exists()


DECODE = """
import sys
from classicnets import data
print(data.load(sys.argv[1], progress=False).fingerprint)
"""


def start(root):
    command = [sys.executable, "-c", DECODE, str(root)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def slow_folder(tmp_path_factory):
    """Sixteen photographs of noise that take about half a second to decode."""
    root = tmp_path_factory.mktemp("slow")
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8)
    for i in range(16):
        path = root / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(noise ^ np.uint8(i)).save(path, compress_level=1)
    return root


@pytest.mark.skipif(os.name == "nt", reason="needs kill -9")
def test_a_decode_that_is_killed_is_done_again(slow_folder, cache):
    process = start(slow_folder)
    deadline = time.monotonic() + 60
    while not list(cache.glob("folders/part-*/images.npy")):
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not list(cache.glob("folders/*.json"))
    assert [path.name[:5] for path in entries(cache)] == ["part-"]
    assert len(everything(load(slow_folder))) == 16


def test_two_decodes_at_a_time_end_with_one_complete_entry(slow_folder, cache):
    processes = [start(slow_folder), start(slow_folder)]
    prints = {process.communicate(timeout=120)[0].strip() for process in processes}
    assert all(process.returncode == 0 for process in processes)
    assert prints == {path.name for path in entries(cache)}
    assert load(slow_folder).fingerprint in prints


def test_the_progress_is_plain_lines_when_not_a_terminal(image_folder, capsys):
    data.prepare(image_folder({"a": 5, "b": 5}))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "looking at images: 10 of 10",
        "decoding images: 10 of 10",
    ]


def test_progress_can_be_off(image_folder, capsys):
    data.prepare(image_folder({"a": 5, "b": 5}), progress=False)
    assert capsys.readouterr() == ("", "")
