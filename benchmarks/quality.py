"""Measure the seconds of training to a given quality: ours and the script of 2021.

Each trains in a process of its own, one after the other, on the same reviews, and is
judged after every epoch on the same others. The clock starts with the training, so it
counts tracing and compiling, and stops at the first validation that is good enough.
"""

import argparse
import multiprocessing
import shlex
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.table import machine
from benchmarks.worker import (
    DROPOUT,
    EMBEDDING,
    TOKENS,
    UNITS,
    VOCABULARY,
    choose_backend,
)
from classicnets import data, environment
from classicnets.run import write_atomically

ACCURACY = 0.84  # where the LSTM of the script stands after its first epoch
VALIDATION = 0.2  # of the training reviews, as in the script
BATCH = 64
MOST_EPOCHS = 5  # as in the script
BACKENDS = ("torch", "tensorflow", "jax")
RECIPE = Path(__file__).parent / "lstm-imdb-quick.toml"


def main() -> None:
    """Read the command line, let them train in turns, write the page."""
    options = _options()
    racers = [f"ours-{backend}" for backend in options.backends.split(",")]
    racers.append("keras2021")
    seconds: dict[str, list[float]] = {name: [] for name in racers}
    rows = []
    out = Path(options.out)
    for seed in range(options.runs):
        for name in racers if seed % 2 == 0 else racers[::-1]:
            noted = _in_a_process(name, seed)
            reached = next((s for s, accuracy in noted if accuracy >= ACCURACY), None)
            seconds[name].append(np.inf if reached is None else reached)
            rows += [(name, seed, n, *noted[n - 1]) for n in range(1, len(noted) + 1)]
            print(f"{name} seed {seed}: {noted}", file=sys.stderr, flush=True)
        # After every seed: a run cut short keeps what it has.
        write_atomically(out, page(seconds, rows).encode())
        lines = ["contender,seed,epoch,seconds,validation_accuracy"]
        lines += [f"{name},{seed},{n},{s:.2f},{a:.4f}" for name, seed, n, s, a in rows]
        write_atomically(out.with_suffix(".csv"), ("\n".join(lines) + "\n").encode())
    print(out)


def train_ours(seed: int) -> list[tuple[float, float]]:
    """Train by the recipe; return seconds and validation accuracy after each epoch."""
    import classicnets

    clock = _clock("validation_top1")
    with tempfile.TemporaryDirectory() as runs:
        classicnets.train(
            RECIPE, runs=runs, seed=seed, callbacks=[clock], verbose=False
        )
    return clock.noted


def train_keras_2021(seed: int) -> list[tuple[float, float]]:
    """Train as the script does: padding in front, `unroll=True`, sigmoid, `fit`."""
    import keras
    import tensorflow as tf
    from keras import layers

    keras.utils.set_random_seed(seed)
    splits = data.load(
        "imdb",
        validation_fraction=VALIDATION,
        vocabulary_size=VOCABULARY,
        max_tokens=TOKENS,
        keep_tokens="last",
    )

    def dataset(examples):
        tokens = np.asarray(examples.inputs)
        lengths = np.count_nonzero(tokens, axis=1)
        rows = [np.roll(row, TOKENS - n) for row, n in zip(tokens, lengths)]
        pairs = (np.stack(rows), examples.labels)
        shuffled = tf.data.Dataset.from_tensor_slices(pairs).shuffle(10_000)
        return shuffled.batch(BATCH, drop_remainder=True)

    model = keras.Sequential(
        [
            keras.Input((TOKENS,), dtype="int32"),
            layers.Embedding(VOCABULARY, EMBEDDING),
            layers.LSTM(UNITS[0], dropout=DROPOUT, return_sequences=True, unroll=True),
            layers.LSTM(UNITS[1], dropout=DROPOUT, unroll=True),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    clock = _clock("val_accuracy")
    model.fit(
        dataset(splits.train),
        epochs=MOST_EPOCHS,
        validation_data=dataset(splits.validation),
        callbacks=[clock],
        verbose=0,
    )
    return clock.noted


def _clock(key):
    """Return a callback that notes `key` and ends training when it is good enough."""
    import keras

    class Clock(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.noted = []
            self.started = time.monotonic()

        def on_epoch_end(self, epoch, logs=None):
            self.noted.append((time.monotonic() - self.started, logs[key]))
            self.model.stop_training = logs[key] >= ACCURACY

    return Clock()


def _in_a_process(name, seed):
    """Run one contender where the backend of Keras can be chosen."""
    context = multiprocessing.get_context("spawn")
    ours, their = context.Pipe()
    process = context.Process(target=_work, args=(their, name, seed))
    process.start()
    their.close()
    try:
        return ours.recv()
    except EOFError:
        raise SystemExit(f"{name} ended without a result.") from None
    finally:
        process.join()


def _work(pipe, name, seed):
    choose_backend(name.partition("-")[2] or "tensorflow")
    pipe.send(train_ours(seed) if name.startswith("ours") else train_keras_2021(seed))


def page(
    seconds: dict[str, list[float]],
    rows: list[tuple[str, int, int, float, float]],
) -> str:
    """Return the page.

    Args:
        seconds: To the accuracy, by contender and seed; infinite where it was missed.
        rows: (contender, seed, epoch, seconds, validation accuracy).
    """
    facts = environment.describe("", "CPU")
    command = shlex.join(["python", "-m", "benchmarks.quality", *sys.argv[1:]])
    lines = [
        f"# Seconds to {ACCURACY} validation accuracy on IMDB",
        "",
        "Written by the command below; `benchmarks/README.md` says what is alike.",
        "",
        f"- command: `{command}`",
        f"- commit: {facts['commit']}; started {facts['started']}",
        f"- machine: {facts['processor']}, {facts['cpu_count']} cores; {machine()}",
        f"- runs: {len(seconds['keras2021'])}, in turns, a seed each",
        "",
        "| contender | seconds, by seed | times as soon as the 2021 script | epochs,"
        " by seed | validation accuracy |",
        "|---|---|---|---|---|",
    ]
    for name, found in seconds.items():
        sooner = [t / s for t, s in zip(seconds["keras2021"], found)]
        last = {row[1]: row for row in rows if row[0] == name}.values()
        cells = [
            name,
            " ".join(f"{s:.1f}" for s in found),
            f"{statistics.median(sooner):.2f} ({min(sooner):.2f}..{max(sooner):.2f})",
            " ".join(str(row[2]) for row in last),
            " ".join(f"{row[4]:.4f}" for row in last),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _options():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--backends",
        default="torch",
        help=f"of ours, with commas: {', '.join(BACKENDS)}; default: %(default)s",
    )
    parser.add_argument("--runs", type=int, default=3, help="default: %(default)s")
    parser.add_argument(
        "--out", default="docs/benchmarks-quality.md", help="default: %(default)s"
    )
    options = parser.parse_args()
    unknown = set(options.backends.split(",")) - set(BACKENDS)
    if unknown or options.runs < 1:
        parser.error("backends must be among those above, and runs at least 1.")
    return options


if __name__ == "__main__":
    main()
