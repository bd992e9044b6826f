"""The connections of /v1/live of one app: how many there may be, why one ends, how all of them end at a stop."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import Busy
from .queue import STOPPING
from .service import DetectionService

MAX_FRAME = 4 * 2**20  # bytes of one message; a JPEG of 1920 x 1080 pixels has about 500 kB
MAX_REASON = 123  # bytes of UTF-8 that a close frame has room for (RFC 6455, 5.5)


@dataclass(frozen=True, slots=True)
class Close:
    """Why a connection ends: a close code of RFC 6455, 7.4.1, and a sentence. code: None where the client has left."""

    code: int | None
    reason: str = ""


def going_away() -> Close:
    """The end of every connection when the server stops."""
    return Close(1001, STOPPING)


class Connection(Protocol):
    """One connection, as far as it matters here. told: done when its close frame is on its way."""

    told: "asyncio.Future[None]"

    def end(self, close: Close) -> None:
        """Let the connection end."""


class LiveConnections:
    """The connections of one app, at most half as many as requests may wait: `/predict` always finds a place."""

    def __init__(self, service: DetectionService) -> None:
        self._service = service
        self.limit = max(1, service.settings.queue // 2)
        self._open: set[Connection] = set()

    @contextmanager
    def place(self, connection: Connection) -> Iterator[None]:
        """A place for one connection while the block runs. Raises Busy where there is none."""
        if len(self._open) >= self.limit:
            raise Busy(f"The server has {self.limit} live connections, which is all it takes. Try again later.")
        self._open.add(connection)
        self._service.metrics.live_connections.set(len(self._open))
        try:
            yield
        finally:
            self._open.discard(connection)
            self._service.metrics.live_connections.set(len(self._open))

    async def close(self, seconds: float = 1.0) -> None:
        """Close every connection with 1001; return when they have been told, or after `seconds`."""
        for connection in self._open:
            connection.end(going_away())
        if self._open:
            await asyncio.wait([connection.told for connection in self._open], timeout=seconds)


async def close_live(app: Any) -> None:
    """Close the live connections of an app of `create_app` with 1001, where it has any; servers call it at a stop."""
    live = getattr(getattr(app, "state", None), "live", None)
    if live is not None:
        await live.close()


def shortened(reason: str) -> str:
    """The reason as far as a close frame has room for it."""
    return reason.encode(errors="replace")[:MAX_REASON].decode(errors="ignore")
