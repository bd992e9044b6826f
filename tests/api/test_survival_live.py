"""Whatever comes over WS /v1/live: an answer or a close code of the table, and the next picture is answered right."""

import json

import pytest
from helpers import BASE, IMAGES, ready_client, wait_ready
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.websockets import WebSocketDisconnect
from test_survival import SEEDS, altered, cut_off, joined, survive

APPLE = (IMAGES / "apple.jpg").read_bytes()
URL = BASE.replace("http", "ws") + "/v1/live"
CODES = {1003, 1007, 1008, 1009, 1013}

numbers = st.one_of(st.floats(), st.integers(), st.booleans(), st.none(), st.text(max_size=9), st.lists(st.none()))
options = st.dictionaries(st.sampled_from(["model", "confidence", "nms_threshold", "draw", "x"]), numbers, max_size=4)
texts = st.one_of(st.text(max_size=40), options.map(json.dumps), st.sampled_from(["[" * 9000, "{}", "null", "1e999"]))
messages = st.one_of(texts, st.binary(max_size=200), cut_off, joined, altered(), st.sampled_from(SEEDS))


@pytest.fixture(scope="module")
def client():
    with ready_client(extras="live", keep=False) as client:
        yield wait_ready(client)


@survive
@example(["[" * 9000])
@given(st.lists(messages, max_size=5))
def test_any_messages(client, sent):
    with client.websocket_connect(URL) as websocket:
        try:
            for each in sent:
                websocket.send_bytes(each) if isinstance(each, bytes) else websocket.send_text(each)
                if isinstance(each, bytes):
                    assert isinstance(websocket.receive_json(), dict)
        except WebSocketDisconnect as closed:
            assert closed.code in CODES, closed
    assert client.get("/ready").status_code == 200
    answer = client.post("/v1/detections", files={"file": APPLE})
    assert answer.status_code == 200 and answer.json()["detections"]
