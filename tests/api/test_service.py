"""The service behind the routes: how its default model is loaded, loaded again, and let go."""

import gc
import http.client
import shutil
import socket
import subprocess
import sys
import threading
import weakref

import pytest
import requests
from helpers import IMAGES, PACKAGE, ready_client, wait_for, wait_ready

from yololab import create_app, serve
from yololab.api import service as module
from yololab.api.rendering import as_dict
from yololab.api.result import Options
from yololab.api.settings import Settings
from yololab.errors import WrongSetting

APPLE = (IMAGES / "apple.jpg").read_bytes()


@pytest.fixture
def copy(tmp_path):
    """A copy of the starter's cfg and labels, as the model `copy`; its weights are put there by `put_weights`."""
    shutil.copy(PACKAGE / "starter.cfg", tmp_path / "copy.cfg")
    shutil.copy(PACKAGE / "starter.names", tmp_path / "copy.names")
    return tmp_path


def put_weights(folder, change=0):
    """The starter's weights, or with `change` some that give other answers."""
    data = bytearray((PACKAGE / "starter.weights").read_bytes())
    if change:
        data[-400:] = bytes(400)
    part = folder / "part"
    part.write_bytes(data)
    part.replace(folder / "copy.weights")


@pytest.mark.parametrize("extras", [(), ("batch", "explore")])
def test_nothing_stays_of_an_app_that_nobody_uses(extras):
    client = ready_client(extras=extras, keep=False)
    with client:
        wait_ready(client)
        assert client.get("/docs").status_code == client.get("/openapi.json").status_code == 200
        assert client.post("/v1/detections", files={"file": APPLE}).status_code == 200
    app, service = weakref.ref(client.app), weakref.ref(client.app.state.service)
    del client
    gc.collect()
    assert app() is None and service() is None


def test_a_default_model_that_nobody_knows_stops_the_start():
    with pytest.raises(WrongSetting, match=r"YOLOLAB_MODEL='nope' is not possible.*Installed: .*starter"):
        create_app(Settings(model="nope"))


def test_a_default_model_that_is_known_and_missing_is_answered_503():
    with ready_client(model="yolov3-tiny") as client:
        service = client.app.state.service
        wait_for(service.loaded.is_set)
        answer = client.post("/v1/detections", files={"file": APPLE})
        assert answer.status_code == 503 and "yololab fetch yolov3-tiny" in answer.json()["detail"]


def test_a_default_model_is_loaded_once_its_files_are_there(copy, monkeypatch):
    monkeypatch.setattr(module, "RETRY", 0)
    loads = []
    load = module.DetectionService.load
    monkeypatch.setattr(module.DetectionService, "load", lambda self: (loads.append(1), load(self))[1])
    with ready_client(model="copy", model_path=str(copy)) as client:
        wait_for(client.app.state.service.loaded.is_set)
        for _ in range(5):
            assert client.get("/ready").status_code == 503
        assert len(loads) == 1  # nothing has changed, so nothing is loaded again
        put_weights(copy)
        wait_ready(client)
        assert client.post("/v1/detections", files={"file": APPLE}).status_code == 200


def test_looking_for_new_files_is_throttled(copy, monkeypatch):
    looked = []
    monkeypatch.setattr(module.DetectionService, "_load_if_changed", lambda self: looked.append(1))
    with ready_client(model="copy", model_path=str(copy)) as client:
        wait_for(client.app.state.service.loaded.is_set)
        client.app.state.service._tried -= module.RETRY
        for _ in range(5):
            assert client.get("/ready").status_code == 503
        wait_for(lambda: looked)
        assert looked == [1]


