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

_OPTION = f"{__name__}.option"  # in the context of the command


def _remember(context: click.Context, option: click.Parameter, name: str) -> None:
    context.meta[_OPTION] = name


backend_option = click.option(
    "--backend", type=click.Choice(BACKENDS), expose_value=False, callback=_remember
)


def backend_name(default: str | None = None) -> str:
    """Return the backend of the command's `--backend`; else `default`, or Keras's."""
    from classicnets.runs import environment

    context = click.get_current_context(silent=True)
    option = context.meta.get(_OPTION) if context else None
    return option or default or environment.backend()


def start_backend(default: str | None = None) -> None:
    """Import Keras on the command's backend, and keep its chatter off the terminal."""
    from classicnets.runs.environment import lean_imports

    backend = backend_name(default)
    if backend not in BACKENDS:
        raise UserError(f"backend must be one of {', '.join(BACKENDS)}, got {backend}.")
    if importlib.util.find_spec(backend) is None:
        installed = [b for b in BACKENDS if importlib.util.find_spec(b)]
        raise UserError(
            f"backend {backend} is not installed: pip install 'classicnets[{backend}]'"
            + (f", or --backend {installed[0]}." if installed else ".")
        )
    os.environ["KERAS_BACKEND"] = backend
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


def open_run(path: str) -> "Run":
    """Open a run; nothing that it needs is imported before."""
    from classicnets.runs.run import Run

    return Run(path)
