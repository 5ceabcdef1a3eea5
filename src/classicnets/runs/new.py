"""A new run's folder."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from classicnets import files
from classicnets.recipe import Recipe, to_toml
from classicnets.runs.run import Run


def create(
    runs_folder: str | os.PathLike[str],
    name: str,
    recipe: Recipe,
    *,
    environment: Mapping[str, Any],
) -> Run:
    """Make the folder of a new run and open it.

    Args:
        runs_folder: Where runs are kept; made when it is not there.
        name: Of the run. The folder is NAME-SEED, or NAME-SEED-2, -3, … when that is
            taken: no run is ever written over.
        recipe: Of the run.
        environment: What `environment.describe` returned.

    Raises:
        UserError: If the name cannot be a folder's name, or the folder cannot be made.
    """
    files.check_name(name)
    folder = files.take_folder(Path(runs_folder), f"{name}-{recipe.seed}")
    files.write(folder / "recipe.toml", to_toml(recipe).encode())
    run = Run(folder)
    run.save_json("environment.json", environment)
    run.set_status("running")
    return run
