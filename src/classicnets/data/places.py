"""Where data are: the user's folder, the cache."""

import os
from pathlib import Path

from classicnets.errors import UserError


def cache_folder() -> Path:
    """Return where sets are kept: `$CLASSICNETS_CACHE`, else the user's cache."""
    if folder := os.environ.get("CLASSICNETS_CACHE"):
        return Path(folder).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("classicnets"))


def places(name: str) -> list[Path]:
    """Return where a set may be, best first; the last is where a download goes."""
    file = "imdb.parquet" if name == "imdb" else f"{name}.npz"
    paths = [cache_folder() / file]
    if own := os.environ.get("CLASSICNETS_DATA"):
        folder = Path(own).expanduser()
        if not folder.is_dir():
            raise UserError(
                f"CLASSICNETS_DATA must name a folder, {folder} is not there"
            )
        paths.insert(0, folder / file)
    if name == "imdb":
        paths.append(cache_folder() / "imdb.npz")
    return paths
