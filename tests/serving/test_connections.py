"""How many connections one process holds, and that silent ones keep nobody out."""

import logging
import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
import requests
from fastapi import FastAPI, Response
from helpers import wait_for

from yololab.api.settings import Settings
from yololab.serving import connections
from yololab.serving.kernel import Server
from yololab.serving.server import log_once

LARGE = 64 * 2**20  # bytes, more than any buffer of the system


def opened(server) -> socket.socket:
    """A connection that has sent half a request head."""
    client = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    return client


def is_closed(client: socket.socket) -> bool:
    client.settimeout(60)
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.fixture
def server(monkeypatch):
    """A server with room for four connections."""
    monkeypatch.setattr(connections.BoundedProtocol, "limit", 4)
    app = FastAPI()
    app.state.go = threading.Event()

    @app.get("/")
    def hello():
        return "hello"

    @app.get("/slow")
    def slow():
        app.state.go.wait(60)
        return "slow"

    @app.get("/large")
    def large():
        return Response(bytes(LARGE))

    server = Server(app, Settings(port=0))
    server.config.http = connections.BoundedProtocol
    thread = threading.Thread(target=server.run_in_thread)
    thread.start()
    server._started.wait(60)
    yield server
    app.state.go.set()
    server.stop()
    thread.join(60)
    assert not connections.BoundedProtocol._all


def test_the_oldest_silent_connection_makes_room(server):
    with ExitStack() as stack:
        clients = [stack.enter_context(opened(server)) for _ in range(4)]
        wait_for(lambda: len(connections.BoundedProtocol._all) == 4)
        for _ in range(2):
            with requests.Session() as session:
                assert session.get(server.url, timeout=60).json() == "hello"
        assert is_closed(clients[0])
        clients[3].sendall(b"\r\n")  # the newest is still there
        assert clients[3].recv(12) == b"HTTP/1.1 200"


def test_a_connection_that_works_keeps_its_place(server):
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 60)) for _ in range(4)]
        for client in clients:
            client.sendall(b"GET /slow HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        wait_for(lambda: sum(not each.is_idle for each in connections.BoundedProtocol._all) == 4)
        with socket.create_connection(("127.0.0.1", server.port), 60) as surplus:
            assert is_closed(surplus)
        server.app.state.go.set()
        assert [client.recv(12) for client in clients] == [b"HTTP/1.1 200"] * 4


def test_a_head_that_does_not_come_ends_the_connection(server, monkeypatch):
    monkeypatch.setattr(connections, "HEAD", 0.01)
    with opened(server) as client:
        assert is_closed(client)


def asks_for_much(server) -> socket.socket:
    """A connection that has asked for a large answer and reads nothing of it, once the server waits for it."""
    client = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    client.sendall(b"GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    wait_for(lambda: any(each.flow and each.flow.write_paused for each in list(connections.BoundedProtocol._all)))
    return client


def received(client: socket.socket) -> int:
    """The bytes that still come until the connection ends."""
    client.settimeout(60)
    total = 0
    try:
        while part := client.recv(2**20):
            total += len(part)
    except ConnectionResetError:
        pass
    return total


def test_an_answer_that_nobody_reads_ends_the_connection(server, monkeypatch):
    monkeypatch.setattr(connections, "WRITE", 0.05)
    with asks_for_much(server) as client:
        wait_for(lambda: not connections.BoundedProtocol._all)
        assert received(client) < LARGE
    assert requests.get(server.url, timeout=60).json() == "hello"


def test_an_answer_that_is_read_late_comes_whole(server):
    with asks_for_much(server) as client:
        total = 0
        while total < LARGE:
            part = client.recv(2**20)
            assert part, total
            total += len(part)
        wait_for(lambda: all(each._write_timer.cancelled() for each in list(connections.BoundedProtocol._all)))


def test_a_client_that_goes_on_reading_is_not_closed(server, monkeypatch):
    """Looked at every moment, with less asked of it than it takes."""
    monkeypatch.setattr(connections, "WRITE", 0.05)
    monkeypatch.setattr(connections, "TAKEN", 0)
    with asks_for_much(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert received(client) > LARGE


@pytest.mark.parametrize(("descriptors", "allowed"), [(64, 16), (1024, 448), (8192, connections.MAX_CONNECTIONS)])
def test_connections_stay_below_the_limit_of_open_files(descriptors, allowed):
    assert connections.connections_for(descriptors) == allowed


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_low_limit_of_open_files_is_raised():
    code = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 1024))
from yololab.serving.connections import raise_descriptor_limit
print(raise_descriptor_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.stdout.split() == ["448", "1024", "1024"], done.stderr


def test_used_up_descriptors_are_told_once(caplog):
    handle = log_once()
    for _ in range(5):
        handle(None, {"exception": OSError(24, os.strerror(24)), "message": "socket.accept() out of system resource"})
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [
        "Too many open files: new connections wait. `ulimit -n` raises the limit."
    ]


def test_other_errors_of_the_loop_are_told_as_ever():
    told = []
    loop = SimpleNamespace(default_exception_handler=told.append)
    log_once()(loop, {"message": "another"})
    assert told == [{"message": "another"}]
