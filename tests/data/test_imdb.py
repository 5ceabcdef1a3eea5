"""The film reviews as Keras numbers their words."""

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from classicnets import data
from classicnets.data.texts.imdb import as_arrays
from classicnets.errors import UserError

# Word 1 of Keras's index has the number 4 in its texts: 0 to 2 are reserved, and no
# word is 0 in the index.
WORD_INDEX = {"the": 1, "film": 2, "br": 3, "good": 4, "bad": 5, "don't": 6, "\x96": 7}


def downloaded(train=8, test=4):
    """What Keras returns: arrays of lists of numbers of words, and labels."""

    def part(count):
        rows = [[4, 5 + i % 2, (8, 7)[i % 2], 10][: 2 + i % 3] for i in range(count)]
        objects = np.empty(count, object)
        objects[:] = rows
        return objects, np.arange(count) % 2

    return part(train), part(test), WORD_INDEX


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch):
    monkeypatch.delenv("CLASSICNETS_DATA", raising=False)


@pytest.fixture
def kept(cache):
    """Keep the download in the cache as the library does."""

    def write(*arguments, **changes):
        cache.mkdir(exist_ok=True)
        arrays = as_arrays(*(arguments or downloaded())) | changes
        np.savez(cache / "imdb.npz", **arrays)
        return cache / "imdb.npz"

    return write


def test_what_keras_returns_becomes_plain_arrays():
    train, test, index = downloaded()
    arrays = as_arrays(train, test, index)
    assert all(array.dtype != object for array in arrays.values())
    for name, (rows, labels) in {"train": train, "test": test}.items():
        offsets = arrays[f"offsets_{name}"]
        found = np.split(arrays[f"x_{name}"], offsets[1:-1])
        assert [row.tolist() for row in found] == list(rows)
        assert arrays[f"y_{name}"].tolist() == labels.tolist()
    assert arrays["words"][4:].tolist() == list(WORD_INDEX)


def test_rows_of_one_length_are_no_other_case():
    # NumPy makes a table of them where it makes an array of lists of others.
    rows = np.array([[4, 5], [6, 7]], object)
    arrays = as_arrays((rows, [0, 1]), (rows, [1, 0]), WORD_INDEX)
    assert arrays["x_train"].tolist() == [4, 5, 6, 7]
    assert arrays["offsets_train"].tolist() == [0, 2, 4]


def test_the_kept_download_is_loaded_with_keras_numbers(kept):
    kept()
    splits = data.load("imdb", max_tokens=3, keep_tokens="first")
    test = splits.open_test()
    assert [len(splits.train), len(splits.validation), len(test)] == [6, 2, 4]
    assert splits.class_names == ("negative", "positive")
    assert test.inputs.tolist() == [[4, 5, 0], [4, 6, 7], [4, 5, 8], [4, 6, 0]]
    assert test.lengths.tolist() == [2, 3, 4, 2]
    assert test.texts[1:3] == ["the br good", "the film bad \x96"]
    tokens, _ = data.encode(splits.tokenizer, test.texts, max_tokens=9)
    assert tokens[2, :5].tolist() == [4, 5, 8, 10, 0]


def test_words_beyond_the_vocabulary_are_unknown(kept):
    kept()
    splits = data.load("imdb", vocabulary_size=7, max_tokens=4)
    assert splits.open_test().inputs.tolist() == [
        *([4, 5, 0, 0], [4, 6, 2, 0], [4, 5, 2, 2], [4, 6, 0, 0])
    ]
    known = splits.tokenizer.get_vocab()
    assert known == {
        **{"[PAD]": 0, "[START]": 1, "[UNK]": 2, "[3]": 3},
        **{"the": 4, "film": 5, "br": 6},
    }
    # Each token has a row in an embedding of this size.
    assert splits.network_options == {"vocabulary_size": 7}


def test_the_first_words_of_keras_can_be_left_out(kept):
    kept()
    splits = data.load("imdb", vocabulary_size=7, skip_top=1, max_tokens=4)
    assert splits.open_test().inputs.tolist() == [
        *([5, 0, 0, 0], [6, 2, 0, 0], [5, 2, 2, 0], [6, 0, 0, 0])
    ]


def test_a_typed_sentence_gets_keras_numbers(kept):
    kept()
    tokenizer = data.load("imdb").tokenizer
    tokens, _ = data.encode(
        tokenizer, ["The GOOD-film,<br />don't! awful"], max_tokens=7
    )
    assert tokens.tolist() == [[4, 7, 5, 6, 9, 2, 0]]


def test_a_parquet_file_is_preferred_and_its_classes_are_named(
    kept, cache, tmp_path, monkeypatch
):
    def write(folder, count):
        folder.mkdir(exist_ok=True)
        columns = {
            "split": ["train"] * count + ["test"] * count,
            "text": ["good <br />", "bad"] * count,
            "label": pyarrow.array([1, 0] * count, pyarrow.uint8()),
        }
        parquet.write_table(pyarrow.table(columns), folder / "imdb.parquet")

    kept()
    write(cache, 6)
    splits = data.load("imdb")
    assert len(splits.open_test()) == 6
    assert (splits.name, splits.class_names) == ("imdb", ("negative", "positive"))
    assert splits.open_test().texts[0] == "good <br />"
    assert splits.open_test().labels.tolist() == [1, 0] * 3
    write(tmp_path / "sets", 8)
    monkeypatch.setenv("CLASSICNETS_DATA", str(tmp_path / "sets"))
    assert len(data.load("imdb").open_test()) == 8


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"y_test": np.zeros(3, np.int32)}, "y_test and offsets_test differ"),
        ({"x_train": np.full(22, 99)}, "x_train does not fit"),
        ({"words": np.array([None])}, "Python objects"),
    ],
)
def test_a_broken_download_is_one_line(kept, changes, reason):
    kept(**changes)
    with pytest.raises(UserError, match=f"{reason}.*; delete it to") as raised:
        data.load("imdb")
    assert "\n" not in str(raised.value)


def test_a_file_of_another_kind_is_one_line(kept):
    path = kept()
    path.write_bytes(b"not a zip file")
    with pytest.raises(UserError, match=r"imdb\.npz must be imdb as classicnets keeps"):
        data.load("imdb")
    np.savez(path, x_train=np.zeros(3))
    with pytest.raises(UserError, match=r"it is broken: .*y_train.*; delete it"):
        data.load("imdb")
