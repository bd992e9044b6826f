"""The bounded queue in front of the model: a thread for each core and one more, a few places, a plain no after that."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from math import ceil
from time import perf_counter
from typing import Any

from .errors import Busy
from .machine import cores


class Gone(Exception):
    """The client hung up while its request waited; nobody is left to answer."""


class Admission:
    """Runs work in `threads` threads; at most `queue` more requests may wait for one, each at most `deadline` seconds.

    on_change: called with the number of requests that wait, whenever it may be another.
    """

    def __init__(
        self,
        queue: int,
        threads: int | None = None,
        deadline: float = 30,
        on_change: Callable[[int], None] = lambda waiting: None,
    ):
        self.threads = threads or cores() + 1  # one more, so that no core idles while an answer is handed over
        self._limit, self._deadline, self._on_change = self.threads + queue, deadline, on_change
        self._admitted = 0
        self._seconds = 0.1  # a running mean of one piece of work, for Retry-After
        self._began: list[float] = []  # of the work that runs, oldest first
        self._free = asyncio.Semaphore(self.threads)
        self._pool = ThreadPoolExecutor(self.threads, "yololab-work")

    @property
    def waiting(self) -> int:
        """Requests that wait for a thread."""
        return max(0, self._admitted - self.threads)

    @property
    def longest(self) -> float:
        """Seconds that the oldest of the work that runs has been running; 0 for none."""
        began = self._began[:1]  # another thread asks: no look before a leap
        return perf_counter() - began[0] if began else 0.0

    @property
    def retry_after(self) -> int:
        """Whole seconds until the queue that stands now will have been worked off; at least 1."""
        return max(1, ceil(self._admitted * self._seconds / self.threads))

    def check(self) -> None:
        """Raise Busy if a request that came now would find no place; asked before its body is read."""
        if self._admitted >= self._limit:
            raise self._busy()

    async def run(self, work: Callable[..., Any], *args: Any, gone: Callable[[], Awaitable[bool]]) -> tuple[Any, float]:
        """`work(*args)` in a thread: its result, and the seconds that it waited.

        Raises Busy where no place is left or its turn does not come within the deadline, Gone where `gone()` is true
        when its turn comes: then nothing is computed.
        """
        self.check()
        arrived = perf_counter()
        with self._place():
            await gone()  # after a large body uvicorn does not look at the connection again until it is asked to
            async with self._turn():
                waited = perf_counter() - arrived
                if await gone():
                    raise Gone
                with self._timed():
                    result = await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)
        return result, waited

    @contextmanager
    def _place(self):
        self._admitted += 1
        self._on_change(self.waiting)
        try:
            yield
        finally:
            self._admitted -= 1
            self._on_change(self.waiting)

    @asynccontextmanager
    async def _turn(self):
        try:
            async with asyncio.timeout(self._deadline):
                await self._free.acquire()
        except TimeoutError:
            raise self._busy() from None
        try:
            yield
        finally:
            self._free.release()

    @contextmanager
    def _timed(self):
        began = perf_counter()
        self._began.append(began)
        try:
            yield
        finally:
            self._began.remove(began)
            self._seconds += 0.1 * (perf_counter() - began - self._seconds)

    def _busy(self) -> Busy:
        return Busy(
            f"The server is busy: {self.waiting} requests wait already. Try again in {self.retry_after} s.",
            self.retry_after,
        )

    def close(self) -> None:
        """Let the work that runs end; start no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)
