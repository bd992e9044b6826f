"""What comes over the wire beside bodies: framing tricks, tiny chunks, forged headers, keys."""

import logging
import socket
from itertools import pairwise

import pytest
from helpers import IMAGES, ready_client

from yololab import create_app, serve
from yololab.api.settings import Settings
from yololab.errors import WrongSetting

APPLE = (IMAGES / "apple.jpg").read_bytes()
POST = b"POST /v1/detections HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\n"


@pytest.fixture(scope="module")
def server():
    server = serve(create_app(Settings(keep=False)), port=0)
    yield server
    server.stop()


OFFERS = [  # first that of Java and of curl --http2
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n",
    b"Upgrade: h2c\r\nConnection: keep-alive\r\nConnection: upgrade\r\n",
    b"Connection: upgrade\r\nUpgrade: TLS/1.0\r\n",
]


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("pieces", [1, 2, 3])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_offer_of_another_protocol_is_ignored(server, offer, pieces, chunked):
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(APPLE), APPLE) if chunked else APPLE
    framing = b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: %d\r\n" % len(APPLE)
    head = POST + framing + offer + b"\r\n"
    after = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n" + offer.split(b"\r\n")[0] + b"\r\n\r\n"
    data = head + body + after
    if pieces == 1:
        got = sent(server, data)
    else:
        cuts = [0, 40, len(head), len(head) + 1000, len(data)] if pieces == 3 else [0, len(head), len(data)]
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for start, end in pairwise(cuts):
                client.sendall(data[start:end])
            got = b"".join(iter(lambda: client.recv(2**16), b""))
    assert got.count(b"HTTP/1.1 ") == got.count(b"HTTP/1.1 200") == 2
    assert got.index(b'"apple"') < got.index(b"alive")


def test_what_follows_an_offer_is_its_body_and_no_second_request(server):
    inner = b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    got = sent(
        server,
        POST
        + OFFERS[0].replace(b"Upgrade, ", b"Upgrade, close, ")
        + b"Content-Length: %d\r\n\r\n" % len(inner)
        + inner,
    )
    assert got.count(b"HTTP/1.1 ") == got.count(b"HTTP/1.1 415") == 1 and b"starter" not in got


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
