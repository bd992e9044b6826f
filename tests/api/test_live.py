"""WS /v1/live: frames in, detections out; what is refused, and with which close code."""

import asyncio
import json
import threading
from contextlib import ExitStack

import pytest
import requests
from helpers import BASE, IMAGES, LIMIT, png_header, ready_client, wait_for, wait_ready
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from yololab import create_app, serve
from yololab.api import live, live_connection
from yololab.api.key_subprotocol import as_subprotocol, key_in
from yololab.api.settings import Settings
from yololab.vision.drawing import color_of

APPLE = (IMAGES / "apple.jpg").read_bytes()
URL = BASE.replace("http", "ws") + "/v1/live"
KEY = "s€cret/+ key"


@pytest.fixture(scope="module")
def client():
    with ready_client(extras="live", keep=False) as client:
        yield wait_ready(client)


@pytest.fixture(scope="module")
def server():
    """The route on a real socket."""
    server = serve(create_app(Settings(extras="live", keep=False)), port=0, quiet=True)
    yield server
    server.stop()


@pytest.fixture
def gate(client, monkeypatch):
    """Each picture waits in its thread until the gate is set."""
    gate, service = threading.Event(), client.app.state.service
    process = service.process

    def waits(*given):
        assert gate.wait(LIMIT)
        return process(*given)

    monkeypatch.setattr(service, "process", waits)
    yield gate
    gate.set()


def opened(server, path="/v1/live", **options):
    """A connection of the package websockets to the server."""
    return connect(server.url.replace("http", "ws") + path, proxy=None, open_timeout=LIMIT, **options)


def code_of(websocket) -> tuple[int, str]:
    """The close code and reason that the next read ends with."""
    with pytest.raises(ConnectionClosed) as closed:
        websocket.recv(LIMIT)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def counted(client, name: str) -> float:
    """A sample of /metrics."""
    lines = client.get("/metrics").text.splitlines()
    return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name} ")), 0)


@pytest.mark.parametrize("name", ["fruit.jpg", "crowd.jpg", "car.jpg"])
def test_a_frame_is_answered_as_by_v1_detections(client, name):
    data = (IMAGES / name).read_bytes()
    expected = client.post("/v1/detections?confidence=0.3", files={"file": data}).json()
    with client.websocket_connect(f"{URL}?confidence=0.3") as websocket:
        for number in (1, 2):
            websocket.send_bytes(data)
            answer = websocket.receive_json()
            assert (answer.pop("frame"), answer.pop("skipped")) == (number, 0)
            assert list(answer.pop("timings")) == ["queue", "load", "decode", "detect", "encode"]
            for each in answer["detections"]:
                assert each.pop("color") == "#{:02x}{:02x}{:02x}".format(*color_of(each["label"]))
            assert answer == expected and answer["detections"]


def test_a_text_changes_the_options_of_the_frames_after_it(client):
    with client.websocket_connect(URL) as websocket:
        found = []
        for options in ({}, {"confidence": 1}, {"confidence": None}):
            websocket.send_json(options)
            websocket.send_bytes(APPLE)
            found.append(len(websocket.receive_json()["detections"]))
    assert found == [1, 0, 1]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"confidence": 2}, "confidence: it should be less than or equal to 1."),
        ({"nms_threshold": "x"}, "nms_threshold: it should be a valid number"),
        ({"threshold": 0.3}, "There is no option 'threshold', only model, confidence, nms_threshold."),
        ({"model": ""}, "model: "),
        ({"confidence": float("nan")}, "confidence: it should be a finite number"),
    ],
)
def test_a_wrong_option_is_answered_and_changes_nothing(client, options, sentence):
    with client.websocket_connect(URL) as websocket:
        websocket.send_text(json.dumps(options))
        error = websocket.receive_json()["error"]
        assert error["status"] == 422 and error["detail"].startswith(sentence)
        websocket.send_bytes(APPLE)
        assert websocket.receive_json()["detections"]


@pytest.mark.parametrize("query", ["model=cats", "model=../../etc/passwd", "confidence=2", "colour=red"])
def test_wrong_options_in_the_query_end_the_connection(client, query):
    with client.websocket_connect(f"{URL}?{query}") as websocket, pytest.raises(WebSocketDisconnect) as closed:
        websocket.receive_json()
    assert closed.value.code == 1008 and query.split("=")[0] in closed.value.reason


