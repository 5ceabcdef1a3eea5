"""Measure the speed of training: ours, a Keras script of 2021, and PyTorch.

All contenders of a row are built first; then they train in turns, round by round, so
that whatever else the machine does falls on all alike. Only one computes at a time.
"""

import argparse
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.table import BASELINE, Result, Row, machine, section, write
from benchmarks.worker import (
    CLASSES,
    DIGITS,
    FACES,
    TEXT_CLASSES,
    TEXT_NETWORKS,
    TOKENS,
    VOCABULARY,
    Contender,
    Job,
    NotAvailable,
    Worker,
)
from classicnets import data, environment
from classicnets.errors import UserError, nearest

NETWORKS = ("resnet18", "vgg19_bn", "resnet20", "lstm", "vae", "wgan_gp")
ROWS = (
    *("resnet18-64", "resnet18-128", "vgg19_bn-64", "vgg19_bn-128", "lstm-64"),
    *("vae-512", "wgan_gp-64"),
)
BACKENDS = ("tensorflow", "torch", "jax")
EXAMPLES = 10_000
WARM_UP_STEPS = 2  # the first one compiles
ROW_SECONDS = 90.0  # of turns, where one step a round does not take longer
MOST_STEPS = 4
MOST_QUICK_STEPS = 40
QUICK = ("lstm", "vae")  # a step takes hundredths of a second
REST_SECONDS = 0.3  # threads that wait for work spin for a while first


def main() -> None:
    """Read the command line, measure, write."""
    options = _options()
    introduction = _introduction(options)
    page = Path(options.out)
    started = time.monotonic()
    measured: dict[Row, list[Result]] = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for kind in sorted({kind_of(row.network) for row in options.rows}):
            paths[kind], source = save_examples(folder, kind)
            introduction += f"- data: {source}\n"
        print(introduction, flush=True)
        for row in options.rows:
            path = paths[kind_of(row.network)]
            measured[row] = measure(
                row, options.contenders, path, options.rounds, options.steps
            )
            load = " ".join(f"{value:.1f}" for value in os.getloadavg())
            minutes = (time.monotonic() - started) / 60
            closing = f"- minutes: {minutes:.1f}; load average at the end: {load}\n"
            # After every row: a run cut short keeps what it has.
            write(page, introduction + closing, measured)
            print(section(row, measured[row]), flush=True)
    print(f"{page} and {page.with_suffix('.csv')}")


def contenders(backends: list[str]) -> list[Contender]:
    """Return ours and Keras's own LSTM on each backend, the script of 2021, PyTorch."""
    found = [
        Contender(f"ours-{backend}-{precision}", "benchmarks.ours", backend, precision)
        for backend in backends
        for precision in ("float32", "mixed_bfloat16")
    ]
    found.append(
        Contender(BASELINE, "benchmarks.peers.keras_2021", "tensorflow", "float32")
    )
    found += [
        Contender(
            f"keras-{backend}-float32",
            "benchmarks.ours",
            backend,
            "float32",
            only=TEXT_NETWORKS,
        )
        for backend in backends
    ]
    return found + [
        Contender(
            f"pytorch-{mode}-{precision}",
            "benchmarks.peers.pytorch",
            "torch",
            precision,
            compiled=mode == "compile",
        )
        for mode in ("eager", "compile")
        for precision in ("float32", "bfloat16")
    ]


def measure(
    row: Row, contenders: list[Contender], path: str, rounds: int, steps: int
) -> list[Result]:
    """Let the contenders of a row train in turns.

    Args:
        row: What they train.
        contenders: Who trains.
        path: The examples' file.
        rounds: Turns of each contender.
        steps: Steps a turn; 0: one to four, by the time they take.
    """
    contenders = [c for c in contenders if not c.only or row.network in c.only]
    results = {contender.name: Result(contender) for contender in contenders}
    workers: dict[str, Worker] = {}
    try:
        for contender in contenders:  # they build side by side: it is not timed
            log = f"{path}.{row.name}.{contender.name}.log"
            job = Job(contender, row.network, row.batch_size, path, log)
            workers[contender.name] = Worker(job)
        for name in list(workers):
            with _Excused(results[name], workers):
                results[name].parameters = workers[name].parameters()
        seconds = _warm_up(row, workers, results)
        _check_same_network(row, [results[name] for name in workers])
        if not steps and seconds:
            most = MOST_QUICK_STEPS if row.network in QUICK else MOST_STEPS
            steps = int(np.clip(ROW_SECONDS / (rounds * seconds), 1, most))
        _say(
            f"{row.name}: {len(workers)} contenders, {rounds} rounds of {steps} steps,"
            f" about {rounds * (steps * seconds + REST_SECONDS * len(workers)):.0f} s"
        )
        for number in range(rounds):
            for name in _order(list(workers), number):
                _turn(workers, results[name], steps)
    finally:
        for worker in workers.values():
            worker.pipe.close()  # each ends when it sees that
        for worker in workers.values():
            worker.stop()
    return list(results.values())


# By kind: the set's name, its file in $CLASSICNETS_DATA, and the shape of an image.
SOURCES: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "photos": ("cifar100", "cifar100.npz", (32, 32, 3)),
    "texts": ("imdb", "imdb.parquet", ()),
    "digits": ("mnist", "mnist.npz", (28, 28, 1)),
    "faces": ("anime_faces", "anime_faces", (64, 64, 3)),
}


def kind_of(network: str) -> str:
    """Return the kind of examples that a network trains on."""
    kinds = {"texts": TEXT_NETWORKS, "digits": DIGITS, "faces": FACES}
    return next((kind for kind, those in kinds.items() if network in those), "photos")


