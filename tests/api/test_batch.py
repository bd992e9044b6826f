"""POST /v1/detections/batch: each picture has its own answer or error."""

import pytest
from helpers import IMAGES, ready_client, wait_ready


@pytest.fixture(scope="module")
def client():
    with ready_client(extras="batch", keep=False) as client:
        yield wait_ready(client)


def post(client, *contents, **params):
    files = [("files", (f"{number}.jpg", data)) for number, data in enumerate(contents)]
    return client.post("/v1/detections/batch", files=files, params=params)


APPLE, FRUIT = ((IMAGES / name).read_bytes() for name in ("apple.jpg", "fruit.jpg"))


def test_each_gets_what_it_would_get_alone(client):
    answers = post(client, APPLE, FRUIT, APPLE, confidence=0.3).json()
    assert [each["name"] for each in answers] == ["0.jpg", "1.jpg", "2.jpg"]
    for data, each in zip((APPLE, FRUIT, APPLE), answers, strict=True):
        alone = client.post("/v1/detections", params={"confidence": 0.3}, files={"file": data}).json()
        assert each["status"] == 200 and each["answer"] == alone


def test_one_that_fails_costs_only_itself(client):
    answer = post(client, b"hello", APPLE, b"", APPLE[:-3000])
    assert answer.status_code == 200
    statuses = [each["status"] for each in answer.json()]
    assert statuses == [415, 200, 400, 400]
    alone = client.post("/v1/detections", files={"file": b"hello"}).json()
    assert answer.json()[0] == {"status": 415, "name": "0.jpg", **alone}


def test_an_unknown_model_is_told_for_each(client):
    assert [each["status"] for each in post(client, APPLE, APPLE, model="nothing").json()] == [404, 404]


def test_when_the_queue_is_full_those_that_fit_are_answered():
    with ready_client(extras="batch", queue=0, keep=False) as client:
        wait_ready(client)
        places = client.app.state.service.queue.threads
        answers = post(client, *[APPLE] * 8).json()
        statuses = [each["status"] for each in answers]
        assert statuses.count(200) == min(8, places) and set(statuses) <= {200, 503}
        if 503 in statuses:  # one request was refused, whatever the number of its pictures
            assert 'yololab_refused_total{route="/v1/detections/batch"} 1.0' in client.get("/metrics").text


def test_too_many_and_none(client):
    assert post(client, *[APPLE] * 9).status_code == 400
    assert client.post("/v1/detections/batch", files={"file": APPLE}).status_code == 422


def test_docs_get_file_pickers(client):
    operation = client.get("/openapi.json").json()["paths"]["/v1/detections/batch"]["post"]
    files = operation["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]["files"]
    assert files["type"] == "array" and files["items"] == {"type": "string", "format": "binary"}


def test_it_is_there_only_where_asked_for():
    with ready_client() as client:
        assert post(wait_ready(client), APPLE).status_code == 404


def test_a_client_that_hangs_up_is_no_error_of_ours(client, monkeypatch, caplog):
    async def hung_up(self):
        return True

    monkeypatch.setattr("starlette.requests.Request.is_disconnected", hung_up)
    assert post(client, APPLE, FRUIT).status_code == 499 and not caplog.records


def test_too_many_are_told_the_field_of_this_route(client):
    answer = post(client, *[APPLE] * 9)
    assert answer.status_code == 400 and "up to 8 pictures" in answer.json()["detail"]
    assert "'files'" in answer.json()["detail"]
