"""What the machine can do at best: a plain product of two square matrices."""

import time
from typing import Any

import torch

from benchmarks.worker import Job, Turns

MAX_SIDE = {"cpu": 2048, "gpu": 8192}
PRODUCT_SECONDS = 0.1  # bfloat16 is slow where the processor has no units for it
PRODUCTS = 5  # of which the fastest counts
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def train(job: Job, turns: Turns) -> None:
    """Multiply until `turns` ends it; a step is the fastest of some products."""
    device = "cuda" if job.device == "gpu" else "cpu"
    kind = {"dtype": PRECISIONS[job.contender.precision], "device": device}
    side, seconds = 256, 0.0
    while side < MAX_SIDE[job.device] and seconds < PRODUCT_SECONDS:
        side *= 2
        seconds = fastest(side, kind, PRODUCTS)
    turns.note = f"{side}x{side}"
    turns.introduce(parameters=0, operations=2.0 * side**3)
    while True:
        turns.step_done(0.0, seconds=fastest(side, kind, PRODUCTS))


def fastest(side: int, kind: dict[str, Any], products: int) -> float:
    """Return the seconds of the fastest product of two square matrices."""
    a, b = (torch.rand(side, side).to(**kind) for _ in range(2))
    out = torch.empty(side, side, **kind)
    seconds = []
    for _ in range(1 + products):  # the first one wakes the threads
        started = time.perf_counter()
        torch.mm(a, b, out=out)
        float(out[0, 0])  # waits for a device that runs behind
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])
