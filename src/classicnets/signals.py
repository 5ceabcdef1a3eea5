"""Ctrl-C and SIGTERM: a training finishes its step, saves, and ends."""

import signal
import threading
from types import FrameType

from classicnets.errors import Stopped

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Watch:
    """Remembers the first signal while the context lasts; the second one interrupts."""

    def __init__(self):
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> "Watch":
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                # A job in the background ignores Ctrl-C, and goes on doing so.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise Stopped("stopped at once; the last checkpoint is whole.", number)
        self.received = signal.Signals(number)
