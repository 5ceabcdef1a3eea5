"""Train the first steps of every recipe by two checkouts, and compare bit for bit.

    python tools/same_losses.py BEFORE AFTER                # 24 recipes, 3 backends
    python tools/same_losses.py BEFORE AFTER --backends torch --recipes vae-mnist
    python tools/same_losses.py BEFORE --keep FOLDER        # for later comparisons

BEFORE and AFTER are folders with `src/classicnets`. Each recipe of BEFORE is trained in
a process of its own on a few random examples of its shape, always the same ones, by the
command line alone. Compared are the row of history.csv and the validation metrics, but
for what a clock wrote, and every tensor of the last checkpoint. Exits with 1 if
anything differs. The backends must be installed where this script runs.
"""

import argparse
import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

BACKENDS = ("tensorflow", "torch", "jax")
# Height, width and channels of the named sets, and how many classes they have.
IMAGES = {
    "mnist": ((28, 28, 1), 10),
    "fashion_mnist": ((28, 28, 1), 10),
    "cifar10": ((32, 32, 3), 10),
    "cifar100": ((32, 32, 3), 100),
}
BATCH = 10  # examples at least, so that each class has some
# `digits` come with scikit-learn as they are: at least so many are trained on.
DIGITS = 700
CHANGES = {
    "epochs": 1,
    "validation_fraction": 0.5,
    "evaluation_batch_size": 32,  # the last batch is a short one
    "deterministic": "true",
}
# By backend and network. This critic stays plain Keras, which drops by PyTorch's own
# generator: no seed reaches it.
UNSEEDED = {("torch", "gan"): {"network_options.dropout": 0.0}}
# What says where a training was done: elsewhere other bits are no wonder.
PLACE = ("processor", "cpu_count", "device", "keras", "backend_version", "numpy")
SHOWN = 3  # differences on a line

Result = dict[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path, nargs="?", help="none: fill --keep only")
    parser.add_argument("--backends", default=",".join(BACKENDS))
    parser.add_argument("--recipes", default="", help="all of BEFORE by default")
    parser.add_argument("--skip", default="", help="recipes, or BACKEND:RECIPE")
    parser.add_argument("--steps", type=int, default=4, help="of each training")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds of one")
    parser.add_argument("--keep", type=Path, help="folder of the results of BEFORE")
    given = parser.parse_args()
    for checkout in filter(None, (given.before, given.after)):
        if not (checkout / "src" / "classicnets").is_dir():
            parser.error(f"{checkout} must have src/classicnets.")
    if not (given.after or given.keep):
        parser.error("without AFTER the results go to --keep FOLDER.")
    recipes = _recipes(given.before)
    names = given.recipes.split(",") if given.recipes else sorted(recipes)
    if unknown := set(names) - set(recipes):
        parser.error(f"no recipe {', '.join(sorted(unknown))} in {given.before}.")
    backends = given.backends.split(",")
    with tempfile.TemporaryDirectory() as folder:
        # JAX compiles a program that did not change once, whoever asks for it.
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(
            (given.keep or Path(folder)).resolve() / "jax"
        )
        count = _compare_all(given, backends, {name: recipes[name] for name in names})
    skipped = f", {count['skipped']} skipped" if count["skipped"] else ""
    print(
        f"{len(names)} recipes x {len(backends)} backends: {count['same']} same,"
        f" {count['differ']} differ{skipped}"
    )
    if count["differ"]:
        raise SystemExit(1)


def _compare_all(given, backends, recipes) -> Counter[str]:
    """Compare each recipe on each backend, print a line, and count the outcomes."""
    count: Counter[str] = Counter()
    skip = given.skip.split(",")
    for backend in backends:
        for name, recipe in recipes.items():
            if name in skip or f"{backend}:{name}" in skip:
                count["skipped"] += 1
                continue
            outcome, line = _compare(given, backend, name, recipe)
            count[outcome] += 1
            print(f"{backend:11}{name:24}{line}", flush=True)
    return count


def differences(before: Result, after: Result) -> list[str]:
    """Say how two results differ: a text for each key, or for each that failed."""
    both = {"BEFORE": before, "AFTER": after}
    if failed := [f"{k}: {r['error']}" for k, r in both.items() if "error" in r]:
        return failed
    keys = dict.fromkeys([*before, *after])
    return [
        f"{key} {_short(before.get(key))}, then {_short(after.get(key))}"
        for key in keys
        if before.get(key) != after.get(key)
    ]


def _compare(given, backend, name, recipe) -> tuple[str, str]:
    """Train a recipe by both checkouts; return "same" or "differ", and a line."""
    started = time.monotonic()
    arguments = backend, name, recipe, given.steps, given.timeout
    before = _kept(given.keep, given.before, *arguments)
    if given.after:
        line, texts = "same", differences(before, _train(given.after, *arguments))
    else:
        line, texts = "kept", [before["error"]] if "error" in before else []
    if texts:
        more = f"; and {len(texts) - SHOWN} more" * (len(texts) > SHOWN)
        line = "; ".join(texts[:SHOWN]) + more
    line += f" ({time.monotonic() - started:.0f} s)"
    return "differ" if texts else "same", line


