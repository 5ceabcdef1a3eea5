"""The command `classicnets`: one thin function per command.

Nothing here imports a backend before a command needs it: `--help` and `list` are fast.
"""

import signal
import sys
from types import FrameType
from typing import NoReturn

import click

from classicnets.cli import learning, looking, using
from classicnets.errors import RunError, Stopped, UserError, nearest
from classicnets.terminal import echo


class Commands(click.Group):
    """Commands that answer a wrong name with the nearest right one."""

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command of the first argument, its name and the other arguments.

        Raises:
            UsageError: If there is none of that name.
        """
        name = arguments[0]
        if name not in self.commands:
            hint = nearest(name, self.commands)
            raise click.UsageError(f"no command {name!r}. {hint}")
        return super().resolve_command(context, arguments)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="classicnets")
def commands() -> None:
    """Classic neural networks on Keras 3: readable, proven, trained, fast."""


@commands.group(cls=Commands)
def data() -> None:
    """Prepare data."""


for _command in (
    *(looking.list_, looking.show, learning.train, learning.resume, learning.crossval),
    *(using.evaluate, using.predict, using.sample, using.reconstruct),
    *(using.interpolate, using.report, using.export, using.record),
    *(looking.verify, looking.doctor, looking.compare),
):
    commands.add_command(_command)
data.add_command(looking.prepare)


def main() -> None:
    """Run the command; a wrong input is one line and exit code 2."""
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _stop)
    try:
        commands.main(standalone_mode=False)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except UserError as error:
        _fail(str(error), 2)
    except (RunError, OSError) as error:
        _fail(str(error), 1)
    except (KeyboardInterrupt, click.Abort) as end:
        stopped = end.__cause__ if isinstance(end, click.Abort) else end
        if isinstance(stopped, Stopped):
            _fail(str(stopped), 128 + stopped.signal)
        _fail("stopped.", 130)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """End as Ctrl-C does: what is half written is removed."""
    raise Stopped("stopped.", number)


def _fail(message: str, code: int) -> NoReturn:
    line = " ".join(message.split())
    echo(f"classicnets: {line}", err=True)
    sys.exit(code)
