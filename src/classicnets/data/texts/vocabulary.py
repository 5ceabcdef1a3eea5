"""From words to tokens: the vocabulary and the encoding.

The rules of words and the vocabulary live in one `tokenizers.Tokenizer`, whose
tokenizer.json says all about them: other programs read it too.
"""

import os
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from classicnets.data.texts.words import (
    PADDING,
    UNKNOWN,
    Words,
    split_words,
    word_rules,
)
from classicnets.errors import UserError
from classicnets.networks import memory

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def encode(
    tokenizer: "Tokenizer",
    texts: Sequence[str],
    *,
    max_tokens: int,
    keep_tokens: str = "last",
) -> tuple[np.ndarray, np.ndarray]:
    """Turn texts into rows of tokens.

    Args:
        tokenizer: Of `Splits` or of `load_tokenizer`.
        texts: Any number of them.
        max_tokens: The length of a row.
        keep_tokens: What is kept of a longer text: its "first" tokens, its "last", or
            of both "ends" half.

    Returns:
        Tokens (texts, max_tokens) int32, padded with 0 at the end; and how many tokens
        each text has before it is cut, (texts,) int32. A text without a word becomes
        one unknown token.
    """
    words = split_words(tokenizer, texts)
    rows, lengths, _ = encode_words(
        tokenizer, words, max_tokens=max_tokens, keep_tokens=keep_tokens
    )
    return rows, lengths


def words_read(
    tokenizer: "Tokenizer", text: str, *, max_tokens: int, keep_tokens: str
) -> str:
    """Return what a network reads of a text, with an ellipsis where it is cut."""
    places = tokenizer.encode(text, add_special_tokens=False).offsets
    if len(places) <= max_tokens:
        return text
    head = {"first": max_tokens, "last": 0, "ends": max_tokens // 2}[keep_tokens]
    parts = [text[: places[head - 1][1]]] if head else []
    if rest := max_tokens - head:
        parts.append(text[places[-rest][0] :])
    cut = " … ".join(parts) if len(parts) == 2 else parts[0]
    if keep_tokens == "last":
        return f"… {cut}"
    return f"{cut} …" if keep_tokens == "first" else cut


def unknown_share(tokens: np.ndarray, tokenizer: "Tokenizer") -> float:
    """Return the share of the tokens (texts, max_tokens) whose words are unknown."""
    unknown = tokens == tokenizer.token_to_id(UNKNOWN)
    return float(unknown.sum() / max(np.count_nonzero(tokens), 1))


def load_tokenizer(path: str | os.PathLike[str]) -> "Tokenizer":
    """Read the tokenizer.json of a run.

    Raises:
        UserError: If the file cannot be read, or no tokenizer of ours is in it.
    """
    from tokenizers import Tokenizer

    try:
        with open(path, encoding="utf-8") as stream:
            content = stream.read()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} must be a tokenizer.json, it is not UTF-8") from None
    try:
        tokenizer = Tokenizer.from_str(content)
    # The library raises a bare Exception.
    except Exception as error:
        raise UserError(
            f"{path} must be a tokenizer.json, it is broken: {_first_line(error)}"
        ) from None
    if (
        type(tokenizer.model).__name__ != "WordLevel"
        or tokenizer.normalizer is None
        or tokenizer.pre_tokenizer is None
        or tokenizer.token_to_id(PADDING) != 0
        or tokenizer.token_to_id(UNKNOWN) is None
    ):
        raise UserError(
            f"{path} must be a tokenizer.json of a classicnets run: words, with "
            f"{PADDING} as 0 and an {UNKNOWN}"
        )
    numbers = sorted(tokenizer.get_vocab(with_added_tokens=False).values())
    if numbers != list(range(len(numbers))):
        raise UserError(f"{path} must number its words 0, 1, 2, ... without a gap")
    return tokenizer


def build_vocabulary(
    words: Words, vocabulary_size: int, skip_top: int = 0
) -> tuple["Tokenizer", Words]:
    """Return a tokenizer of the most frequent words, and `words` as it cuts them.

    Args:
        words: Of the training texts, cut by `word_rules`.
        vocabulary_size: 3 or more: the words, the padding and the unknown word. The
            tokenizer has fewer where the texts have fewer words.
        skip_top: So many of the most frequent words are left out of every text.
    """
    from tokenizers import models

    counts = np.bincount(words.numbers, minlength=len(words.names))
    # Equally frequent words in the order of their characters: always the same one.
    order = sorted(range(len(counts)), key=lambda i: (-counts[i], words.names[i]))
    top, order = order[:skip_top], order[skip_top:]
    names = [PADDING, UNKNOWN, *(words.names[i] for i in order[: vocabulary_size - 2])]
    tokenizer = word_rules()
    # Not added as special tokens: a text that says "[PAD]" must not become padding.
    vocabulary = {name: token for token, name in enumerate(names)}
    tokenizer.model = models.WordLevel(vocabulary, unk_token=UNKNOWN)
    leave_out(tokenizer, [words.names[i] for i in top])
    stays = ~np.isin(words.numbers, top)
    offsets = np.concatenate([[0], np.cumsum(stays)])[words.offsets]
    return tokenizer, Words(words.names, words.numbers[stays], offsets)


def leave_out(tokenizer: "Tokenizer", names: Sequence[str]) -> None:
    """Make a tokenizer drop words, which then do not count as tokens."""
    from tokenizers import Regex, pre_tokenizers

    if names:
        any_name = rf"\A(?:{'|'.join(map(re.escape, names))})\z"
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                tokenizer.pre_tokenizer,
                pre_tokenizers.Split(Regex(any_name), "removed"),
            ]
        )


def encode_words(
    tokenizer: "Tokenizer", words: Words, *, max_tokens: int, keep_tokens: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turn texts that are cut into words into rows of tokens; see `encode`.

    Returns:
        Rows and lengths as `encode` does; and the token of every word of every text, as
        `words.numbers` stand.
    """
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    unknown = vocabulary[UNKNOWN]
    by_name = [vocabulary.get(name, unknown) for name in words.names]
    tokens = np.array(by_name, np.int32)[words.numbers]
    head = {"first": max_tokens, "last": 0, "ends": max_tokens // 2}[keep_tokens]
    lengths = np.diff(words.offsets)
    size = 4 * len(lengths) * max_tokens
    memory.check(size, f"{len(lengths):,} texts of {max_tokens:,} tokens")
    rows = np.zeros((len(lengths), max_tokens), np.int32)
    for row, (start, end) in zip(rows, pairwise(words.offsets), strict=True):
        if end - start <= max_tokens:
            row[: end - start] = tokens[start:end]
        else:
            row[:head] = tokens[start : start + head]
            row[head:] = tokens[end - (max_tokens - head) : end]
    rows[lengths == 0, 0] = unknown
    return rows, np.maximum(lengths, 1).astype(np.int32), tokens


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
