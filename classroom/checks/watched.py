"""A student's app, watched: what it raises is kept for the report, and not printed above it."""

import logging
import sys
import sysconfig
import traceback
from asyncio import CancelledError
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

from starlette.websockets import WebSocketDisconnect

from classroom import ROOT

CRASHED = "x-check-crashed"  # the header by which a 500 tells the check what was raised
NOTHING_SENT = "the app has returned and sent no response: is an await missing before send(...) or self.app(...)?"
UNFINISHED = "the response has no end: the last http.response.body must not have more_body=True"
SAID = ("timeout graceful shutdown exceeded", "Application startup failed")
NOT_THE_STUDENTS = (
    *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
    *(str(ROOT / name) for name in ("yololab", "classroom")),
    str(Path(sys.base_prefix, "lib")),
    "<frozen",
)


def crash(error: BaseException) -> str:
    """Type and text of an exception, and the student's own line that it went through last."""
    said = f"{type(error).__name__}: {error}"[:300]
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(NOT_THE_STUDENTS)]
    own = [frame for frame in own if not frame.filename.startswith("<")] or own  # <string>: what a library makes
    return f"{said} (your line {own[-1].lineno}: {own[-1].line})" if own else said


def twice(app: Any) -> list[str]:
    """The routes, as "POST /count", that an app has more than one function for."""
    pairs = Counter(
        (method, route.path)
        for route in getattr(app, "routes", ())
        if hasattr(route, "path")
        for method in getattr(route, "methods", None) or ()
    )
    return [f"{method} {path}" for (method, path), count in pairs.items() if count > 1]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep out of the server's log what the report says itself."""
    log = logging.getLogger("uvicorn.error")
    log.addFilter(_says_more)
    try:
        yield
    finally:
        log.removeFilter(_says_more)


def _says_more(record: logging.LogRecord) -> bool:
    return not any(words in record.getMessage() for words in SAID)


class Watched:
    """An ASGI app around the student's: a crash becomes a 500 whose header says what was raised, and where."""

    def __init__(self, app: Callable):
        self.app, self.not_started = app, ""
        self.state = getattr(app, "state", SimpleNamespace())  # `serve` waits for the model in it

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] == "websocket":
            return await self._websocket(scope, receive, send)
        if scope["type"] != "http":
            return await self._other(scope, receive, send)
        held: list[dict] = []  # a 500 waits until the app has ended, and perhaps raised
        begun = whole = False

        async def watched(message: dict) -> None:
            nonlocal begun, whole
            _check(message)
            whole = message["type"] == "http.response.body" and not message.get("more_body")
            if held or message.get("status") == 500:
                held.append(message)
            else:
                begun = True
                await send(message)

        try:
            await self.app(scope, receive, watched)
        except CancelledError:  # the server has stopped, and this request would have waited for ever
            if not held and not begun:
                held = [{"type": "http.response.start", "status": 503}, {"type": "http.response.body"}]
        except (Exception, SystemExit) as error:
            if begun:  # the status has gone: say it in the body, where that has no length yet
                whole = True
                with suppress(Exception):
                    body = f"\n{CRASHED}: {crash(error)}".encode()
                    await send({"type": "http.response.body", "body": body})
            elif not held:
                held = [{"type": "http.response.start", "status": 500}, {"type": "http.response.body"}]
            if held:
                told = (CRASHED.encode(), quote(crash(error)).encode())
                held[0]["headers"] = [*held[0].get("headers", ()), told]
        if begun and not whole:
            with suppress(Exception):
                await send({"type": "http.response.body", "body": f"\n{CRASHED}: {UNFINISHED}".encode()})
        if not held and not begun:
            told = (CRASHED.encode(), quote(NOTHING_SENT).encode())
            held = [{"type": "http.response.start", "status": 500, "headers": [told]}, {"type": "http.response.body"}]
        for message in held:
            await send(message)

    async def _websocket(self, scope: dict, receive: Callable, send: Callable) -> None:
        """What the route raises is sent as a last text, behind CRASHED; that the client has left is no crash."""
        accepted = False

        async def watched(message: dict) -> None:
            nonlocal accepted
            accepted = accepted or message["type"] == "websocket.accept"
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except (WebSocketDisconnect, CancelledError):
            pass
        except (Exception, SystemExit) as error:
            with suppress(Exception):  # closed already
                if not accepted:
                    await send({"type": "websocket.accept"})
                await send({"type": "websocket.send", "text": f"{CRASHED}: {crash(error)}"})
                await send({"type": "websocket.close", "code": 1011})

    async def _other(self, scope: dict, receive: Callable, send: Callable) -> None:
        async def watched(message: dict) -> None:
            await send({"type": message["type"]} if message["type"] == "lifespan.startup.failed" else message)

        try:
            await self.app(scope, receive, watched)
        except (Exception, SystemExit) as error:
            self.not_started = crash(error)
            raise RuntimeError from error


def _check(message: dict) -> None:
    """Raise TypeError, in the student's own line, for what a server would only write into its log."""
    if message["type"] != "http.response.start":
        return
    if not isinstance(message.get("status"), int):
        raise TypeError(f"status is {message.get('status')!r}, and should be a whole number")
    for pair in message.get("headers", ()):
        if len(pair) != 2 or not all(isinstance(each, bytes) for each in pair):
            raise TypeError(f"a header is {pair!r}, and should be a pair of bytes: (b'name', b'value')")
