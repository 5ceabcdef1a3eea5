"""From labelled texts to splits of tokens, whatever file they came in."""

import json
import os
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from classicnets import data
from classicnets.data.examples import Examples
from classicnets.data.labels import number_labels
from classicnets.data.reading import decode_text
from classicnets.data.splitting import Source, split
from classicnets.errors import UserError


@pytest.fixture
def table(tmp_path):
    """Return a function that writes rows (text, label, perhaps split) as JSONL."""

    def write(rows, name="made.jsonl"):
        path = tmp_path / name
        keys = ("text", "label", "split")
        lines = [json.dumps(dict(zip(keys, row))) for row in rows]
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    return write


def reviews(count, split=None):
    """Texts of words of their own, `good3 film` or `bad4 film`."""
    rows = [(f"{('good', 'bad')[i % 2]}{i} film", i % 2) for i in range(count)]
    return rows if split is None else [(*row, split) for row in rows]


def note(splits, part):
    return next((note for note in splits.notes if part in note), None)


def test_a_table_becomes_tokens_and_keeps_its_texts(table):
    rows = reviews(40)
    splits = data.load(table(rows), max_tokens=6, validation_fraction=0.25)
    parts = [splits.train, splits.validation, splits.open_test()]
    assert [len(part) for part in parts] == [24, 8, 8]
    assert sorted(text for part in parts for text in part.texts) == sorted(
        text for text, _ in rows
    )
    assert (splits.name, splits.class_names) == ("made.jsonl", ("0", "1"))
    for part in parts:
        assert part.inputs.shape == (len(part), 6)
        assert (part.inputs.dtype, part.labels.dtype) == (np.int32, np.int32)
        assert part.labels.tolist() == [int("bad" in text) for text in part.texts]
        assert part.lengths.tolist() == [2] * len(part)
        tokens, lengths = data.encode(splits.tokenizer, part.texts, max_tokens=6)
        assert np.array_equal(part.inputs[:], tokens)
        assert np.array_equal(part.lengths, lengths)


def test_the_vocabulary_knows_the_words_of_train_alone(table):
    splits = data.load(table(reviews(40)), max_tokens=2)
    expected = {word for text in splits.train.texts for word in text.split()}
    assert set(splits.tokenizer.get_vocab()) == {"[PAD]", "[UNK]", *expected}
    for part in (splits.validation, splits.open_test()):
        assert (part.inputs[:, 0] == 1).all()  # such as good3
        assert (part.inputs[:, 1] == 2).all()  # film
    assert note(splits, "vocabulary: 31 words; 0.0% of the words")


def test_a_vocabulary_too_small_leaves_words_unknown(table):
    splits = data.load(table(reviews(40)), vocabulary_size=3, max_tokens=2)
    assert splits.train.inputs.tolist() == [[1, 2]] * 28
    assert note(splits, "vocabulary: 3 words; 50.0% of the words of the training texts")


def test_a_given_tokenizer_is_used_as_it_is(table):
    tokenizer = data.load(table(reviews(6), "other.jsonl")).tokenizer
    splits = data.load(table(reviews(40)), tokenizer=tokenizer, vocabulary_size=3)
    assert splits.tokenizer.to_str() == tokenizer.to_str()
    film = tokenizer.token_to_id("film")
    assert (splits.validation.inputs[:, 1] == film).all()


def test_chinese_needs_no_option(table):
    good, bad = "这部电影太好看了！", "剧情很差，不好看？"
    rows = [(good + "好" * (i % 3), "正面") for i in range(10)]
    rows += [(bad + "差" * (i % 3), "负面") for i in range(10)]
    splits = data.load(table(rows), max_tokens=12)
    assert splits.class_names == ("正面", "负面")
    assert set(splits.tokenizer.get_vocab()) - {"[PAD]", "[UNK]"} == set(
        "这部电影太好看了!剧情很差不?"
    )
    test = splits.open_test()
    words = {token: word for word, token in splits.tokenizer.get_vocab().items()}
    row = [words[token] for token in test.inputs[0] if token]
    assert row == list(test.texts[0].replace("！", "!").replace("，", ""))


# Splits of the source's own


