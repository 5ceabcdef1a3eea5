"""Cross-validation: which training examples a fold holds out.

The splitters are scikit-learn's. They are given the examples in an order drawn from
a stream, as every other split here, and shuffle nothing themselves.
"""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from classicnets.data.reading import read_text
from classicnets.errors import UserError


@dataclasses.dataclass(frozen=True)
class Fold:
    """One fold of a cross-validation.

    Args:
        number: Counts from 1.
        of: How many folds there are.
        groups: The name of the group of every example, whose members stay together in
            one fold; None where there are no groups.
    """

    number: int
    of: int
    groups: Sequence[str] | None = None

    def hold_out(
        self, name: str, labels: np.ndarray | None, rows: np.ndarray, words: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Split row numbers into (kept, held out), both ascending.

        Args:
            name: How messages call the data.
            labels: Of all examples; None where there are no classes to stratify by.
            rows: Which of the examples take part.
            words: (rows,) the order of drawing.

        Raises:
            UserError: If there are fewer examples, members of a class, or groups than
                folds.
        """
        order = rows[np.argsort(words, kind="stable")]
        classes = None if labels is None else labels[order]
        groups = None
        if self.groups is not None:
            _, numbers = np.unique(np.asarray(self.groups), return_inverse=True)
            groups = numbers[order]
        examples = len(order)
        _check_enough(name, self.of, examples=examples, classes=classes, groups=groups)
        folds = _splitter(self.of, classes, groups).split(order, classes, groups)
        rest, fold = list(folds)[self.number - 1]
        return np.sort(order[rest]), np.sort(order[fold])

    def hold_out_share(
        self,
        share: float,
        name: str,
        labels: np.ndarray | None,
        rows: np.ndarray,
        words: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Hold out about `share` of the rows, groups together; see `hold_out`."""
        groups = len(set(np.asarray(self.groups)[rows].tolist()))
        smallest = len(rows) if labels is None else _smallest(labels[rows])
        parts = min(max(2, math.floor(1 / share + 0.5)), groups, smallest)
        if parts < 2:
            raise UserError(
                f"what fold {self.number} leaves of {name} must have two groups, and"
                f" two examples of every class, of which one validates; it has {groups}"
                f" and {smallest}."
            )
        first = dataclasses.replace(self, number=1, of=parts)
        return first.hold_out(name, labels, rows, words)


def splitter_name(stratified: bool, grouped: bool) -> str:
    """Return the name of the scikit-learn class that makes the folds."""
    if grouped:
        return "StratifiedGroupKFold" if stratified else "GroupKFold"
    return "StratifiedKFold" if stratified else "KFold"


def check_fold(folds: int, fold: int) -> None:
    """Refuse one fold, and a fold that is none of them."""
    if folds < 0 or folds == 1:
        raise UserError(f"folds must be at least 2, got {folds}.")
    if folds and not 1 <= fold <= folds:
        raise UserError(f"fold must lie in 1..{folds}, got {fold}.")
    if fold and not folds:
        raise UserError(f"fold {fold} needs to know of how many: set folds too.")


def read_groups(path: Path) -> list[str]:
    """Read a text file that names the group of one example per line."""
    try:
        text = read_text(path)
    except UserError as error:
        raise UserError(f"groups {path}: {error}") from None
    groups = [line.strip() for line in text.splitlines()]
    if "" in groups:
        raise UserError(
            f"every line of {path} must name a group, line {groups.index('') + 1} is"
            " empty."
        )
    return groups


def _splitter(folds: int, classes: np.ndarray | None, groups: np.ndarray | None) -> Any:
    # Imported here: it takes a second.
    from sklearn import model_selection

    name = splitter_name(classes is not None, groups is not None)
    return getattr(model_selection, name)(n_splits=folds)


def _check_enough(
    name: str,
    folds: int,
    *,
    examples: int,
    classes: np.ndarray | None,
    groups: np.ndarray | None,
) -> None:
    if examples < folds:
        raise UserError(f"{folds} folds need as many examples, {name} has {examples}.")
    if groups is not None and (count := len(np.unique(groups))) < folds:
        raise UserError(f"{folds} folds need as many groups, {name} has {count}.")
    if classes is not None and (smallest := _smallest(classes)) < folds:
        raise UserError(
            f"{folds} folds need as many examples of every class, the smallest of"
            f" {name} has {smallest} to cross-validate with."
        )


def _smallest(classes: np.ndarray) -> int:
    return int(np.unique(classes, return_counts=True)[1].min())
