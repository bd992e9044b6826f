"""The bytes of bodies that arrive at the same time are bounded, and are free again once each is answered."""

import socket
from contextlib import ExitStack, suppress

import pytest
import requests
from helpers import IMAGES, wait_for

from yololab import create_app, serve
from yololab.api import bodies
from yololab.api.bodies import BodyMiddleware
from yololab.api.settings import Settings

PICTURE = (IMAGES / "apple.jpg").read_bytes()
ROOM = 2**20


@pytest.fixture
def served():
    """A server with room for 1 MiB, and its bound."""
    app = create_app(Settings(keep=False))
    (middleware,) = (each for each in app.user_middleware if each.cls is BodyMiddleware)
    middleware.kwargs["room"] = ROOM
    server = serve(app, port=0)
    yield server, bound_of(app)
    server.stop()


def bound_of(app) -> BodyMiddleware:
    """The one in the stack that serves."""
    layer = app.middleware_stack
    while not isinstance(layer, BodyMiddleware):
        layer = vars(layer).get("_app") or vars(layer)["app"]
    return layer


FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'


def half_sent(server, size: int, kind: bytes = b"image/jpeg", start: bytes = b"") -> socket.socket:
    """A connection that says it sends 5 MB and has sent `size` bytes of them."""
    client = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    head = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000000\r\nContent-Type: %s\r\n\r\n" % kind
    client.sendall(head + start + bytes(size))
    return client


@pytest.mark.parametrize(("kind", "start"), [(b"image/jpeg", b""), (b"multipart/form-data; boundary=x", FORM)])
def test_more_than_there_is_room_for_is_answered_503_and_the_room_comes_back(served, kind, start):
    server, bound = served
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(half_sent(server, 300_000))
        wait_for(lambda: bound.free <= ROOM - 900_000, "three bodies")
        last = stack.enter_context(half_sent(server, 300_000, kind, start))
        answer = last.recv(2**16)
        assert answer.startswith(b"HTTP/1.1 503 ") and b"retry-after: 5" in answer.lower()
        small = requests.post(f"{server.url}/v1/detections", files={"file": PICTURE}, timeout=60)
        assert small.status_code == 200 and small.json()["detections"]
    wait_for(lambda: bound.free == ROOM, "the room")


@pytest.mark.parametrize(("size", "expected"), [(4000, b"200"), (10, b"408")])
def test_a_slow_body_has_more_time_as_long_as_it_comes(size, expected, monkeypatch):
    """Parts that come at ten times the least rate and at a fortieth of it, for longer than `timeout` both."""
    monkeypatch.setattr(bodies, "LEAST_RATE", 2000)
    server = serve(create_app(Settings(keep=False, upload_timeout=1)), port=0)
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
            head = b"POST /v1/detections HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n" % len(PICTURE)
            client.sendall(head + b"Content-Type: image/jpeg\r\n\r\n")
            client.settimeout(0.2)  # for so long it waits for the answer between two parts
            answer = b""
            for start in range(0, len(PICTURE), size):
                client.sendall(PICTURE[start : start + size])
                with suppress(TimeoutError):
                    answer = client.recv(2**16)
                    break
            client.settimeout(60)
            answer = answer or client.recv(2**16)
            assert answer.split()[1] == expected
    finally:
        server.stop()


def test_what_is_answered_is_counted_no_more(served):
    server, bound = served
    for route in ("/predict", "/v1/detections", "/nothing"):
        for _ in range(20):
            requests.post(f"{server.url}{route}", files={"file": PICTURE}, timeout=60)
    wait_for(lambda: bound.free == ROOM, "the room")
