"""Measure the speed of training and inference: ours against what people use.

All contenders of a row are built first; then they train in turns, round by round, so
that whatever else the machine does falls on all alike. Only one computes at a time.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

from benchmarks.examples import EXAMPLES, kind_of, save_examples
from benchmarks.page import section, write
from benchmarks.rounds import BACKENDS, NETWORKS, contenders, measure
from benchmarks.table import MATRIX, Result, Row, command_line, has_bfloat16, origin
from benchmarks.worker import Contender
from classicnets.errors import UserError, nearest

ROWS = (
    *("resnet18-64", "vgg19_bn-64", "resnet20-128", "lstm-64", "lstm400-64"),
    *("vae-512", "convvae-128", "dcgan-64", "wgan_gp-64"),
)
QUICK_ROWS = ("vae-512", "lstm-64", "resnet20-128")
QUICK_CONTENDERS = (
    *("matrix-product-float32", "matrix-product-bfloat16"),
    *("ours-tensorflow-mixed_bfloat16", "ours-torch-mixed_bfloat16"),
    *("ours-tensorflow-float32", "keras2021-float32"),
    *("pytorch-eager-float32", "pytorch-eager-bfloat16"),
)

NO_BFLOAT16 = (
    "- bfloat16: nobody trains in it here, the processor has no units for it; see the"
    " matrix products"
)


def main() -> None:
    """Read the command line, measure, write."""
    options = _options()
    introduction = _introduction(options)
    page = Path(options.out)
    page.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    measured: dict[Row, list[Result]] = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for kind in sorted({kind_of(row.network) for row in options.rows}):
            paths[kind], source = save_examples(folder, kind)
            introduction += f"- data: {source}\n"
        print(introduction, flush=True)
        for row in options.rows:
            measured[row] = measure(
                row,
                options.contenders,
                paths[kind_of(row.network)],
                rounds=options.rounds,
                steps=options.steps,
                device=options.device,
            )
            load = " ".join(f"{value:.1f}" for value in os.getloadavg())
            minutes = (time.monotonic() - started) / 60
            closing = f"- minutes: {minutes:.1f}; load average at the end: {load}\n"
            # After every row: a run cut short keeps what it has.
            write(page, introduction + closing, measured)
            print(section(row, measured[row]), flush=True)
    print(f"{page} and {page.with_suffix('.csv')}")


def _introduction(options: argparse.Namespace) -> str:
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    lines = [
        *origin("benchmarks"),
        f"- load average at the start: {load}",
        f"- rounds: {options.rounds}, after 2 steps to warm up",
        *([f"- GPU: {options.gpu}"] if options.gpu else []),
        *([NO_BFLOAT16] if options.leaves_out else []),
    ]
    return (
        "# Speed of training and inference\n\n"
        "Written by the command below; `benchmarks/README.md` says how the contenders"
        " are kept\nalike, and what is counted. A ratio above 1 means faster: the"
        " median over the rounds of\ntheir seconds by its own in the same round, with"
        " the smallest and the largest.\n\n"
    ) + "".join(f"{line}\n" for line in lines)


def _options() -> argparse.Namespace:
    parser = command_line("benchmarks", __doc__, "docs/benchmarks.md")
    add = parser.add_argument
    add(
        "--rows",
        nargs="+",
        default=[],
        metavar="NETWORK-BATCH",
        help=f"networks: {', '.join(NETWORKS)}; all: {' '.join(ROWS)}",
    )
    add("--backends", default="tensorflow,torch,jax", help="with commas")
    add(
        "--contenders",
        default="",
        help="only these, with commas, and not all on these backends",
    )
    add("--quick", action="store_true", help=f"few of both: {' '.join(QUICK_ROWS)}")
    add("--device", choices=("cpu", "gpu"), default="cpu", help="for all")
    add("--rounds", type=int, default=4, help="turns of each")
    add("--steps", type=int, default=0, help="steps per round; 0: as many as fit")
    options = parser.parse_args()
    try:
        if options.rounds < 1 or options.steps < 0:
            raise UserError(
                "rounds must be at least 1 and steps at least 0, got"
                f" {options.rounds} and {options.steps}."
            )
        rows = options.rows or (QUICK_ROWS if options.quick else ROWS)
        options.rows = [_row(text) for text in rows]
        backends = [
            _existing(b, BACKENDS, "backend") for b in options.backends.split(",")
        ]
        everyone = {c.name: c for c in contenders(backends, options.device)}
        slow = options.device == "cpu" and not has_bfloat16()
        options.leaves_out = slow and not options.contenders
        if options.contenders:
            names = options.contenders.split(",")
            options.contenders = [
                everyone[_existing(name, everyone, "contender")] for name in names
            ]
        else:
            options.contenders = [
                contender
                for name, contender in everyone.items()
                if (not options.quick or name in QUICK_CONTENDERS)
                and not (slow and _computes_in_bfloat16(contender))
            ]
        options.gpu = _gpu() if options.device == "gpu" else ""
    except UserError as error:
        parser.error(str(error))
    return options


def _gpu() -> str:
    """Return the name of the GPU, or raise a UserError."""
    tool = shutil.which("nvidia-smi")
    answer = tool and subprocess.run(
        [tool, "--query-gpu=name", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    if not answer or answer.returncode or not answer.stdout.strip():
        raise UserError("--device gpu needs an NVIDIA GPU, nvidia-smi finds none.")
    return answer.stdout.strip().splitlines()[0]


def _computes_in_bfloat16(contender: Contender) -> bool:
    """Return whether it trains so; the matrix product shows how slow that is."""
    return "bfloat16" in contender.precision and not contender.name.startswith(MATRIX)


def _row(text: str) -> Row:
    network, _, batch_size = text.rpartition("-")
    if not batch_size.isdecimal() or not 0 < int(batch_size) <= EXAMPLES:
        raise UserError(f"a row must look like resnet18-128, got {text!r}.")
    return Row(_existing(network, NETWORKS, "network"), int(batch_size))


def _existing(name: str, names: Collection[str], kind: str) -> str:
    if name not in names:
        raise UserError(
            f"{kind} must be one that exists, got {name!r}. {nearest(name, names)}"
        )
    return name


if __name__ == "__main__":
    main()
