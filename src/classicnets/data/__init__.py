"""Where examples come from: named sets, arrays, images, texts.

Every source becomes the same `Splits`: uint8 images (n, height, width, channels) or the
int32 tokens of texts (n, max_tokens), and int32 labels, split into train, validation
and a test that stays closed. Tasks that need no labels take images without any.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from classicnets.data.catalogue import DATASETS as DATASETS
    from classicnets.data.catalogue import Dataset as Dataset
    from classicnets.data.copies import count_copies as count_copies
    from classicnets.data.examples import Examples as Examples
    from classicnets.data.examples import Rows as Rows
    from classicnets.data.examples import Splits as Splits
    from classicnets.data.examples import epoch_order as epoch_order
    from classicnets.data.folds import Fold as Fold
    from classicnets.data.folds import splitter_name as splitter_name
    from classicnets.data.images.decoding import read_image as read_image
    from classicnets.data.loading import load as load
    from classicnets.data.loading import prepare as prepare
    from classicnets.data.options import Options as Options
    from classicnets.data.options import from_recipe as from_recipe
    from classicnets.data.reading import read_text as read_text
    from classicnets.data.texts.cooccurrence import word_vectors as word_vectors
    from classicnets.data.texts.ratios import log_count_ratios as log_count_ratios
    from classicnets.data.texts.vocabulary import encode as encode
    from classicnets.data.texts.vocabulary import load_tokenizer as load_tokenizer
    from classicnets.data.texts.vocabulary import unknown_share as unknown_share
    from classicnets.data.texts.vocabulary import words_read as words_read

# Where each name lives. They are imported when first used: a list of the sets needs no
# reader of images, tables or texts.
_HOME = {
    "DATASETS": "catalogue",
    "Dataset": "catalogue",
    "Examples": "examples",
    "Fold": "folds",
    "Options": "options",
    "Rows": "examples",
    "Splits": "examples",
    "count_copies": "copies",
    "encode": "texts.vocabulary",
    "epoch_order": "examples",
    "from_recipe": "options",
    "load": "loading",
    "load_tokenizer": "texts.vocabulary",
    "log_count_ratios": "texts.ratios",
    "prepare": "loading",
    "read_image": "images.decoding",
    "read_text": "reading",
    "splitter_name": "folds",
    "unknown_share": "texts.vocabulary",
    "word_vectors": "texts.cooccurrence",
    "words_read": "texts.vocabulary",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'classicnets.data' has no attribute {name!r}")
    home = importlib.import_module(f"classicnets.data.{_HOME[name]}")
    value = globals()[name] = getattr(home, name)
    return value


def __dir__() -> list[str]:
    return __all__