def save_examples(folder: str, kind: str) -> tuple[str, str]:
    """Write the examples that all contenders read; return the path and what they are.

    Real ones where they are at hand, without a download; noise takes as long.
    """
    here = os.environ.get("CLASSICNETS_DATA", "")
    name, file, shape = SOURCES[kind]
    random = np.random.default_rng(0)
    classes = TEXT_CLASSES if kind == "texts" else CLASSES
    labels = random.integers(classes, size=EXAMPLES, dtype=np.int32)
    if here and (Path(here) / file).exists():
        train = data.load(
            name,
            max_tokens=TOKENS,
            vocabulary_size=VOCABULARY,
            image_size=shape[0] if shape else 0,
            labelled=kind in ("photos", "texts"),
        ).train
        inputs, labels = np.asarray(train.inputs[:EXAMPLES]), train.labels[:EXAMPLES]
        source = f"the first {len(inputs):,} training examples of {name}"
    elif kind == "texts":
        inputs = random.integers(1, VOCABULARY, size=(EXAMPLES, TOKENS), dtype=np.int32)
        source = f"{EXAMPLES:,} random texts of {TOKENS} tokens, IMDB is not at hand"
    else:
        inputs = random.integers(256, size=(EXAMPLES, *shape), dtype=np.uint8)
        size = "x".join(map(str, shape))
        source = f"{EXAMPLES:,} random images of {size}, since {name} is not at hand"
    path = str(Path(folder) / f"{name}.npz")
    np.savez(path, inputs=inputs, labels=labels)
    return path, source


def _order(names, number):
    """Let another one begin each round, and go back and forth."""
    first = number % len(names) if names else 0
    names = names[first:] + names[:first]
    return names[::-1] if number % 2 else names


class _Excused:
    """Note why a contender cannot go on, end it, and let the others go on."""

    def __init__(self, result, workers):
        self.result, self.workers = result, workers

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        if not isinstance(error, NotAvailable):
            return False
        self.result.seconds, self.result.losses = [], []
        self.result.note = str(error)
        worker = self.workers.pop(self.result.contender.name, None)
        if worker:
            worker.stop()
        _say(f"{self.result.contender.name}: not available: {error}")
        return True


def _warm_up(row, workers, results):
    """Let each take its first steps; return the seconds of a step of all together."""
    total = 0.0
    for name in list(workers):
        with _Excused(results[name], workers):
            started = time.monotonic()
            for _ in range(WARM_UP_STEPS):
                answer = workers[name].train(1)
            total += answer["seconds"]
            results[name].note = answer["note"]
            _say(
                f"{row.name}: {name} warm after {time.monotonic() - started:.0f} s,"
                f" about {answer['seconds']:.2f} s a step"
            )
    return total


def _turn(workers, result, steps):
    result.steps = steps
    with _Excused(result, workers):
        time.sleep(REST_SECONDS)
        answer = workers[result.contender.name].train(steps)
        result.seconds.append(answer["seconds"])
        result.losses.append(answer["loss"])


def _check_same_network(row, results):
    counts = {result.contender.name: result.parameters for result in results}
    if len(set(counts.values())) > 1:
        raise RuntimeError(f"{row.name} must be one network for all, got {counts}.")


def _introduction(options):
    facts = environment.describe("", "CPU")
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    return (
        "# Speed of training\n\n"
        "Written by the command below; `benchmarks/README.md` says how the contenders"
        " are kept\nalike. A ratio above 1 means quicker: the median over the rounds of"
        " their seconds by its\nown in the same round, with the smallest and the"
        " largest.\n\n"
        f"- command: `{command}`\n"
        f"- commit: {facts['commit']}; started {facts['started']}\n"
        f"- machine: {facts['processor']}, {facts['cpu_count']} cores; {machine()};"
        f" Python {facts['python']}, NumPy {facts['numpy']}\n"
        f"- load average at the start: {load}\n"
        f"- rounds: {options.rounds}, after {WARM_UP_STEPS} steps to warm up\n"
    )


def _options():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--rows",
        nargs="+",
        default=list(ROWS),
        metavar="NETWORK-BATCH",
        help=f"networks: {', '.join(NETWORKS)}; default: {' '.join(ROWS)}",
    )
    parser.add_argument(
        "--backends",
        default="tensorflow,torch",
        help="of ours, with commas; all: tensorflow,torch,jax; default: %(default)s",
    )
    parser.add_argument(
        "--contenders",
        default="",
        help="only these, with commas; default: all on these backends",
    )
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument(
        "--steps", type=int, default=0, help="steps a round; 0: by the time they take"
    )
    parser.add_argument(
        "--out", default="docs/benchmarks.md", help="default: %(default)s"
    )
    options = parser.parse_args()
    try:
        if options.rounds < 1 or options.steps < 0:
            raise UserError(
                "rounds must be at least 1 and steps at least 0, got"
                f" {options.rounds} and {options.steps}."
            )
        options.rows = [_row(text) for text in options.rows]
        backends = [_known(b, BACKENDS, "backend") for b in options.backends.split(",")]
        everyone = {each.name: each for each in contenders(backends)}
        wanted = options.contenders.split(",") if options.contenders else everyone
        options.contenders = [
            everyone[_known(name, everyone, "contender")] for name in wanted
        ]
    except UserError as error:
        parser.error(str(error))
    return options


def _row(text):
    network, _, batch_size = text.rpartition("-")
    if not batch_size.isdecimal() or not 0 < int(batch_size) <= EXAMPLES:
        raise UserError(f"a row must look like resnet18-128, got {text!r}.")
    return Row(_known(network, NETWORKS, "network"), int(batch_size))


def _known(name, names, kind):
    if name not in names:
        raise UserError(
            f"{kind} must be one that exists, got {name!r}. {nearest(name, names)}"
        )
    return name


def _say(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
