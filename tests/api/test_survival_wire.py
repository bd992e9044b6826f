"""What comes over the wire beside bodies: framing tricks, tiny chunks, forged headers, keys."""

import logging
import socket

import pytest
from helpers import IMAGES, ready_client

from yololab import create_app, serve
from yololab.api.settings import Settings
from yololab.errors import WrongSetting

POST = b"POST /v1/detections HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\n"


@pytest.fixture(scope="module")
def server():
    server = serve(create_app(Settings(keep=False)), port=0)
    yield server
    server.stop()


def sent(server, data: bytes) -> bytes:
    """All that comes back until the server closes the connection."""
    got = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall(data)
        while part := client.recv(2**16):
            got += part
    return got


@pytest.mark.parametrize(
    "framing",
    [b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 5",
     b"Content-Length: 5\r\nContent-Length: 6"],
)  # fmt: skip
def test_two_ways_to_say_the_length_are_refused_and_the_connection_is_closed(server, framing):
    assert sent(server, POST + framing + b"\r\n\r\n0\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_a_body_in_chunks_of_a_byte_is_the_same_picture(server):
    picture = (IMAGES / "apple.jpg").read_bytes()
    whole = POST + b"Connection: close\r\n"
    expected = sent(server, whole + b"Content-Length: %d\r\n\r\n" % len(picture) + picture)
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in picture) + b"0\r\n\r\n"
    got = sent(server, whole + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert got.startswith(b"HTTP/1.1 200 ") and got.split(b"\r\n\r\n")[1] == expected.split(b"\r\n\r\n")[1]


def test_control_characters_reach_no_log(server, caplog):
    with caplog.at_level(logging.DEBUG):
        answer = sent(server, b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: 1.2.3.4\x1b[31m\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ") and "\x1b" not in caplog.text


def test_a_key_with_a_line_break_behind_it_is_the_key():
    with ready_client(api_key="secret\n") as client:
        assert client.get("/v1/models", headers={"X-API-Key": "secret"}).status_code != 401
        assert client.get("/v1/models", headers={"X-API-Key": "wrong"}).status_code in (401, 403)


@pytest.mark.parametrize("key", ["schlüssel", "a\x07b", "a\nb"])
def test_a_key_that_no_header_can_carry_stops_the_start_and_is_not_shown(key):
    with pytest.raises(WrongSetting, match=r"API_KEY is not possible: .*ASCII") as refused:
        Settings(api_key=key)
    assert key not in str(refused.value)
