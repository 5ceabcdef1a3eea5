"""Words, vocabularies and rows of tokens."""

import os
import random
import subprocess
import sys

import numpy as np
import pytest

from classicnets import data
from classicnets.data.texts.imdb import keras_tokenizer
from classicnets.data.texts.vocabulary import build_vocabulary, encode
from classicnets.data.texts.words import split_words, well_formed, word_rules
from classicnets.errors import UserError


def learned(texts, size=1000, skip_top=0):
    return build_vocabulary(split_words(word_rules(), texts), size, skip_top)[0]


def names(tokenizer):
    known = tokenizer.get_vocab()
    return sorted(known, key=known.get)


def words_of(text):
    found = split_words(word_rules(), [text])
    return [found.names[number] for number in found.numbers]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A good, GOOD film.", ["a", "good", "good", "film"]),
        ("Don't! Don’t?", ["don't", "!", "don't", "?"]),
        ("L'Été d'une fille", ["l'été", "d'une", "fille"]),
        ("'quoted' rock'n'roll the boys'", ["quoted", "rock'n'roll", "the", "boys"]),
        ("one<br />two<BR>three<br  / >four", ["one", "two", "three", "four"]),
        ("bread <brave>", ["bread", "brave"]),
        ("self-made a_b 9/10 $5", ["self", "made", "a", "b", "9", "10", "5"]),
        ("ＦＵＬＬ ﬁlm ２００１！", ["full", "film", "2001", "!"]),
        ("cafe\u0301 naïve", ["café", "naïve"]),
        ("😀😀 ❤️ ok👍🏽", ["😀", "😀", "❤", "ok", "👍"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("這部電影真好！", ["這", "部", "電", "影", "真", "好", "!"]),
        ("iPhone手机,2部", ["iphone", "手", "机", "2", "部"]),
        ("ひらカナ", ["ひ", "ら", "カ", "ナ"]),
        ("ไทย", ["ไ", "ท", "ย"]),
        ("한국 영화", ["한국", "영화"]),
        ("...  -- \t\n ''", []),
        ("tabs\tand\nlines\u3000too", ["tabs", "and", "lines", "too"]),
    ],
)
def test_a_text_has_these_words(text, words):
    assert words_of(text) == words


NASTY = [
    *("a", "B", "é", "e\u0301", "'", "’", " ", "  ", "\n", "\t", "\xa0", "\u3000"),
    *("\u2028", "\x85", "<br />", "<BR/>", "<br", "!", "？", "-", "_", "¨", "´", "ﬁ"),
    *("½", "İ", "ß", "Σ", "好", "々", "カ", "ー", "ท", "\u0301", "😀", "🇩🇪", "❤️"),
    *("\u200d", "[PAD]", "[UNK]", "\u1100", "\u1161", "७", "ा", "x\x96"),
]


@pytest.mark.parametrize("rules", ["ours", "keras"])
def test_tokens_are_those_of_the_tokenizers_own_encode(rules):
    draw = random.Random(0)
    texts = ["".join(draw.choices(NASTY, k=draw.randrange(30))) for _ in range(2000)]
    if rules == "ours":
        tokenizer = learned(texts, 60)
    else:
        tokenizer = keras_tokenizer(["", "", "", "a", "b", "é", "好", "\x85", "x\x96"])
    tokens, lengths = encode(tokenizer, texts, max_tokens=100)
    unknown = tokenizer.token_to_id("[UNK]")
    expected = [
        found.ids or [unknown]
        for found in tokenizer.encode_batch(texts, add_special_tokens=False)
    ]
    assert [row[:n].tolist() for row, n in zip(tokens, lengths)] == expected
    assert len({token for row in expected for token in row}) > 5


def test_the_most_frequent_words_come_first_and_ties_in_the_order_of_characters():
    texts = ["b a c b", "a b d", "ä Z"]
    expected = ["[PAD]", "[UNK]", "b", "a", "c", "d", "z", "ä"]
    assert names(learned(texts)) == expected
    assert names(learned(texts[::-1])) == expected


def test_the_size_of_a_vocabulary_counts_padding_and_unknown():
    assert names(learned(["a a a b b c"], 4)) == ["[PAD]", "[UNK]", "a", "b"]


def test_the_most_frequent_words_can_be_left_out(tmp_path):
    texts = ["the cat's ? the ? THE end", "the", "cathedral the?"]
    words = split_words(word_rules(), texts)
    tokenizer, kept = build_vocabulary(words, 4, skip_top=2)
    assert names(tokenizer) == ["[PAD]", "[UNK]", "cat's", "cathedral"]
    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizer.to_str(), encoding="utf-8")
    expected = [[2, 1], [1, 0], [3, 0]]
    for each in (tokenizer, data.load_tokenizer(path)):
        tokens, lengths = encode(each, texts, max_tokens=2)
        assert tokens.tolist() == expected
        assert lengths.tolist() == [2, 1, 1]
    assert [kept.names[n] for n in kept.numbers] == ["cat's", "end", "cathedral"]
    assert kept.offsets.tolist() == [0, 2, 2, 3]


