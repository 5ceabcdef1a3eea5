"""What the page of a multi-label classifier shows: label by label, and examples."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from classicnets.reports import classify
from classicnets.runs.run import Run

_WORST = 24  # examples of the largest losses


def content(run: Run, common: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names that tag.html.j2 uses beside those of every page.

    Args:
        run: Of a multi-label classifier.
        common: Those names, of which `split` and `metrics` are used.
    """
    split, rows = common["split"], common["metrics"].get("per_class") or []
    names = [str(name) for name in run.environment.get("class_names") or []]
    return {
        "worst": sorted(rows, key=_rank),
        "samples": _samples(run.samples(split), names) if split else {},
        **classify.use(run),
    }


def _rank(row: Mapping[str, Any]) -> tuple[bool, float]:
    """Sort by average precision; labels that no example has come last."""
    value = row.get("average_precision")
    return value is None, value or 0.0


def _samples(
    arrays: Mapping[str, np.ndarray], names: list[str]
) -> dict[str, list[dict[str, Any]]]:
    """Return the examples of the largest losses, and others."""
    inputs = "texts" if "texts" in arrays else "images"
    if not {inputs, "labels", "probabilities"} <= arrays.keys():
        return {}
    rows = zip(arrays[inputs], arrays["labels"], arrays["probabilities"], strict=True)
    examples = [
        {
            **classify.example_of(example),
            "labels": [name for name, there in zip(names, labels) if there],
            "said": [
                (name, float(share), bool(there))
                for name, share, there in zip(names, shares, labels)
                if share >= 0.5
            ],
        }
        for example, labels, shares in rows
    ]
    return {"worst": examples[:_WORST], "others": examples[_WORST:]}
