"""Where data are: the user's folder, the cache."""

import os
from pathlib import Path

from classicnets.errors import UserError


def cache_folder() -> Path:
    """Where sets are kept: `$CLASSICNETS_CACHE`, else the user's cache folder."""
    chosen = os.environ.get("CLASSICNETS_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("classicnets"))


def places(name: str) -> list[Path]:
    """Where a set is looked for, in this order; the last is where a download goes."""
    file = "imdb.parquet" if name == "imdb" else f"{name}.npz"
    searched = [cache_folder() / file]
    given = os.environ.get("CLASSICNETS_DATA")
    if given:
        folder = Path(given).expanduser()
        if not folder.is_dir():
            raise UserError(
                f"CLASSICNETS_DATA must name a folder, {folder} is not there"
            )
        searched.insert(0, folder / file)
    if name == "imdb":
        searched.append(cache_folder() / "imdb.npz")
    return searched
