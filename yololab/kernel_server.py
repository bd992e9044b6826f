"""serve(app): a web server inside a notebook's kernel, in a thread of its own or on the kernel's own loop."""

import asyncio
import atexit
import errno
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import uvicorn

from .errors import LabError, PortTaken
from .settings import Settings

GRACE = 5  # seconds that requests in flight get when the server stops
_SETTING = -1  # a port that nobody can mean
_running: dict[int, "Server"] = {}


class OwnLoop(asyncio.SelectorEventLoop):
    """A loop that stays as asyncio made it: nest_asyncio patches the class of the kernel's loop, not its base."""

    run_forever = asyncio.BaseEventLoop.run_forever
    run_until_complete = asyncio.BaseEventLoop.run_until_complete
    _run_once = asyncio.BaseEventLoop._run_once
    _check_running = asyncio.BaseEventLoop._check_running


class Server(uvicorn.Server):
    """A server that `serve` started: `url` to reach it, `stop()` to end it."""

    def __init__(self, app: Any, listener: socket.socket, root_path: str):
        host, port = listener.getsockname()[:2]
        super().__init__(
            uvicorn.Config(app, host, port, log_level="warning", root_path=root_path, timeout_graceful_shutdown=GRACE)
        )
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        self.app, self.port = app, port
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._listener = listener
        self._settled = threading.Event()  # it answers, or it never will
        self._ended = threading.Event()

    def __repr__(self) -> str:
        return f"<Server {self.url}{' (stopped)' if self._ended.is_set() else ''}>"

    def stop(self) -> None:
        """Finish the requests in flight, free the port, and return; stopping twice is fine."""
        self._ask_to_stop()
        self._ended.wait()

    def handle_exit(self, sig, frame) -> None:
        super().handle_exit(sig, frame)  # first: it takes a second SIGINT for impatience
        self._ask_to_stop()

    @contextmanager
    def capture_signals(self):
        """SIGINT ends a blocking server in order; every other handler stays the kernel's."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        kernels = signal.signal(signal.SIGINT, self.handle_exit)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, kernels)

    async def startup(self, sockets=None) -> None:
        await super().startup(sockets)
        self._settled.set()

    def _ask_to_stop(self) -> None:
        if hasattr(self.app, "state"):
            self.app.state.stopping = True  # from now on /ready says no
        self.should_exit = True

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve until asked to stop; then the port is free."""
        task = loop.create_task(self.serve([self._listener]))
        try:
            loop.run_until_complete(task)
        except SystemExit:  # uvicorn's way to say that the app's start-up failed
            pass
        finally:
            if task.done() and not task.cancelled():
                task.exception()  # seen, so that asyncio does not report it again
            self._listener.close()
            _running.pop(self.port, None)
            self._ended.set()
            self._settled.set()

    def _run_in_thread(self) -> None:
        loop = OwnLoop()
        asyncio.set_event_loop(loop)
        try:
            self._run(loop)
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    def _check_started(self) -> None:
        if not self.started:
            raise LabError("The app did not start: its start-up raised an error, which stands above.")


def serve(
    app: Any,
    port: int | None = _SETTING,
    *,
    block: bool = False,
    on_ready: Callable[[Server], Any] | None = None,
    host: str | None = None,
    root_path: str | None = None,
) -> Server | None:
    """Serve an ASGI app from this process; return the running server as soon as it answers.

    port: by default YOLOLAB_PORT, else 8000; None takes a free one. A server that this process runs on the
        same port is stopped first, so that a cell can be run again.
    host, root_path: by default YOLOLAB_HOST, else 127.0.0.1, and YOLOLAB_ROOT_PATH.
    block: serve on the kernel's own loop instead, with nest_asyncio, and return when the server has been stopped
        or the cell interrupted.
    on_ready: with block, called with the server in a helper thread once it answers; its error stops the server.

    Raises PortTaken where another process has the port, LabError where the app's start-up fails.
    """
    settings = Settings()
    port = settings.port if port == _SETTING else port
    if port in _running:
        _running[port].stop()
    listener = _bind(host or settings.host, port or 0)
    server = Server(app, listener, settings.root_path if root_path is None else root_path)
    _running[server.port] = server
    if block:
        return _block(server, on_ready)
    threading.Thread(target=server._run_in_thread, name=f"serve-{server.port}", daemon=True).start()
    server._settled.wait()
    server._check_started()
    print(f"Serving on {server.url}")
    return server


def _block(server: Server, on_ready: Callable[[Server], Any] | None) -> None:
    errors = []

    def helper() -> None:
        server._settled.wait()
        if not server.started:
            return
        print(f"Serving on {server.url} until it is stopped")
        try:
            if on_ready:
                on_ready(server)
        except BaseException as error:
            errors.append(error)
            server.stop()

    visitor = threading.Thread(target=helper, name=f"visit-{server.port}", daemon=True)
    visitor.start()
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # a plain script: nothing to nest in
        server._run_in_thread()
    else:
        import nest_asyncio

        run = asyncio.run
        nest_asyncio.apply()
        asyncio.run = run  # nest_asyncio's would nest for everybody, and drop the cells that wait
        with _later_cells_held_back(asyncio.get_running_loop()) as loop:
            server._run(loop)
    visitor.join()
    if errors:
        raise errors[0]
    server._check_started()
    print("The server has stopped")


@contextmanager
def _later_cells_held_back(loop: asyncio.AbstractEventLoop):
    """Keep the cells that are queued behind this one, as Run All queues them.

    ipykernel 7 runs all cells in one context, which this cell has entered: the nested loop cannot start the next
    one, reports that as an error, and drops it. Instead, it is put back, to be run when this cell has ended.
    """
    held = []
    report = loop.call_exception_handler

    def hold(what: dict) -> None:
        if "cannot enter context" in str(what.get("exception")) and "handle" in what:
            held.append(what["handle"])
        else:
            report(what)

    loop.call_exception_handler = hold  # not set_exception_handler: since 3.12 that one has to enter the context, too
    try:
        yield loop
    finally:
        del loop.call_exception_handler
        for handle in held:
            loop.call_soon(handle._run)


def _bind(host: str, port: int) -> socket.socket:
    """A socket that listens, bound here and now, so that a taken port is an error in the caller's cell."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    exclusive = sys.platform == "win32"  # there, SO_REUSEADDR would let two servers share one port
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does not for sockets of our own
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE if exclusive else socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise PortTaken(
            f"Port {port} is taken{_holder(port)}. Stop that server, or choose another port: "
            "serve(app, port=None) takes a free one."
        ) from None
    return listener


def _holder(port: int) -> str:
    """Who listens on a port, as far as this user may know."""
    try:
        import psutil

        for each in psutil.net_connections("tcp"):
            if each.laddr and each.laddr.port == port and each.status == psutil.CONN_LISTEN and each.pid:
                return f" by process {each.pid}: {' '.join(psutil.Process(each.pid).cmdline())[:100]}"
    except Exception:  # not installed, not allowed, or gone meanwhile: then nobody knows
        pass
    return " by another program"


@atexit.register
def _stop_all() -> None:
    for server in list(_running.values()):
        server._ask_to_stop()
