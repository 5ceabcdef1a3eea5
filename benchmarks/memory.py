"""The memory of this process, and what of it belongs to no file."""

import pathlib
import re
import resource
import sys
import threading
from typing import Self

MIB = 2**20
SAMPLE_SECONDS = 0.02


def peak_memory() -> float:
    """Return the largest memory that this process has had resident, in MiB."""
    try:
        text = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
        return int(re.findall(r"VmHWM:\s+(\d+) kB", text)[0]) / 1024
    except (OSError, IndexError):
        unit = MIB if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


class OwnMemory:
    """The largest memory of this process that is in no file, in bytes.

    Sampled, since the system keeps no peak of it; 0 where the system does not report
    it.
    """

    def __enter__(self) -> Self:
        self.peak, self._end = self.now(), threading.Event()
        self._watch = threading.Thread(target=self._sample, daemon=True)
        self._watch.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._watch.join()

    def now(self) -> int:
        """Return the bytes at this moment: what the system cannot take back."""
        status = pathlib.Path("/proc/self/status")
        if not status.exists():
            return 0
        return 1024 * int(status.read_text().partition("RssAnon:")[2].split()[0])

    def _sample(self) -> None:
        while not self._end.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, self.now())
