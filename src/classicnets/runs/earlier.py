"""A finished run that is made longer: what it had reached is kept, whole and apart.

    runs/NAME-SEED/earlier/epoch-0010/   a run's folder like any other, but for the
                                         checkpoints: its networks, scores, exports

From then on the run's own folder holds nothing of the network it had: no number of
the old one can be taken for one of the new.
"""

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from classicnets import files
from classicnets.runs import identity
from classicnets.runs.run import Run

FOLDER = "earlier"
# What says how a run came about, and what was written with the network of its end.
_STORY = (
    *("recipe.toml", "environment.json", "status.json", "history.csv"),
    *("tokenizer.json", "splits.json"),
)
_RESULTS = (
    *("metrics.json", identity.FILE, "exports.json", "report.html"),
    *("last", "averaged", "predictions.csv"),
)


def keep(run: Run) -> list[str]:
    """Copy what a run wrote at its end to `earlier/`; return a note, if there was any.

    Killed on the way it leaves nothing that could be taken for a copy, and the next
    call ends it.
    """
    paths = _results(run)
    if not paths:
        return []
    epochs = len(run.history)
    folder = run.path / FOLDER / f"epoch-{epochs:04d}"
    if not _is_copy(folder, run.path):
        folder = _copy(run.path, folder, paths)
    return [
        f"what it was after {epochs} epoch{'s' * (epochs != 1)}, network and scores,"
        f" is kept in {files.as_typed(folder)}."
    ]


def clear(run: Run) -> None:
    """Remove what `keep` has copied and is of the network of then."""
    for path in _results(run):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _results(run: Run) -> list[Path]:
    """Return what was written with the networks of a run, these last; or []."""
    networks = [
        path for p in run.recipe.kind.parts for path in run.path.glob(f"{p}.keras")
    ]
    if not networks:
        return []
    exports = [run.path / name for name in run.exports]
    paths = {path for path in exports if path.parent == run.path}
    for part in run.recipe.kind.parts:
        paths |= set(run.path.glob(f"{part}.*"))
    samples = (run.path / "samples").glob("*")
    paths |= {path for path in samples if not path.name.startswith("epoch-")}
    paths |= {run.path / name for name in _RESULTS}
    others = [path for path in paths - set(networks) if path.exists()]
    # By identity.json the others are known to be of these networks.
    return [*sorted(others, key=lambda path: path.name == identity.FILE), *networks]


def _is_copy(folder: Path, run: Path) -> bool:
    """Return whether the folder has all networks of the run, byte for byte."""
    return all(
        (folder / network.name).is_file()
        and identity.digest(folder / network.name) == identity.digest(network)
        for network in run.glob("*.keras")
    )


def _copy(run: Path, folder: Path, paths: Iterable[Path]) -> Path:
    """Copy a run's story and the paths to the first free folder of this name."""
    part = folder.with_name(f".{folder.name}")
    with contextlib.suppress(FileNotFoundError):  # of a process that was killed
        shutil.rmtree(part)
    for path in (*(run / name for name in _STORY), *paths):
        copy = part / path.relative_to(run)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, copy)
        elif path.exists():
            shutil.copy2(path, copy)
    free, attempt = folder, 1
    while free.exists():
        attempt += 1
        free = folder.with_name(f"{folder.name}-{attempt}")
    part.rename(free)
    return free
