"""Keras's download of the film reviews, where the texts are word numbers already.

Its numbers: 0 padding, 1 start (not used here), 2 unknown, words from 3 on, the most
frequent first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from classicnets.data.npz import read_array, read_shapes
from classicnets.data.options import Options
from classicnets.data.splitting import Source
from classicnets.data.texts.splits import text_source
from classicnets.data.texts.vocabulary import leave_out
from classicnets.data.texts.words import PADDING, UNKNOWN
from classicnets.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_START = "[START]"
_FIRST_WORD = 3
_UNKNOWN = 2
_LOST = "\ufffd"  # a word that is not in the file
# What Keras replaced by spaces when it counted the words, but for the space.
_FILTERED = r"""[!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~\t\n]"""
_KEYS = tuple(f"{key}_{part}" for part in ("train", "test") for key in "xy")
_KEYS += ("offsets_train", "offsets_test", "words")


def as_arrays(
    train: tuple[Any, Any], test: tuple[Any, Any], word_index: Mapping[str, int]
) -> dict[str, np.ndarray]:
    """Make plain arrays, which need no pickle, of what Keras returns.

    Args:
        train, test: Of `keras.datasets.imdb.load_data(start_char=None)`.
        word_index: Of `keras.datasets.imdb.get_word_index()`.

    Returns:
        For train and test: all numbers one after another `x_...`, where each text
        begins `offsets_...`, the labels `y_...`; and `words`, where place 3 is the
        first word.
    """
    arrays = {}
    for part, (rows, labels) in (("train", train), ("test", test)):
        sizes = [len(row) for row in rows]
        flat = chain.from_iterable(rows)
        arrays[f"x_{part}"] = np.fromiter(flat, np.int32, sum(sizes))
        arrays[f"offsets_{part}"] = np.cumsum([0, *sizes], dtype=np.int64)
        arrays[f"y_{part}"] = np.asarray(labels, np.int32)
    words = [_LOST] * (_FIRST_WORD + max(word_index.values(), default=-1) + 1)
    for word, number in word_index.items():
        words[_FIRST_WORD + number] = word
    return arrays | {"words": np.array(words)}


def open_numbered(
    path: Path, options: Options, *, class_names: Sequence[str]
) -> Source:
    """Open what `as_arrays` made.

    The texts are put together from the words. Cut again by Keras's rules they give the
    same numbers, those from vocabulary_size on unknown.
    """
    arrays = read_numbered(path)
    words = arrays["words"].tolist()
    tokenizer = keras_tokenizer(words[: options.vocabulary_size])
    by_frequency = [word for word in words[_FIRST_WORD:] if word != _LOST]
    leave_out(tokenizer, by_frequency[: options.skip_top])
    train = _texts(arrays["x_train"], arrays["offsets_train"], words)
    test = _texts(arrays["x_test"], arrays["offsets_test"], words)
    source = text_source(
        "imdb",
        class_names,
        texts=train + test,
        labels=np.concatenate([arrays["y_train"], arrays["y_test"]]),
        parts=["train"] * len(train) + ["test"] * len(test),
        notes=["imdb: the words as Keras numbers them, not the texts themselves"],
    )
    return replace(source, tokenizer=tokenizer)


def keras_tokenizer(words: Sequence[str]) -> "Tokenizer":
    """Return a tokenizer that cuts texts into words as Keras did, with its numbers.

    Args:
        words: Word 3 is the first.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    vocabulary = {PADDING: 0, _START: 1, UNKNOWN: _UNKNOWN}
    for number, word in enumerate(words[_FIRST_WORD:], _FIRST_WORD):
        # No number is left out, or the last would not be below the size of the
        # vocabulary. Texts have no brackets by now.
        lost = word == _LOST or word in vocabulary
        vocabulary[f"[{number}]" if lost else word] = number
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace(Regex(_FILTERED), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    return tokenizer


def _texts(numbers: np.ndarray, offsets: np.ndarray, words: Sequence[str]) -> list[str]:
    return [
        " ".join(map(words.__getitem__, numbers[start:end].tolist()))
        for start, end in pairwise(offsets)
    ]


def read_numbered(path: Path) -> dict[str, np.ndarray]:
    """Read and check the arrays that `as_arrays` made."""
    try:
        read_shapes(path)
        arrays = {key: read_array(path, key) for key in _KEYS}
        for key, array in arrays.items():
            kinds = "U" if key == "words" else "iu"
            if array.ndim != 1 or array.dtype.kind not in kinds:
                raise ValueError(f"{key} is {array.dtype} of shape {array.shape}")
        words = len(arrays["words"])
        for part in ("train", "test"):
            numbers, offsets = arrays[f"x_{part}"], arrays[f"offsets_{part}"]
            if len(offsets) != len(arrays[f"y_{part}"]) + 1:
                raise ValueError(f"y_{part} and offsets_{part} differ")
            if not set(arrays[f"y_{part}"].tolist()) <= {0, 1}:
                raise ValueError(f"y_{part} has other labels than 0 and 1")
            inside = numbers.min(initial=0) >= 0 and numbers.max(initial=0) < words
            rising = offsets[0] == 0 and bool((offsets[1:] >= offsets[:-1]).all())
            if offsets[-1] != len(numbers) or not inside or not rising:
                raise ValueError(f"x_{part} does not fit offsets_{part} and words")
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{path} must be imdb as classicnets keeps it, it is broken: "
            f"{str(error).splitlines()[0]}; delete it to download it again"
        ) from None
    return arrays