def _kept(keep: Path | None, checkout: Path, backend, name, recipe, *rest) -> Result:
    """Return the result that `keep` has of this commit, or train and put it there."""
    ask = ["git", "-C", str(checkout), "describe", "--always", "--dirty"]
    ask += ["--abbrev=40", "--exclude=*"]
    answer = subprocess.run(ask, capture_output=True, text=True, check=False)
    commit = answer.stdout.strip()
    if keep is None or not commit or commit.endswith("-dirty"):
        return _train(checkout, backend, name, recipe, *rest)
    file = keep / commit / f"{backend}-{name}-{rest[0]}steps.json"
    if file.exists():
        return json.loads(file.read_text(encoding="utf-8"))
    result = _train(checkout, backend, name, recipe, *rest)
    if "error" not in result:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def _train(checkout: Path, backend, name, recipe, steps, timeout) -> Result:
    """Train a recipe in a new process; return what its folder says, as texts by key."""
    turns = recipe.get("critic_steps", 1) if recipe.get("task") == "generate" else 1
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        examples = _write_data(folder, recipe["data"], BATCH * steps * turns)
        changes = CHANGES | {"batch_size": examples // (steps * turns)}
        changes |= UNSEEDED.get((backend, recipe["network"]), {})
        command = [sys.executable, "-m", "classicnets", "train", name, "--seed", "0"]
        command += ["--backend", backend, "--runs", str(folder), "--name", "run"]
        for key, value in changes.items():
            command += ["--set", f"{key}={value}"]
        places = {
            "PYTHONPATH": str(checkout.resolve() / "src"),
            "CLASSICNETS_DATA": str(folder),
            "CLASSICNETS_CACHE": str(folder / "cache"),
        }
        try:
            process = subprocess.run(
                command,
                cwd=folder,
                env=os.environ | places,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            return {"error": f"not over after {timeout:.0f} s"}
        if process.returncode:
            lines = process.stderr.strip().splitlines() or ["no message"]
            return {"error": f"exit code {process.returncode}: {lines[-1]}"}
        try:
            return _read(folder / "run-0")
        except (OSError, LookupError, ValueError) as error:
            return {"error": f"another run folder: {error!r}"}


def _read(run: Path) -> Result:
    """Return what a finished run's folder says, as texts by key."""
    environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    result = {key: str(environment.get(key)) for key in PLACE}
    result["data"] = str(environment.get("data_fingerprint"))
    with (run / "history.csv").open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            result |= {f"history {key}": cell for key, cell in row.items()}
    for key, value in metrics["validation"].items():
        result[f"metric {key}"] = json.dumps(value)
    result = {k: text for k, text in result.items() if not k.endswith("seconds")}
    *_, newest = sorted((run / "checkpoints").glob("step-*.safetensors"))
    result["checkpoint"] = newest.name
    return result | _tensors(newest.read_bytes())


def _tensors(content: bytes) -> Result:
    """Return a digest of each tensor of a safetensors file: type, shape and bytes."""
    start = 8 + int.from_bytes(content[:8], "little")
    header: Mapping[str, Any] = json.loads(content[8:start])
    digests = {}
    for name in sorted(set(header) - {"__metadata__"}):
        entry = header[name]
        first, end = (start + offset for offset in entry["data_offsets"])
        sha = hashlib.sha256(f"{entry['dtype']} {entry['shape']};".encode())
        sha.update(content[first:end])
        digests[f"tensor {name}"] = sha.hexdigest()
    return digests


def _write_data(folder: Path, name: str, wanted: int) -> int:
    """Write a set where `$CLASSICNETS_DATA` has it, and say how many train a network.

    Half of what is not test validates.

    Args:
        wanted: How many shall be trained on; some more where classes are many.
    """
    source = np.random.default_rng(0)
    if name == "digits":
        return DIGITS
    if name == "imdb":
        _write_texts(folder / "imdb.parquet", source, 2 * wanted)
        return wanted
    if name == "anime_faces":
        _write_faces(folder / name, source, wanted * 5 // 2)  # a fifth becomes test
        return wanted
    shape, classes = IMAGES[name]
    wanted = -(-wanted // classes) * classes
    arrays: dict[str, Any] = {}
    for part, count in (("train", 2 * wanted), ("test", classes)):
        arrays[f"x_{part}"] = source.integers(256, size=(count, *shape), dtype=np.uint8)
        arrays[f"y_{part}"] = np.arange(count) % classes
    names = np.array([f"class{number:02}" for number in range(classes)])
    np.savez(folder / f"{name}.npz", class_names=names, **arrays)
    return wanted


def _write_texts(path: Path, source: np.random.Generator, count: int) -> None:
    """Write texts of up to 600 words, of which some are more frequent than others."""
    import pyarrow
    from pyarrow import parquet

    texts = [
        " ".join(f"word{number}" for number in source.geometric(0.01, size=length))
        for length in source.integers(5, 600, size=count + 10)
    ]
    columns = {
        "split": ["train"] * count + ["test"] * 10,
        "text": texts,
        "label": [number % 2 for number in range(len(texts))],
    }
    parquet.write_table(pyarrow.table(columns), path)


def _write_faces(folder: Path, source: np.random.Generator, count: int) -> None:
    """Write images of 96x96 without classes."""
    from PIL import Image

    folder.mkdir()
    for number in range(count):
        image = Image.fromarray(source.integers(256, size=(96, 96, 3), dtype=np.uint8))
        content = io.BytesIO()
        image.save(content, "png", compress_level=1)
        (folder / f"{number:04}.png").write_bytes(content.getvalue())


def _recipes(checkout: Path) -> dict[str, dict[str, Any]]:
    """Return the shipped recipes of a checkout by their names."""
    files = (checkout / "src" / "classicnets").rglob("recipes/*.toml")
    return {f.stem: tomllib.loads(f.read_text(encoding="utf-8")) for f in files}


def _short(text: str | None) -> str:
    if text is None:
        return "nothing"
    return text if len(text) <= 60 else f"{text[:40]}..."


if __name__ == "__main__":
    main()
