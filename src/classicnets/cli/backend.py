"""The backend that a command runs on, and the run that it opens."""

import contextlib
import importlib.util
import os
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from classicnets.errors import UserError

if TYPE_CHECKING:
    from classicnets.runs.run import Run

BACKENDS = ("tensorflow", "jax", "torch")


@contextlib.contextmanager
def chosen_backend(name: str | None) -> Iterator[None]:
    """Choose Keras's backend, and keep its chatter at import off the terminal."""
    from classicnets.runs.environment import lean_imports

    chosen = backend_name(name)
    if chosen not in BACKENDS:
        raise UserError(f"backend must be one of {', '.join(BACKENDS)}, got {chosen}.")
    if importlib.util.find_spec(chosen) is None:
        installed = [b for b in BACKENDS if importlib.util.find_spec(b)]
        raise UserError(
            f"backend {chosen} is not installed: pip install 'classicnets[{chosen}]'"
            + (f", or --backend {installed[0]}." if installed else ".")
        )
    if name:
        os.environ["KERAS_BACKEND"] = name
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow writes its greeting straight to the file descriptor.
    with tempfile.TemporaryFile("w+") as kept, lean_imports():
        terminal = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(terminal, kept.read().encode())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def backend_name(backend: str | None) -> str:
    from classicnets.runs import environment

    return backend or environment.backend()


def open_run(path: str) -> "Run":
    from classicnets.runs.run import Run

    return Run(path)
