"""What every test starts from: its own cache, and small data made on the spot."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest


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
