"""What a result depends on beside its recipe: versions, backend, machine, commit."""

import contextlib
import importlib.metadata
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# What each backend is called in the package index; the first one installed counts.
BACKEND_PACKAGES = {
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
    "jax": ("jax",),
    "torch": ("torch",),
}

# Keras imports them, where it finds them, for what no command uses: drawn boxes,
# another backend's checkpoints, tables, wrappers.
UNUSED_BY_KERAS = ("cv2", "jax", "pandas", "sklearn")


@contextlib.contextmanager
def lean_imports() -> Iterator[None]:
    """Import Keras inside without what it can do without: two seconds and 180 MiB.

    Inside, these modules are as if they were not installed, unless they are imported
    already or are the backend. Keras's wrappers for scikit-learn do not work
    after it, so it is for processes of our own.

    TensorFlow takes the memory of all tensors, small ones too, from one pool from here
    on, which makes some steps faster.
    """
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "1")
    os.environ.setdefault("TF_CPU_BFC_MEM_LIMIT_IN_MB", str(2**22))  # 4 TiB: none
    hidden = set(UNUSED_BY_KERAS) - {backend(), *sys.modules}
    modules: dict[str, Any] = sys.modules
    modules.update(dict.fromkeys(hidden))  # None is Python's word for that
    try:
        yield
    finally:
        for module in hidden:
            del modules[module]


def describe(data_fingerprint: str, device: str) -> dict[str, Any]:
    """Return what a result depends on beside its recipe; imports no backend.

    Args:
        data_fingerprint: Of the splits that the run trains on.
        device: What the training runs on, in the engine's words.
    """
    name = backend()
    return {
        "classicnets": version("classicnets"),  # None: a checkout, see `commit`
        "commit": _commit(),
        "python": platform.python_version(),
        "keras": version("keras"),
        "backend": name,
        "backend_version": version(*BACKEND_PACKAGES.get(name, (name,))),
        "numpy": version("numpy"),
        "device": device,
        "processor": _processor(),
        "cpu_count": _cpu_count(),
        "platform": platform.platform(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "data_fingerprint": data_fingerprint,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def version(*packages: str) -> str | None:
    """Return the version of the first package that is installed; None: none is."""
    for package in packages:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def backend() -> str:
    """Return Keras's backend, from Keras if it is running, else from where it looks."""
    if "keras" in sys.modules:
        return str(sys.modules["keras"].config.backend())
    if name := os.environ.get("KERAS_BACKEND"):
        return name
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    try:
        settings = json.loads((home / "keras.json").read_text(encoding="utf-8"))
        return str(settings.get("backend", "tensorflow"))
    except (OSError, ValueError):
        return "tensorflow"


def _commit() -> str | None:
    """Return the commit of the checkout of the package, `-dirty` if changed."""
    checkout = Path(__file__).resolve().parents[3]
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "describe"]
    command += ["--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def _processor() -> str | None:
    """Return the processor's own name where the system gives it."""
    return _of_processor("model name") or platform.processor() or None


def processor_flags() -> list[str]:
    """Return what the processor can do, such as avx2; empty if the system is silent."""
    return _of_processor("flags|Features").split()


def has_bfloat16_units(flags: Sequence[str]) -> bool:
    """Return whether such a processor multiplies bfloat16 faster than float32.

    Intel's with AMX do, ARM's with matrix units, and AMD's with AVX-512's instructions
    (`docs/benchmarks.md`). With those instructions alone, Intel's take longer for every
    network measured on TensorFlow and PyTorch (`docs/benchmarks-avx512.md`).
    """
    # No other maker's processors have sse4a.
    by_amd = "avx512_bf16" in flags and "sse4a" in flags
    return by_amd or "amx_bf16" in flags or "bf16" in flags


def _of_processor(key: str) -> str:
    """Return the first line of a key in Linux's description of the processor, or ""."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    line = re.search(rf"^(?:{key})\s*:\s*(.+)$", text, re.MULTILINE)
    return line.group(1).strip() if line else ""


def _cpu_count() -> int | None:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()
