"""serve(app): a web server inside a notebook's kernel, in a thread of its own or on the kernel's own loop."""

import asyncio
import atexit
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn

from ..api.live import close_live
from ..api.settings import Settings
from ..errors import LabError, ServerFailed
from .addresses import browser_hint, bypass_proxies, url_of
from .connections import WEBSOCKETS
from .listener import listen

GRACE = 5  # seconds that requests in flight get when the server stops
_running: dict[int, "Server"] = {}


class Server(uvicorn.Server):
    """A server that `serve` started: `url` to reach it, `stop()` to end it."""

    def __init__(self, app: Any, listener: socket.socket, root_path: str) -> None:
        host, port = listener.getsockname()[:2]
        super().__init__(
            uvicorn.Config(
                app, host, port, log_level="warning", root_path=root_path, timeout_graceful_shutdown=GRACE, **WEBSOCKETS
            )
        )
        self.app, self.port, self.url = app, port, url_of(host, port)
        self._listener = listener
        self._started = threading.Event()  # it answers, or it never will
        self._ended = threading.Event()

    def __repr__(self) -> str:
        return f"<Server {self.url}{' (stopped)' if self._ended.is_set() else ''}>"

    def stop(self) -> None:
        """Finish the requests in flight, free the port, and return; stopping twice is fine."""
        self._ask_to_stop()
        self._ended.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End in order at a signal."""
        super().handle_exit(sig, frame)  # first: it takes a second SIGINT for impatience
        self._ask_to_stop()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGINT (a notebook's stop button) ends the server in order; every other handler stays the kernel's."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self.handle_exit)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's, which also notes that it is done."""
        await super().startup(sockets)
        self._started.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's, which would close live connections with 1012 instead of 1001."""
        await close_live(self.app)
        await super().shutdown(sockets)

    def _ask_to_stop(self) -> None:
        if hasattr(self.app, "state"):
            self.app.state.stopping = True  # from now on /ready answers 503
        self.should_exit = True

    async def _serve_until_stopped(self) -> None:
        try:
            await self.serve([self._listener])
        except SystemExit:  # uvicorn's way to say that the app's start-up failed
            pass
        finally:
            self._listener.close()
            _running.pop(self.port, None)
            self._ended.set()
            self._started.set()

    def _run_in_thread(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._serve_until_stopped())

    def _wait_until_ready(self) -> None:
        """Return once the app answers. Raises ServerFailed, or the error with which its model failed to load."""
        self._started.wait()
        if not self.started:
            raise ServerFailed("The app did not start: its start-up raised an error, which is shown above.")
        service = getattr(getattr(self.app, "state", None), "service", None)
        if service is not None:  # an app of `create_app`
            service.loaded.wait()
            if isinstance(service.not_ready_reason, LabError):
                self.stop()
                raise service.not_ready_reason


def serve(
    app: Any, port: int | None = None, *, host: str | None = None, root_path: str | None = None, quiet: bool = False
) -> Server:
    """Serve an ASGI app from a thread of this process; return the running server once it is ready to answer.

    port: by default YOLOLAB_PORT, else 8000; 0 takes a free one. A server that this process runs on the same port is
        stopped first, so that a cell can be run again.
    host, root_path: by default YOLOLAB_HOST, else 127.0.0.1, and YOLOLAB_ROOT_PATH.
    quiet: do not print the address.

    Raises PortTaken where another process has the port, ServerFailed where the app's start-up fails, and for an app
    of `create_app` the error with which its default model failed to load.
    """
    server = _new_server(app, port, host, root_path)
    threading.Thread(target=server._run_in_thread, name=f"serve-{server.port}", daemon=True).start()
    server._wait_until_ready()
    if not quiet:
        print(f"Serving on {server.url}")
        _print_hint(server)
    return server


async def serve_here(
    app: Any, port: int | None = None, *, host: str | None = None, root_path: str | None = None
) -> None:
    """Serve an ASGI app on the event loop that runs, until `stop` or an interrupt: `await serve_here(app)` in a cell.

    Takes what `serve` takes. Raises PortTaken, ServerFailed.
    """
    server = _new_server(app, port, host, root_path)
    print(f"Serving on {server.url} until the cell is interrupted")
    _print_hint(server)
    await server._serve_until_stopped()
    if not server.started:
        raise ServerFailed("The app did not start: its start-up raised an error, which is shown above.")
    print("The server has stopped")


def running(port: int) -> Server | None:
    """The server that this process runs on `port`."""
    return _running.get(port)


def _print_hint(server: Server) -> None:
    if hint := browser_hint(server.port):
        print(f"In your browser: {hint}")


def _new_server(app: Any, port: int | None, host: str | None, root_path: str | None) -> Server:
    settings = Settings()
    bypass_proxies()  # a cell that sends a request to this server must reach it
    port = settings.port if port is None else port
    if port in _running:
        _running[port].stop()
    host = host or settings.host
    listener = listen(host, port)
    if service := getattr(getattr(app, "state", None), "service", None):  # an app of `create_app`
        service.settings.host = host  # the access check answers to literal addresses where the app listens on them
    server = Server(app, listener, settings.root_path if root_path is None else root_path)
    _running[server.port] = server
    return server


@atexit.register
def _stop_all() -> None:
    """At the interpreter's exit: what is in flight gets its time, which a daemon thread alone would not have."""
    servers = list(_running.values())
    for server in servers:
        server._ask_to_stop()
    for server in servers:
        server._ended.wait(GRACE + 1)
