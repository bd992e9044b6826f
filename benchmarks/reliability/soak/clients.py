"""The clients of the soak: each runs until it is told to stop, and notes what it saw."""

import json
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from time import monotonic

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import connect

from benchmarks.client import Connection, prepare

PAUSE = 0.05  # seconds between the requests of a client, so that the machine is loaded and not overloaded
EXPECTED = {200, 400, 403, 404, 405, 406, 408, 413, 415, 422, 503}  # what a hostile request may be answered


@dataclass
class Seen:
    """What all clients saw. wrong: other bytes, or a status that no request may get; each with what was asked."""

    good: int = 0
    refused: int = 0
    hostile: Counter[int] = field(default_factory=Counter)
    live: int = 0
    reconnected: int = 0
    lost_at_a_kill: int = 0
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    kills: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note_lost(self, what: str, window: float = 8) -> None:
        """A connection broke: with a worker that was killed within the last seconds, or for no reason."""
        with self.lock:
            if any(0 <= monotonic() - when < window for when in self.kills):
                self.lost_at_a_kill += 1
            else:
                self.lost.append(what)


@dataclass(frozen=True)
class Load:
    """What is asked.

    good: requests by name, and their answers; large: one that goes over the disk; bad: costly and broken files.
    """

    port: int
    good: dict[str, tuple[bytes, bytes]]
    large: tuple[bytes, bytes]
    frames: list[tuple[bytes, dict]]
    bad: list[bytes]


def client(load: Load, seen: Seen, stop: threading.Event, seed: int) -> None:
    """Asks for known pictures with any of the models; the answer must be the known one, to the byte."""
    chance, connection = random.Random(seed), None
    while not stop.wait(PAUSE):
        name = chance.choice(list(load.good))
        connection = _ask(load, seen, connection, name, *load.good[name])


def uploader(load: Load, seen: Seen, stop: threading.Event) -> None:
    """Sends a picture that is large enough for a temporary file; where the disk is full, 503."""
    connection = None
    while not stop.wait(0.5):
        connection = _ask(load, seen, connection, "a large picture", *load.large)


def _ask(load: Load, seen: Seen, connection: Connection | None, name: str, request: bytes,
         expected: bytes) -> Connection | None:  # fmt: skip
    try:
        connection = connection or Connection(load.port)
        status, body = connection.ask(request)
    except OSError as error:
        seen.note_lost(f"{name}: {error!r}")
        if connection:
            connection.close()
        return None
    with seen.lock:
        if status == 200 and body == expected:
            seen.good += 1
        elif status == 503:
            seen.refused += 1
        else:
            seen.wrong.append(f"{name}: {status} {body[:200]!r}")
    if status != 200:
        connection.close()
        return None
    return connection


def hostile(load: Load, seen: Seen, stop: threading.Event, seed: int) -> None:
    """Sends what no client should: any status of the table is right, or the connection is closed."""
    chance = random.Random(seed)
    while not stop.wait(PAUSE):
        request = chance.choice(list(_attacks(load, chance)))()
        try:
            with Connection(load.port) as connection:
                connection._socket.settimeout(30)
                if request.endswith(b"HANG UP"):
                    connection._socket.sendall(request.removesuffix(b"HANG UP"))
                    continue
                status, body = connection.ask(request)
        except OSError:  # refused by closing, or killed
            status, body = 0, b""
        with seen.lock:
            seen.hostile[status] += 1
            if status not in EXPECTED | {0}:
                seen.wrong.append(f"hostile: {status} {body[:200]!r} to {request[:80]!r}")


def _attacks(load: Load, chance: random.Random) -> Iterator[Callable[[], bytes]]:
    """Ways to make a request; one that ends with HANG UP is sent without waiting for the answer."""
    post = partial(prepare, load.port, "/v1/detections")
    whole = chance.choice(list(load.good.values()))[0]
    head = f"Host: 127.0.0.1:{load.port}\r\n".encode()
    yield lambda: post(chance.choice(load.bad), form=True)
    yield lambda: post(chance.choice(load.bad), form=False)
    yield lambda: post(chance.choice(load.bad)[: chance.randrange(60, 2000)], form=True)
    yield lambda: post(chance.randbytes(chance.randrange(3000)), form=True)
    yield lambda: whole[: chance.randrange(len(whole))] + b"HANG UP"
    yield lambda: whole + b"HANG UP"
    yield lambda: b"GET /" + chance.randbytes(9).hex().encode() + b" HTTP/1.1\r\n" + head + b"\r\n"
    yield lambda: b"GET /v1/models?x=%00%ff HTTP/1.1\r\n" + head + b"Origin: null\r\n\r\n"
    yield lambda: b"POST /predict HTTP/1.1\r\n" + head + b"Content-Length: 99999999999\r\n\r\n"
    yield lambda: b"POST /predict?model=nope HTTP/1.1\r\n" + head + b"Content-Length: 0\r\n\r\n"
    yield lambda: b"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n"


def live(load: Load, seen: Seen, stop: threading.Event) -> None:
    """Sends frames over WS /v1/live, one after the other; connects anew where the connection is closed."""
    url = f"ws://127.0.0.1:{load.port}/v1/live"
    while not stop.is_set():
        try:
            with connect(url, proxy=None, open_timeout=30, compression=None) as websocket:
                _frames(load, seen, stop, websocket.send, partial(websocket.recv, timeout=30))
        except (OSError, ConnectionClosed, WebSocketException, EOFError) as error:
            if stop.is_set():
                return
            code = error.rcvd.code if isinstance(error, ConnectionClosed) and error.rcvd else 1006
            with seen.lock:
                seen.reconnected += 1
            if code not in (1012, 1013):
                seen.note_lost(f"live: {error!r}")
            stop.wait(0.2)


def _frames(load: Load, seen: Seen, stop: threading.Event, send: Callable, receive: Callable) -> None:
    number = 0
    while not stop.wait(2 * PAUSE):
        frame, expected = load.frames[number % len(load.frames)]
        number += 1
        send(frame)
        answer = json.loads(receive())
        with seen.lock:
            seen.live += 1
            if "detections" in answer:
                found = [{key: value for key, value in each.items() if key != "color"} for each in answer["detections"]]
                right = found == expected
            else:
                right = answer["error"]["status"] == 503
            if not right:
                seen.wrong.append(f"live: {str(answer)[:200]}")


def stalled(load: Load, stop: threading.Event, count: int) -> None:
    """Holds connections with half a head and half a body; opens them anew where the server closes them."""
    request = next(iter(load.good.values()))[0]
    while not stop.is_set():
        held = []
        for number in range(count):
            with suppress(OSError):
                each = socket.create_connection(("127.0.0.1", load.port), timeout=10)
                each.sendall(request[: 20 if number % 2 else len(request) // 2])
                held.append(each)
        stop.wait(20)
        for each in held:
            each.close()


def scraper(load: Load, seen: Seen, stop: threading.Event) -> None:
    """Reads /metrics as Prometheus does."""
    request = f"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{load.port}\r\n\r\n".encode()
    while not stop.wait(1):
        try:
            with Connection(load.port) as connection:
                if (status := connection.ask(request)[0]) != 200:
                    seen.wrong.append(f"/metrics: {status}")
        except OSError as error:
            seen.note_lost(f"/metrics: {error!r}")
