"""The terminal: a bar and lines of a training run; Ctrl-C and SIGTERM."""

import signal
import sys
import threading
import time
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from classicnets.errors import Stopped

SECONDS_BETWEEN_LINES = 30
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Bar:
    """The steps of a run from its start to its end, its speed and the time left."""

    def __init__(
        self, steps: int, step_size: int, *, step: int = 0, is_visible: bool = True
    ) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.steps, self.step_size = steps, step_size
        self.first = self.step = step
        self.is_visible = is_visible
        self.started = self.last_line = time.monotonic()
        self.bar: Progress | None = None
        if is_visible and sys.stderr.isatty():
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total} steps"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
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
            self.console.print(line, markup=False)


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
