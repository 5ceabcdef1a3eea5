"""Every test of data gets a cache of its own, and makes its own small images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("CLASSICNETS_CACHE", str(folder))
    return folder


@pytest.fixture
def image_folder(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder of plain images: image i of class k has the colour (20 k, i, 0)."""

    def make(
        counts: dict[str, int],
        name: str = "pictures",
        size: tuple[int, int] = (48, 40),
        ending: str = "png",
        mode: str = "RGB",
    ) -> Path:
        root = tmp_path / name
        for number, (folder, count) in enumerate(counts.items()):
            (root / folder).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                pixels = np.full((size[1], size[0], 3), (20 * number, i, 0), np.uint8)
                image = Image.fromarray(pixels).convert(mode)
                image.save(root / folder / f"{i:03}.{ending}")
        return root

    return make
