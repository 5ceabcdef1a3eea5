"""Examples and splits: what every source of data becomes, and how splits are carved.

Everything drawn here comes from the raw 64-bit stream of Philox, which NumPy promises
never to change, and not from `Generator.permutation`, which it may: a split carved
today is the same one after an upgrade.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from classicnets.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from classicnets.data.folds import Fold

# Second words of the Philox key. Epochs use 0, 1, 2, ...: these are far from them.
_TEST_STREAM = 0x74657374_00000000
_VALIDATION_STREAM = 0x76616C69_00000000
_FOLD_STREAM = 0x666F6C64_00000000
_TEST_FRACTION = 0.2


class Rows:
    """Some rows of an array, seen without copying it: `Rows(array, indices)`.

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
        inputs: images (n, height, width, channels) uint8, or the tokens of texts
            (n, max_tokens) int32, padded with 0 at the end; an array, a memory map, or
            `Rows` of one of them.
        labels: (n,) int32, the number of the class; all 0 where there are no classes.
        texts: the n texts that the inputs stand for; None for images.
        lengths: (n,) int32, the tokens of each text before it was cut to max_tokens;
            None for images.
        whole: of training texts the tokens before they were cut, one text after
            another, int32, and offsets (n + 1,): text i has those from offsets[i] up to
            offsets[i + 1].
    """

    inputs: np.ndarray | Rows
    labels: np.ndarray
    texts: Sequence[str] | None = None
    lengths: np.ndarray | None = None
    whole: tuple[np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Splits:
    """A data set, split. The test examples stay closed until `open_test()`.

    Args:
        name: the name of the set, the file or the folder.
        class_names: the name of class 0, 1, ...; () where there are no labels.
        train: what the network learns from.
        validation: what every choice is made on.
        open_test: returns the test examples; only an evaluation calls it.
        fingerprint: hex digest of the content, the same for every `split_seed`.
        notes: lines that the user should see.
        tokenizer: turns a text into the tokens of the inputs; None for images.
    """

    name: str
    class_names: tuple[str, ...]
    train: Examples
    validation: Examples
    open_test: Callable[[], Examples]
    fingerprint: str
    notes: tuple[str, ...]
    tokenizer: "Tokenizer | None" = None

    @property
    def on_texts(self) -> bool:
        """Whether the inputs are tokens and not images."""
        return self.train.inputs.ndim == 2

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """What a network takes: (height, width, channels), or (None,) tokens."""
        return (None,) if self.on_texts else self.train.inputs.shape[1:]

    @property
    def network_options(self) -> dict[str, Any]:
        """What the data decide of a network: the size of the vocabulary."""
        if self.tokenizer is None:
            return {}
        return {"vocabulary_size": self.tokenizer.get_vocab_size()}

    @property
    def kind(self) -> str:
        """What the inputs are, in words."""
        shape = self.train.inputs.shape
        if self.on_texts:
            return f"texts of up to {shape[1]} tokens"
        return f"images of {'x'.join(map(str, shape[1:]))}"


def epoch_order(examples: int, *, seed: int, epoch: int) -> np.ndarray:
    """The order in which an epoch visits the examples.

    Args:
        examples: how many there are.
        seed: of the run, 0 or more.
        epoch: 0 or more.

    Returns:
        A permutation of 0..examples-1, (examples,) int64: a function of the seed and
        the epoch alone, so that a resumed run needs no state for it.
    """
    return np.argsort(_random_words(examples, seed, epoch), kind="stable")


def split(
    *,
    name: str,
    class_names: Sequence[str],
    inputs: np.ndarray,
    labels: np.ndarray,
    validation: Examples | None,
    open_test: Callable[[], Examples] | None,
    validation_fraction: float,
    split_seed: int,
    fingerprint: str,
    notes: Sequence[str],
    labelled: bool = True,
    texts: Sequence[str] | None = None,
    lengths: np.ndarray | None = None,
    fold: "Fold | None" = None,
) -> Splits:
    """Carve the splits that a source does not bring.

    Args:
        inputs, labels: every example from which splits may be carved.
        validation: the source's own, or None: `validation_fraction` of what is not
            test, class by class, drawn with `split_seed`.
        open_test: the source's own, or None: a fifth of the examples, class by class,
            always the same one whatever the `split_seed`.
        labelled: whether the labels will be learned. If not, there may be no classes,
            or classes too small to be split: then all is drawn as one heap.
        texts, lengths: what `Examples` has of texts; carved as the inputs are.
        fold: of a cross-validation. What it holds out of the training examples takes
            the place of the test, and the test itself is left alone.

    Raises:
        UserError: a class, or the heap, has too few examples for every split to get
            one, or for the folds.
    """
    notes = [*notes]
    carved = (open_test is None) + (validation is None)
    problem = _class_problem(name, class_names, labels, needed=1 + carved)
    if problem and labelled:
        raise UserError(problem)
    if len(labels) < 1 + carved:
        raise UserError(
            f"{name} must have at least {1 + carved} examples to be split, it has "
            f"{len(labels)}"
        )
    how = "" if problem else "class by class, "
    groups = np.zeros_like(labels) if problem else labels
    rest = np.arange(len(labels))
    if open_test is None:
        spare = 1 if validation is None else 0
        rest, test = _carve(groups, _TEST_FRACTION, spare, 0, _TEST_STREAM)
        tested = take(inputs, labels, test, texts, lengths)
        notes.append(
            f"no test split in {name}: {len(test):,} of its {len(labels):,} examples "
            f"are set aside as test, {how}always the same ones"
        )

        def open_test() -> Examples:
            return tested

    classes = labels if labelled else None
    if fold:
        if fold.groups is not None and len(fold.groups) != len(labels):
            raise UserError(
                f"groups must have a line for each of the {len(labels):,} examples of "
                f"{name}, they have {len(fold.groups):,}"
            )
        words = _random_words(len(rest), split_seed, _FOLD_STREAM)
        rest, held = fold.hold_out(name, classes, rest, words)
        left = f"{name} without fold {fold.number}"
        needed = 1 + (validation is None)
        problem = _class_problem(left, class_names, labels[rest], needed)
        if problem and labelled:
            raise UserError(problem)
        notes.append(
            f"fold {fold.number} of {fold.of}: {len(held):,} of "
            f"{len(held) + len(rest):,} training examples are held out; they are what "
            "this run calls test, and the test of the data stays closed"
        )
        held_out = take(inputs, labels, held, texts, lengths)

        def open_test() -> Examples:
            return held_out

    if validation is None:
        before = len(rest)
        if fold and fold.groups is not None:
            how = "by groups, "
            words = _random_words(before, split_seed, _VALIDATION_STREAM)
            rest, carved_rows = fold.hold_out_share(
                validation_fraction, name, classes, rest, words
            )
        else:
            kept, chosen = _carve(
                groups[rest], validation_fraction, 0, split_seed, _VALIDATION_STREAM
            )
            rest, carved_rows = rest[kept], rest[chosen]
        notes.append(
            f"validation: {len(carved_rows):,} of {before:,} training examples, "
            f"{how}drawn with split_seed {split_seed}"
        )
        validation = take(inputs, labels, carved_rows, texts, lengths)
    return Splits(
        name=name,
        class_names=tuple(class_names),
        train=take(inputs, labels, rest, texts, lengths),
        validation=validation,
        open_test=open_test,
        fingerprint=fingerprint,
        notes=tuple(notes),
    )


def take(
    inputs: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    texts: Sequence[str] | None = None,
    lengths: np.ndarray | None = None,
) -> Examples:
    """The given rows, ascending, as Examples; a run of neighbours is a plain slice."""
    neighbours = len(rows) and rows[-1] - rows[0] + 1 == len(rows)
    return Examples(
        inputs[rows[0] : rows[-1] + 1] if neighbours else Rows(inputs, rows),
        np.asarray(labels[rows], np.int32),
        None if texts is None else [texts[row] for row in rows],
        None if lengths is None else lengths[rows],
    )


def check_split_options(validation_fraction: float, split_seed: int) -> None:
    """Refuse a fraction outside (0, 1) and a negative seed."""
    if not 0 < validation_fraction < 1:
        raise UserError(
            f"validation_fraction must lie between 0 and 1, got {validation_fraction}; "
            "0.1 is usual"
        )
    if not 0 <= split_seed < 2**63:
        raise UserError(f"split_seed must lie in 0..2**63 - 1, got {split_seed}")


def digest(*arrays: np.ndarray) -> str:
    """Hex SHA-256 of the arrays' shapes, types and bytes."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.shape} {array.dtype.str};".encode())
        sha.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return sha.hexdigest()


