"""Workers share connections evenly, and none waits for one that does not come."""

import os
import signal
import socket
import sys
from contextlib import ExitStack

import psutil
import pytest
import requests
from helpers import wait_for
from processes import serving, started, wait_until_both_live

from yololab.serving.sharing import ABSENT, Shares

pytestmark = [
    pytest.mark.xdist_group("sharing"),  # one server with workers for all
    pytest.mark.skipif(sys.platform == "win32", reason="on Windows workers do not share connections evenly"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """`yololab serve` with two workers that both listen: its port and its process."""
    with started(tmp_path_factory.mktemp("log") / "log", workers=2) as (url, process):
        wait_until_both_live(url, process)
        port = int(url.rsplit(":", 1)[1])
        wait_until_both_listen(port, process)
        yield port, process


def wait_until_both_listen(port: int, process: psutil.Process) -> None:
    """A worker listens once it gets a connection beside one that another one holds."""

    def both() -> bool:
        with connected(port, 2):
            return wait_held(process, 2) and min(held(process)) == 1

    wait_for(both, "two workers that listen")


class connected(ExitStack):
    """So many connections, each of which a worker holds."""

    def __init__(self, port: int, count: int):
        super().__init__()
        self.sockets = [self.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(count)]


def held(process: psutil.Process) -> list[int]:
    """How many connections each worker holds."""
    return [
        sum(connection.status == psutil.CONN_ESTABLISHED for connection in worker.net_connections())
        for worker in serving(process)
    ]


def wait_held(process: psutil.Process, count: int) -> bool:
    wait_for(lambda: sum(held(process)) == count, f"{count} connections that workers hold")
    return True


def answers(port: int) -> bool:
    return requests.get(f"http://127.0.0.1:{port}/health", timeout=10).status_code == 200


def test_connections_that_stay_are_shared_evenly(server):
    port, process = server
    for count in (2, 8, 9):
        wait_held(process, 0)
        with connected(port, count):
            wait_held(process, count)
            assert max(held(process)) - min(held(process)) <= 1


def test_who_lost_its_connections_gets_the_next_ones(server):
    port, process = server
    wait_held(process, 0)
    with connected(port, 8) as connections:
        wait_held(process, 8)
        ports = {each.getsockname()[1]: each for each in connections.sockets}
        first = serving(process)[0]
        for connection in first.net_connections():
            if connection.raddr and connection.raddr.port in ports:
                ports[connection.raddr.port].close()
        wait_held(process, 4)
        with connected(port, 4):
            wait_held(process, 8)
            assert held(process) == [4, 4]


def test_a_worker_that_stands_still_keeps_nobody_waiting(server):
    port, process = server
    wait_held(process, 0)
    still, other = serving(process)
    with connected(port, 2):
        wait_held(process, 2)
        still.suspend()
        try:
            assert all(answers(port) for _ in range(10))  # though the other one holds more at times
        finally:
            still.resume()
    assert other.is_running()


def test_a_worker_that_was_killed_has_no_share(server):
    port, process = server
    wait_held(process, 0)
    with connected(port, 6):
        wait_held(process, 6)
        before = {worker.pid for worker in serving(process)}
        os.kill(min(before), signal.SIGKILL)
        assert all(answers(port) for _ in range(5))
        wait_for(lambda: len({worker.pid for worker in serving(process)} - before) == 1, "a new worker")
    wait_until_both_listen(port, process)


def test_the_smallest_share_of_those_that_listen():
    shares = Shares(3)
    first, second, _ = (shares.of(number) for number in range(3))
    first.set(0)
    assert first.is_smallest, "the others do not listen yet"
    second.set(0)
    assert first.is_smallest and second.is_smallest
    first.set(1)
    assert not first.is_smallest and second.is_smallest
    second.leave()
    assert first.is_smallest and ABSENT < 0