def test_the_newest_frame_replaces_the_one_that_waits(client, gate):
    skipped = 'yololab_live_frames_total{outcome="skipped"}'
    before = counted(client, skipped)
    running = client.app.state.service.queue
    with client.websocket_connect(URL) as websocket:
        websocket.send_bytes(APPLE)
        wait_for(lambda: running.longest, "the first frame's start")
        for _ in range(5):
            websocket.send_bytes(APPLE)
        wait_for(lambda: counted(client, skipped) == before + 4, "four frames left out")
        gate.set()
        answers = [websocket.receive_json() for _ in range(2)]
    assert [(each["frame"], each["skipped"]) for each in answers] == [(1, 0), (6, 4)]


def test_a_connection_holds_one_place_of_the_queue(client, gate):
    """So frames of one and requests of others take turns, however fast the frames come."""
    queue = client.app.state.service.queue
    with client.websocket_connect(URL) as websocket:
        for _ in range(queue.threads + 3):
            websocket.send_bytes(APPLE)
        wait_for(lambda: queue.longest, "the first frame's start")
        assert queue.waiting == 0
        gate.set()
        assert client.post("/v1/detections", files={"file": APPLE}).status_code == 200
        assert websocket.receive_json()["frame"] == 1


def test_a_frame_that_finds_no_place_is_left_out(client, monkeypatch):
    service = client.app.state.service
    with client.websocket_connect(URL) as websocket:
        with monkeypatch.context() as full:
            full.setattr(service.queue, "_limit", 0)
            skipped = counted(client, 'yololab_live_frames_total{outcome="skipped"}')
            websocket.send_bytes(APPLE)
            wait_for(lambda: counted(client, 'yololab_live_frames_total{outcome="skipped"}') == skipped + 1)
        websocket.send_bytes(APPLE)
        answer = websocket.receive_json()
    assert (answer["frame"], answer["skipped"]) == (2, 1)


