"""The bounded queue in front of the model: a thread for each core and one more, and a limited number of places."""

import asyncio
import os
import sys
import threading
from asyncio import Future
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from math import ceil
from time import perf_counter
from typing import TypeVar

from ..errors import Busy, NotReady
from ..vision.machine import cores

T = TypeVar("T")
NICE = 5  # of the threads that work
STOPPING = "The server is stopping. Send the request to another one, or again after its restart."


def _give_way() -> None:
    """Let the event loop go first where the cores do not suffice: else refusing, /health and new clients wait, too."""
    if sys.platform == "linux":  # elsewhere this would be the whole process
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + NICE))


class ClientDisconnected(Exception):
    """The client hung up while its request waited; nobody is left to answer."""


class RequestQueue:
    """Runs work in `threads` threads; at most `places` more requests may wait for one, each at most `deadline` seconds.

    on_change: called with the number of requests that wait, whenever it may have changed.
    """

    def __init__(
        self,
        places: int,
        threads: int | None = None,
        deadline: float = 30,
        on_change: Callable[[int], None] = lambda waiting: None,
    ) -> None:
        self.threads = threads or cores() + 1  # one more, so that no core idles while an answer is handed over
        self._limit, self._deadline, self._on_change = self.threads + places, deadline, on_change
        self._admitted = 0
        self._mean_seconds = 0.1  # a running mean of one piece of work, for Retry-After
        self._started: list[float] = []  # when the work that runs now was started, oldest first
        self._free = asyncio.Semaphore(self.threads)
        self._pool = ThreadPoolExecutor(self.threads, "yololab-work", _give_way)

    @property
    def waiting(self) -> int:
        """Requests that wait for a thread."""
        return max(0, self._admitted - self.threads)

    @property
    def longest(self) -> float:
        """Seconds that the oldest of the work that runs now has been running; 0 for none."""
        started = self._started[:1]  # a copy: another thread asks
        return perf_counter() - started[0] if started else 0.0

    @property
    def retry_after(self) -> int:
        """Whole seconds until what is in the queue now will have been worked off; at least 1."""
        return max(1, ceil(self._admitted * self._mean_seconds / self.threads))

    def check(self) -> None:
        """Raise Busy if a request that came now would find no place; asked before its body is read."""
        if self._admitted >= self._limit:
            raise self._busy()

    async def run(self, work: Callable[[], T], disconnected: Callable[[], Awaitable[bool]]) -> tuple[T, float]:
        """`work()` in a thread: its result, and the seconds that it waited.

        Raises Busy where no place is left or its turn does not come within the deadline, ClientDisconnected where
        `disconnected()` is true when its turn comes: then nothing is computed. Raises NotReady once the queue is closed
        or the interpreter ends.
        """
        self.check()
        arrived = perf_counter()
        with self._place():
            if await disconnected():  # after a large body uvicorn looks at the connection again only when asked to
                raise ClientDisconnected
            waits = self._free.locked()
            async with self._turn():
                waited = perf_counter() - arrived
                if waits and await disconnected():
                    raise ClientDisconnected
                result = await self._submit(work)
        return result, waited

    @contextmanager
    def _place(self) -> Iterator[None]:
        self._admitted += 1
        self._on_change(self.waiting)
        try:
            yield
        finally:
            self._admitted -= 1
            self._on_change(self.waiting)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._deadline):
                await self._free.acquire()
        except TimeoutError:
            raise self._busy() from None
        try:
            yield
        finally:
            self._free.release()

    def _submit(self, work: Callable[[], T]) -> Future[T]:
        try:
            return asyncio.get_running_loop().run_in_executor(self._pool, self._timed, work)
        except RuntimeError:  # the pool takes no more work
            raise NotReady(STOPPING) from None

    def _timed(self, work: Callable[[], T]) -> T:
        """`work()`, noted as long as it runs: the thread goes on when the request has been cancelled."""
        started = perf_counter()
        self._started.append(started)
        try:
            return work()
        finally:
            self._started.remove(started)
            self._mean_seconds += 0.1 * (perf_counter() - started - self._mean_seconds)

    def _busy(self) -> Busy:
        return Busy(
            f"The server is busy: {self.waiting} requests wait already. Try again in {self.retry_after} s.",
            self.retry_after,
        )

    def close(self) -> None:
        """Start no more work, and return at once: waiting for a picture that hangs in its thread would never end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
