"""serve() in this process, and in real kernels, with nest_asyncio before and after."""

import asyncio
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
from helpers import ROOT, wait_for
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

from yololab import Detector, create_app, serve, serve_here
from yololab.api.service import DetectionService
from yololab.api.settings import Settings
from yololab.errors import LabError, PortTaken, ServerFailed, WrongSetting
from yololab.serving.kernel import running
from yololab.vision.machine import free_port


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
    server = serve(app, port=0)
    assert server.url in capsys.readouterr().out
    assert requests.get(server.url).json() == "hello"
    server.stop()
    server.stop()  # twice is fine
    assert is_free(server.port) and app.state.stopping


def test_a_cell_can_be_run_again_on_the_same_port(app):
    first = serve(app, port=0)
    again = serve(app, port=first.port)
    assert again.url == first.url and requests.get(again.url).json() == "hello"
    again.stop()


def test_an_idle_connection_does_not_hold_the_stop(app):
    server = serve(app, port=0)
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
    server = serve(app, port=0)
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

    app.state.stopping = False
    server = serve(app, port=0)
    client = threading.Thread(target=lambda: answers.append(requests.get(server.url + "/slow").json()))
    client.start()
    entered.wait(60)
    stopper = threading.Thread(target=server.stop)
    stopper.start()
    wait_for(lambda: app.state.stopping)
    go.set()
    stopper.join()
    client.join()
    assert answers == ["done"]


def test_stop_returns_though_a_picture_hangs(monkeypatch):
    entered, go, answers = threading.Event(), threading.Event(), []
    monkeypatch.setattr("yololab.serving.kernel_server.GRACE", 0)
    monkeypatch.setattr(DetectionService, "process", lambda *given: (entered.set(), go.wait(60)))
    server = serve(create_app(Settings(keep=False)), port=0, quiet=True)

    def ask():
        try:
            answers.append(requests.post(server.url + "/predict", files={"file": b"x"}, timeout=60).status_code)
        except requests.ConnectionError:
            answers.append(0)

    client = threading.Thread(target=ask)
    client.start()
    assert entered.wait(60)
    server.stop()
    assert is_free(server.port) and not go.is_set()
    go.set()
    client.join(60)
    assert len(answers) == 1 and answers[0] != 200


def test_a_taken_port_says_who_has_it(app):
    told = rf"process {os.getpid()}.*port 0 takes a free one"
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(PortTaken, match=told):
        serve(app, port=other.getsockname()[1])


def test_a_start_up_that_fails_is_told_and_frees_the_port():
    @asynccontextmanager
    async def broken(app):
        raise RuntimeError("no disk")
        yield

    port = free_port()
    with pytest.raises(ServerFailed, match="did not start"):
        serve(FastAPI(lifespan=broken), port=port)
    assert is_free(port)
    with pytest.raises(ServerFailed, match="did not start"):
        asyncio.run(serve_here(FastAPI(lifespan=broken), port=port))
    assert is_free(port)


def test_serve_returns_once_the_model_answers(monkeypatch):
    go, load = threading.Event(), Detector.__init__
    monkeypatch.setattr(Detector, "__init__", lambda self, *a, **k: (go.wait(60), load(self, *a, **k))[1])
    port, served = free_port(), []
    thread = threading.Thread(target=lambda: served.append(serve(create_app(), port=port)))
    thread.start()
    wait_for(lambda: not is_free(port))
    assert requests.get(f"http://127.0.0.1:{port}/ready", timeout=60).status_code == 503 and not served
    go.set()
    thread.join(60)
    assert requests.get(served[0].url + "/ready", timeout=60).status_code == 200
    served[0].stop()


def test_a_model_that_cannot_be_loaded_is_an_error_and_frees_the_port():
    port = free_port()
    with pytest.raises(LabError, match="fetch yolov3-tiny"):
        serve(create_app(Settings(model="yolov3-tiny")), port=port)
    assert is_free(port)


def test_signal_handlers_stay_as_they_were(app):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    server = serve(app, port=0)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    server.stop()


@pytest.mark.parametrize("asked", [{"host": "nosuch.invalid"}, {"host": "192.0.2.1"}, {"port": 70000}, {"port": "x"},
                                   {"root_path": "a b"}])  # fmt: skip
def test_what_cannot_be_listened_on_is_one_sentence(app, asked):
    with pytest.raises(WrongSetting, match=f"YOLOLAB_{next(iter(asked)).upper()}=.* is not possible"):
        serve(app, **({"port": 0} | asked))


def test_an_app_of_ours_has_one_server_at_a_time():
    app = create_app(Settings(keep=False))
    first = serve(app, port=0, quiet=True)
    with pytest.raises(ServerFailed, match=rf"served already, on {first.url}.*create_app\(\)"):
        serve(app, port=0)
    assert requests.get(first.url + "/ready").status_code == 200
    assert serve(app, port=first.port, quiet=True).url == first.url  # the cell is run again
    running(first.port).stop()
    serve(app, port=0, quiet=True).stop()


def test_a_route_can_stop_its_own_server():
    app = FastAPI()

    @app.post("/stop")
    async def stop():
        server.stop()
        return "stopping"

    server = serve(app, port=0, quiet=True)
    assert requests.post(server.url + "/stop", timeout=30).json() == "stopping"
    server.wait(30)
    assert is_free(server.port) and running(server.port) is None