@pytest.mark.parametrize(
    ("data", "status"),
    [(APPLE[: len(APPLE) // 2], 400), (b"", 400), (b"hello", 415), (png_header(100_000, 100_000), 413)],
    ids=["half a JPEG", "nothing", "no picture", "too many pixels"],
)
def test_a_bad_frame_is_answered_with_what_is_wrong(client, data, status):
    """A camera that sends one broken picture sends whole ones after it."""
    with client.websocket_connect(URL) as websocket:
        websocket.send_bytes(data)
        answer = websocket.receive_json()
        assert answer["frame"] == 1 and answer["error"]["status"] == status and answer["error"]["detail"]
        websocket.send_bytes(APPLE)
        assert websocket.receive_json()["detections"][0]["label"] == "apple"


@pytest.mark.parametrize("text", ["frame", "[]", "3", ""])
def test_a_text_where_a_frame_should_be(server, text):
    with opened(server) as websocket:
        websocket.send(text)
        code, reason = code_of(websocket)
    assert code == 1003 and "binary message" in reason


def test_a_text_that_is_no_utf8(server):
    with opened(server) as websocket:
        websocket.send(b"\xff\xfe", text=True)
        assert code_of(websocket)[0] == 1007


def test_a_message_that_is_too_large(server):
    with opened(server) as websocket:
        websocket.send(bytes(live.MAX_FRAME + 1))
        assert code_of(websocket) == (1009, "A frame may have 4 MiB. Send smaller pictures.")


def test_a_message_of_100_mb_is_refused_by_its_length(server):
    """The length stands in its first bytes (RFC 6455, 5.2), so nothing of it is kept."""
    with opened(server) as websocket:
        websocket.socket.sendall(b"\x82\xff" + (100_000_000).to_bytes(8, "big") + bytes(4))
        assert code_of(websocket)[0] == 1009


def test_a_message_of_100_mb_that_is_sent_all_the_same(server):
    """The server hangs up while the client still sends, so the close frame may be lost on the way."""
    with opened(server) as websocket, pytest.raises(ConnectionClosed) as closed:
        websocket.send(bytes(100_000_000))
        websocket.recv(LIMIT)
    assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
    with opened(server) as websocket:
        websocket.send(APPLE)
        assert json.loads(websocket.recv(LIMIT))["detections"]


def test_a_frame_that_is_too_large_for_the_app(client):
    """Also where the server in front has a higher limit."""
    with client.websocket_connect(URL) as websocket, pytest.raises(WebSocketDisconnect) as closed:
        websocket.send_bytes(bytes(live.MAX_FRAME + 1))
        websocket.receive_json()
    assert closed.value.code == 1009


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ({"origin": "http://evil.example"}, 403, "A page of http://evil.example"),
        ({"origin": "null"}, 403, "A page of null"),
        ({"host": "evil.example"}, 400, "evil.example"),
    ],
)
def test_a_foreign_page_or_host_is_refused(client, headers, status, words):
    with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect(URL, headers=headers):
        pass
    assert denied.value.status_code == status and words in denied.value.json()["detail"]


def test_the_key_comes_as_a_header_or_as_a_subprotocol():
    server = serve(create_app(Settings(extras="live", keep=False, api_key="right key")), port=0, quiet=True)
    try:
        for subprotocols, headers, status in (
            (None, {}, 401),
            (["yololab.live"], {}, 401),
            (["yololab.live", as_subprotocol("wrong")], {}, 403),
            (["yololab.live", "yololab.key.A"], {}, 401),
            (None, {"X-API-Key": "wrong"}, 403),
        ):
            with (
                pytest.raises(InvalidStatus) as refused,
                opened(server, subprotocols=subprotocols, additional_headers=headers),
            ):
                pass
            assert refused.value.response.status_code == status
            assert "key" in json.loads(refused.value.response.body)["detail"]
        with opened(server, subprotocols=["yololab.live", as_subprotocol("right key")]) as websocket:
            assert websocket.subprotocol == "yololab.live"  # never the key
            websocket.send(APPLE)
            assert json.loads(websocket.recv(LIMIT))["detections"]
        with opened(server, additional_headers={"X-API-Key": "right key"}) as websocket:
            websocket.send(APPLE)
            assert json.loads(websocket.recv(LIMIT))["detections"]
    finally:
        server.stop()


def test_any_key_can_be_written_as_a_subprotocol():
    assert key_in(["yololab.live", as_subprotocol(KEY)]) == KEY
    assert as_subprotocol(KEY).replace(".", "").replace("-", "").replace("_", "").isalnum()
    assert key_in(["yololab.live"]) is None and key_in(["yololab.key._w"]) is None


def test_a_thousand_connections(server):
    """As many as there are places get in; each of the others is told to try again later."""
    places = server.app.state.service.settings.queue // 2
    url = server.url.replace("http", "ws") + "/v1/live"

    async def attempt() -> tuple[int, str]:
        async with connect_async(url, proxy=None, open_timeout=LIMIT) as websocket:
            with pytest.raises(ConnectionClosed) as closed:
                await websocket.recv()
            return closed.value.rcvd.code, closed.value.rcvd.reason

    async def attack() -> list[tuple[int, str]]:
        held = [await connect_async(url, proxy=None, open_timeout=LIMIT) for _ in range(places)]
        refused: list[tuple[int, str]] = []
        for _ in range((1000 - places) // 44):
            refused += await asyncio.gather(*(attempt() for _ in range(44)))
        assert (await asyncio.to_thread(requests.get, f"{server.url}/health", timeout=LIMIT)).ok
        for websocket in held[:2]:
            await websocket.send(APPLE)
            assert json.loads(await websocket.recv())["detections"]
        for websocket in held:
            await websocket.close()
        return refused

    wait_for(lambda: not server.app.state.live._open if hasattr(server.app.state, "live") else True)
    refused = asyncio.run(attack())
    assert len(refused) == 968
    assert set(refused) == {
        (1013, f"The server has {places} live connections, which is all it takes. Try again later.")
    }
    wait_for(lambda: not server.app.state.live._open, "free places")
    with opened(server) as websocket:
        websocket.send(APPLE)
        assert json.loads(websocket.recv(LIMIT))["detections"]


def test_a_stop_closes_with_1001():
    server = serve(create_app(Settings(extras="live", keep=False)), port=0, quiet=True)
    with ExitStack() as stack:
        sockets = [stack.enter_context(opened(server)) for _ in range(3)]
        for websocket in sockets:
            websocket.send(APPLE)
            websocket.recv(LIMIT)
        server.stop()
        assert [code_of(websocket)[0] for websocket in sockets] == [1001] * 3


def test_a_connection_that_says_nothing_ends(client, monkeypatch):
    monkeypatch.setattr(live_connection, "IDLE", 0.01)
    with client.websocket_connect(URL) as websocket, pytest.raises(WebSocketDisconnect) as closed:
        websocket.receive_json()
    assert closed.value.code == 1008 and closed.value.reason == "Nothing came for 0.01 s."


async def run_asgi(app, receive, send) -> None:
    """One connection at the level of ASGI."""
    scope = {
        "type": "websocket", "path": "/v1/live", "query_string": b"", "scheme": "ws", "subprotocols": [],
        "headers": [(b"host", b"127.0.0.1")], "client": ("127.0.0.1", 1), "extensions": {},
    }  # fmt: skip
    await app(scope, receive, send)


def test_answers_that_nobody_reads_end_the_connection(client, monkeypatch):
    monkeypatch.setattr(live_connection, "SLOW", 0.05)
    sent, frames = [], [{"type": "websocket.connect"}, {"type": "websocket.receive", "bytes": APPLE}]

    async def receive():
        return frames.pop(0) if frames else await asyncio.Event().wait()

    async def send(message):
        sent.append((message["type"], message.get("code")))
        if message["type"] == "websocket.send":
            await asyncio.Event().wait()

    client.portal.call(run_asgi, client.app, receive, send)
    assert sent == [("websocket.accept", None), ("websocket.send", None), ("websocket.close", 1008)]


def test_what_is_worked_on_when_the_client_leaves_keeps_its_place(client, gate):
    """Else one who opens and closes connections could give the server more work than the queue has places."""
    service = client.app.state.service
    with client.websocket_connect(URL) as websocket:
        websocket.send_bytes(APPLE)
        wait_for(lambda: service.queue.longest, "the frame's start")
        websocket.close()
        assert counted(client, "yololab_live_connections") == 1
        gate.set()
        wait_for(lambda: counted(client, "yololab_live_connections") == 0, "the end of the connection")


def test_an_error_of_ours_closes_with_1011(client, monkeypatch):
    def broken(*given):
        raise ZeroDivisionError

    monkeypatch.setattr(client.app.state.service, "process", broken)
    with client.websocket_connect(URL) as websocket, pytest.raises(WebSocketDisconnect) as closed:
        websocket.send_bytes(APPLE)
        websocket.receive_json()
    assert closed.value.code == 1011


def test_metrics_count_connections_and_frames(client):
    names = ['yololab_live_frames_total{outcome="answered"}', 'yololab_live_frames_total{outcome="failed"}',
             "yololab_live_seconds_count"]  # fmt: skip
    before = [counted(client, name) for name in names]
    with client.websocket_connect(URL) as websocket:
        assert counted(client, "yololab_live_connections") == 1
        for data in (APPLE, b"hello"):
            websocket.send_bytes(data)
            websocket.receive_json()
    assert [counted(client, name) - old for name, old in zip(names, before, strict=True)] == [1, 1, 2]
    assert counted(client, "yololab_live_connections") == 0


def test_the_documents_name_the_route(client):
    assert "WS /v1/live" in client.get("/openapi.json").json()["info"]["description"]
    with ready_client() as plain:
        assert "live" not in plain.get("/openapi.json").json()["info"]["description"]
        with pytest.raises(WebSocketDisconnect), plain.websocket_connect(URL):
            pass
        assert plain.get("/live").status_code == 404


def test_a_plain_get_is_told_to_upgrade(client):
    answer = client.get("/v1/live")
    assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")
    assert "WebSocket client" in answer.json()["detail"]


def test_the_page_comes_without_a_key_and_from_here():
    with ready_client(extras="live", api_key="secret") as client:
        page = client.get("/live")
        assert page.status_code == 200 and "connect-src 'self'" in page.headers["content-security-policy"]
        for name in ("live.js", "live.css", "draw.js", "clip.webm", "clip.json"):
            assert client.get(f"/live-assets/{name}").status_code == 200
        assert client.get("/live-assets/clip.webm?x=1").headers["content-type"] == "video/webm"
        assert client.get("/live-assets/..%2Fexplore%2Fexplore.js").status_code == 404
        assert 'href="/live"' in client.get("/", headers={"accept": "text/html", "x-api-key": "secret"}).text


def test_a_websocket_counts_among_the_connections_and_is_not_cut_off():
    import uvicorn

    from yololab.serving.connections import PROTOCOLS, BoundedProtocol

    app = create_app(Settings(extras="live", keep=False))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", **(PROTOCOLS | {"http": BoundedProtocol})))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for(lambda: server.started, "the server")
    port = server.servers[0].sockets[0].getsockname()[1]
    with connect(f"ws://127.0.0.1:{port}/v1/live", proxy=None, open_timeout=LIMIT):
        protocol = next(iter(BoundedProtocol._all))
        assert not protocol.is_idle and protocol._head_timer.cancelled()
    wait_for(lambda: not BoundedProtocol._all, "its end")
    server.should_exit = True
    thread.join(LIMIT)
    assert not thread.is_alive()
