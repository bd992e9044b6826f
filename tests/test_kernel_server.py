"""serve() in this process, and in real kernels, with nest_asyncio before and after."""

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import asynccontextmanager

import nbformat
import pytest
import requests
from fastapi import FastAPI
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

from yololab import serve
from yololab.errors import LabError, PortTaken
from yololab.settings import ROOT


@pytest.fixture
def app():
    app = FastAPI()

    @app.get("/")
    def hello():
        return "hello"

    return app


def is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_it_answers_when_serve_returns_and_the_port_is_free_after_stop(app, capsys):
    server = serve(app, port=None)
    assert server.url in capsys.readouterr().out
    assert requests.get(server.url).json() == "hello"
    server.stop()
    server.stop()  # twice is fine
    assert is_free(server.port) and app.state.stopping


def test_a_cell_can_be_run_again_on_the_same_port(app):
    first = serve(app, port=None)
    again = serve(app, port=first.port)
    assert again.url == first.url and requests.get(again.url).json() == "hello"
    again.stop()


def test_an_idle_connection_does_not_hold_the_stop(app):
    server = serve(app, port=None)
    session = requests.Session()
    session.get(server.url)
    server.stop()
    assert is_free(server.port)
    session.close()


def test_answers_on_a_kept_connection_do_not_wait_for_the_clients_ack(app, monkeypatch):
    """Nagle's algorithm and delayed ACKs cost 40 ms an answer where TCP_NODELAY is not set."""
    from uvicorn.protocols.http.auto import AutoHTTPProtocol  # h11, or httptools where another package brought it

    seen = []
    original = AutoHTTPProtocol.connection_made

    def connection_made(self, transport):
        accepted = transport.get_extra_info("socket")
        seen.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        original(self, transport)

    monkeypatch.setattr(AutoHTTPProtocol, "connection_made", connection_made)
    server = serve(app, port=None)
    requests.get(server.url)
    server.stop()
    assert seen and all(seen)


def test_a_request_in_flight_is_finished(app):
    entered, go, answers = threading.Event(), threading.Event(), []

    @app.get("/slow")
    def slow():
        entered.set()
        go.wait(60)
        return "done"

    server = serve(app, port=None)
    client = threading.Thread(target=lambda: answers.append(requests.get(server.url + "/slow").json()))
    client.start()
    entered.wait(60)
    stopper = threading.Thread(target=server.stop)
    stopper.start()
    while not app.state.stopping:
        pass
    go.set()
    stopper.join()
    client.join()
    assert answers == ["done"]


def test_a_taken_port_says_who_has_it(app):
    told = rf"process {os.getpid()}.*port=None"
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(PortTaken, match=told):
        serve(app, port=other.getsockname()[1])


def test_a_start_up_that_fails_is_told_and_frees_the_port():
    @asynccontextmanager
    async def broken(app):
        raise RuntimeError("no disk")
        yield

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for block in (False, True):
        with pytest.raises(LabError, match="did not start"):
            serve(FastAPI(lifespan=broken), port=port, block=block)
        assert is_free(port)


def test_signal_handlers_stay_as_they_were(app):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    server = serve(app, port=None)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    server.stop()
    serve(app, port=None, block=True, on_ready=lambda server: server.stop())
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_blocking_in_a_plain_script_ends_with_the_visit(app):
    got = []

    def visit(server):
        got.append(requests.get(server.url).json())
        server.stop()

    assert serve(app, port=None, block=True, on_ready=visit) is None
    assert got == ["hello"]


def test_an_error_of_the_visit_stops_the_server_and_is_raised(app):
    with pytest.raises(ZeroDivisionError):
        serve(app, port=None, block=True, on_ready=lambda server: 1 / 0)


