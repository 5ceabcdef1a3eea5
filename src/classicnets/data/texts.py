"""From labelled texts of any source to splits of tokens."""

import codecs
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from classicnets.data.examples import Examples, Splits, split
from classicnets.data.vocabulary import (
    UNKNOWN,
    build_vocabulary,
    encode,
    encode_words,
    split_words,
    word_rules,
)
from classicnets.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from classicnets.data.folds import Fold

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass(frozen=True)
class TextOptions:
    """How texts are split and encoded; see `data.load`."""

    validation_fraction: float
    split_seed: int
    vocabulary_size: int
    skip_top: int
    max_tokens: int
    keep_tokens: str
    tokenizer: "Tokenizer | None"
    fold: "Fold | None" = None


def text_splits(
    *,
    name: str,
    class_names: Sequence[str],
    texts: Sequence[str],
    labels: np.ndarray,
    parts: Sequence[str],
    options: TextOptions,
    notes: Sequence[str],
) -> Splits:
    """Carve splits, learn the vocabulary of the training texts unless it is given, and
    encode the texts.

    Args:
        labels: (texts,) int32.
        parts: of each text "train", "validation" or "test" where the source says so,
            else "" for all.
        notes: what the source has to say.

    Returns:
        Splits whose test texts are encoded by `open_test()`.
    """
    given = {part: _rows(texts, labels, parts, part) for part in set(parts)}
    first = given["" if "" in given else "train"]
    validation, test = given.get("validation"), given.get("test")
    raw = split(
        name=name,
        class_names=class_names,
        inputs=np.asarray(first.inputs),
        labels=first.labels,
        texts=first.texts,
        validation=validation,
        open_test=None if test is None else lambda: test,
        validation_fraction=options.validation_fraction,
        split_seed=options.split_seed,
        fingerprint=_fingerprint(
            [first] if validation is None else [first, validation]
        ),
        notes=notes,
        fold=options.fold,
    )
    # After the carving: the vocabulary must know nothing of the validation.
    words = split_words(options.tokenizer or word_rules(), _texts(raw.train))
    if not words.names:
        raise UserError(f"no training text of {name} has a word in it")
    tokenizer = options.tokenizer
    if tokenizer is None:
        tokenizer, words = build_vocabulary(
            words, options.vocabulary_size, options.skip_top
        )
        if not words.numbers.size:
            raise UserError(f"skip_top {options.skip_top} leaves no word of {name}")
    tokens, lengths, whole = encode_words(
        tokenizer,
        words,
        max_tokens=options.max_tokens,
        keep_tokens=options.keep_tokens,
    )
    train = replace(
        raw.train, inputs=tokens, lengths=lengths, whole=(whole, words.offsets)
    )
    return replace(
        raw,
        train=train,
        validation=_encoded(raw.validation, tokenizer, options),
        open_test=lambda: _encoded(raw.open_test(), tokenizer, options),
        notes=(
            *raw.notes,
            *_raw_notes(
                _texts(raw.train), _texts(raw.validation), _texts(raw.open_test())
            ),
            *_token_notes(train, tokenizer, options),
        ),
        tokenizer=tokenizer,
    )


def number_labels(labels: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of the classes, sorted, and the number of each label, (n,) int32.

    Names sort as numbers where all are whole numbers.
    """
    found = set(labels)
    if all(_WHOLE_NUMBER.fullmatch(name) for name in found):
        names = sorted(found, key=lambda name: (int(name), name))
    else:
        names = sorted(found)
    numbers = {name: number for number, name in enumerate(names)}
    return tuple(names), np.array([numbers[label] for label in labels], np.int32)


def read_text(source: str | os.PathLike[str] | BinaryIO) -> str:
    """Read a text from a file, by its path or open.

    Raises:
        UserError: with the reason alone.
    """
    if not isinstance(source, str | os.PathLike):
        return decode_text(source.read())
    try:
        content = Path(source).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {source}: {error.strerror}") from None
    return decode_text(content)


def decode_text(content: bytes) -> str:
    """Decode UTF-8, or what the mark at the beginning says.

    Raises:
        UserError: with the reason alone.
    """
    try:
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text = content.decode("utf-16")
        else:
            text = content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        kind = error.encoding.upper()
        raise UserError(f"it is not {kind} at byte {error.start:,}") from None
    if "\0" in text:
        raise UserError("it has NUL bytes: it is binary, or UTF-16 without its mark")
    return text


def _raw_notes(*splits: Sequence[str]) -> list[str]:
    """Notes on the texts of train, validation and test before they are encoded."""
    notes = []
    stripped = [[text.strip() for text in texts] for texts in splits]
    if empty := sum(texts.count("") for texts in stripped):
        notes.append(f"empty texts: {empty:,}; each becomes one unknown word")
    train, validation, test = (set(texts) - {""} for texts in stripped)
    shared = {
        "train and validation": len(train & validation),
        "train and test": len(train & test),
        "validation and test": len(validation & test),
    }
    if any(shared.values()):
        counts = ", ".join(f"{n:,} in {where}" for where, n in shared.items() if n)
        notes.append(f"the same text stands in two splits: {counts}")
    return notes


def _token_notes(
    train: Examples, tokenizer: "Tokenizer", options: TextOptions
) -> list[str]:
    """Notes on what the encoding left of the training texts."""
    tokens, lengths, most = np.asarray(train.inputs), train.lengths, options.max_tokens
    assert lengths is not None
    kept = np.minimum(lengths, most).sum()
    unknown = (tokens == tokenizer.token_to_id(UNKNOWN)).sum() / kept
    notes = [
        f"vocabulary: {tokenizer.get_vocab_size():,} words; {unknown:.1%} of the words "
        "of the training texts are unknown"
    ]
    if longer := int((lengths > most).sum()):
        what = {
            "first": f"their first {most:,}",
            "last": f"their last {most:,}",
            "ends": f"their first {most // 2:,} and last {most - most // 2:,}",
        }[options.keep_tokens]
        notes.append(
            f"{longer:,} of {len(train):,} training texts are longer than {most:,} "
            f"tokens: {what} are kept"
        )
    return notes


def _rows(
    texts: Sequence[str], labels: np.ndarray, parts: Sequence[str], part: str
) -> Examples:
    """The texts of a part; their inputs have no tokens before they are encoded."""
    rows = [row for row, where in enumerate(parts) if where == part]
    inputs = np.empty((len(rows), 0), np.int32)
    return Examples(inputs, labels[rows], [texts[row] for row in rows])


def _encoded(
    examples: Examples, tokenizer: "Tokenizer", options: TextOptions
) -> Examples:
    tokens, lengths = encode(
        tokenizer,
        _texts(examples),
        max_tokens=options.max_tokens,
        keep_tokens=options.keep_tokens,
    )
    return replace(examples, inputs=tokens, lengths=lengths)


def _texts(examples: Examples) -> Sequence[str]:
    assert examples.texts is not None
    return examples.texts


def _fingerprint(parts: Sequence[Examples]) -> str:
    sha = hashlib.sha256()
    for part in parts:
        sha.update(f"{len(part)};".encode())
        sha.update(part.labels.astype("<i4").tobytes())
        for text in _texts(part):
            content = text.encode("utf-8", "surrogatepass")
            sha.update(b"%d;" % len(content))
            sha.update(content)
    return sha.hexdigest()
