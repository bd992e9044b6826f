"""The server of one process that runs from a terminal: how it is asked to stop, and how it ends in any case."""

import asyncio
import errno
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn

from ..api.live import close_live
from .connections import BoundedProtocol
from .sharing import FairListener, Share

logger = logging.getLogger("uvicorn.error")

GRACE = 30  # seconds that requests in flight get when the server stops
HUNG = 70  # exit status of a process that ends itself because a picture hangs in it
AGAIN = "Asked to stop a second time: the server ends at once, whatever it works on.\n"


class Server(uvicorn.Server):
    """Finishes what it has accepted at SIGTERM, Ctrl+C or a closed terminal, for GRACE seconds; then it ends.

    alone: without a supervisor. Then a second signal ends it at once; with one, the supervisor decides that.
    share: its place among several that listen on one socket. on_start: called once it answers.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        alone: bool = True,
        share: Share | None = None,
        on_start: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(config)
        self._alone, self._share, self._on_start = alone, share, on_start
        self._asked = False

    @property
    def app(self) -> Any:
        """The app that is served, of `create_app`, without what uvicorn has put around it; None while it is made."""
        app = getattr(self.config, "loaded_app", None)
        while app is not None and not hasattr(app, "state"):
            app = getattr(app, "app", None)
        return app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's, which also says that it is done."""
        asyncio.get_running_loop().set_exception_handler(log_once())
        if self._share and sockets:
            await super().startup([])
            self.servers += [self._listen(each, self._share) for each in sockets]
        else:
            await super().startup(sockets)
        if self._on_start:
            self._on_start()

    def _listen(self, listener: socket.socket, share: Share) -> Any:
        """Take this worker's share of the connections."""
        make: Any = self.config.http_protocol_class
        given = {"config": self.config, "server_state": self.server_state, "app_state": self.lifespan.state}
        fair = FairListener(listener, lambda: make(**given), share, self.config.ssl)
        BoundedProtocol.on_change = fair.hold
        return fair

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's, which would close live connections with 1012 instead of 1001."""
        await close_live(self.app)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's would raise the signal again at the end; a stop that was asked for is no failure, so status 0."""
        names = ("SIGTERM", "SIGINT", "SIGBREAK", "SIGHUP") if self._alone else ("SIGTERM",)
        with handled(names, self.handle_exit):
            yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; /ready answers 503 from now on."""
        closed = sig == getattr(signal, "SIGHUP", None)  # a closing terminal may send that twice
        if self._asked and self._alone and not closed:
            os.write(2, AGAIN.encode())  # not the log: the signal may have come in the middle of one of its lines
            os._exit(128 + sig)
        self._asked = self._asked or not closed
        if not self.should_exit:
            self.should_exit = True
            if self.app is not None:
                self.app.state.stopping = True
            force = threading.Timer((self.config.timeout_graceful_shutdown or 0) + 2, self._end_by_force)
            force.daemon = True
            force.start()

    def _end_by_force(self) -> None:
        """No thread can be ended from outside, and the interpreter would wait for it, so the process must end."""
        grace = self.config.timeout_graceful_shutdown
        logger.critical(
            "still at work %s s after it was asked to stop: process %d ends all the same", grace, os.getpid()
        )
        os._exit(HUNG)


@contextmanager
def handled(names: tuple[str, ...], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle these signals, as far as the platform has them; one that is ignored (nohup) stays so."""
    before = {}
    for name in names:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def log_once() -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """A handler for an event loop's errors that says once that the descriptors are used up: asyncio says it for
    each connection that waits, again every second."""
    said = False

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal said
        if getattr(context.get("exception"), "errno", None) not in (errno.EMFILE, errno.ENFILE):
            return loop.default_exception_handler(context)
        if not said:
            said = True
            logger.error("Too many open files: new connections wait. `ulimit -n` raises the limit.")

    return handle
