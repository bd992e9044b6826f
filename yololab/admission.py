"""The bounded queue in front of the model: a worker for each core and one more, a few places, a plain no after that."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from math import ceil
from time import perf_counter
from typing import Any

from .errors import Busy
from .machine import cores


class Gone(Exception):
    """The client hung up while its request waited; nobody is left to answer."""


class Admission:
    """Runs work in `workers` threads; at most `queue` more requests may wait for one."""

    def __init__(self, queue: int, workers: int | None = None):
        self.workers = workers or cores() + 1  # one more, so that no core idles while an answer is handed over
        self._limit = self.workers + queue
        self._admitted = 0
        self._seconds = 0.1  # a running mean of one piece of work, for Retry-After
        self._free = asyncio.Semaphore(self.workers)
        self._threads = ThreadPoolExecutor(self.workers, "yololab-work")

    @property
    def waiting(self) -> int:
        """Requests that wait for a worker."""
        return max(0, self._admitted - self.workers)

    @property
    def retry_after(self) -> int:
        """Whole seconds until the queue that stands now will have been worked off; at least 1."""
        return max(1, ceil(self._admitted * self._seconds / self.workers))

    def check(self) -> None:
        """Raise Busy if a request that came now would find no place; asked before its body is read."""
        if self._admitted >= self._limit:
            raise Busy(
                f"The server is busy: {self.waiting} requests wait already. Try again in {self.retry_after} s.",
                self.retry_after,
            )

    async def run(self, work: Callable[..., Any], *args: Any, gone: Callable[[], Awaitable[bool]]) -> tuple[Any, float]:
        """`work(*args)` in a worker thread: its result, and the seconds that it waited.

        Raises Busy where no place is left, Gone where `gone()` is true when its turn comes: then nothing is computed.
        """
        self.check()
        arrived = perf_counter()
        with self._place():
            async with self._free:
                waited = perf_counter() - arrived
                if await gone():
                    raise Gone
                result = await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
                self._seconds += 0.1 * (perf_counter() - arrived - waited - self._seconds)
        return result, waited

    @contextmanager
    def _place(self):
        self._admitted += 1
        try:
            yield
        finally:
            self._admitted -= 1

    def close(self) -> None:
        """Let the work that runs end; start no more."""
        self._threads.shutdown(wait=True, cancel_futures=True)
