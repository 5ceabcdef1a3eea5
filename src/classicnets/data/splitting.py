"""How splits are carved that a source does not bring.

Everything drawn here comes from the raw words of a stream, which NumPy promises never
to change, and not from `Generator.permutation`, which it may: a split carved today is
the same one after an upgrade.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from classicnets.data.examples import Examples, Rows, Splits, digest
from classicnets.data.folds import Fold
from classicnets.data.labels import advice
from classicnets.data.options import Options
from classicnets.errors import UserError
from classicnets.kinds import CLASSES
from classicnets.streams import Stream, words

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_TEST_FRACTION = 0.2


@dataclass(frozen=True)
class Source:
    """What a reader has read, before it is split.

    Args:
        name: Of the set, the file or the folder.
        class_names: The name of class 0, 1, ...; () where there are no labels, or
            these are numbers.
        examples: Every example from which splits may be carved.
        fingerprint: Hex digest of the content.
        test_fingerprint: Of its own test, where `fingerprint` does not cover that.
        notes: Lines that the user should see.
        validation: The source's own, or None.
        open_test: Returns the source's own test; None where it has none.
        files: Of a folder, the path of every example of `examples`.
        own_files: And of those of its own validation and test, by split.
        tokenizer: For texts that come with a vocabulary of their own.
    """

    name: str
    class_names: Sequence[str]
    examples: Examples
    fingerprint: str
    notes: Sequence[str] = ()
    validation: Examples | None = None
    open_test: Callable[[], Examples] | None = None
    files: Sequence[str] = ()
    own_files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    test_fingerprint: str = ""
    tokenizer: "Tokenizer | None" = None


def split(source: Source, options: Options, *, fold: Fold | None = None) -> Splits:
    """Carve the splits that a source does not bring.

    The test, where it brings none, is a fifth of the examples, always the same one
    whatever the `split_seed`; then `validation_fraction` of the rest is drawn with it.
    Both are drawn class by class, where a label is one class. Numbers and sets of
    classes are pooled, and so are, where labels are not learned, classes too small to
    be split.

    Args:
        source: What was read.
        options: How it is split.
        fold: Of a cross-validation. What it holds out of the training examples takes
            the place of the test, and the test itself is left alone.

    Raises:
        UserError: If a class, or the pool, has too few examples for every split to get
            one, or for the folds.
    """
    if options.whole and source.open_test is None:
        return _whole(source)
    carving = _Carving(source, options)
    if options.files and source.files and not fold:
        carving.keep(options.files)
        return carving.splits()
    if source.open_test is None:
        carving.set_test_aside()
    if fold:
        carving.hold_out(fold)
    if source.validation is None:
        carving.carve_validation(fold)
    return carving.splits()


def _whole(source: Source) -> Splits:
    """Return a source that is a test as a whole."""
    examples = source.examples
    if source.validation is not None:
        examples = _joined(examples, source.validation)
    return Splits(
        name=source.name,
        class_names=tuple(source.class_names),
        train=examples,
        validation=examples,
        open_test=lambda: examples,
        fingerprint=source.fingerprint,
        names={"test": source.files} if source.validation is None else {},
        notes=(
            *source.notes,
            f"{source.name} has no test split: all {len(examples):,} examples are"
            " judged",
        ),
        tokenizer=source.tokenizer,
    )


def _joined(one: Examples, other: Examples) -> Examples:
    """Return the examples of two splits, as they were read."""
    texts = None
    if one.texts is not None and other.texts is not None:
        texts = [*one.texts, *other.texts]
    return Examples(
        np.concatenate([one.inputs[:], other.inputs[:]]),
        np.concatenate([one.labels, other.labels]),
        texts,
    )


class _Carving:
    """A source while it is carved; `rows` are those of the training examples so far."""

    def __init__(self, source: Source, options: Options):
        self.source, self.options = source, options
        self.labels = source.examples.labels
        self.rows = np.arange(len(self.labels))
        self.validation, self.open_test = source.validation, source.open_test
        self.test_fingerprint = source.test_fingerprint
        self.notes = list(source.notes)
        splits = 1 + (source.open_test is None) + (source.validation is None)
        self.one_class = options.labelled and options.labels == CLASSES
        pooled = self._refuse_small_classes(source.name, splits)
        if len(self.labels) < splits:
            raise UserError(
                f"{source.name} must have at least {splits} examples to be split, it "
                f"has {len(self.labels)}"
            )
        self.members: dict[str, np.ndarray] = {}  # rows of what was carved
        self.how = "" if pooled else "class by class, "
        self.groups = np.zeros(len(self.labels), int) if pooled else self.labels
        self.classes = self.labels if self.one_class else None

    def set_test_aside(self) -> None:
        """Carve a test that is the same one for every `split_seed`."""
        spare = int(self.validation is None)
        self.rows, test = _carve(
            self.groups, _TEST_FRACTION, seed=0, stream=Stream.TEST, spare=spare
        )
        self.notes.append(
            f"no test split in {self.source.name}: {len(test):,} of its "
            f"{len(self.labels):,} examples are set aside as test, {self.how}always "
            "the same ones"
        )
        self._test_on(test)

    def keep(self, files: Mapping[str, Sequence[str]]) -> None:
        """Put every file in the split where it was, and new ones among the training."""
        parts = {file: part for part, names in files.items() for file in names}
        here = [parts.get(file, "") for file in self.source.files]
        there = np.array(here)
        self.rows = np.flatnonzero((there == "train") | (there == ""))
        if self.source.validation is None:
            self._validate_on(np.flatnonzero(there == "validation"))
        if self.source.open_test is None:
            self._test_on(np.flatnonzero(there == "test"))
        self.test_fingerprint = ""  # the files say it
        new, before = here.count(""), len(parts)
        if not new and len(here) == before:
            return
        self.notes.append(
            f"{len(here) - new:,} of the {before:,} files of before are in"
            f" {self.source.name} and keep their splits; {new:,} new ones are training"
            " examples"
        )

    def hold_out(self, fold: Fold) -> None:
        """Put what a fold holds out in the place of the test."""
        name = self.source.name
        if fold.groups is not None and len(fold.groups) != len(self.labels):
            raise UserError(
                f"groups must have a line for each of the {len(self.labels):,} "
                f"examples of {name}, they have {len(fold.groups):,}"
            )
        order = words(len(self.rows), self.options.split_seed, Stream.FOLD)
        self.rows, test = fold.hold_out(name, self.classes, self.rows, order)
        left = f"{name} without fold {fold.number}"
        self._refuse_small_classes(left, 1 + (self.validation is None))
        self.notes.append(
            f"fold {fold.number} of {fold.of}: {len(test):,} of "
            f"{len(test) + len(self.rows):,} training examples are held out; they are "
            "what this run calls test, and the test of the data stays closed"
        )
        self._test_on(test)

    def carve_validation(self, fold: Fold | None) -> None:
        """Carve the validation of the training examples that are left."""
        options, before, how = self.options, len(self.rows), self.how
        share, seed = options.validation_fraction, options.split_seed
        if fold and fold.groups is not None:
            how = "by groups, "
            order = words(before, seed, Stream.VALIDATION)
            self.rows, validation = fold.hold_out_share(
                share, self.source.name, self.classes, self.rows, order
            )
        else:
            parts = _carve(
                self.groups[self.rows], share, seed=seed, stream=Stream.VALIDATION
            )
            self.rows, validation = (self.rows[part] for part in parts)
        self.notes.append(
            f"validation: {len(validation):,} of {before:,} training examples, "
            f"{how}drawn with split_seed {seed}"
        )
        self._validate_on(validation)

    def splits(self) -> Splits:
        """Return what has been carved."""
        assert self.validation is not None
        assert self.open_test is not None
        return Splits(
            name=self.source.name,
            class_names=tuple(self.source.class_names),
            train=take(self.source.examples, self.rows),
            validation=self.validation,
            open_test=self.open_test,
            fingerprint=self.source.fingerprint,
            notes=tuple(self.notes),
            files=self._files(),
            names=self._names(),
            test_fingerprint=self.test_fingerprint,
            tokenizer=self.source.tokenizer,
        )

    def _names(self) -> dict[str, Sequence[str]]:
        """Return the files of each split, whoever decided on it."""
        return {**self.source.own_files, **self._carved()} if self.source.files else {}

    def _files(self) -> dict[str, list[str]]:
        """Return which files are in which split, where that was decided here."""
        return self._carved() if self.source.files and self.members else {}

    def _carved(self) -> dict[str, list[str]]:
        names, members = self.source.files, {"train": self.rows, **self.members}
        return {part: [names[row] for row in rows] for part, rows in members.items()}

    def _validate_on(self, rows: np.ndarray) -> None:
        self.validation = take(self.source.examples, rows)
        self.members["validation"] = rows

    def _test_on(self, rows: np.ndarray) -> None:
        self.members["test"] = rows
        examples = take(self.source.examples, rows)
        self.open_test = lambda: examples
        self.test_fingerprint = digest(rows)

    def _refuse_small_classes(self, name: str, splits: int) -> bool:
        """Return whether examples are pooled: see `split`."""
        if self.options.labelled and not self.one_class:
            return True
        labels, names = self.labels[self.rows], self.source.class_names
        problem = _class_problem(name, names, labels, splits)
        if problem and self.options.labelled:
            raise UserError(problem)
        return problem is not None


def take(examples: Examples, rows: np.ndarray) -> Examples:
    """Return the given rows, ascending; a run of neighbours is a plain slice."""
    inputs, texts, lengths = examples.inputs, examples.texts, examples.lengths
    neighbours = len(rows) and rows[-1] - rows[0] + 1 == len(rows)
    return replace(
        examples,
        inputs=(
            inputs[rows[0] : rows[-1] + 1]
            if neighbours
            else Rows(np.asanyarray(inputs), rows)
        ),
        labels=examples.labels[rows],
        texts=None if texts is None else [texts[row] for row in rows],
        lengths=None if lengths is None else lengths[rows],
    )


def _carve(
    groups: np.ndarray, fraction: float, *, seed: int, stream: Stream, spare: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Split row numbers into (kept, carved), both ascending.

    The nearest integer to `fraction` of every group is carved: at least one, and at
    least `spare` + 1 stay.
    """
    _, sizes = np.unique(groups, return_counts=True)
    nearest = np.floor(fraction * sizes + 0.5).astype(np.int64)
    counts = np.clip(nearest, 1, sizes - 1 - spare)
    # Rows group by group, in a random order inside each.
    order = np.lexsort((words(len(groups), seed, stream), groups))
    starts = np.cumsum(sizes) - sizes
    rank = np.arange(len(groups)) - np.repeat(starts, sizes)
    is_carved = np.zeros(len(groups), bool)
    is_carved[order] = rank < np.repeat(counts, sizes)
    return np.flatnonzero(~is_carved), np.flatnonzero(is_carved)


def _class_problem(
    name: str, class_names: Sequence[str], labels: np.ndarray, splits: int
) -> str | None:
    """Return why the examples cannot be split class by class, if so."""
    if len(class_names) < 2:
        one = f" ({class_names[0]!r})" if len(class_names) else ""
        return f"{name} must have at least 2 classes, got {len(class_names)}{one}"
    sizes = np.bincount(labels, minlength=len(class_names))
    small = np.flatnonzero(sizes < splits)
    if not len(small):
        return None
    first = int(small[0])
    more = f" ({len(small)} classes are so small)" if len(small) > 1 else ""
    return (
        f"every class needs at least {splits} examples to be split, class "
        f"{class_names[first]!r} of {name} has {sizes[first]}{more}"
        f"{advice(class_names)}"
    )