def _carve(
    groups: np.ndarray, fraction: float, spare: int, seed: int, stream: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split row numbers into (kept, carved), both ascending.

    Of every group the nearest whole number to `fraction` is carved: at least one, and
    at least `spare` + 1 stay.
    """
    _, sizes = np.unique(groups, return_counts=True)
    wanted = np.floor(fraction * sizes + 0.5).astype(np.int64)
    counts = np.clip(wanted, 1, sizes - 1 - spare)
    # Rows group by group, in a random order inside each.
    order = np.lexsort((_random_words(len(groups), seed, stream), groups))
    starts = np.cumsum(sizes) - sizes
    rank = np.arange(len(groups)) - np.repeat(starts, sizes)
    is_carved = np.zeros(len(groups), bool)
    is_carved[order] = rank < np.repeat(counts, sizes)
    return np.flatnonzero(~is_carved), np.flatnonzero(is_carved)


def _random_words(count: int, *key: int) -> np.ndarray:
    words = np.random.Philox(key=np.array(key, np.uint64)).random_raw(count)
    return np.asarray(words, np.uint64)


def _class_problem(
    name: str, class_names: Sequence[str], labels: np.ndarray, needed: int
) -> str | None:
    """Why the examples cannot be split class by class, if so."""
    if len(class_names) < 2:
        one = f" ({class_names[0]!r})" if len(class_names) else ""
        return f"{name} must have at least 2 classes, got {len(class_names)}{one}"
    sizes = np.bincount(labels, minlength=len(class_names))
    small = np.flatnonzero(sizes < needed)
    if not len(small):
        return None
    first = int(small[0])
    more = f" ({len(small)} classes are so small)" if len(small) > 1 else ""
    return (
        f"every class needs at least {needed} examples to be split, class "
        f"{class_names[first]!r} of {name} has {sizes[first]}{more}"
    )
