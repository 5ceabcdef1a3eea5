"""What the tests of the networks share."""

import keras
import numpy as np
import pytest


@pytest.fixture
def shapes_only():
    """Networks built in the test have shapes and no values: VGG's 550 MB stay away."""
    with keras.StatelessScope(initialize_variables=False):
        yield
    # Forgets the variables that wait for their values.
    keras.utils.clear_session(free_memory=False)


@pytest.fixture(scope="session")
def digits():
    """256 handwritten digits of scikit-learn, (256, 8, 8, 1) float32 in [0, 1]."""
    from sklearn.datasets import load_digits

    images = load_digits().images[:256, ..., None]
    return (images / 16.0).astype(np.float32)
