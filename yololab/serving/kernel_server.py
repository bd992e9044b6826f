"""A server inside a notebook's kernel: it ends in order, and says when it answers and when it has ended."""

import asyncio
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
from .addresses import url_of
from .connections import PROTOCOLS
from .listener import listen

GRACE = 5  # seconds that requests in flight get when the server stops
RUNNING: dict[int, "Server"] = {}  # by port


class Server(uvicorn.Server):
    """A server that `serve` started: `url` to reach it, `stop()` to end it."""

    def __init__(self, app: Any, settings: Settings) -> None:
        """Listen; `run_in_thread` or `serve_until_stopped` answers. Raises PortTaken, WrongSetting."""
        self._listener = listen(settings.host, settings.port)
        host, port = self._listener.getsockname()[:2]
        super().__init__(
            uvicorn.Config(
                app,
                host,
                port,
                log_level="warning",
                root_path=settings.root_path,
                forwarded_allow_ips=settings.forwarded_allow_ips,
                timeout_graceful_shutdown=GRACE,
                **PROTOCOLS,
            )
        )
        self.app, self.port, self.url = app, port, url_of(host, port)
        self._thread: threading.Thread | None = None  # whose event loop serves
        self._started = threading.Event()  # it answers, or it never will
        self._ended = threading.Event()
        RUNNING[port] = self

    def __repr__(self) -> str:
        return f"<Server {self.url}{' (stopped)' if self._ended.is_set() else ''}>"

    @property
    def is_own_loop(self) -> bool:
        """Whether the caller runs on the very event loop that serves: waiting for it there would never end."""
        return threading.current_thread() is self._thread and not self._ended.is_set()

    def stop(self) -> None:
        """Finish the requests in flight, free the port, and return; stopping twice is fine.

        On the loop that serves (a route, or a cell beside a task of `serve_here`) it returns at once: the server stops
        as soon as that loop goes on.
        """
        self.ask_to_stop()
        self.wait()

    def wait(self, seconds: float | None = None) -> None:
        """Return once it has ended, or after `seconds`, and at once on its own loop."""
        if not self.is_own_loop:
            self._ended.wait(seconds)

    @property
    def service(self) -> Any:
        """What `service_of` the app gives."""
        return service_of(self.app)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End in order at a signal."""
        super().handle_exit(sig, frame)  # first: it takes a second SIGINT for impatience
        self.ask_to_stop()

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

    def ask_to_stop(self) -> None:
        """Let it stop, and do not wait for that."""
        if hasattr(self.app, "state"):
            self.app.state.stopping = True  # from now on /ready answers 503
        self.should_exit = True

    async def serve_until_stopped(self) -> None:
        """Serve on the event loop that runs."""
        self._thread = threading.current_thread()
        try:
            await self.serve([self._listener])
        except SystemExit:  # uvicorn's way to say that the app's start-up failed
            pass
        finally:
            self._listener.close()
            RUNNING.pop(self.port, None)
            self._ended.set()
            self._started.set()

    def run_in_thread(self) -> None:
        """Serve on an event loop of this thread's own."""
        with asyncio.Runner() as runner:
            runner.run(self.serve_until_stopped())

    def wait_until_ready(self) -> None:
        """Return once the app answers. Raises ServerFailed, or the error with which its model failed to load."""
        self._started.wait()
        if not self.started:
            raise ServerFailed("The app did not start: its start-up raised an error, which is shown above.")
        if self.service is not None:
            self.service.loaded.wait()
            if isinstance(self.service.not_ready_reason, LabError):
                self.stop()
                raise self.service.not_ready_reason


def service_of(app: Any) -> Any:
    """The `DetectionService` of an app of `create_app`, else None."""
    return getattr(getattr(app, "state", None), "service", None)
