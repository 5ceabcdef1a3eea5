"""Write whole networks with fresh weights as ONNX, and compare them with Keras.

    python tools/check_exports.py              # every network
    python tools/check_exports.py vgg16 lstm   # some

Each at 32x32 (`wgan_gp` at 64x64), codes of its own size, texts of 400 tokens. Prints
one line per network: the largest difference, the largest output, and what it took.
Outputs above 1 are compared by their share: of fresh weights a hundred layers make
millions.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import keras
import numpy as np

from classicnets import networks
from classicnets.inference import export, formats
from classicnets.tasks import plain

SIDES = {"wgan_gp": 64}
CLASSES, LENGTH, WORDS = 10, 400, 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="networks; all by default")
    parser.add_argument("--format", dest="format_", default="onnx")
    arguments = parser.parse_args()
    names = arguments.names or [*networks.NETWORKS, *networks.PAIRS]
    # A process each: the large ones leave gigabytes behind.
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        shares = list(pool.map(_report, names, [arguments.format_] * len(names)))
    worst = float(np.max(shares))  # NaN, where one is
    print(f"largest difference {worst:.1e}")
    if not worst <= export.TOLERANCE:
        raise SystemExit(1)


def _report(name: str, format_: str) -> float:
    """Check the networks of a name, and return the largest difference, as a share."""
    worst = 0.0
    for part, network, batches in _parts(name):
        started = time.monotonic()
        difference, size = _check(network, format_, batches)
        largest = _largest_output(network, batches[0])
        worst = float(np.maximum(worst, difference / max(1.0, largest)))
        seconds = time.monotonic() - started
        print(
            f"{name:18}{part:18}{difference:10.1e} of {largest:<10.4g}"
            f"{size / 1e6:10.1f} MB{seconds:8.0f} s",
            flush=True,
        )
    return worst


def _check(
    network: keras.Model, format_: str, batches: list[export.Batch]
) -> tuple[float, int]:
    """Return the largest difference of a network's file, and the bytes it has."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"network{formats.FORMATS[format_].suffix}"
        export.write(network, format_, path)
        files = [path, *path.rglob("*")]
        size = sum(file.stat().st_size for file in files if file.is_file())
        return export.compare(network, format_, path, batches), size


def _largest_output(network: keras.Model, batch: export.Batch) -> float:
    outputs = keras.tree.flatten(network(*batch.values(), training=False))
    return max(float(np.abs(keras.ops.convert_to_numpy(x)).max()) for x in outputs)


def _parts(name: str) -> Iterator[tuple[str, keras.Model, list[export.Batch]]]:
    """Yield the networks that a name stands for, as a run saves them, with inputs."""
    keras.utils.set_random_seed(0)
    source = np.random.default_rng(0)
    shape = (SIDES.get(name, 32),) * 2 + (3,)
    mean, deviation = np.full(3, 0.5, "float32"), np.full(3, 0.25, "float32")
    kind = networks.kind(name)
    if name == "lstm":
        network = networks.create(name, (None,), 2, bidirectional=True, pooling="max")
        tokens = [
            source.integers(WORDS, size=(n, LENGTH), dtype="int32") for n in (5, 1)
        ]
        tokens[0][:, LENGTH // 2 :] = 0
        named = export.with_names(network, "model", kind.parts["model"])
        yield "model", named, [{"tokens": batch} for batch in tokens]
        return
    if kind.labelled:
        parts = {"model": networks.create(name, shape, CLASSES)}
    elif name in networks.PAIRS:
        parts = dict(zip(("generator", "critic"), networks.create_pair(name, shape)))
    else:
        both = networks.create(name, shape)
        parts = {part: both.get_layer(part) for part in ("encoder", "decoder")}
    for part, network in parts.items():
        if part in ("generator", "decoder"):
            size = network.input_shape[-1]
            codes = [source.standard_normal((n, size), "float32") for n in (5, 1)]
            (own,) = network.inputs
            floats = export.with_names(network, part, ["floats"])  # not rounded
            yield f"{part}, float", floats, [{own.name: batch} for batch in codes]
            saved = plain.to_pixels(network, log_odds=part == "decoder")
            batches = [{"codes": batch} for batch in codes]
        else:
            saved = plain.with_scaling(network, mean, deviation)
            sizes = [(n, *shape) for n in (5, 1)]
            batches = [
                {"pixels": source.integers(256, size=size, dtype=np.uint8)}
                for size in sizes
            ]
        yield part, export.with_names(saved, part, kind.parts[part]), batches


if __name__ == "__main__":
    main()
