"""`yololab serve`: the API from a terminal, until Ctrl+C or SIGTERM."""

import socket
import sys

import uvicorn

from ..api.app import create_app
from ..api.hosts import LOOPBACK
from ..api.settings import Settings
from ..api.startup import check_default_model, log_warnings
from ..errors import PortTaken
from .addresses import browser_hint, url_of
from .connections import PROTOCOLS, BoundedProtocol, raise_descriptor_limit
from .listener import listen
from .server import GRACE, Server

__all__ = ["GRACE", "serve"]
PAGES = {"explore": "why was it not detected?", "live": "a camera"}
"""The optional pages, and what each is for."""


def serve(settings: Settings) -> int:
    """Serve until stopped; accepted requests are finished first. Returns the exit status.

    Raises WrongSetting for a default model that nobody knows or an address that this machine has not, PortTaken.
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
        forwarded_allow_ips=settings.forwarded_allow_ips,
        timeout_graceful_shutdown=GRACE,
        server_header=False,
        **(PROTOCOLS | {"http": BoundedProtocol}),
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
        Server(config, on_start=lambda: _invite(config, listener, settings)).run(sockets=[listener])
        return 0
    from .workers import supervise

    log_warnings(settings)
    _invite(config, listener, settings)
    return supervise(config, listener, settings)


def _invite(config: uvicorn.Config, listener: socket.socket, settings: Settings) -> None:
    port = listener.getsockname()[1]
    url = url_of(config.host, port) + config.root_path
    lines = [f"Try it: {url}/docs", *(f"        {url}/{name}" for name in PAGES if name in settings.extras)]
    if hint := browser_hint(port):
        lines.append(f"In your browser: {hint}")
    if off := [name for name in PAGES if name not in settings.extras]:
        named = " and ".join(f"/{name} ({PAGES[name]})" for name in off)
        lines.append(f"Switched off: {named}; YOLOLAB_EXTRAS={','.join([*settings.extras, *off])} switches on.")
    print("\n".join(lines), file=sys.stderr, flush=True)
