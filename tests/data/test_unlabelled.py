"""Images without labels: pooled, whatever folders or arrays they lie in."""

import re
import tracemalloc

import numpy as np
import pytest

from classicnets import data
from classicnets.errors import UserError


def load(source, **options):
    return data.load(source, labelled=False, progress=False, **options)


def parts(splits):
    return splits.train, splits.validation, splits.open_test()


def reds(examples):
    return examples.inputs[:][:, 0, 0, 0].tolist()


def greens(examples):
    return examples.inputs[:][:, 0, 0, 1].tolist()


def all_of(splits, values):
    return sorted(value for part in parts(splits) for value in values(part))


def sizes(splits):
    return tuple(len(part) for part in parts(splits))


def one_line(source, message, **options):
    with pytest.raises(UserError, match=message) as raised:
        load(source, **options)
    assert "\n" not in str(raised.value)


# Folders


def test_loose_images_are_split_as_they_are(image_folder):
    splits = load(image_folder({"": 50}))
    # A fifth is 10, and a tenth of the other 40 is 4.
    assert sizes(splits) == (36, 4, 10)
    assert splits.class_names == ()
    assert all((part.labels == 0).all() for part in parts(splits))
    assert all_of(splits, greens) == list(range(50))
    notes = " ".join(splits.notes)
    assert "50 images as 40x40x3" in notes
    assert "10 of its 50 examples are set aside as test, always the same" in notes
    assert "4 of 40 training examples, drawn with split_seed 0" in notes


def test_subfolders_are_pooled_and_sorted_by_path(image_folder):
    # The k-th folder made has the red 20 k.
    root = image_folder({"b/deep": 10, "": 10, "b": 10, "a": 10, "A": 1})
    splits = load(root)
    assert splits.class_names == ()
    by_path = [str(path.relative_to(root)) for path in root.rglob("*.png")]
    made = {"b/deep": 0, "": 20, "b": 40, "a": 60, "A": 80}
    expected = [made[path[:-7].rstrip("/")] for path in sorted(by_path)]
    order = sorted(set(expected), key=expected.index)
    for part in parts(splits):
        assert reds(part) == sorted(reds(part), key=order.index)
    assert all_of(splits, reds) == sorted(expected)


def test_split_seed_moves_the_validation_and_never_the_test(image_folder):
    root = image_folder({"": 60})
    first, same, other = (load(root, split_seed=seed) for seed in (3, 3, 4))
    assert greens(first.validation) == greens(same.validation)
    assert greens(first.validation) != greens(other.validation)
    assert greens(first.open_test()) == greens(other.open_test())


def test_folders_too_small_for_classes_are_fine(image_folder):
    splits = load(image_folder({"a": 1, "b": 2, "c": 1, "empty": 0}))
    assert sizes(splits) == (2, 1, 1)


def test_parts_that_are_there_are_honoured(image_folder):
    root = image_folder({"train": 6, "train/more": 2, "val/x": 3, "test/y": 4})
    splits = load(root)
    assert sizes(splits) == (8, 3, 4)
    assert [set(reds(part)) for part in parts(splits)] == [{0, 20}, {40}, {60}]
    for part in parts(splits):
        assert isinstance(part.inputs, np.memmap)


def test_a_missing_validation_is_carved_from_train_alone(image_folder):
    splits = load(image_folder({"train": 10, "test": 3}), validation_fraction=0.2)
    assert sizes(splits) == (8, 2, 3)
    assert set(reds(splits.validation)) == {0}


def test_images_beside_train_are_counted(image_folder):
    splits = load(image_folder({"train": 10, "more": 2, "": 1}))
    assert sum(sizes(splits)) == 10
    assert any(
        "3 images in" in note and "beside train/" in note for note in splits.notes
    )


def test_texts_among_the_images_are_ignored(image_folder):
    root = image_folder({"": 5})
    for number in range(6):
        (root / f"{number:03}.txt").write_text("what the image shows")
    splits = load(root)
    assert sum(sizes(splits)) == 5
    assert any("6 files in" in note and "6 .txt" in note for note in splits.notes)


def test_two_images_are_too_few(image_folder):
    one_line(image_folder({"": 2}), "pictures must have at least 3 examples .* has 2$")


def test_a_folder_without_images_is_refused(tmp_path):
    one_line(tmp_path, r"must hold images \(.jpg, .*\), it has none$")
    (tmp_path / "a").mkdir()
    for number in range(3):
        (tmp_path / "a" / f"{number}.txt").write_text("hello")
    one_line(tmp_path, r"must hold images \(.jpg, .*\), it has only 3 .txt$")


def test_an_empty_part_is_refused(image_folder):
    root = image_folder({"train": 5, "val": 0})
    one_line(root, "val must hold images .* none")


def test_a_broken_file_is_skipped(image_folder):
    root = image_folder({"": 200})
    (root / "007.png").write_bytes(b"")
    splits = load(root)
    assert sum(sizes(splits)) == 199
    assert 7 not in all_of(splits, greens)


# The cache


