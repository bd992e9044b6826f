"""The benchmark's own client: it counts wrong answers, and it reads what servers send."""

import socket
import threading

import pytest
from helpers import IMAGES, PACKAGE

from benchmarks.baseline import Baseline, picture
from benchmarks.client import Connection, load, prepare
from benchmarks.servers.common import detect
from yololab import Detector, create_app, serve

PHOTOS = [(IMAGES / name).read_bytes() for name in ("apple.jpg", "fruit.jpg", "clock.jpg")]


@pytest.fixture(scope="module")
def port():
    server = serve(create_app(), port=0)
    yield int(server.url.rsplit(":", 1)[1])
    server.stop()


def test_right_answers_are_not_wrong_and_swapped_ones_are(port):
    asked = [prepare(port, "/v1/detections", photo, form=True) for photo in PHOTOS]
    with Connection(port) as connection:
        answers = [connection.ask(request) for request in asked]
    assert [status for status, _ in answers] == [200, 200, 200]
    bodies = [body for _, body in answers]
    right = load(port, asked, bodies, clients=4, seconds=0.3)
    assert right.seconds and right.wrong == right.errors == 0 and right.rate > 0 and right.cpu_share > 0
    wrong = load(port, asked, bodies[1:] + bodies[:1], clients=4, seconds=0.3)
    assert wrong.wrong == len(wrong.seconds) > 0


def test_refusals_are_errors_and_not_answers(port):
    refused = load(port, [prepare(port, "/v1/detections", b"", form=True)], [b""], clients=1, seconds=0.1)
    assert refused.errors > 0 and not refused.seconds


def test_chunks_are_put_together():
    parts = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nap", b"pl\r\n1\r\ne\r\n0\r\n\r\n"]
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            with listener.accept()[0] as other:
                other.recv(1000)
                for part in parts:
                    other.sendall(part)

        thread = threading.Thread(target=answer)
        thread.start()
        with Connection(listener.getsockname()[1]) as connection:
            assert connection.ask(b"GET / HTTP/1.1\r\n\r\n") == (200, b"apple")
        thread.join()


def test_the_baseline_does_the_same_work_as_the_server(port):
    detector = Detector("starter")
    with Connection(port) as connection:
        told = connection.ask(prepare(port, "/v1/detections?confidence=0.3", PHOTOS[1], form=True))[1]
        drawn = connection.ask(prepare(port, "/predict?confidence=0.3", PHOTOS[1], form=True))[1]
    found = detect(detector, PHOTOS[1])
    assert told.partition(b'"detections"')[2] == found.partition(b'"detections"')[2] != b""
    assert drawn == picture(detector, PHOTOS[1])
    base = Baseline(PACKAGE / "starter.cfg").load("json", PHOTOS, threads=2, seconds=0.2)
    assert base.seconds and base.errors == base.wrong == 0
