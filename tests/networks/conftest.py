"""What the tests of the networks share."""

import keras
import pytest


@pytest.fixture
def shapes_only():
    """Networks built in the test have shapes and no values: VGG's 550 MB stay away."""
    with keras.StatelessScope(initialize_variables=False):
        yield
    # Forgets the variables that wait for their values.
    keras.utils.clear_session(free_memory=False)
