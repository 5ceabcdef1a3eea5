"""Folders of texts: layouts, what is left out, files that cannot be read."""

import numpy as np
import pytest
from PIL import Image

from classicnets import data
from classicnets.errors import UserError


@pytest.fixture
def text_folder(tmp_path):
    """Make a folder of texts: text i of the folder `train/good` is "good i"."""

    def make(counts, name="reviews"):
        root = tmp_path / name
        for folder, count in counts.items():
            (root / folder).mkdir(parents=True)
            for i in range(count):
                text = f"{folder.rpartition('/')[2]} {i}"
                (root / folder / f"{i:03}.txt").write_text(text, encoding="utf-8")
        return root

    return make


def parts(splits):
    return [splits.train, splits.validation, splits.open_test()]


def one_line(folder, message, **options):
    with pytest.raises(UserError, match=message) as raised:
        data.load(folder, **options)
    assert "\n" not in str(raised.value)


def test_a_subfolder_is_a_class(text_folder):
    root = text_folder({"好评": 10, "bad": 20})
    (root / "bad" / "deep" / "er").mkdir(parents=True)
    (root / "bad" / "deep" / "er" / "X.TXT").write_bytes(b"\xef\xbb\xbfbad bom")
    (root / "bad" / ".hidden.txt").write_bytes(b"\xff")
    splits = data.load(root, max_tokens=4)
    assert (splits.name, splits.class_names) == ("reviews", ("bad", "好评"))
    texts = [text for part in parts(splits) for text in part.texts]
    assert sorted(texts) == sorted(
        [f"bad {i}" for i in range(20)] + [f"好评 {i}" for i in range(10)] + ["bad bom"]
    )
    for part in parts(splits):
        names = [splits.class_names[label] for label in part.labels]
        assert names == [text.partition(" ")[0] for text in part.texts]
        assert part.inputs.shape == (len(part), 4)


def test_train_val_and_test_are_honoured(text_folder):
    counts = {"train/a": 4, "train/b": 5, "Val/a": 1, "Val/b": 2}
    splits = data.load(text_folder(counts | {"test/a": 3, "test/b": 1}))
    found = [np.bincount(part.labels).tolist() for part in parts(splits)]
    assert found == [[4, 5], [1, 2], [3, 1]]


def test_the_large_movie_review_dataset_is_read_as_it_is_unpacked(text_folder):
    counts = {"train/pos": 10, "train/neg": 10, "train/unsup": 9, "test/pos": 4}
    root = text_folder(counts | {"test/neg": 4}, name="aclImdb")
    for stray in ("imdb.vocab", "imdbEr.txt", "README", "train/urls_pos.txt"):
        (root / stray).write_text("stray")
    (root / "train" / "labeledBow.feat").write_text("stray")
    splits = data.load(root)
    assert splits.class_names == ("neg", "pos")
    assert [len(part) for part in parts(splits)] == [18, 2, 8]
    assert not any(
        "unsup" in text or "stray" in text
        for part in parts(splits)
        for text in part.texts
    )
    note = f"{root / 'train' / 'unsup'} is left out: its texts have no label"
    assert note in splits.notes


def test_the_more_frequent_kind_is_read_and_the_other_counted(text_folder):
    root = text_folder({"a": 4, "b": 4})
    for i in range(7):
        Image.new("RGB", (40, 40)).save(root / "ab"[i % 2] / f"{i}.png")
    splits = data.load(root, progress=False)
    assert splits.train.texts is not None
    assert f"7 files in {root} are ignored: 7 .png" in splits.notes
    Image.new("RGB", (40, 40)).save(root / "a" / "one_more.png")
    splits = data.load(root, progress=False)
    assert splits.train.texts is None
    assert f"8 files in {root} are ignored: 8 .txt" in splits.notes


def test_texts_need_no_preparation(text_folder):
    with pytest.raises(UserError, match="one of texts: they need no preparation"):
        data.prepare(text_folder({"a": 4, "b": 4}))


# Files that cannot be read


def test_a_few_files_that_are_not_unicode_are_skipped_and_named(text_folder):
    root = text_folder({"a": 100, "b": 100})
    (root / "a" / "007.txt").write_bytes("电影".encode("gb18030"))
    (root / "b" / "003.txt").write_bytes(b"bin\0ary")
    splits = data.load(root)
    assert sum(len(part) for part in parts(splits)) == 198
    for part in parts(splits):
        assert [text[0] for text in part.texts] == ["ab"[k] for k in part.labels]
    assert any(
        "2 of 200 files are broken and skipped: a/007.txt: it is not UTF-8 at byte 0; "
        "b/003.txt: it has NUL bytes" in note
        for note in splits.notes
    )


def test_many_such_files_stop_unless_allowed(text_folder):
    root = text_folder({"a": 20, "b": 20})
    (root / "a" / "000.txt").write_bytes(b"\xff")
    one_line(root, r"1% of the texts .* unless allow_corrupt is set, 1 of 40 are \(2.5")
    splits = data.load(root, allow_corrupt=True)
    assert sum(len(part) for part in parts(splits)) == 39


# Layouts that are refused


def test_texts_without_a_class_folder_are_refused(text_folder):
    root = text_folder({"a": 3})
    one_line(root / "a", "such as good/1.txt and bad/1.txt; its 3 texts lie side by")


def test_one_class_is_refused(text_folder):
    one_line(text_folder({"a": 3}), "at least 2 classes, it has only 'a'$")


def test_parts_with_different_classes_are_refused(text_folder):
    counts = {"train/a": 5, "train/b": 5, "train/unsup": 5, "test/a": 2, "test/c": 2}
    one_line(text_folder(counts), "same classes, test/ has no 'b' as train/ has")


def test_a_class_folder_without_texts_is_refused(text_folder):
    root = text_folder({"a": 5, "b": 5, "c": 0})
    one_line(root, "every class folder must hold texts, .*c has none")