def test_a_split_column_is_honoured(table):
    rows = reviews(10, "train") + reviews(4, " Dev") + reviews(6, "TEST")
    splits = data.load(table(rows))
    assert [len(splits.train), len(splits.validation)] == [10, 4]
    assert len(splits.open_test()) == 6
    assert splits.train.texts == [text for text, _ in reviews(10)]


def test_a_missing_validation_is_carved_from_train_alone(table):
    train = [(f"{text} train", label, "train") for text, label in reviews(20)]
    splits = data.load(table(train + reviews(6, "test")), validation_fraction=0.2)
    assert [len(splits.train), len(splits.validation)] == [16, 4]
    assert all(text.endswith("train") for text in splits.validation.texts)
    assert splits.open_test().texts == [text for text, _ in reviews(6)]


def test_texts_and_lengths_are_carved_with_their_inputs():
    numbers = np.arange(40)
    examples = Examples(
        inputs=numbers.reshape(-1, 1),
        labels=numbers % 2,
        texts=[str(number) for number in numbers],
        lengths=numbers.astype(np.int32),
    )
    source = Source("made", ("a", "b"), examples, fingerprint="")
    splits = split(source, data.Options(validation_fraction=0.25))
    for part in (splits.train, splits.validation, splits.open_test()):
        rows = np.asarray(part.inputs).ravel()
        assert part.texts == [str(row) for row in rows]
        assert part.lengths.tolist() == rows.tolist()


def test_images_have_no_texts():
    splits = data.load("digits")
    assert splits.tokenizer is None
    for part in (splits.train, splits.validation, splits.open_test()):
        assert (part.texts, part.lengths) == (None, None)


# The fingerprint


def test_the_fingerprint_does_not_depend_on_how_texts_are_split_and_encoded(table):
    path = table(reviews(40))
    first = data.load(path).fingerprint
    changes = [
        {"split_seed": 3},
        {"validation_fraction": 0.3},
        {"vocabulary_size": 5},
        {"max_tokens": 1, "keep_tokens": "first"},
    ]
    assert {data.load(path, **change).fingerprint for change in changes} == {first}
    assert len(first) == 64


def test_the_fingerprint_is_of_train_and_validation_texts_and_labels(table):
    parts = {"train": reviews(8, "train"), "val": reviews(4, "val")}
    parts["test"] = reviews(4, "test")

    def fingerprint(**changed):
        rows = chain.from_iterable((parts | changed).values())
        return data.load(table(rows)).fingerprint

    first = fingerprint()
    other = [("another film", 1, "test"), *parts["test"][1:]]
    assert fingerprint(test=other) == first
    tests = [
        data.load(table(chain.from_iterable((parts | changed).values())))
        for changed in ({}, {"test": other})
    ]
    assert tests[0].test_fingerprint != tests[1].test_fingerprint
    others = [
        fingerprint(val=reviews(6, "val")),
        fingerprint(train=[("new film", 0, "train"), *parts["train"][1:]]),
        fingerprint(train=[(text, 1 - label, s) for text, label, s in parts["train"]]),
        # The same characters with the end of a text elsewhere.
        fingerprint(
            train=[
                ("good0 filmb", 0, "train"),
                ("ad1 film", 1, "train"),
                *parts["train"][2:],
            ]
        ),
    ]
    assert len({first, *others}) == 5


# Notes


@pytest.mark.parametrize(
    ("keep", "what"),
    [
        ("first", "their first 3"),
        ("last", "their last 3"),
        ("ends", "their first 1 and last 2"),
    ],
)
def test_a_note_counts_longer_texts(table, keep, what):
    rows = [*reviews(10, "train"), ("a b c d", 0, "train"), ("a b c", 1, "train")]
    path = table(rows + reviews(4, "val") + reviews(4, "test"))
    splits = data.load(path, max_tokens=3, keep_tokens=keep)
    assert f"1 of 12 training texts are longer than 3 tokens: {what} are kept" in (
        splits.notes
    )
    assert splits.train.lengths.tolist() == [2] * 10 + [4, 3]
    assert note(data.load(path, max_tokens=4), "longer") is None


