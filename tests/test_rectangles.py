"""Pictures that are not square stay as they are, wherever a run opens some."""

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

import classicnets as cn


def test_a_run_on_rectangles_is_judged_and_asked_about_rectangles(tmp_path):
    random = np.random.default_rng(0)
    images = random.integers(256, size=(60, 40, 24), dtype=np.uint8)
    labels = np.arange(60) % 2
    np.savez(
        tmp_path / "tall.npz",
        **{"x_train": images[:48], "y_train": labels[:48]},
        **{"x_test": images[48:], "y_test": labels[48:]},
    )
    found = cn.cross_validate(
        "lstm-digits-rows",
        **{"folds": 2, "data": str(tmp_path / "tall.npz"), "runs": tmp_path},
        **{"epochs": 1, "batch_size": 8, "network_options": {"units": [4]}},
        verbose=False,
    )
    run = found.fold(1)
    assert run.model.input_shape == (None, 40, 24, 1)
    assert run.metrics["test"]["examples"] == 24  # what the fold held out
    Image.fromarray(images[0]).save(tmp_path / "tall.png")
    Image.fromarray(images[0].repeat(2, axis=0)).save(tmp_path / "taller.png")
    same, taller = cn.predict(run, [tmp_path / "tall.png", tmp_path / "taller.png"])
    expected = softmax(run.model.predict(images[:1, :, :, None], verbose=0)[0])
    shares = {entry["name"]: entry["probability"] for entry in same["classes"]}
    assert shares == pytest.approx({"0": expected[0], "1": expected[1]}, rel=1e-4)
    assert len(taller["classes"]) == 2
