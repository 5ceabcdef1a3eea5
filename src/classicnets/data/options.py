"""How data are read and split: the keys of a recipe that `data.load` takes."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from classicnets import recipe as recipes
from classicnets.data.folds import check_fold
from classicnets.errors import UserError
from classicnets.kinds import CLASSES, NUMBERS, SETS
from classicnets.recipe import Recipe

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def _key(name: str) -> Any:
    """Make a field with the default of a recipe's key."""
    return dataclasses.field(default=recipes.FIELDS[name].default)


@dataclasses.dataclass(frozen=True)
class Options:
    """How `data.load` reads and splits a source. Each is a key of a recipe but five.

    Args:
        labelled: Whether labels are needed. If not, a folder of images is pooled, with
            subfolders or without, a `.npz` needs none, and texts are refused; what has
            no classes has `class_names` () and the label 0 for all.
        labels: What a label is, where they are needed: `kinds.CLASSES`, `NUMBERS` or
            `SETS`; see `Examples`.
        validation_fraction: In (0, 1): how much of what is not test becomes validation,
            where the source has no validation split.
        split_seed: Which examples those are, 0 or more. It never changes the test.
        image_size: Height and width in pixels, or (height, width) where they differ,
            which is no key of a recipe; 0 keeps the data's own, and for a folder takes
            the median short side, a multiple of 8 from 32 to 64.
        channels: 1 (grey), 3 (RGB), or 0: the data's own.
        resize: "crop", "fit" or "stretch"; see `read_image`.
        allow_corrupt: Go on although more than 1 % of a folder's files are broken.
        vocabulary_size: How many words there are at most, 3 or more; the padding and
            the unknown word count.
        skip_top: So many of the most frequent words are left out of every text.
        max_tokens: The length of a row of tokens, 1 or more.
        keep_tokens: "first", "last" or "ends"; see `encode`.
        text_column, label_column: The columns of a table; "" guesses by their names.
        folds: Of a cross-validation, 2 or more; 0: none.
        fold: Which of them is held out of the training split, from 1 on: it takes the
            place of the test, which stays closed.
        groups: Whose examples stay together in one fold: the column of a table, or a
            text file with one line per example; "" for none. The examples are those of
            the training split; of data that bring no test, all.
        tokenizer: Encodes the texts, such as that of a run; None learns a vocabulary
            from the training texts.
        files: What `Splits.files` was when a run began: files of a folder stay in their
            splits, whatever has been added since, and new ones are to train on; None
            carves anew.
        whole: Nothing is carved: where a source brings no test, all of it is the test,
            and it may lack classes.
        progress: Show the progress of decoding a folder on stderr.

    Raises:
        UserError: If a value has another type or lies outside its bounds.
    """

    labelled: bool = True
    labels: str = CLASSES
    validation_fraction: float = _key("validation_fraction")
    split_seed: int = _key("split_seed")
    image_size: int | tuple[int, int] = _key("image_size")
    channels: int = _key("channels")
    resize: str = _key("resize")
    allow_corrupt: bool = _key("allow_corrupt")
    vocabulary_size: int = _key("vocabulary_size")
    skip_top: int = _key("skip_top")
    max_tokens: int = _key("max_tokens")
    keep_tokens: str = _key("keep_tokens")
    text_column: str = _key("text_column")
    label_column: str = _key("label_column")
    folds: int = _key("folds")
    fold: int = _key("fold")
    groups: str = _key("groups")
    tokenizer: "Tokenizer | None" = None
    files: Mapping[str, Sequence[str]] | None = None
    whole: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        if self.labels not in (CLASSES, NUMBERS, SETS):
            raise UserError(
                f"labels must be one of {CLASSES}, {NUMBERS}, {SETS}, got"
                f" {self.labels!r}."
            )
        if isinstance(self.image_size, tuple):
            object.__setattr__(self, "image_size", check_size(self.image_size))
        for name in _KEYS:
            value = getattr(self, name)
            if isinstance(value, tuple):
                continue
            value = value.item() if isinstance(value, np.generic) else value
            object.__setattr__(self, name, recipes.check(name, value))
        check_fold(self.folds, self.fold)


def check_size(image_size: int | tuple[int, int]) -> int | tuple[int, int]:
    """Return a size as it is compared: two sides that are equal as one.

    Raises:
        UserError: If a side is no number of pixels.
    """
    if not isinstance(image_size, tuple):
        return recipes.check("image_size", image_size)
    height, width = (recipes.check("image_size", side) for side in image_size)
    if 0 in (height, width) and height != width:
        raise UserError(f"both sides of image_size must be set, got {image_size}.")
    return height if height == width else (height, width)


def sides(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) of a size that may be one number."""
    if isinstance(image_size, tuple):
        return image_size
    return image_size, image_size


_KEYS = [name for name in Options.__annotations__ if name in recipes.FIELDS]


def from_recipe(recipe: Recipe, **others: Any) -> Options:
    """Return what a recipe says of its data.

    Args:
        recipe: The recipe.
        **others: Options that are not the recipe's, such as a run's `tokenizer`.
    """
    own = {name: getattr(recipe, name) for name in _KEYS}
    kind = recipe.kind
    needed = {"labelled": kind.labelled, "labels": kind.labels or CLASSES}
    return Options(**{**needed, **own, **others})
