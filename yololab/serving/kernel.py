"""serve(app): a web server inside a notebook's kernel, in a thread of its own or on the kernel's own loop."""

import asyncio
import atexit
import threading
from typing import Any

from ..api.settings import Settings
from ..errors import ServerFailed
from .addresses import browser_hint, bypass_proxies
from .kernel_server import GRACE, RUNNING, Server, service_of

__all__ = ["Server", "running", "serve", "serve_here", "serving"]


def serve(
    app: Any, port: int | None = None, *, host: str | None = None, root_path: str | None = None, quiet: bool = False
) -> Server:
    """Serve an ASGI app from a thread of this process; return the running server once it is ready to answer.

    port: by default YOLOLAB_PORT, else 8000; 0 takes a free one. A server that this process runs on the same port is
        stopped first, so that a cell can be run again.
    host, root_path: by default YOLOLAB_HOST, else 127.0.0.1, and YOLOLAB_ROOT_PATH.
    quiet: do not print the address.

    Raises PortTaken where another process has the port, WrongSetting for an address that this machine has not,
    ServerFailed where the app's start-up fails or an app of `create_app` is served already, and the error with which
    such an app's default model failed to load.
    """
    settings = _settings(port, host, root_path)
    if old := running(settings.port):
        if old.is_own_loop:
            raise ServerFailed(
                f"Port {old.port} is served by this very event loop, and would be free only after this cell. "
                f"Run running({old.port}).stop() in a cell of its own first."
            )
        old.stop()
    server = _new_server(app, settings)
    threading.Thread(target=server.run_in_thread, name=f"serve-{server.port}", daemon=True).start()
    server.wait_until_ready()
    if not quiet:
        print(f"Serving on {server.url}")
        _print_hint(server)
    return server


async def serve_here(
    app: Any, port: int | None = None, *, host: str | None = None, root_path: str | None = None
) -> None:
    """Serve an ASGI app on the event loop that runs, until `stop` or an interrupt: `await serve_here(app)` in a cell.

    Takes what `serve` takes. Raises PortTaken, WrongSetting, ServerFailed.
    """
    settings = _settings(port, host, root_path)
    if old := running(settings.port):
        await asyncio.to_thread(old.stop)
    server = _new_server(app, settings)
    print(f"Serving on {server.url} until the cell is interrupted")
    _print_hint(server)
    await server.serve_until_stopped()
    if not server.started:
        raise ServerFailed("The app did not start: its start-up raised an error, which is shown above.")
    print("The server has stopped")


def running(port: int) -> Server | None:
    """The server that this process runs on `port`."""
    return RUNNING.get(port)


def serving(app: Any) -> Server | None:
    """The server of this process that serves this app of `create_app`."""
    service = service_of(app)
    return next((each for each in RUNNING.values() if service is not None and each.service is service), None)


def _print_hint(server: Server) -> None:
    if hint := browser_hint(server.port):
        print(f"In your browser: {hint}")


def _settings(port: int | None, host: str | None, root_path: str | None) -> Settings:
    given = {"port": port, "host": host, "root_path": root_path}
    return Settings(**{name: value for name, value in given.items() if value is not None})


def _new_server(app: Any, settings: Settings) -> Server:
    bypass_proxies()  # a cell that sends a request to this server must reach it
    if there := serving(app):
        raise ServerFailed(
            f"This app is served already, on {there.url}, and its queue belongs to that server's event loop. "
            f"Stop that one first, running({there.port}).stop(), or serve another app, create_app()."
        )
    server = Server(app, settings)
    if server.service is not None:  # its access check answers to literal addresses where the app listens on them
        server.service.settings.host = settings.host
    return server


@atexit.register
def _stop_all() -> None:
    """At the interpreter's exit: what is in flight gets its time, which a daemon thread alone would not have."""
    servers = list(RUNNING.values())
    for server in servers:
        server.ask_to_stop()
    for server in servers:
        server.wait(GRACE + 1)
