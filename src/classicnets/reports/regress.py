"""What the page of a regressor shows: answers over labels, and the largest errors."""

import math
from collections.abc import Mapping
from typing import Any

import markupsafe
import numpy as np

from classicnets.reports import classify, figures
from classicnets.runs.run import Run

_DOTS = 1_000  # beyond which a picture of them is a blot, and large
_ERRORS = 24  # the largest, shown


def content(run: Run, common: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names that regress.html.j2 uses beside those of every page.

    Args:
        run: Of a regressor.
        common: Those names, of which `split` and `metrics` are used.
    """
    split = common["split"]
    arrays = run.samples(split) if split else {}
    return {
        "scatter": _scatter(arrays),
        "dots": _DOTS,
        "samples": _samples(arrays),
        **classify.use(run),
    }


def _scatter(arrays: Mapping[str, np.ndarray]) -> markupsafe.Markup | None:
    """Draw answers over labels; None where neither is there."""
    if not {"all_labels", "all_values"} <= arrays.keys():
        return None
    points = np.stack([arrays["all_labels"], arrays["all_values"]], axis=1)
    points = points[np.isfinite(points).all(axis=1)]
    points = points[:: max(1, math.ceil(len(points) / _DOTS))]
    if not len(points):
        return None
    # Safe: figures.scatter escapes every text it is given.
    return markupsafe.Markup(figures.scatter("Answers over labels", points.tolist()))


def _samples(arrays: Mapping[str, np.ndarray]) -> dict[str, list[dict[str, Any]]]:
    """Return the examples of the largest errors, and others."""
    inputs = "texts" if "texts" in arrays else "images"
    if not {inputs, "labels", "values"} <= arrays.keys():
        return {}
    examples = [
        {**classify.example_of(example), "label": label, "value": value}
        for example, label, value in zip(
            arrays[inputs],
            arrays["labels"].tolist(),
            arrays["values"].tolist(),
            strict=True,
        )
    ]
    return {"worst": examples[:_ERRORS], "others": examples[_ERRORS:]}
