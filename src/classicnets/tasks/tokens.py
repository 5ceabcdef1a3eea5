"""Texts on their way into a network: batches no longer than their longest text."""

from typing import Any

import keras
import numpy as np

from classicnets import data, streams
from classicnets.data import Examples
from classicnets.data.batches import lengths, trim
from classicnets.recipe import Recipe
from classicnets.streams import Stream

POOL = 50  # calls whose texts are sorted by length at a time


class Tokens:
    """Training texts as tokens (n, max_tokens) int32, padded with 0 at their ends."""

    def __init__(self, recipe: Recipe, train: Examples):
        self.recipe = recipe
        self.arrays: dict = {}  # texts are small beside the work on them: fed
        self.tokens = train.inputs
        self.balance = train.labels if recipe.balance == "sampling" else None
        self.lengths = lengths(train.inputs)
        self.whole = train.all_tokens

    def order(self, epoch: int, count: int) -> np.ndarray:
        """Return `count` examples of an epoch so that neighbours are of like lengths.

        Of a random order, the texts of `POOL` calls at a time are sorted by length and
        cut into calls; the calls then come in a random order. It is a function of the
        seed and the epoch alone.
        """
        seed = self.recipe.seed
        call = self.recipe.batch_size * self.recipe.steps_per_call
        order = data.epoch_order(
            len(self.tokens), seed=seed, epoch=epoch, labels=self.balance
        )[:count]
        pool = np.arange(count) // (call * POOL)
        order = order[np.lexsort((self.lengths[order], pool))]
        calls = count // call
        shuffled = data.epoch_order(calls, seed=seed, epoch=Stream.CALLS + epoch)
        whole = order[: calls * call].reshape(calls, call)[shuffled]
        return np.concatenate([whole.reshape(-1), order[calls * call :]])

    def draws(self, steps: int, epoch: int) -> dict[str, np.ndarray]:
        """Draw where windows begin: `window` (steps, batch), a share of what is left.

        It is -1 where the text is read as it was cut.
        """
        share = self.recipe.random_windows
        if not share:
            return {}
        source = streams.generator(self.recipe.seed, Stream.WINDOWS + epoch)
        shape = (2, steps, self.recipe.batch_size)
        level, place = source.random(shape, dtype=np.float32)
        return {"window": np.where(level < share, place, -1.0)}

    def rows(self, batches: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the tokens (rows, batch, length) of a call's examples.

        Args:
            batches: `index` (rows, batch), the examples, and their draws.
        """
        index = batches["index"].reshape(-1)
        tokens = self.tokens[index]  # a copy: index is an array
        if "window" in batches and self.whole:
            most = tokens.shape[1]
            everything, offsets = self.whole
            place = batches["window"].reshape(-1)
            length = offsets[index + 1] - offsets[index]
            moved = (place >= 0) & (length > most)
            first = (place * (length - most + 1)).astype(np.int64) + offsets[index]
            tokens[moved] = everything[first[moved, None] + np.arange(most)]
        return {"tokens": trim(tokens).reshape(*batches["index"].shape, -1)}

    def prepare(
        self, arrays: dict, batch: dict, targets: Any, image_size: int
    ) -> tuple[Any, Any]:
        """Return one step's inputs and targets."""
        return batch["tokens"], targets

    def scale(self, tokens: Any) -> Any:
        """Return the tokens: networks take them as they are."""
        return tokens

    def on_raw_inputs(self, network: keras.Model) -> keras.Model:
        """Return the model as it is."""
        return network
