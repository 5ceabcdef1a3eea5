"""Work on many files by all cores, and its progress."""

import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_CHUNK = 64  # files a task of a thread

Result = TypeVar("Result")


def in_parallel(
    function: Callable[[range], Result], count: int, doing: str, progress: bool
) -> Iterator[Result]:
    """function(range of rows) over all rows, in order, a few chunks ahead of the use.

    Threads do: Pillow gives up the interpreter's lock where it works. Two cores read
    and shrank 1.8 times as many JPEGs a second as one.
    """
    workers = _cores()
    waiting: deque[tuple[int, Future[Result]]] = deque()
    with ThreadPoolExecutor(workers) as pool, _shown(doing, count, progress) as advance:
        try:
            for start in range(0, count, _CHUNK):
                rows = range(start, min(start + _CHUNK, count))
                waiting.append((len(rows), pool.submit(function, rows)))
                if len(waiting) > 4 * workers:
                    done, future = waiting.popleft()
                    yield future.result()
                    advance(done)
            while waiting:
                done, future = waiting.popleft()
                yield future.result()
                advance(done)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextlib.contextmanager
def _shown(doing: str, count: int, progress: bool) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, a line every ten seconds elsewhere, or nothing."""
    if not progress:
        yield lambda done: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(f"{doing} images", total=count)
            yield lambda done: bar.advance(task, done)
    else:
        total, last = 0, time.monotonic()

        def advance(done: int) -> None:
            nonlocal total, last
            total += done
            if total == count or time.monotonic() - last > 10:
                last = time.monotonic()
                print(f"{doing} images: {total:,} of {count:,}", file=sys.stderr)

        yield advance


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