def test_a_default_model_that_is_replaced_by_a_broken_one_is_not_ready(copy, monkeypatch):
    """Seen by /ready alone, with no picture sent; whole files heal it."""
    monkeypatch.setattr(module, "RETRY", 0)
    put_weights(copy)
    with ready_client(model="copy", model_path=str(copy), keep=False) as client:
        wait_ready(client)
        (copy / "copy.weights").write_bytes(b"no weights")
        wait_for(lambda: client.get("/ready").status_code == 503)
        assert "copy" in client.get("/ready").json()["detail"]
        put_weights(copy)
        wait_ready(client)
        assert client.post("/v1/detections", files={"file": APPLE}).status_code == 200


def test_replaced_files_are_loaded_anew_and_removed_ones_stay_in_use(copy):
    put_weights(copy)
    service = create_app(Settings(model="copy", model_path=str(copy))).state.service

    def answer():
        _, result = service.process(APPLE, Options("copy"), as_dict)
        return result.version, result.detections

    first = answer()
    assert answer() == first
    put_weights(copy, change=1)
    second = answer()
    assert second[0] != first[0] and second == answer()
    (copy / "copy.weights").unlink()
    assert answer() == second
    put_weights(copy)
    assert answer() == first


def test_the_start_warns_of_folders_that_are_of_no_use(tmp_path, caplog):
    file = tmp_path / "file"
    file.touch()
    settings = Settings(model_path=str(tmp_path / "missing"), uploads=file / "below")
    create_app(settings)
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert [str(tmp_path / "missing") in each for each in told] == [True, False]
    assert "YOLOLAB_UPLOADS" in told[1]
    caplog.clear()
    create_app(Settings(uploads=tmp_path / "new", model_path=str(tmp_path)))
    assert not caplog.records


def test_an_address_of_the_network_is_answered_where_the_app_listens_on_it():
    for host, status in (("0.0.0.0", 200), ("127.0.0.1", 400)):
        server = serve(create_app(Settings(keep=False)), port=0, host=host, quiet=True)
        try:
            answer = requests.get(server.url + "/", headers={"Host": f"192.0.2.7:{server.port}"}, timeout=60)
            assert answer.status_code == status, (host, answer.text)
            named = requests.get(server.url + "/", headers={"Host": "rebound.example"}, timeout=60)
            assert named.status_code == 400  # a name may point anywhere
        finally:
            server.stop()


ENDING = """
import sys, threading, requests
from yololab import create_app, serve
from yololab.api.settings import Settings
server = serve(create_app(Settings(keep=False)), port=0, quiet=True)
apple, statuses = open(sys.argv[1], "rb").read(), []

def ask():  # not a daemon: the interpreter waits for it before it ends, and the server goes on meanwhile
    threading.main_thread().join()
    for _ in range(5):
        for url in ("/v1/detections", "/predict"):
            statuses.append(requests.post(server.url + url, files={"file": apple}, timeout=60).status_code)
    print(sorted(set(statuses)), flush=True)

threading.Thread(target=ask).start()
"""


def test_requests_while_the_interpreter_ends_are_answered_503():
    command = [sys.executable, "-c", ENDING, str(IMAGES / "apple.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.stdout.strip() == "[503]" and "Traceback" not in done.stderr, done.stdout + done.stderr


def test_a_request_that_has_begun_is_finished_in_a_stop():
    """Its head came before the stop was asked for, its body after."""
    server = serve(create_app(Settings(keep=False)), port=0)
    try:
        request = requests.Request("POST", server.url + "/v1/detections", files={"file": APPLE}).prepare()
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        start = f"POST /v1/detections HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n".encode()
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(start + request.body[:100])
            wait_for(lambda: server.server_state.tasks)
            requests.get(server.url + "/health", timeout=60)  # after this answer the route has the other request, too
            stopper = threading.Thread(target=server.stop)
            stopper.start()
            wait_for(lambda: server.app.state.stopping)
            connection.sendall(request.body[100:])
            response = http.client.HTTPResponse(connection)
            response.begin()
            assert response.status == 200 and b"apple" in response.read()
        stopper.join(60)
    finally:
        server.stop()
