"""The backend that a command runs on, and the run that it opens."""

import importlib.util
import os
import tempfile
from typing import TYPE_CHECKING

import click

from classicnets.errors import UserError

if TYPE_CHECKING:
    from classicnets.runs.run import Run

BACKENDS = ("tensorflow", "jax", "torch")

backend_option = click.option("--backend", type=click.Choice(BACKENDS))


def start_backend(name: str | None) -> None:
    """Import Keras on a backend, and keep its chatter off the terminal."""
    from classicnets.runs.environment import lean_imports

    backend = backend_name(name)
    if backend not in BACKENDS:
        raise UserError(f"backend must be one of {', '.join(BACKENDS)}, got {backend}.")
    if importlib.util.find_spec(backend) is None:
        installed = [b for b in BACKENDS if importlib.util.find_spec(b)]
        raise UserError(
            f"backend {backend} is not installed: pip install 'classicnets[{backend}]'"
            + (f", or --backend {installed[0]}." if installed else ".")
        )
    if name:
        os.environ["KERAS_BACKEND"] = name
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow writes its greeting straight to the file descriptor.
    with tempfile.TemporaryFile("w+") as chatter, lean_imports():
        terminal = os.dup(2)
        os.dup2(chatter.fileno(), 2)
        try:
            import keras  # noqa: F401
        except BaseException:
            chatter.seek(0)
            os.write(terminal, chatter.read().encode())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def backend_name(name: str | None) -> str:
    """Return the backend of that name, or the one that Keras would take."""
    from classicnets.runs import environment

    return name or environment.backend()


def open_run(path: str) -> "Run":
    """Open a run; nothing that it needs is imported before."""
    from classicnets.runs.run import Run

    return Run(path)
