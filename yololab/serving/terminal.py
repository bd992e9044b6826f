"""`yololab serve`: the API from a terminal, until Ctrl+C or SIGTERM."""

import socket
import sys

import uvicorn

from ..api.app import create_app
from ..api.hosts import LOOPBACK
from ..api.settings import Settings
from ..api.startup import check_default_model, log_warnings
from ..errors import PortTaken
from .addresses import url_of
from .connections import WEBSOCKETS, BoundedProtocol, raise_descriptor_limit
from .listener import listen
from .server import GRACE, Server

__all__ = ["GRACE", "serve"]


def serve(settings: Settings) -> int:
    """Serve until stopped; accepted requests are finished first. Returns the exit status.

    Raises WrongSetting for a default model that nobody knows, PortTaken.
    """
    BoundedProtocol.limit = raise_descriptor_limit()
    alone = settings.workers == 1
    check_default_model(settings)
    config = uvicorn.Config(
        create_app(settings) if alone else "yololab.serving.workers:worker",
        factory=not alone,
        workers=settings.workers,
        host=settings.host,
        port=settings.port,
        root_path=settings.root_path,
        http=BoundedProtocol,
        timeout_graceful_shutdown=GRACE,
        server_header=False,
        **WEBSOCKETS,
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
        Server(config, on_start=lambda: _invite(config, listener)).run(sockets=[listener])
        return 0
    from .workers import supervise

    log_warnings(settings)
    _invite(config, listener)
    return supervise(config, listener, settings)


def _invite(config: uvicorn.Config, listener: socket.socket) -> None:
    url = url_of(config.host, listener.getsockname()[1])
    print(f"Try it: {url}{config.root_path}/docs", file=sys.stderr, flush=True)
