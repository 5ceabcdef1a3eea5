"""What the page of an autoencoder, a VAE or a GAN shows: pictures above all."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from classicnets import pictures
from classicnets.errors import UserError
from classicnets.reports import figures
from classicnets.runs.run import Run

_EARLIER = 8  # grids of earlier epochs on the page
# Pixels a side, beyond which the page takes a smaller copy: it shall stay a few MB.
_LARGE, _SMALL = 1200, 288
_ANIMATION_BYTES = 4_000_000


def content(run: Run, common: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names that generative.html.j2 uses beside those of every page.

    Args:
        run: Of a network that makes images.
        common: Those names, of which `kind` is used.

    Raises:
        UserError: If a picture is there but cannot be read.
    """
    # An autoencoder has no distribution of codes to draw samples from.
    model = f"{common['kind'].samples_from or 'decoder'}.keras"
    epochs = _epochs(run.path / "samples")
    return {
        "model_file": model,
        "has_model": (run.path / model).is_file(),
        "last": _sheet(epochs[-1], largest=_LARGE) if epochs else None,
        "earlier": [_sheet(path, largest=_SMALL) for path in _spread(epochs[:-1])],
        "animation": _animation(run.path / "samples" / "training.png"),
        "sheets": {
            name: _sheet(path, largest=_LARGE)
            for name in ("reconstructions", "interpolation", "latent", "manifold")
            if (path := run.path / "samples" / f"{name}.png").is_file()
            and _is_own(run, path)
        },
    }


def _is_own(run: Run, path: Path) -> bool:
    """Return whether a network of the run made a picture, if it says which."""
    networks = run.identity.get("networks")
    if not networks:
        return True
    try:
        return pictures.about(path).get("model") in (None, *networks.values())
    except (OSError, SyntaxError, ValueError):
        return True  # what is wrong with it is said where it is read


def fixed(value: object, digits: int = 2) -> str:
    """Return so many digits after the point; a dash for what is not in the file."""
    return f"{value:.{digits}f}" if isinstance(value, int | float) else "–"


def with_deviation(mean: object, deviation: object) -> str:
    """Return both with two digits of the deviation: 0.0123 ± 0.0012."""
    if not isinstance(deviation, int | float) or deviation <= 0:
        return fixed(mean, 4)
    digits = min(max(1 - math.floor(math.log10(deviation)), 0), 8)
    return f"{fixed(mean, digits)} ± {fixed(deviation, digits)}"


def _epochs(folder: Path) -> list[Path]:
    """Return the grids of the epochs, in order: epoch-10000 comes after epoch-9999."""
    paths = {
        int(match[1]): path
        for path in folder.glob("epoch-*.png")
        if (match := re.fullmatch(r"epoch-(\d+)\.png", path.name))
    }
    return [paths[epoch] for epoch in sorted(paths)]


def _spread(paths: list[Path]) -> list[Path]:
    """Return a few of them from first to last, evenly."""
    if len(paths) <= _EARLIER:
        return paths
    step = (len(paths) - 1) / (_EARLIER - 1)
    return [paths[round(place * step)] for place in range(_EARLIER)]


def _animation(path: Path) -> dict[str, Any] | None:
    if not path.is_file() or path.stat().st_size > _ANIMATION_BYTES:
        return None
    return _sheet(path)


def _sheet(path: Path, *, largest: int | None = None) -> dict[str, Any]:
    """Return a picture for the page; `epoch` is the number in its name, if any."""
    try:
        uri, width, height = figures.sheet(path, largest=largest)
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path} must be a picture: {error}.") from None
    digits = re.search(r"\d+", path.stem)
    return {
        "uri": uri,
        "width": width,
        "height": height,
        "epoch": int(digits[0]) if digits else None,
    }