def test_a_folder_read_with_labels_keeps_them(image_folder):
    root = image_folder({"a": 5, "b": 5})
    without = load(root)
    labelled = data.load(root, progress=False)
    again = load(root)
    assert labelled.class_names == ("a", "b")
    for part in parts(labelled):
        assert (part.inputs[:][:, 0, 0, 0] == 20 * part.labels).all()
    assert without.fingerprint == again.fingerprint != labelled.fingerprint
    assert again.class_names == ()


def test_an_added_image_is_seen(image_folder):
    root = image_folder({"": 10})
    first = load(root)
    (root / "new.png").write_bytes((root / "003.png").read_bytes())
    second = load(root)
    assert sum(sizes(second)) == 11
    assert second.fingerprint != first.fingerprint


def test_prepare_decodes_pooled_images(image_folder):
    root = image_folder({"": 10})
    prepared = data.prepare(root, labelled=False, progress=False, image_size=16)
    assert prepared.train.inputs.shape == (7, 16, 16, 3)
    assert load(root, image_size=16).fingerprint == prepared.fingerprint


def test_opening_a_decoded_folder_reads_only_what_is_asked_for(image_folder):
    root = image_folder({"": 200})
    decoded = sum(part.inputs.nbytes for part in parts(load(root, image_size=128)))
    tracemalloc.start()
    splits = load(root, image_size=128)
    batch = splits.train.inputs[[3, 1, 4]]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert batch.shape == (3, 128, 128, 3)
    assert decoded == 200 * 128 * 128 * 3
    assert peak < decoded / 10


# Arrays


@pytest.fixture
def save(tmp_path):
    def saved(**content):
        np.savez(tmp_path / "made.npz", **content)
        return tmp_path / "made.npz"

    return saved


def images(count):
    """Image i has the value i everywhere."""
    numbers = np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1)
    return np.broadcast_to(numbers, (count, 8, 6, 3))


def test_a_file_without_labels_is_read(save):
    splits = load(save(x_train=images(50)))
    assert sizes(splits) == (36, 4, 10)
    assert splits.class_names == ()
    assert all((part.labels == 0).all() for part in parts(splits))
    assert all_of(splits, reds) == list(range(50))
    assert not any("labels" in note for note in splits.notes)


def test_splits_of_a_file_without_labels_are_used(save):
    path = save(x_train=images(9), x_val=images(3), x_test=images(5))
    splits = load(path)
    assert [reds(part) for part in parts(splits)] == [[*range(n)] for n in (9, 3, 5)]


def test_labels_that_are_right_are_kept_and_decide_the_same_splits(save):
    path = save(x_train=images(60), y_train=np.arange(60) % 3)
    without, labelled = load(path), data.load(path)
    assert without.class_names == labelled.class_names == ("0", "1", "2")
    assert without.fingerprint == labelled.fingerprint
    for ours, theirs in zip(parts(without), parts(labelled)):
        assert reds(ours) == reds(theirs)
        assert np.array_equal(ours.labels, theirs.labels)


def test_small_classes_are_split_as_one_pool(save):
    path = save(x_train=images(20), y_train=[7] + [0] * 19)
    splits = load(path)
    assert sizes(splits) == (14, 2, 4)
    assert sum(int((part.labels == 7).sum()) for part in parts(splits)) == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"y_train": np.zeros(20)}, "y_train .* must be integers"),
        ({"y_train": np.arange(19)}, "one label per image"),
        ({"y_test": np.arange(20)}, "has x_train but no y_train"),
        ({"y_train": np.array([None] * 20)}, "holds Python objects"),
    ],
)
def test_wrong_labels_are_left_out(save, wrong, message):
    path = save(x_train=images(20), **wrong)
    with pytest.raises(UserError):
        data.load(path)
    splits = load(path)
    assert splits.class_names == ()
    assert not splits.train.labels.any()
    note = next(note for note in splits.notes if note.startswith("labels are left out"))
    assert re.search(message, note)


def test_labels_must_be_there_for_tasks_that_need_them(save):
    with pytest.raises(
        UserError, match=r"no y_train .* tasks without labels need none"
    ):
        data.load(save(x_train=images(20)))


def test_wrong_images_are_refused_all_the_same(save):
    one_line(save(y_train=[0, 1]), "must hold x_train, it has no x_train")
    one_line(save(x_train=images(9) - 300.0), "floats in 0..1")


# Named sets and texts


def test_a_named_set_has_the_same_splits():
    without, labelled = load("digits"), data.load("digits")
    assert without.class_names == labelled.class_names
    for ours, theirs in zip(parts(without), parts(labelled)):
        assert np.array_equal(np.asarray(ours.inputs), np.asarray(theirs.inputs))


def test_texts_are_refused(tmp_path):
    table = tmp_path / "reviews.csv"
    table.write_text("text,label\nfine,1\ndull,0\n")
    one_line(table, "tasks without labels learn from images, .*reviews.csv has texts")
    one_line("imdb", "learn from images, imdb has texts")


def test_a_folder_is_also_looked_for_below_the_data_folder(
    tmp_path, image_folder, monkeypatch
):
    images = image_folder({"": 12})
    monkeypatch.setenv("CLASSICNETS_DATA", str(images.parent))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    splits = data.load(images.name, labelled=False, progress=False)
    assert splits.name == images.name
