"""`python -m yololab serve`: the API from a terminal, until Ctrl+C or SIGTERM."""

import socket
import sys

import uvicorn

from .api import create_app
from .guard import LOOPBACK
from .settings import Settings


class Server(uvicorn.Server):
    """Says where it answers, and tells the app when a stop is asked for, so that /ready answers 503 at once."""

    async def startup(self, sockets=None) -> None:
        await super().startup(sockets)
        _invite(self.config, sockets[0])

    def handle_exit(self, sig, frame) -> None:
        self.config.app.state.stopping = True
        super().handle_exit(sig, frame)


def _invite(config: uvicorn.Config, listener: socket.socket) -> None:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(config.host, config.host)
    print(f"Try it: http://{host}:{listener.getsockname()[1]}{config.root_path}/docs", file=sys.stderr, flush=True)


def serve(settings: Settings) -> int:
    """Serve until stopped; accepted requests are finished first. Returns the exit status."""
    alone = settings.workers == 1
    config = uvicorn.Config(
        create_app(settings) if alone else "yololab.workers:worker",
        factory=not alone,
        workers=settings.workers,
        host=settings.host,
        port=settings.port,
        root_path=settings.root_path,
        timeout_graceful_shutdown=30,
        server_header=False,
    )
    try:
        listener = config.bind_socket()
    except SystemExit:  # uvicorn has logged the reason
        print(f"Set YOLOLAB_PORT to another port than {settings.port}, or to 0 for a free one.", file=sys.stderr)
        return 1
    # asyncio does not for sockets of our own: each answer on a kept connection would wait 40 ms for the client's ACK
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
