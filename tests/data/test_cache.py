"""The cache of decoded folders: nothing but what was decoded comes out of it."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from classicnets import data
from classicnets.errors import UserError


def entry(cache):
    (found,) = [path for path in (cache / "folders").iterdir() if path.is_dir()]
    return found


def pixels(splits):
    parts = [splits.train, splits.validation, splits.open_test()]
    inputs = np.concatenate([part.inputs[:] for part in parts])
    return inputs, np.concatenate([part.labels for part in parts])


def flipped(entry, other):
    content = bytearray((entry / "images.npy").read_bytes())
    for place in np.random.default_rng(0).integers(128, len(content), 50).tolist():
        content[place] ^= 1
    (entry / "images.npy").write_bytes(content)


def zeroed(entry, other):
    images = np.load(entry / "images.npy")
    images[len(images) // 2 :] = 0
    np.save(entry / "images.npy", images)


def rolled(entry, other):
    np.save(entry / "labels.npy", np.roll(np.load(entry / "labels.npy"), 1))


def cut(entry, other):
    content = (entry / "images.npy").read_bytes()
    (entry / "images.npy").write_bytes(content[:-100])


def longer(entry, other):
    with (entry / "images.npy").open("ab") as file:
        file.write(bytes(100))


def without_labels(entry, other):
    (entry / "labels.npy").unlink()


def without_index(entry, other):
    (entry / "index.json").unlink()


def of_other_images(entry, other):
    shutil.copytree(other, entry, dirs_exist_ok=True)


def with_other_pixels(entry, other):
    shutil.copy(other / "images.npy", entry / "images.npy")


def with_other_index(entry, other):
    shutil.copy(other / "index.json", entry / "index.json")


def with_other_parts(entry, other):
    index = json.loads((entry / "index.json").read_text())
    index["parts"] = {"": [0, 5]}
    (entry / "index.json").write_text(json.dumps(index))


def of_an_earlier_version(entry, other):
    index = json.loads((entry / "index.json").read_text())
    kept = {key: index[key] for key in ("parts", "skipped", "copies")}
    (entry / "index.json").write_text(json.dumps(kept))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (flipped, "is damaged, images.npy is not what was written"),
        (zeroed, "is damaged, images.npy is not what was written"),
        (rolled, "is damaged, labels.npy is not what was written"),
        (cut, "is damaged, images.npy is not what was written"),
        (longer, "is damaged, images.npy is not what was written"),
        (without_labels, "has no labels.npy: No such file or directory"),
        (without_index, "has no index.json: No such file or directory"),
        (of_other_images, "is that of other images"),
        (with_other_pixels, "is damaged, images.npy is not what was written"),
        (with_other_index, "is that of other images"),
        (with_other_parts, "is damaged, index.json is not what was written"),
        (of_an_earlier_version, "is an earlier version's, without digests"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_damaged_entry_is_decoded_again_with_a_note(
    damage, reason, image_folder, tmp_path, cache, monkeypatch, capsys
):
    monkeypatch.setenv("CLASSICNETS_CACHE", str(tmp_path / "other"))
    # As many, as large, and others.
    data.load(image_folder({"x": 7, "y": 3}, name="others"), progress=False)
    other = entry(tmp_path / "other")
    monkeypatch.setenv("CLASSICNETS_CACHE", str(cache))
    root = image_folder({"a": 5, "b": 5})
    first = data.load(root, progress=False)
    expected = pixels(first)
    damage(entry(cache), other)
    # As an evaluation does, which asks for the network's size.
    again = data.load(root, image_size=40, channels=3)
    said = capsys.readouterr().err.splitlines()
    note = f"{root} is decoded again: what the cache has of it {reason}"
    assert said == [note, "decoding images: 10 of 10"]
    assert again.fingerprint == first.fingerprint
    for got, right in zip(pixels(again), expected, strict=True):
        assert np.array_equal(got, right)
    # It is mended: the next one has nothing to say, and no folder is left behind.
    last = data.load(root)
    assert capsys.readouterr().err == ""
    for got, right in zip(pixels(last), expected, strict=True):
        assert np.array_equal(got, right)
    assert entry(cache).name == first.fingerprint


def test_a_note_that_is_not_shown_with_the_progress_is_among_the_notes(
    image_folder, cache
):
    root = image_folder({"a": 5, "b": 5})
    data.load(root, progress=False)
    rolled(entry(cache), None)
    notes = data.load(root, progress=False).notes
    assert sum("is decoded again" in note for note in notes) == 1


def test_a_state_that_names_another_folder_is_not_believed(image_folder, cache, capsys):
    roots = [
        image_folder({"a": count, "b": 12 - count}, name=f"p{count}")
        for count in (5, 7)
    ]
    first, other = (data.load(root, image_size=40, channels=3) for root in roots)
    states = sorted((cache / "folders").glob("*.json"))
    contents = [state.read_text() for state in states]
    assert len(states) == 2
    for state, content in zip(states, reversed(contents), strict=True):
        state.write_text(content)
    capsys.readouterr()
    for root, before in zip(roots, (first, other), strict=True):
        again = data.load(root, image_size=40, channels=3)
        assert again.fingerprint == before.fingerprint
        assert "which is damaged" in capsys.readouterr().err


def test_a_damaged_entry_of_a_cache_that_is_read_only_is_an_error(
    image_folder, cache, monkeypatch
):
    root = image_folder({"a": 5, "b": 5})
    data.load(root, progress=False)
    rolled(entry(cache), None)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    # Root may write everywhere, so the system's answer is given here.
    monkeypatch.setattr("os.mkdir", refuse)
    with pytest.raises(UserError, match=r"must be writable: Permission denied; CLASS"):
        data.load(root, progress=False)


def test_a_cache_that_is_read_only_serves_what_it_has(image_folder, monkeypatch):
    root = image_folder({"a": 5, "b": 5})
    first = data.load(root, progress=False)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.mkdir", refuse)
    monkeypatch.setattr("classicnets.files.write", refuse)
    for options in ({}, {"image_size": 40, "channels": 3}, {"image_size": 40}):
        again = data.load(root, progress=False, **options)
        assert again.fingerprint == first.fingerprint


MEND = """
import sys
from classicnets import data
splits = data.load(sys.argv[1], progress=False)
total = splits.train.inputs[:].sum() + splits.open_test().labels.sum()
print(splits.fingerprint, total)
"""


def test_two_that_mend_an_entry_at_a_time_both_get_it_right(image_folder, cache):
    root = image_folder({"a": 80, "b": 80})
    splits = data.load(root, progress=False)
    total = splits.train.inputs[:].sum() + splits.open_test().labels.sum()
    zeroed(entry(cache), None)
    command = [sys.executable, "-c", MEND, str(root)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0].split() for process in processes]
    assert said == [[splits.fingerprint, str(total)]] * 2
    assert entry(cache).name == splits.fingerprint
