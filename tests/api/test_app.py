"""The HTTP contract, row by row. Everything a client can send, and what it must get."""

import io
import json
import socket
import threading

import cv2
import numpy as np
import pytest
import requests
from fastapi.testclient import TestClient
from helpers import BASE, IMAGES, png_header, ready_client, wait_for, wait_ready

from yololab import Detector, annotate, create_app, decode, encode, serve
from yololab.api.settings import Settings
from yololab.vision.images import decode_small, media_type

APPLE = IMAGES / "apple.jpg"
ROUTES = ["/predict", "/v1/detections"]


def post(client, route="/predict", data=None, name="x.jpg", **options):
    data = APPLE.read_bytes() if data is None else data
    return client.post(route, files={"file": (name, data)}, **options)


def detail(answer, status):
    """The sentence of an error answer, after a look at its shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert len(answer.headers["x-request-id"]) == 32
    told = answer.json()["detail"]
    assert isinstance(told, str) and told[0].isupper() and len(told) > 20
    return told


# what works


def test_the_classic_clients_lines_work_unchanged(client):
    with open(APPLE, "rb") as f:
        response = client.post("/predict?model=starter", files={"file": f})
    picture = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_COLOR)
    assert response.headers["content-type"] == "image/jpeg"
    assert picture.shape == decode(APPLE.read_bytes()).shape


def test_a_large_photo_is_detected_small_and_drawn_whole(client):
    detector, apple = Detector("starter"), decode(APPLE.read_bytes())
    data = encode(cv2.resize(apple, None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC))
    small, size = decode_small(data, 416)
    assert small.shape == (1200, 1600, 3) and size == (3200, 2400)
    found = detector(small, original=size)
    assert post(client, "/v1/detections", data=data).json() == {
        "model": "starter", "image": {"width": 3200, "height": 2400}, "detections": [each.as_dict() for each in found],
    }  # fmt: skip
    assert post(client, data=data).content == encode(annotate(decode(data), found))
    assert [each.label for each in found] == [each.label for each in detector(apple)]
    assert np.allclose(found[0].box, np.multiply(detector(apple)[0].box, 5), atol=40)  # 1 % of the picture


def test_the_answer_is_the_drawing_of_the_detections(client):
    detector, picture = Detector("starter"), decode(APPLE.read_bytes())
    assert post(client).content == encode(annotate(picture, detector(picture)))


def test_json_tells_what_the_detector_finds(client):
    detector, picture = Detector("starter"), decode(APPLE.read_bytes())
    answer = post(client, "/v1/detections", params={"confidence": 0.1, "nms_threshold": 0.6})
    height, width = picture.shape[:2]
    wanted = [found.as_dict() for found in detector(picture, 0.1, 0.6)]
    assert wanted
    assert answer.json() == {
        "model": "starter",
        "image": {"width": width, "height": height},
        "detections": wanted,
    }


@pytest.mark.parametrize(
    "accept, kind",
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/*", "application/json"),
        ("image/*", "image/jpeg"),
        ("image/png", "image/png"),
        ("image/png;q=0.4, image/jpeg;q=0.6", "image/jpeg"),
        ("text/html, image/png;q=0.1", "image/png"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("application/json; charset=utf-8", "application/json"),
        ("application/json;odata=verbose, */*;q=0.1", "application/json"),
        ("image/jpeg; quality=80", "image/jpeg"),
        ("image/png; a=b; q=0.4, image/jpeg;q=0.6", "image/jpeg"),
    ],
)
def test_accept_chooses_the_form_of_the_answer(client, accept, kind):
    client.headers.pop("accept", None)
    answer = post(client, "/v1/detections", headers={"accept": accept} if accept else {})
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    if kind != "application/json":
        assert media_type(answer.content) == kind


def test_all_lines_of_accept_count(client):
    lines = [("accept", "text/html"), ("accept", "image/png;q=0.5"), ("accept", "image/jpeg;q=0.2")]
    answer = client.post("/v1/detections", files={"file": APPLE.read_bytes()}, headers=lines)
    assert answer.headers["content-type"] == "image/png"


def test_predict_answers_a_picture_whatever_accept_says(client, picture):
    for data, kind in ((encode(picture, "image/png"), "image/png"), (APPLE.read_bytes(), "image/jpeg")):
        answer = post(client, data=data, headers={"accept": "application/json"})
        assert answer.headers["content-type"] == media_type(answer.content) == kind


@pytest.mark.parametrize("route", ROUTES)
def test_server_timing_names_every_stage(client, route):
    timing = post(client, route).headers["server-timing"]
    spent = {part.split(";dur=")[0]: float(part.split(";dur=")[1]) for part in timing.split(", ")}
    assert list(spent) == ["queue", "load", "decode", "detect", "encode"]
    assert all(ms >= 0 for ms in spent.values()) and spent["detect"] > 0


def test_the_routes_are_exactly_these(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert {(path, method) for path, methods in paths.items() for method in methods} == {
        ("/", "get"), ("/health", "get"), ("/ready", "get"), ("/metrics", "get"), ("/v1/models", "get"),
        ("/predict", "post"), ("/v1/detections", "post"),
    }  # fmt: skip


def test_openapi_offers_the_models_and_the_forms_of_the_answer(client):
    operation = client.get("/openapi.json").json()["paths"]["/v1/detections"]["post"]
    schemas = {each["name"]: each["schema"] for each in operation["parameters"]}
    assert "starter" in schemas["model"]["enum"] and schemas["model"]["default"] == "starter"
    assert schemas["confidence"]["maximum"] == 1 and schemas["nms_threshold"]["default"] == 0.45
    assert set(operation["responses"]["200"]["content"]) == {"application/json", "image/jpeg", "image/png"}
    assert {"400", "401", "403", "404", "406", "413", "415", "422", "503"} <= set(operation["responses"])


def test_the_error_examples_are_what_the_api_says(client):
    responses = client.get("/openapi.json").json()["paths"]["/v1/detections"]["post"]["responses"]
    said = {status: each["content"]["application/json"].get("example") for status, each in responses.items()}
    assert said["400"] == post(client, "/v1/detections", b"").json()
    assert said["404"] == post(client, "/v1/detections", params={"model": "yolov3-tiny"}).json()
    assert said["406"] == post(client, "/v1/detections", headers={"accept": "text/html"}).json()
    assert said["413"] == post(client, "/v1/detections", png_header(12000, 12000)).json()
    assert said["415"] == post(client, "/v1/detections", b"hello").json()
    assert said["422"] == post(client, "/v1/detections", params={"confidence": 30}).json()
    welcome = client.get("/openapi.json").json()["paths"]["/"]["get"]["responses"]["400"]
    refused = client.get("/", headers={"host": "evil.example"}).json()
    assert welcome["content"]["application/json"]["example"] == refused


def test_welcome_health_and_models(client):
    assert client.get("/").json()["model"] == "starter"
    assert client.get("/health").json() == {"status": "alive"}
    models = {each["name"]: each for each in client.get("/v1/models").json()}
    starter, tiny = models["starter"], models["yolov3-tiny"]
    assert starter["installed"] and starter["classes"] == 80 and len(starter["sha256"]) == 64
    assert starter["input_size"] == {"width": 320, "height": 320} and starter["bytes"] < 4e6
    assert not tiny["installed"] and tiny["bytes"] == 35434956


def test_errors_are_counted_from_zero(fresh):
    text = fresh.get("/metrics").text
    for route in ROUTES:
        assert f'yololab_requests_total{{route="{route}",status="500"}} 0.0' in text


def test_metrics_count_requests_and_detections(fresh):
    post(fresh)
    fresh.get("/nowhere/at/all")
    text = fresh.get("/metrics").text
    assert 'yololab_requests_total{route="/predict",status="200"} 1.0' in text
    assert 'yololab_requests_total{route="other",status="404"} 1.0' in text
    assert 'yololab_stage_seconds_count{stage="detect"} 1.0' in text


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_docs_pages_name_no_other_host(client, page):
    answer = client.get(page)
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    for part in answer.text.split('"'):
        assert not part.startswith(("http:", "https:", "//")), part
    assert client.get("/docs-assets/swagger-ui-bundle.js").status_code == 200
    assert "cdn.redoc.ly" not in client.get("/docs-assets/redoc.standalone.js").text


def test_the_docs_work_behind_a_stripping_proxy():
    with TestClient(create_app(), base_url=BASE, root_path="/user/ann/proxy/8000") as client:
        for page in ("/docs", "/redoc"):
            text = client.get(page).text
            assert "/user/ann/proxy/8000/openapi.json" in text and "/user/ann/proxy/8000/docs-assets/" in text
        assert client.get("/openapi.json").json()["servers"] == [{"url": "/user/ann/proxy/8000"}]


# what is kept


def test_predict_alone_keeps_a_copy(fresh, tmp_path):
    answer = post(fresh, name="../../evil.jpg")
    post(fresh, "/v1/detections", headers={"accept": "image/jpeg"})
    (kept,) = (tmp_path / "uploads").iterdir()
    assert kept.read_bytes() == answer.content and kept.suffix == ".jpg" and "evil" not in kept.name
    assert [path.name for path in tmp_path.iterdir()] == ["uploads"]


def test_keep_0_keeps_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("YOLOLAB_KEEP", "0")
    with ready_client() as client:
        assert post(wait_ready(client)).status_code == 200
    assert not (tmp_path / "uploads").exists()


def test_nothing_a_client_names_comes_back(client):
    answer = post(client, name='a"\r\nx-evil: 1\r\n.jpg', headers={"x-request-id": "mine"})
    assert "x-evil" not in answer.headers and answer.headers["x-request-id"] != "mine"
    assert answer.headers["x-content-type-options"] == "nosniff"


# the status table


@pytest.mark.parametrize("route", ROUTES)
class TestBadInput:
    def test_400_empty_file(self, client, route):
        assert "empty" in detail(post(client, route, b""), 400)

    @pytest.mark.parametrize("data", [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n1234", b"RIFF\0\0\0\0WEBPVP8 "])
    def test_400_broken_picture(self, client, route, data):
        assert "damaged" in detail(post(client, route, data), 400)

    def test_400_cut_off_picture(self, client, route):
        assert "cut off" in detail(post(client, route, APPLE.read_bytes()[:-2000]), 400)

    def test_400_broken_form(self, client, route):
        headers = {"content-type": "multipart/form-data; boundary=x"}
        assert "multipart" in detail(client.post(route, content=b"--y\r\nnothing", headers=headers), 400)
        for content_type in ("multipart/form-data", "multipart/form-data; boundary="):
            answer = client.post(route, content=b"", headers={"content-type": content_type})
            assert "without its boundary" in detail(answer, 400)

    def test_400_foreign_host(self, client, route):
        assert "YOLOLAB_ALLOWED_HOSTS" in detail(post(client, route, headers={"host": "evil.com"}), 400)

    @pytest.mark.parametrize("origin", ["http://evil.com", "null", "https://127.0.0.1.evil.com", "http://[", ""])
    def test_403_foreign_origin(self, client, route, origin):
        assert "may not post" in detail(post(client, route, headers={"origin": origin}), 403)

    def test_403_cross_site(self, client, route):
        assert "may not post" in detail(post(client, route, headers={"sec-fetch-site": "cross-site"}), 403)

    def test_own_pages_may_post(self, client, route):
        for headers in (
            {"origin": BASE},
            {"origin": "http://127.0.0.1:8888"},
            {"sec-fetch-site": "same-origin"},
        ):
            assert post(client, route, headers=headers).status_code == 200

    @pytest.mark.parametrize("name", ["no-such-model", "../../etc/passwd", "", "a\0b", "Ω", "x" * 5000])
    def test_404_unknown_model(self, client, route, name):
        assert "starter" in detail(post(client, route, params={"model": name}), 404)

    def test_404_known_model_says_how_to_install_it(self, client, route):
        told = detail(post(client, route, params={"model": "yolov3-tiny"}), 404)
        assert "python -m yololab fetch yolov3-tiny" in told

    def test_405_method(self, client, route):
        answer = client.get(route)
        assert "GET" in detail(answer, 405) and answer.headers["allow"] == "POST"

    def test_413_declared_bytes(self, client, route):
        assert "20 MiB" in detail(post(client, route, bytes(21 * 2**20)), 413)

    def test_413_streamed_bytes(self, client, route):
        def body():
            yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
            for _ in range(21):
                yield bytes(2**20)

        headers = {"content-type": "multipart/form-data; boundary=x"}
        assert "20 MiB" in detail(client.post(route, content=body(), headers=headers), 413)

    def test_413_pixels_by_the_header(self, client, route):
        assert "megapixels" in detail(post(client, route, png_header(12000, 12000)), 413)

    @pytest.mark.parametrize("data", [b"hello", b"BM, said the text", b"%PDF-1.7"])
    def test_415_other_formats_whatever_their_name(self, client, route, data):
        answer = client.post(route, files={"file": ("cat.jpg", data, "image/jpeg")})
        assert "not a JPEG, PNG" in detail(answer, 415)

    @pytest.mark.parametrize("options", [{"json": {}}, {"content": b"x"}, {"data": {"file": "x"}}, {}])
    def test_415_not_a_form(self, client, route, options):
        assert "multipart/form-data" in detail(client.post(route, **options), 415)

    @pytest.mark.parametrize("name", ["confidence", "nms_threshold"])
    @pytest.mark.parametrize("value", ["-0.1", "1.1", "nan", "inf", "twenty", ""])
    def test_422_out_of_range(self, client, route, name, value):
        answer = post(client, route, params={name: value})
        assert answer.status_code == 422 and answer.json()["detail"][0]["loc"] == ["query", name]
        assert answer.headers["x-request-id"]

    def test_422_file_missing(self, client, route):
        for files in ({"picture": b"x"}, {"file": (None, "text")}):
            assert "'file'" in detail(client.post(route, files=files), 422)

    def test_any_confidence_in_range_works(self, client, route):
        for value in (0, 1e-9, 0.2, 1):
            answer = post(client, route, params={"confidence": value, "nms_threshold": value})
            assert answer.status_code == 200


def test_404_route(client):
    assert "/docs" in detail(client.get("/nowhere"), 404)


def test_406_accept(client):
    assert "application/json" in detail(post(client, "/v1/detections", headers={"accept": "text/html"}), 406)


def test_401_and_403_where_a_key_is_set():
    with ready_client(api_key="secret") as client:
        wait_ready(client)
        assert "X-API-Key" in detail(post(client), 401)
        assert "X-API-Key" in detail(client.get("/metrics"), 401)
        assert "X-API-Key" in client.get("/metrics").headers["www-authenticate"]
        for wrong in ("wrong", "sécret".encode(), ""):
            assert "wrong" in detail(post(client, headers={"x-api-key": wrong}), 403)
        assert post(client, headers={"x-api-key": "secret"}).status_code == 200
        assert {client.get(page).status_code for page in ("/health", "/ready", "/docs", "/openapi.json")} == {200}


def test_allowed_hosts_are_let_in():
    with ready_client(allowed_hosts="lab.example, other.example") as client:
        wait_ready(client)
        assert post(client, headers={"host": "lab.example", "origin": "https://lab.example"}).status_code == 200
        assert client.get("/health", headers={"host": "10.1.2.3"}).status_code == 400
    with ready_client(host="0.0.0.0") as client:
        assert client.get("/health", headers={"host": "10.1.2.3:8000"}).status_code == 200
        assert client.get("/health", headers={"host": "evil.com"}).status_code == 400


def test_503_while_the_model_loads(monkeypatch):
    go = threading.Event()
    load = Detector.__init__
    monkeypatch.setattr(Detector, "__init__", lambda self, *a, **k: (go.wait(60), load(self, *a, **k))[1])
    with ready_client() as client:
        for answer in (client.get("/ready"), post(client), post(client, "/v1/detections")):
            assert "loading" in detail(answer, 503) and int(answer.headers["retry-after"]) >= 1
        assert client.get("/health").status_code == 200
        go.set()
        assert post(wait_ready(client)).status_code == 200


def test_503_from_the_moment_a_stop_is_asked_for(fresh):
    fresh.app.state.stopping = True
    for answer in (fresh.get("/ready"), post(fresh)):
        assert "stopping" in detail(answer, 503) and answer.headers["retry-after"]


def test_503_says_why_the_default_model_cannot_be_loaded():
    with ready_client(model="yolov3-tiny") as client:
        answer = wait_for(lambda: (now := client.get("/ready")) and "loading" not in now.text and now)
        assert "retry-after" not in answer.headers
        assert "python -m yololab fetch yolov3-tiny" in detail(answer, 503)
        assert post(client, params={"model": "starter"}).status_code == 200


def test_503_when_the_queue_is_full(monkeypatch):
    """Real requests, held in the detector: those that fit are answered, the next is refused at once, none is lost."""
    go = threading.Event()
    detect = Detector.__call__
    server = serve(create_app(Settings(queue=1)), port=0)
    try:
        monkeypatch.setattr(Detector, "__call__", lambda self, *a: (go.wait(60), detect(self, *a))[1])
        service = server.app.state.service
        places = service.queue.threads + 1
        answers = []
        ask = lambda: answers.append(requests.post(server.url + "/predict", files={"file": APPLE.read_bytes()}))  # noqa: E731
        threads = [threading.Thread(target=ask) for _ in range(places)]
        for thread in threads:
            thread.start()
        wait_for(lambda: service.queue.waiting == 1)
        refused = requests.post(server.url + "/predict", files={"file": APPLE.read_bytes()})
        assert "busy" in detail(refused, 503) and int(refused.headers["retry-after"]) >= 1
        assert requests.get(server.url + "/health").status_code == 200
        assert 'yololab_refused_total{route="/predict"} 1.0' in requests.get(server.url + "/metrics").text
        go.set()
        for thread in threads:
            thread.join()
        assert [answer.status_code for answer in answers] == [200] * places
    finally:
        go.set()
        server.stop()


def test_an_error_of_ours_is_a_500_with_our_request_id(client, monkeypatch, caplog):
    monkeypatch.setattr(Detector, "__call__", lambda *a: 1 / 0)
    answer = post(client)
    assert answer.headers["x-request-id"] in detail(answer, 500)
    assert "ZeroDivisionError" in caplog.text


def test_a_picture_too_long_for_jpeg_is_told_so(client):
    data = encode(np.zeros((1, 65_501, 3), np.uint8), "image/png")
    assert "65500 pixels" in detail(post(client, data=data), 413)
    assert post(client, data=encode(np.zeros((1, 65_500, 3), np.uint8), "image/png")).status_code == 200


def test_an_app_can_be_served_again():
    app = create_app()
    for _ in range(2):
        with TestClient(app, base_url=BASE) as client:
            assert post(wait_ready(client)).status_code == 200


def test_json_has_no_surprises(client):
    body = post(client, "/v1/detections", params={"confidence": 0}).content
    json.load(io.BytesIO(body), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@pytest.mark.parametrize("padding", [0, 3 * 2**20], ids=["a small photo", "a large one"])
def test_nothing_is_computed_for_clients_that_have_hung_up(monkeypatch, padding):
    """With real sockets: uvicorn stops reading a connection whose body is large, and does not see it end by itself."""
    go, computed, detect = threading.Event(), [], Detector.__call__
    server = serve(create_app(Settings(keep=False)), port=0)
    try:
        held = lambda self, *a: (computed.append(a), go.wait(60), detect(self, *a))[2]  # noqa: E731
        monkeypatch.setattr(Detector, "__call__", held)
        queue = server.app.state.service.queue
        body = {"file": APPLE.read_bytes() + bytes(padding)}
        request = requests.Request("POST", server.url + "/v1/detections", files=body).prepare()
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        raw = f"POST /v1/detections HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n".encode() + request.body
        connections = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(queue.threads + 4)]
        for connection in connections:
            connection.sendall(raw)
        wait_for(lambda: queue.waiting == 4 and len(computed) == queue.threads)
        for connection in connections:
            connection.close()
        wait_for(lambda: not server.server_state.connections)  # the server has seen all of them end
        go.set()
        wait_for(lambda: not queue.waiting)
    finally:
        go.set()
        server.stop()
    assert len(computed) <= queue.threads


@pytest.mark.parametrize("path", ["/", "/health", "/v1/models", "/docs", "/openapi.json", "/nowhere", "/predict"])
def test_head_is_get_without_the_body(client, path):
    head, get = client.head(path), client.get(path)
    assert head.status_code == get.status_code and head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.headers["content-length"] == get.headers["content-length"]