def test_a_text_about_padding_is_not_padding():
    tokenizer = learned(["[PAD] [UNK] pad"])
    assert names(tokenizer) == ["[PAD]", "[UNK]", "pad", "unk"]
    tokens, _ = encode(tokenizer, ["[PAD] [UNK]"], max_tokens=3)
    assert tokens.tolist() == [[2, 3, 0]]


@pytest.mark.parametrize(
    ("keep", "most", "row"),
    [
        ("first", 3, [2, 3, 4]),
        ("last", 3, [4, 5, 6]),
        ("ends", 4, [2, 3, 5, 6]),
        ("ends", 3, [2, 5, 6]),
        ("first", 1, [2]),
        ("last", 1, [6]),
        ("ends", 1, [6]),
        ("ends", 5, [2, 3, 4, 5, 6]),
        ("last", 7, [2, 3, 4, 5, 6, 0, 0]),
    ],
)
def test_this_much_of_five_tokens_is_kept(keep, most, row):
    tokenizer = learned(["a b c d e"])
    tokens, lengths = encode(
        tokenizer, ["a b c d e", "b"], max_tokens=most, keep_tokens=keep
    )
    assert tokens.tolist() == [row, [3] + [0] * (most - 1)]
    assert lengths.tolist() == [5, 1]
    assert (tokens.dtype, lengths.dtype) == (np.int32, np.int32)


def test_a_text_without_a_word_is_one_unknown_token():
    tokens, lengths = encode(learned(["a"]), ["", " \n", "...", "z"], max_tokens=2)
    assert tokens.tolist() == [[1, 0]] * 4
    assert lengths.tolist() == [1, 1, 1, 1]


def test_no_texts_are_no_rows():
    tokens, lengths = encode(learned(["a"]), [], max_tokens=5)
    assert (tokens.shape, lengths.shape) == ((0, 5), (0,))


def test_text_that_is_not_unicode_is_encoded_without_an_error():
    # What Python makes of an argument with the byte 0xff.
    tokens, _ = encode(learned(["a b"]), ["a\udcff b"], max_tokens=4)
    assert tokens.tolist() == [[2, 1, 3, 0]]


def test_halves_of_surrogate_pairs_are_joined_or_marked_as_lost():
    assert well_formed("a\ud83db") == "a\ufffdb"
    assert well_formed("\ud83d\ude00 é") == "😀 é"


def test_the_unknown_token_is_found_by_its_name():
    tokenizer = keras_tokenizer(["", "", "", "good"])
    tokens, _ = encode(tokenizer, ["Good bad", ""], max_tokens=2)
    assert tokens.tolist() == [[3, 2], [2, 0]]


FORK = """
import os
from classicnets.data.texts.vocabulary import build_vocabulary, encode
from classicnets.data.texts.words import split_words, word_rules
texts = ["a b"] * 1000
tokenizer, _ = build_vocabulary(split_words(word_rules(), texts), 9)
child = os.fork()
encode(tokenizer, texts, max_tokens=2)
if child:
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_process_encodes_and_prints_nothing():
    # The tokenizers library warns where its threads were used before a fork.
    environment = dict(os.environ)
    environment.pop("TOKENIZERS_PARALLELISM", None)
    done = subprocess.run(
        [sys.executable, "-c", FORK],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_saved_tokenizer_encodes_as_before(tmp_path):
    tokenizer = learned(["这部电影 don't l'été!"])
    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
    texts = ["电影 L’ÉTÉ", "Don't <br /> bad"]
    expected, _ = encode(tokenizer, texts, max_tokens=6)
    found, _ = encode(data.load_tokenizer(path), texts, max_tokens=6)
    assert np.array_equal(found, expected)
    assert len(set(expected.ravel().tolist())) == 6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read .*tokenizer.json: No such file"),
        (b"", "it is broken: EOF while parsing"),
        (b'{"version": "1.0"}', "must be a tokenizer.json, it is broken: "),
        (b"\xff\xfe", "it is not UTF-8"),
    ],
)
def test_a_broken_tokenizer_is_one_line(tmp_path, content, message):
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        data.load_tokenizer(path)
    assert "\n" not in str(raised.value)


def test_a_tokenizer_of_another_kind_is_refused(tmp_path):
    from tokenizers import Tokenizer, models

    path = tmp_path / "tokenizer.json"
    without_rules = models.WordLevel({"[PAD]": 0, "[UNK]": 1}, unk_token="[UNK]")
    for model in (models.BPE(), without_rules):
        Tokenizer(model).save(str(path))
        with pytest.raises(UserError, match=r"of a classicnets run: words, with \[PAD"):
            data.load_tokenizer(path)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"vocabulary_size": 2}, "vocabulary_size must be at least 3, got 2"),
        ({"skip_top": -1}, "skip_top must be at least 0, got -1"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0"),
        ({"keep_tokens": "middle"}, "must be one of first, last, ends, got 'middle'"),
    ],
)
def test_options_that_no_text_could_have_are_refused(option, message):
    with pytest.raises(UserError, match=message):
        data.load("imdb", **option)
