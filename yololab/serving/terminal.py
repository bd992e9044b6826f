"""`yololab serve`: the API from a terminal, until Ctrl+C or SIGTERM."""

import socket
import sys
from types import FrameType
from typing import Any

import uvicorn

from ..api.app import create_app
from ..api.hosts import LOOPBACK
from ..api.settings import Settings
from ..errors import PortTaken
from .addresses import url_of
from .listener import listen

GRACE = 30  # seconds that requests in flight get when the server stops


class Server(uvicorn.Server):
    """Says where it answers, and tells the app when a stop is asked for, so that /ready answers 503 at once."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's, which also prints the address."""
        await super().startup(sockets)
        _invite(self.config, (sockets or [])[0])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """uvicorn's, which also tells the app."""
        app: Any = self.config.app
        app.state.stopping = True
        super().handle_exit(sig, frame)


def _invite(config: uvicorn.Config, listener: socket.socket) -> None:
    url = url_of(config.host, listener.getsockname()[1])
    print(f"Try it: {url}{config.root_path}/docs", file=sys.stderr, flush=True)


def serve(settings: Settings) -> int:
    """Serve until stopped; accepted requests are finished first. Returns the exit status."""
    alone = settings.workers == 1
    config = uvicorn.Config(
        create_app(settings) if alone else "yololab.serving.workers:worker",
        factory=not alone,
        workers=settings.workers,
        host=settings.host,
        port=settings.port,
        root_path=settings.root_path,
        timeout_graceful_shutdown=GRACE,
        server_header=False,
    )
    try:
        listener = listen(settings.host, settings.port)
    except PortTaken as error:
        raise PortTaken(f"{error} YOLOLAB_PORT sets it.") from None
    if settings.host not in LOOPBACK:
        print(
            f"Warning: listening on {settings.host}: everybody on the network can send pictures. "
            "YOLOLAB_API_KEY asks them for a key.",
            file=sys.stderr,
        )
    if alone:
        Server(config).run(sockets=[listener])
    else:
        from .workers import supervise

        _invite(config, listener)
        supervise(config, listener, settings)
    return 0
