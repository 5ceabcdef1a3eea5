"""Examples, splits and the order of an epoch: what every source of data becomes."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from classicnets.recipe import IMAGES, TEXTS
from classicnets.streams import Stream, words

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Rows:
    """Some rows of an array, without a copy: `Rows(array, indices)`.

    It has what a reader of examples needs: `shape`, `dtype`, `nbytes`, `len()`,
    indexing by row (an integer, a slice, an array of integers) and `np.asarray`, which
    reads all the rows into memory.
    """

    def __init__(self, array: np.ndarray, indices: np.ndarray):
        self._array = array
        self._indices = np.asarray(indices, np.int64)
        self.shape = (len(self._indices), *array.shape[1:])
        self.dtype = array.dtype
        self.ndim = array.ndim
        self.size = int(np.prod(self.shape, dtype=np.int64))
        self.nbytes = self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, rows: Any) -> np.ndarray:
        if isinstance(rows, tuple):
            raise IndexError("Rows are indexed by row only, got several indices.")
        return np.asarray(self._array[self._indices[rows]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("Rows cannot become an array without a copy.")
        return self[:] if dtype is None else self[:].astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"Rows(shape={self.shape}, dtype={self.dtype})"


@dataclass(frozen=True)
class Examples:
    """The examples of one split.

    Args:
        inputs: Images (n, height, width, channels) uint8, or the tokens of texts
            (n, max_tokens) int32, padded with 0 at the end; an array, a memory map, or
            `Rows` of one of them.
        labels: (n,) int32, the number of the class, all 0 where there are no classes;
            (n,) float64, where labels are numbers; or (n, classes) uint8, 1 for each
            that an example has, where it has several.
        texts: The n texts that the inputs stand for; None for images.
        lengths: (n,) int32, the tokens of each text before it was cut to max_tokens;
            None for images.
        all_tokens: Of training texts the tokens before they were cut, one text after
            another, int32, and offsets (n + 1,): text i has those from offsets[i] up to
            offsets[i + 1].
    """

    inputs: np.ndarray | Rows
    labels: np.ndarray
    texts: Sequence[str] | None = None
    lengths: np.ndarray | None = None
    all_tokens: tuple[np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Splits:
    """A data set, split. The test examples stay closed until `open_test()`.

    Args:
        name: The name of the set, the file or the folder.
        class_names: The name of class 0, 1, ...; () where there are no labels, or
            these are numbers.
        train: What the network learns from.
        validation: What every choice is made on.
        open_test: Returns the test examples; an evaluation calls it, `doctor`, which
            counts them, and what counts texts that stand in two splits.
        fingerprint: Hex digest of the content, the same for every `split_seed`.
        test_fingerprint: Hex digest of what the test is, without opening it: the
            source's own test, or which of the examples were carved; "" where
            `fingerprint` changes with it.
        notes: Lines that the user should see.
        files: Of a folder whose splits were carved: by "train", "validation" and "test"
            the paths of their files, in the order of the examples.
        names: Of a folder, by split the files of its examples, in their order.
        tokenizer: Turns a text into the tokens of the inputs; None for images.
    """

    name: str
    class_names: tuple[str, ...]
    train: Examples
    validation: Examples
    open_test: Callable[[], Examples]
    fingerprint: str
    notes: tuple[str, ...]
    test_fingerprint: str = ""
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    tokenizer: "Tokenizer | None" = None

    @property
    def inputs(self) -> str:
        """What the inputs are: images, or texts as tokens."""
        return TEXTS if self.train.inputs.ndim == 2 else IMAGES

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """What a network takes: (height, width, channels), or (None,) tokens."""
        return (None,) if self.inputs == TEXTS else self.train.inputs.shape[1:]

    @property
    def network_options(self) -> dict[str, Any]:
        """What the data decide of a network: the size of the vocabulary."""
        if self.tokenizer is None:
            return {}
        return {"vocabulary_size": self.tokenizer.get_vocab_size()}

    @property
    def kind(self) -> str:
        """What the inputs are, in words."""
        shape, lengths = self.train.inputs.shape, self.train.lengths
        if self.inputs == TEXTS:
            median = f"{np.median(lengths):.0f} words, " if lengths is not None else ""
            return f"texts ({median}at most {shape[1]:,} read)"
        return f"images of {'x'.join(map(str, shape[1:]))}"


def epoch_order(
    examples: int, *, seed: int, epoch: int, labels: np.ndarray | None = None
) -> np.ndarray:
    """Return the order in which an epoch visits the examples.

    Args:
        examples: How many there are.
        seed: Of the run, 0 or more.
        epoch: 0 or more.
        labels: (examples,), the number of each one's class, where all classes are to
            be visited equally often.

    Returns:
        A permutation of 0..examples-1, (examples,) int64; with labels as many numbers,
        drawn with replacement. A function of the arguments alone, so that a resumed run
        needs no state for it.
    """
    if labels is not None:
        return _balanced(labels, words(examples, seed, Stream.BALANCE + epoch))
    return np.argsort(words(examples, seed, Stream.ORDER + epoch), kind="stable")


def _balanced(labels: np.ndarray, random: np.ndarray) -> np.ndarray:
    """Draw a class of those that have examples, and one of its examples, for each word.

    The upper half of the word draws the class, the lower half the example.
    """
    upper, lower = (
        (random >> np.uint64(32)).astype(float),
        random & np.uint64(2**32 - 1),
    )
    _, counts = np.unique(labels, return_counts=True)
    first = np.cumsum(counts) - counts  # of each class, in the order of the classes
    drawn = (upper * len(counts) / 2**32).astype(np.int64)
    place = (lower.astype(float) * counts[drawn] / 2**32).astype(np.int64)
    return np.argsort(labels, kind="stable")[first[drawn] + place]


def digest(*arrays: np.ndarray) -> str:
    """Return the hex SHA-256 of the arrays' shapes, types and bytes."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.shape} {array.dtype.str};".encode())
        sha.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return sha.hexdigest()
