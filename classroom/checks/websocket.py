"""A WebSocket of the API under check: it is opened, sends, and notes what comes back."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from . import held
from .answer import BROKE, NO_ANSWER
from .probe import Probe
from .report import Report
from .watched import CRASHED

OPEN = 'the route is @app.websocket("{}"), and its first line is: await websocket.accept()'


@contextmanager
def opened(report: Report, api: Probe, path: str) -> Iterator[ClientConnection]:
    """A connection to the student's route. Raises Stop where there is none."""
    url = api.url.replace("http", "ws", 1) + path
    with ExitStack() as stack:
        try:
            websocket = stack.enter_context(connect(url, proxy=None, open_timeout=held.LIMIT, close_timeout=1))
        except (InvalidHandshake, OSError) as error:
            report.require(f"WS {path} opens", "101", str(error), OPEN.format(path))
        yield websocket


def send(websocket: ClientConnection, message: str | bytes) -> None:
    """Send it; that the connection is closed is what the next read says."""
    with suppress(ConnectionClosed):
        websocket.send(message)


def said(websocket: ClientConnection, with_reason: bool = False) -> Any:
    """The next message, as JSON where it is some; or words for a crash, a close, nothing."""
    try:
        text = websocket.recv(held.LIMIT)
    except TimeoutError:
        return NO_ANSWER
    except ConnectionClosed as closed:
        code, reason = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")
        return f"closed with {code}: {reason}" if with_reason and reason else f"closed with {code}"
    return _json(text)


def expect(report: Report, websocket: ClientConnection, what: str, expected: Any, hint: str,
            with_reason: bool = False) -> None:  # fmt: skip
    """Note one answer. Raises Stop where it is another: what comes after it would only confuse."""
    actual = said(websocket, with_reason)
    crashed = isinstance(actual, str) and actual.startswith(CRASHED)
    report.require(
        what, expected, actual.removeprefix(f"{CRASHED}: ") if crashed else actual, BROKE if crashed else hint
    )


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