SETUP = """
import signal, requests
from fastapi import FastAPI
from yololab import serve
app = FastAPI()
@app.get("/")
def hello():
    return "hello"
got = []
def handlers():  # ipykernel has a new SIGINT handler for each cell, so they are compared within one
    return signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

def visit(server):
    got.append(requests.get(server.url).json())
    server.stop()
"""
THREAD = """
before = handlers()
server = serve(app, port=None)
assert requests.get(server.url).json() == "hello"
assert handlers() == before
"""
BLOCK = """
got.clear()
before = handlers()
serve(app, port=None, block=True, on_ready=visit)
assert got == ["hello"]
assert handlers() == before
"""
AFTER = """
import asyncio
await asyncio.sleep(0)
"""
ASK_AGAIN = 'assert requests.get(server.url).json() == "hello"'
SWITCH = """
port = server.port
got.clear()
serve(app, port=port, block=True, on_ready=visit)  # stops the one in the thread first
assert got == ["hello"]
server = serve(app, port=port)
assert requests.get(server.url).json() == "hello"
server.stop()
"""


@pytest.mark.parametrize(
    "cells",
    [
        [THREAD, BLOCK, ASK_AGAIN, AFTER, BLOCK, ASK_AGAIN, AFTER, SWITCH, AFTER],
        [BLOCK, THREAD, ASK_AGAIN, AFTER, THREAD, BLOCK, ASK_AGAIN, AFTER],
    ],
    ids=["thread first", "nest_asyncio first"],
)
def test_both_ways_in_either_order_in_one_kernel(cells):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in [SETUP, *cells]])
    NotebookClient(notebook, timeout=120, extra_arguments=["--log-level=ERROR"]).execute(cwd=str(ROOT))
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "Error" not in printed and "Traceback" not in printed and "never" not in printed, printed


@pytest.fixture
def kernel():
    manager, client = start_new_kernel(extra_arguments=["--log-level=ERROR"], cwd=str(ROOT))
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(client, code, **options):
    reply = client.execute_interactive(code, timeout=120, **options)
    assert reply["content"]["status"] == "ok", reply["content"].get("traceback")
    return reply["content"].get("user_expressions", {})


def value(client, expression):
    return run(client, "", user_expressions={"it": expression})["it"]["data"]["text/plain"]


def test_run_all_queues_cells_behind_a_blocking_one_and_none_is_lost(kernel):
    """JupyterLab sends every cell at once; nest_asyncio alone makes ipykernel 7 drop those that wait."""
    _, client = kernel
    cells = [SETUP, "order = []", THREAD, BLOCK, *[f"order.append({n})" for n in range(5)], BLOCK, ASK_AGAIN, AFTER]
    sent = [client.execute(cell) for cell in cells]
    replies = []
    while len(replies) < len(cells):
        message = client.get_shell_msg(timeout=120)
        if message["msg_type"] == "execute_reply":
            replies.append((message["parent_header"]["msg_id"], message["content"]["status"]))
    assert replies == [(each, "ok") for each in sent]
    assert value(client, "order") == "[0, 1, 2, 3, 4]"


@pytest.mark.skipif(sys.platform == "win32", reason="kernels are interrupted with another mechanism on Windows")
def test_interrupting_a_blocking_cell_is_no_error(kernel):
    manager, client = kernel
    run(client, SETUP)

    def interrupt_when_it_serves(message):
        if "until it is stopped" in message["content"].get("text", ""):
            manager.interrupt_kernel()

    code = "before = handlers(); serve(app, port=None, block=True); assert handlers() == before"
    run(client, code, output_hook=interrupt_when_it_serves)
    run(client, AFTER)
    run(client, BLOCK)  # and it works again


def test_the_server_ends_with_its_kernel(kernel):
    manager, client = kernel
    run(client, SETUP + THREAD)
    port = int(value(client, "server.port"))
    assert not is_free(port)
    client.shutdown()
    while manager.is_alive():
        pass
    assert is_free(port)


def test_a_script_that_serves_ends_without_a_word():
    script = SETUP + "server = serve(app, port=None)\nprint(requests.get(server.url).text)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert (ended.returncode, ended.stderr) == (0, "")
