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
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.config.host, self.config.host)
        port = sockets[0].getsockname()[1]
        print(f"Try it: http://{host}:{port}{self.config.root_path}/docs", file=sys.stderr, flush=True)

    def handle_exit(self, sig, frame) -> None:
        self.config.app.state.stopping = True
        super().handle_exit(sig, frame)


def serve(settings: Settings) -> int:
    """Serve until stopped; accepted requests are finished first. Returns the exit status."""
    config = uvicorn.Config(
        create_app(settings),
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
    Server(config).run(sockets=[listener])
    return 0
