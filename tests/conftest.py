"""What every test starts from: its own cache, and small data made on the spot."""

import csv
import os
import pathlib

import numpy as np
import pytest

# Before a test module imports Keras and its backend.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

# Many tests train the same small network: JAX compiles it once. Kept from run to run.
KEPT = pathlib.Path(__file__).parents[1] / ".pytest_cache" / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(KEPT))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Keep what tests decode or download out of the user's cache."""
    monkeypatch.setenv("CLASSICNETS_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def tiny_set(tmp_path_factory):
    """Return a function that writes an .npz of random images and returns its path."""

    def write(classes=3, train=24, test=9, shape=(8, 8, 3)):
        random = np.random.default_rng(classes)
        path = tmp_path_factory.mktemp("tiny") / "tiny.npz"
        np.savez(
            path,
            x_train=random.integers(256, size=(train, *shape), dtype=np.uint8),
            y_train=np.arange(train) % classes,
            x_test=random.integers(256, size=(test, *shape), dtype=np.uint8),
            y_test=np.arange(test) % classes,
        )
        return path

    return write


@pytest.fixture(scope="session")
def tiny_texts(tmp_path_factory):
    """Return a function that writes a CSV of texts and returns its path.

    A text of class k holds the k-th of `words` once, among words that say nothing.
    """

    def write(words=("good", "bad"), train=40, test=10, longest=12):
        random = np.random.default_rng(len(words))
        path = tmp_path_factory.mktemp("texts") / "tiny.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["text", "label", "split"])
            for number in range(train + test):
                filler = random.integers(20, size=random.integers(1, longest))
                text = [f"word{n}" for n in filler]
                text.insert(random.integers(len(text) + 1), words[number % len(words)])
                part = "train" if number < train else "test"
                rows.writerow([" ".join(text), words[number % len(words)], part])
        return path

    return write
