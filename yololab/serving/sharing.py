"""Several workers, one listening socket: the one that holds the fewest connections takes the next.

Without that, whoever wakes first takes it, and of eight clients that keep their connections all eight are often with
one worker, while the other has nothing to do.
"""

import asyncio
import logging
from collections.abc import Callable
from multiprocessing.sharedctypes import RawArray
from socket import socket
from ssl import SSLContext
from typing import Any

logger = logging.getLogger("uvicorn.error")

ABSENT = -1  # in the place of a worker that does not listen
LEAD = 0.03  # seconds that another worker with fewer connections has to take one: it may be at work on a picture
LOOK = 0.001  # seconds between two looks at what the others hold
PAUSE = 1.0  # seconds without accepting where the system has no descriptor left


class Shares:
    """How many connections each worker holds, in memory that all of them see."""

    def __init__(self, workers: int) -> None:
        self._counts: Any = RawArray("i", [ABSENT] * workers)

    def of(self, number: int) -> "Share":
        """The place of one worker."""
        return Share(self._counts, number)


class Share:
    """One worker's place among the shares."""

    def __init__(self, counts: Any, number: int) -> None:
        self._counts, self._number = counts, number

    def set(self, connections: int) -> None:
        """Tell the others how many connections this worker holds."""
        self._counts[self._number] = connections

    def leave(self) -> None:
        """This worker does not listen, or no longer."""
        self._counts[self._number] = ABSENT

    @property
    def is_smallest(self) -> bool:
        """Whether no worker that listens holds fewer connections."""
        return bool(self._counts[self._number] <= min(count for count in self._counts if count != ABSENT))


class FairListener:
    """Accepts connections from a socket that other processes listen on, too; for uvicorn an asyncio.Server."""

    def __init__(
        self, listener: socket, make_protocol: Callable[[], asyncio.Protocol], share: Share, ssl: SSLContext | None
    ) -> None:
        self._listener, self._make_protocol, self._share, self._ssl = listener, make_protocol, share, ssl
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[Any]] = set()
        self._held, self._closed = 0, False
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        listener.setblocking(False)
        share.set(0)
        self._loop.add_reader(listener, self._on_connection)

    def hold(self, connections: int) -> None:
        """Note how many connections this process holds, besides those that are being opened."""
        self._held = connections
        self._tell()

    def close(self) -> None:
        """Accept nothing more."""
        if self._timer:
            self._timer.cancel()
        self._loop.remove_reader(self._listener)
        self._closed = True
        self._share.leave()

    async def wait_closed(self) -> None:
        """Wait for the connections that are being opened."""
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _on_connection(self) -> None:
        if self._share.is_smallest:
            self._accept()
        else:
            self._loop.remove_reader(self._listener)
            self._deadline = self._loop.time() + LEAD
            self._timer = self._loop.call_later(LOOK, self._look)

    def _look(self) -> None:
        if not self._share.is_smallest and self._loop.time() < self._deadline:
            self._timer = self._loop.call_later(LOOK, self._look)
        else:
            self._loop.add_reader(self._listener, self._on_connection)
            self._accept()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):  # another was faster; the client is gone
            return
        except OSError as error:
            logger.error("no connection can be accepted, the next try is in %g s: %s", PAUSE, error)
            self._loop.remove_reader(self._listener)
            self._deadline = 0.0
            self._timer = self._loop.call_later(PAUSE, self._look)
            return
        connection.setblocking(False)
        opening = self._loop.create_task(self._open(connection))
        self._opening.add(opening)
        opening.add_done_callback(self._opened)
        self._tell()

    async def _open(self, connection: socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make_protocol, connection, ssl=self._ssl)
        except OSError:  # the client is gone already
            connection.close()

    def _opened(self, opening: asyncio.Task[Any]) -> None:
        self._opening.discard(opening)
        self._tell()

    def _tell(self) -> None:
        if not self._closed:
            self._share.set(self._held + len(self._opening))
