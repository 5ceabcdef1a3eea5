"""The terminal: a bar and lines of a training run; Ctrl-C and SIGTERM."""

import re
import signal
import sys
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING

from classicnets.errors import Stopped

if TYPE_CHECKING:
    from rich.progress import Progress

SECONDS_BETWEEN_LINES = 30
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


# Codes that a terminal obeys, those that turn the direction of writing, and halves of
# characters, which stand for the bytes of a file's name that are no UTF-8.
_CODES = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"


def plain(text: str) -> str:
    """Return a text whose codes are written out, as in JSON: an escape is \\u001b."""
    return re.sub(_CODES, _written_out, text)


def echo(text: object, *, err: bool = False) -> None:
    """Print a line; what the terminal cannot show, or would obey, is written out."""
    stream = sys.stderr if err else sys.stdout
    if stream is None:  # closed
        return
    line = plain(str(text))
    try:
        line.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        line = re.sub(r"[^\x00-\x7f]", _written_out, line)
    print(line, file=stream, flush=True)


def _written_out(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


class Bar:
    """The steps of a run from its start to its end, its speed and the time left."""

    def __init__(
        self, steps: int, step_size: int, *, step: int = 0, is_visible: bool = True
    ) -> None:
        from rich.console import Console  # which a line of an error can do without

        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.steps, self.step_size = steps, step_size
        self.first = self.step = step
        self.is_visible = is_visible
        self.started = self.last_line = time.monotonic()
        self.bar: Progress | None = None
        if is_visible and sys.stderr.isatty():
            from rich import progress

            self.bar = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.TextColumn("{task.completed}/{task.total} steps"),
                progress.TimeRemainingColumn(),
                progress.TextColumn("{task.fields[note]}"),
                console=self.console,
                transient=True,
            )
            self.task = self.bar.add_task("", total=steps, completed=step, note="")

    def __enter__(self) -> "Bar":
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def advance(self, steps: int, epoch: str, *, note: str) -> None:
        """Count `steps` more, in the epoch named, with a `note` such as the loss."""
        self.step += steps
        seconds, steps = time.monotonic() - self.started, self.step - self.first
        rate = steps * self.step_size / seconds
        note = f"{note}  {rate:,.0f} examples/s"
        if self.bar:
            self.bar.update(
                self.task, completed=self.step, description=epoch, note=note
            )
        elif (
            self.is_visible
            and time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES
        ):
            self.last_line = time.monotonic()
            minutes = (self.steps - self.step) * seconds / steps / 60
            place = f"step {self.step}/{self.steps}"
            self.say(f"{epoch}  {place}  {note}  {minutes:.0f} min left")

    def say(self, line: str) -> None:
        """Print a line that stays."""
        if self.is_visible:
            self.console.print(plain(line), markup=False)


class Watch:
    """The first signal that came in the context; a second one interrupts."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> "Watch":
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                # A job in the background ignores Ctrl-C, and goes on doing so.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise Stopped("stopped at once; the last checkpoint is whole.", number)
        self.received = signal.Signals(number)