def test_notes_count_empty_texts_and_texts_in_two_splits(table):
    rows = [(f" {text}\n", label, "test") for text, label in reviews(3)]
    rows += [*reviews(10, "train"), ("", 0, "train"), (" \n", 0, "test")]
    rows += [("good0 film", 0, "val"), ("new", 1, "val")]
    splits = data.load(table(rows))
    assert "empty texts: 2; each becomes one unknown word" in splits.notes
    assert (
        "the same text stands in two splits: 1 in train and validation, "
        "3 in train and test, 1 in validation and test"
    ) in splits.notes


def test_clean_texts_have_no_such_notes(table):
    splits = data.load(table(reviews(40)))
    assert note(splits, "empty") is note(splits, "two splits") is None


# Errors


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a", "x")] * 5, r"at least 2 classes, got 1 \('x'\)"),
        ([("a", 0)] * 5 + [("b", 1)] * 2, "at least 3 examples.*class '1' of made.*2"),
        ([("...", i % 2) for i in range(9)], "no training text of .* has a word in it"),
        (
            [*reviews(5, "train"), ("a", "x", "test"), ("b", "y", "val")],
            "class 'x' of made.jsonl has 0",
        ),
    ],
)
def test_texts_that_cannot_be_split_are_one_line(table, rows, message):
    with pytest.raises(UserError, match=message) as raised:
        data.load(table(rows))
    assert "\n" not in str(raised.value)


def test_skipping_every_word_is_refused(table):
    with pytest.raises(UserError, match="skip_top 500 leaves no word of made"):
        data.load(table(reviews(20)), skip_top=500)


def test_words_left_out_make_room_for_others(table):
    rows = [(f"film film film {word} film", k) for k, word in enumerate("ab")] * 10
    plain = data.load(table(rows), max_tokens=2)
    skipping = data.load(table(rows), max_tokens=2, skip_top=1)
    assert plain.train.lengths.tolist() == [5] * len(plain.train)
    assert skipping.train.lengths.tolist() == [1] * len(plain.train)
    for examples in (skipping.train, skipping.validation, skipping.open_test()):
        words = [skipping.tokenizer.id_to_token(row[0]) for row in examples.inputs]
        assert words == ["ab"[label] for label in examples.labels]


# Labels and bytes


@pytest.mark.parametrize(
    ("labels", "names", "numbers"),
    [
        (["10", "9", "-1", "9"], ("-1", "9", "10"), [2, 1, 0, 1]),
        (["b", "10", "9"], ("10", "9", "b"), [2, 0, 1]),
        (["正", "neg", "Neg"], ("Neg", "neg", "正"), [2, 1, 0]),
    ],
)
def test_classes_are_sorted(labels, names, numbers):
    found = number_labels(labels)
    assert (found[0], found[1].tolist()) == (names, numbers)
    assert found[1].dtype == np.int32


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_unicode_is_decoded_with_and_without_its_mark(encoding):
    assert decode_text("电影 é\n".encode(encoding)) == "电影 é\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("good 电影".encode("gb18030"), "it is not UTF-8 at byte 5"),
        ("ab".encode("utf-16") + b"c", "it is not UTF-16-LE at byte 6"),
        ("abc".encode("utf-16-le"), "it has NUL bytes"),
    ],
)
def test_other_bytes_are_refused_with_the_reason(content, reason):
    with pytest.raises(UserError, match=f"^{reason}"):
        decode_text(content)


# The real data, where a person has it.

IMDB = Path(os.environ.get("CLASSICNETS_DATA", "")) / "imdb.parquet"


@pytest.mark.skipif(not IMDB.is_file(), reason="needs imdb.parquet in CLASSICNETS_DATA")
def test_the_real_imdb_has_the_published_counts():
    splits = data.load("imdb")
    test = splits.open_test()
    assert (len(splits.train), len(splits.validation), len(test)) == (
        22500,
        2500,
        25000,
    )
    assert np.bincount(splits.train.labels).tolist() == [11250, 11250]
    assert np.bincount(test.labels).tolist() == [12500, 12500]
    assert splits.class_names == ("negative", "positive")
    assert splits.tokenizer.get_vocab_size() == 20_000
    # 49,582 of the 50,000 texts are distinct; 123 occur in train and in test.
    everything = [*splits.train.texts, *splits.validation.texts]
    assert len({*everything, *test.texts}) == 49582
    assert len({*everything} & {*test.texts}) == 123
