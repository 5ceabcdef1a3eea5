"""From texts to words: the rules, and all texts cut by them at once."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PADDING, UNKNOWN = "[PAD]", "[UNK]"

# Scripts written without spaces: each character is a token.
_ALONE = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}"
_START = rf"[\p{{L}}\p{{N}}&&[^{_ALONE}]]"
_RUN = rf"{_START}[\p{{L}}\p{{N}}\p{{M}}&&[^{_ALONE}]]*"
_TOKEN = rf"{_RUN}(?:'{_RUN})*|[{_ALONE}]|[!?]|\p{{So}}"
# The rest of a break, " />", is dropped as punctuation.
_BREAK = r"(?i)</?br\b"
_BLOCK = 512  # pieces, then texts, at a time
_NONE = np.empty(0, np.int32)


@dataclass(frozen=True)
class Words:
    """Texts cut into words.

    Args:
        names: The distinct words.
        numbers: Its place in `names` for every word of every text, int32.
        offsets: (texts + 1,) int64: text i has numbers[offsets[i] : offsets[i + 1]].
    """

    names: list[str]
    numbers: np.ndarray
    offsets: np.ndarray


def word_rules() -> "Tokenizer":
    """Return the rules of words, with no vocabulary yet.

    Breaks (`<br />`) become spaces, characters their NFKC form, letters lower case. A
    word is a run of letters, digits and marks with apostrophes inside; `!`, `?` and
    each emoji are words, and so is each character of Chinese, Japanese and Thai. Other
    punctuation is dropped.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    rules = Tokenizer(models.WordLevel({}, unk_token=UNKNOWN))
    rules.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(_BREAK), " "),
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.Replace("’", "'"),
        ]
    )
    rules.pre_tokenizer = pre_tokenizers.Split(Regex(_TOKEN), "removed", invert=True)
    return rules


def split_words(rules: "Tokenizer", texts: Sequence[str]) -> Words:
    """Cut texts into words by the rules of a tokenizer.

    No rule reaches across a space. So each distinct piece between spaces is cut once
    for all texts. With one core, 2,500 film reviews took 0.6 s to count and to encode,
    and 2.6 s by the library's own training and `encode_batch`.
    """
    pieces, words = _new_numbers(), _new_numbers()
    rows = [_numbered(pieces, text.split(" ")) for text in texts]
    distinct = list(pieces)
    numbers, sizes = [_NONE], [_NONE]
    for start in range(0, len(distinct), _BLOCK):
        names, counts = _cut(rules, distinct[start : start + _BLOCK])
        numbers.append(_numbered(words, names))
        sizes.append(counts)
    table, lengths = np.concatenate(numbers), np.concatenate(sizes)
    starts = np.cumsum(lengths) - lengths
    all_words, offsets = [_NONE], [np.zeros(1, np.int64)]
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        row = np.concatenate(block)
        counts = lengths[row]
        ends = np.cumsum(counts)
        # Where each word of the block stands in the table.
        places = np.repeat(starts[row] - ends + counts, counts) + np.arange(ends[-1])
        all_words.append(table[places])
        offsets.append(offsets[-1][-1] + ends[np.cumsum([*map(len, block)]) - 1])
    return Words(list(words), np.concatenate(all_words), np.concatenate(offsets))


def well_formed(text: str) -> str:
    """Return a text where half a surrogate pair is the sign of a lost character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _new_numbers() -> defaultdict[str, int]:
    """Return 0, 1, 2, ... for strings, in the order in which they are first met."""
    return defaultdict(count().__next__)


def _numbered(numbers: defaultdict[str, int], names: Sequence[str]) -> np.ndarray:
    return np.fromiter(map(numbers.__getitem__, names), np.int32, len(names))


def _cut(rules: "Tokenizer", pieces: list[str]) -> tuple[list[str], np.ndarray]:
    """Return the words of all pieces, and how many each piece has.

    The pieces are cut as one text: a call for each takes three times as long.
    """
    from tokenizers import PreTokenizedString

    try:
        text = PreTokenizedString(" ".join(pieces))
    except UnicodeEncodeError:  # such as an argument of the command that is not UTF-8
        pieces = [well_formed(piece) for piece in pieces]
        text = PreTokenizedString(" ".join(pieces))
    text.normalize(rules.normalizer.normalize)
    rules.pre_tokenizer.pre_tokenize(text)
    cuts = text.get_splits("original", "char")
    ends = np.cumsum([len(piece) + 1 for piece in pieces])
    starts = [start for _, (start, _), _ in cuts]
    owners = np.searchsorted(ends, starts, side="right")
    counts = np.bincount(owners, minlength=len(pieces)).astype(np.int32)
    return [word for word, _, _ in cuts], counts
