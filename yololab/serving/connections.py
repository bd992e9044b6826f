"""How many connections one process holds: a number below its limit of open files."""

import asyncio
import importlib.util
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from ..api.live import MAX_FRAME

DESCRIPTORS = 8192  # the limit of open files that a server asks for, where the system grants it
OWN = 128  # descriptors for anything but connections: libraries, models, logs
MAX_CONNECTIONS = 2048  # connections of one process
HEAD = 60  # seconds in which the first request head of a connection must have come
WRITE = 60  # seconds in which a client must take TAKEN bytes of an answer that waits for it
TAKEN = 60 * 1024

_protocol: Any = H11Protocol
if importlib.util.find_spec("httptools"):
    from .upgrades import UpgradeIgnored as _protocol
PROTOCOLS: dict[str, Any] = {  # for uvicorn.Config
    "http": _protocol,
    # the route itself refuses what is larger than MAX_FRAME: uvicorn hangs up so hard that its close code may be lost
    "ws_max_size": 2 * MAX_FRAME,
    "ws_per_message_deflate": False,  # pictures are compressed already
}


def raise_descriptor_limit() -> int:
    """Raise this process's limit of open files where it is low; the number of connections that it allows."""
    try:
        import resource
    except ImportError:  # Windows: its limit is far away
        return MAX_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    best = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < best:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (best, hard))
            soft = best
        except (OSError, ValueError):  # the system grants less than it says
            pass
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else connections_for(soft)


def connections_for(descriptors: int) -> int:
    """A connection may need a second descriptor, for an upload that is kept in a temporary file."""
    return max(16, min(MAX_CONNECTIONS, (descriptors - OWN) // 2))


class BoundedProtocol(_protocol):  # type: ignore[misc]
    """uvicorn's protocol, with at most `limit` connections in this process.

    One more takes the place of the oldest that has no request at work, so that silent ones keep nobody out; where all
    are at work, it is closed itself. One whose client does not read its answer is closed after a while, so that the
    answer's memory is free.
    """

    limit = MAX_CONNECTIONS
    on_change: Callable[[int], None] | None = None  # called with how many connections this process holds
    _upgraded = False
    _write_timer: asyncio.TimerHandle | None = None
    _all: dict["BoundedProtocol", None] = {}  # noqa: RUF012  (of this process, in the order in which they came)

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._all[self] = None
        self._count()
        self._head_timer = asyncio.get_running_loop().call_later(HEAD, self._end_if_silent)
        if len(self._all) > self.limit:
            next((each for each in self._all if each.is_idle), self).close_now()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, *event: Any) -> None:
        """uvicorn's, which hands the connection to another protocol; it counts here until it is lost."""
        self._upgraded = True
        super().handle_websocket_upgrade(*event)
        self._head_timer.cancel()
        websocket = self.transport.get_protocol()
        lost = websocket.connection_lost

        def forget_and_lose(exc: Exception | None) -> None:
            self._forget()
            lost(exc)

        websocket.connection_lost = forget_and_lose

    def pause_writing(self) -> None:
        """uvicorn's: more of an answer waits than the system's own buffer holds. From now on the client must read."""
        super().pause_writing()
        self._stop_write_timer()
        self._expect_less(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """uvicorn's: nearly all of it is taken."""
        self._stop_write_timer()
        super().resume_writing()

    @property
    def is_idle(self) -> bool:
        """No request has come, or the last one is answered; a WebSocket is never idle."""
        return not self._upgraded and (self.cycle is None or self.cycle.response_complete)

    def close_now(self) -> None:
        """Close it without a response: there is no request, or no place."""
        self._forget()
        self.transport.abort()

    def _end_if_silent(self) -> None:
        if self.cycle is None:
            self.close_now()

    def _expect_less(self, waiting: int) -> None:
        """waiting: bytes that have not been taken now."""
        self._write_timer = asyncio.get_running_loop().call_later(WRITE, self._end_if_not_taken, waiting)

    def _end_if_not_taken(self, waiting: int) -> None:
        now = self.transport.get_write_buffer_size()
        if waiting - now < TAKEN:
            self.close_now()
        else:
            self._expect_less(now)

    def _stop_write_timer(self) -> None:
        if self._write_timer:
            self._write_timer.cancel()

    def _forget(self) -> None:
        self._all.pop(self, None)
        self._count()
        self._head_timer.cancel()
        self._stop_write_timer()

    def _count(self) -> None:
        if on_change := type(self).on_change:
            on_change(len(self._all))
