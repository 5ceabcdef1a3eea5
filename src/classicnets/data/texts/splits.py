"""From labelled texts of any source to splits of tokens."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from classicnets.data.examples import Examples, Splits
from classicnets.data.options import Options
from classicnets.data.splitting import Source, take
from classicnets.data.texts.vocabulary import (
    build_vocabulary,
    encode,
    encode_words,
    unknown_share,
)
from classicnets.data.texts.words import split_words, word_rules
from classicnets.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def text_source(
    name: str,
    class_names: Sequence[str],
    *,
    texts: Sequence[str],
    labels: np.ndarray,
    parts: Sequence[str] | np.ndarray,
    notes: Sequence[str],
    files: Sequence[str] = (),
) -> Source:
    """Return texts as a source, without tokens yet.

    Args:
        name: Of the set, the file or the folder.
        class_names: The name of class 0, 1, ...
        texts: Those of all splits.
        labels: (texts, ...); see `Examples`.
        parts: "train", "validation" or "test" of each text where the source says so,
            else "" for all.
        notes: Lines that the user should see.
        files: Of a folder, the path of each text.
    """
    everything = Examples(np.empty((len(texts), 0), np.int32), labels, texts)
    splits = {
        str(part): take(everything, np.flatnonzero(np.asarray(parts) == part))
        for part in np.unique(parts)
    }
    first = splits["" if "" in splits else "train"]
    validation, test = splits.get("validation"), splits.get("test")
    return Source(
        name,
        class_names,
        examples=first,
        validation=validation,
        open_test=None if test is None else lambda: test,
        files=[f for f, part in zip(files, parts) if part in ("", "train")],
        own_files={
            own: [f for f, part in zip(files, parts) if part == own]
            for own in ("validation", "test")
        },
        fingerprint=_fingerprint(
            [first] if validation is None else [first, validation]
        ),
        test_fingerprint="" if test is None else _fingerprint([test]),
        notes=notes,
    )


def encode_splits(raw: Splits, options: Options) -> Splits:
    """Learn the vocabulary of the training texts unless there is one; encode all.

    Args:
        raw: Splits of texts without tokens yet.
        options: How the texts are encoded.

    Returns:
        Splits whose test texts are encoded by `open_test()`.
    """
    # After the carving: the vocabulary must know nothing of the validation.
    train, tokenizer = _encoded_train(raw, options)
    if raw.validation is raw.train:  # judged as a whole
        return replace(
            raw,
            train=train,
            validation=train,
            open_test=lambda: train,
            notes=(*raw.notes, *_token_notes(train, tokenizer, options)),
            tokenizer=tokenizer,
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


def _raw_notes(*splits: Sequence[str]) -> list[str]:
    """Return notes on the texts of train, validation and test as they are."""
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
    train: Examples, tokenizer: "Tokenizer", options: Options
) -> list[str]:
    """Return notes on what the encoding left of the training texts."""
    tokens, lengths, most = np.asarray(train.inputs), train.lengths, options.max_tokens
    assert lengths is not None
    unknown = unknown_share(tokens, tokenizer)
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


def _encoded_train(raw: Splits, options: Options) -> "tuple[Examples, Tokenizer]":
    """Encode the training texts; return them and the tokenizer, learned if need be."""
    tokenizer = options.tokenizer or raw.tokenizer
    words = split_words(tokenizer or word_rules(), _texts(raw.train))
    if not words.names:
        raise UserError(f"no training text of {raw.name} has a word in it")
    if tokenizer is None:
        tokenizer, words = build_vocabulary(
            words, options.vocabulary_size, options.skip_top
        )
        if not words.numbers.size:
            raise UserError(f"skip_top {options.skip_top} leaves no word of {raw.name}")
    inputs, lengths, tokens = encode_words(
        tokenizer,
        words,
        max_tokens=options.max_tokens,
        keep_tokens=options.keep_tokens,
    )
    all_tokens = (tokens, words.offsets)
    train = replace(raw.train, inputs=inputs, lengths=lengths, all_tokens=all_tokens)
    return train, tokenizer


def _encoded(examples: Examples, tokenizer: "Tokenizer", options: Options) -> Examples:
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
        labels = part.labels
        sha.update(labels.astype(labels.dtype.newbyteorder("<")).tobytes())
        for text in _texts(part):
            content = text.encode("utf-8", "surrogatepass")
            sha.update(b"%d;" % len(content))
            sha.update(content)
    return sha.hexdigest()