def test_serve_here_takes_over_from_a_task_on_its_own_loop(app):
    port = free_port()

    async def answer():
        def get():
            wait_for(lambda: not is_free(port), "the server")
            return requests.get(f"http://127.0.0.1:{port}", timeout=30).json()

        return await asyncio.to_thread(get)

    async def cells():
        first = asyncio.create_task(serve_here(app, port=port))
        assert await answer() == "hello"
        with pytest.raises(ServerFailed, match=rf"running\({port}\).stop\(\) in a cell of its own"):
            serve(app, port=port)
        second = asyncio.create_task(serve_here(app, port=port))  # the same cell again
        await asyncio.wait_for(first, 30)
        assert await answer() == "hello"
        running(port).stop()
        await asyncio.wait_for(second, 30)

    asyncio.run(cells())


def test_serve_here_serves_on_the_loop_that_runs(app):
    async def main():
        port = free_port()
        serving = asyncio.create_task(serve_here(app, port=port))
        async with asyncio.timeout(60):
            while is_free(port):
                await asyncio.sleep(0.01)
            answer = await asyncio.to_thread(requests.get, f"http://127.0.0.1:{port}/", timeout=60)
            await asyncio.to_thread(running(port).stop)
            await serving
        return answer.json(), is_free(port)

    assert asyncio.run(main()) == ("hello", True)


SETUP = """
import asyncio, signal, threading, time
import nest_asyncio, requests, uvicorn
from fastapi import FastAPI
from yololab import serve, serve_here
from yololab.serving.kernel import running
from yololab.vision.machine import free_port
app = FastAPI()
@app.get("/")
def hello():
    return "hello"
got = []
def handlers():  # ipykernel has a new SIGINT handler for each cell, so they are compared within one
    return signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

def visit(url, stop):
    for _ in range(3000):
        try:
            got.append(requests.get(url, timeout=60).json())
            break
        except requests.ConnectionError:
            time.sleep(0.01)
    stop()
"""
THREAD = """
before = handlers()
server = serve(app, port=0)
assert requests.get(server.url).json() == "hello"
assert handlers() == before
"""
HERE = """
got.clear()
before = handlers()
port = free_port()
visitor = threading.Thread(target=visit, args=(f"http://127.0.0.1:{port}", lambda: running(port).stop()))
visitor.start()
await serve_here(app, port=port)
visitor.join()
assert got == ["hello"]
assert handlers() == before
"""
CLASSIC = """
got.clear()
port = free_port()
nest_asyncio.apply()
classic = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
visitor = threading.Thread(
    target=visit, args=(f"http://127.0.0.1:{port}", lambda: setattr(classic, "should_exit", True)))
visitor.start()
asyncio.new_event_loop().run_until_complete(classic.serve())
visitor.join()
assert got == ["hello"]
"""
AFTER = """
await asyncio.sleep(0)
"""
ASK_AGAIN = 'assert requests.get(server.url).json() == "hello"'


@pytest.mark.parametrize(
    "cells",
    [
        [THREAD, HERE, CLASSIC, ASK_AGAIN, AFTER, HERE, CLASSIC, ASK_AGAIN, AFTER],
        [CLASSIC, THREAD, ASK_AGAIN, AFTER, HERE, THREAD, CLASSIC, ASK_AGAIN, AFTER],
    ],
    ids=["thread first", "nest_asyncio first"],
)
def test_all_ways_in_either_order_in_one_kernel(cells):
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
    """JupyterLab sends every cell at once, and twice; a nested loop on the kernel's own would drop those that wait."""
    _, client = kernel
    some = [f"order.append({n})" for n in range(5)]
    cells = 2 * [SETUP, "order = []", THREAD, HERE, *some, CLASSIC, *some, HERE, ASK_AGAIN, AFTER]
    sent = [client.execute(cell) for cell in cells]
    replies = []
    while len(replies) < len(cells):
        message = client.get_shell_msg(timeout=120)
        if message["msg_type"] == "execute_reply":
            replies.append((message["parent_header"]["msg_id"], message["content"]["status"]))
    assert replies == [(each, "ok") for each in sent]
    assert value(client, "order") == str([*range(5), *range(5)])


@pytest.mark.skipif(sys.platform == "win32", reason="kernels are interrupted with another mechanism on Windows")
def test_interrupting_a_blocking_cell_is_no_error(kernel):
    manager, client = kernel
    run(client, SETUP)

    def interrupt_when_it_serves(message):
        if "until the cell is interrupted" in message["content"].get("text", ""):
            manager.interrupt_kernel()

    code = "before = handlers(); await serve_here(app, port=0); assert handlers() == before"
    run(client, code, output_hook=interrupt_when_it_serves)
    run(client, AFTER)
    run(client, HERE)  # and it works again
    run(client, CLASSIC)


def test_the_server_ends_with_its_kernel(kernel):
    manager, client = kernel
    run(client, SETUP + THREAD)
    port = int(value(client, "server.port"))
    assert not is_free(port)
    client.shutdown()
    wait_for(lambda: not manager.is_alive())
    assert is_free(port)


def test_a_script_that_serves_ends_without_a_word():
    script = SETUP + "server = serve(app, port=0)\nprint(requests.get(server.url).text)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert (ended.returncode, ended.stderr) == (0, "")
