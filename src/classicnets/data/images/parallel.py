"""Work on many files by all cores, and its progress."""

import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

_CHUNK = 64  # files per task of a thread

Result = TypeVar("Result")


def in_parallel(
    function: Callable[[range], Result], count: int, doing: str, progress: bool
) -> Iterator[Result]:
    """Yield function(range of rows) over all rows, in order, a few chunks ahead of use.

    Threads do: Pillow gives up the interpreter's lock where it works. Two cores read
    and shrank 1.8 times as many JPEGs a second as one.
    """
    workers = _cores()
    chunks = (range(i, min(i + _CHUNK, count)) for i in range(0, count, _CHUNK))
    waiting: deque[tuple[int, Future[Result]]] = deque()
    with ThreadPoolExecutor(workers) as pool, _bar(doing, count, progress) as advance:
        try:
            while True:
                for rows in islice(chunks, 4 * workers + 1 - len(waiting)):
                    waiting.append((len(rows), pool.submit(function, rows)))
                if not waiting:
                    break
                size, future = waiting.popleft()
                yield future.result()
                advance(size)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextlib.contextmanager
def _bar(doing: str, count: int, progress: bool) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal, a line every ten seconds elsewhere, or nothing."""
    if not progress:
        yield lambda rows: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(f"{doing} images", total=count)
            yield lambda rows: bar.advance(task, rows)
    else:
        total, last = 0, time.monotonic()

        def advance(rows: int) -> None:
            nonlocal total, last
            total += rows
            if total == count or time.monotonic() - last > 10:
                last = time.monotonic()
                print(f"{doing} images: {total:,} of {count:,}", file=sys.stderr)

        yield advance


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
