"""Who is let in: hosts, origins and prefixes, as people write them and as browsers and proxies send them."""

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient
from helpers import BASE, IMAGES, ready_client, wait_ready
from starlette.websockets import WebSocketDisconnect

from yololab import create_app
from yololab.api.metrics import Metrics
from yololab.api.middleware import AccessMiddleware
from yololab.api.settings import Settings
from yololab.errors import WrongSetting

APPLE = (IMAGES / "apple.jpg").read_bytes()
PAGE = "http://localhost:3000"


@pytest.mark.parametrize(
    ("entry", "host"),
    [
        ("lab.example", "lab.example"), ("Lab.Example:8000", "lab.example"), ("https://lab.example", "lab.example"),
        ("https://lab.example:8443/path", "lab.example"), ("10.1.2.3:80", "10.1.2.3"), ("[fd00::1]:8000", "[fd00::1]"),
        ("fd00::1", "[fd00::1]"), ("bücher.example", "xn--bcher-kva.example"), ("host_1", "host_1"),
        ("*.ngrok-free.app", "a-1.ngrok-free.app"), ("*.ngrok-free.app", "a.b.ngrok-free.app"),
        ("lab.example", "lab.example."), ("lab.example", "LAB.example:1"),
    ],
)  # fmt: skip
def test_allowed_hosts_are_taken_as_people_write_them(entry, host):
    client = TestClient(create_app(Settings(allowed_hosts=f"other.example, {entry}")), base_url=BASE)
    assert client.get("/health", headers={"host": host}).status_code == 200
    for foreign in ("evil.example", "xlab.example", "ngrok-free.app", "a.ngrok-free.app.evil.com", "10.1.2.4"):
        assert client.get("/health", headers={"host": foreign}).status_code == 400


@pytest.mark.parametrize(
    "entry", ["*", "a b", "http://", "*.", "a.*.b", "user@host", "-a.example", "a..b", "https://*"]
)
def test_a_wrong_host_stops_the_start(monkeypatch, entry):
    monkeypatch.setenv("YOLOLAB_ALLOWED_HOSTS", entry)
    with pytest.raises(WrongSetting, match=r"YOLOLAB_ALLOWED_HOSTS=.*is no host: write a name, name:port, a URL"):
        Settings()


@pytest.mark.parametrize(
    "entry", ["*", "localhost:3000", "http://a/path", "ftp://a", "null", "http://*.a.b", "http://a:x"]
)
def test_a_wrong_origin_stops_the_start(monkeypatch, entry):
    monkeypatch.setenv("YOLOLAB_CORS_ORIGINS", entry)
    with pytest.raises(WrongSetting, match=r"YOLOLAB_CORS_ORIGINS=.*is no origin: write scheme://host"):
        Settings()


def test_a_wrong_proxy_stops_the_start(monkeypatch):
    monkeypatch.setenv("YOLOLAB_TRUSTED_PROXIES", "proxy")
    with pytest.raises(WrongSetting, match=r"YOLOLAB_TRUSTED_PROXIES='proxy'.*10\.0\.0\.0/8"):
        Settings()


def test_origins_are_normalized():
    settings = Settings(cors_origins="HTTP://Localhost:3000/, https://a.example:443 ,http://[::1]:5173")
    assert settings.cors == {"http://localhost:3000", "https://a.example", "http://[::1]:5173"}


def test_a_missing_or_unreadable_host_is_told_truly():
    client = TestClient(create_app(), base_url=BASE)
    missing = client.get("/health", headers={"host": ""})
    assert missing.status_code == 400 and "no Host header" in missing.json()["detail"]
    assert "proxy_set_header Host" in missing.json()["detail"]
    unreadable = client.get("/health", headers={"host": "[::1"})
    assert unreadable.status_code == 400 and "'[::1'" in unreadable.json()["detail"]


@pytest.fixture(scope="module")
def shared():
    """A server with a key that pages of one other origin may call."""
    with ready_client(keep=False, cors_origins=PAGE, api_key="secret") as client:
        yield wait_ready(client)


def preflight(client, origin: str, method: str = "POST"):
    headers = {"origin": origin, "access-control-request-method": method,
               "access-control-request-headers": "x-api-key,content-type"}  # fmt: skip
    return client.options("/v1/detections", headers=headers)


def test_a_listed_origin_may_post_and_read(shared):
    asked = preflight(shared, PAGE)
    assert asked.status_code == 200 and asked.headers["access-control-allow-origin"] == PAGE
    assert "x-api-key" in asked.headers["access-control-allow-headers"] and asked.headers["x-request-id"]
    headers = {"origin": PAGE, "x-api-key": "secret", "sec-fetch-site": "cross-site"}
    answer = shared.post("/v1/detections", files={"file": APPLE}, headers=headers)
    assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == PAGE
    assert "Server-Timing" in answer.headers["access-control-expose-headers"]


def test_a_listed_origin_may_call_from_a_public_page(shared):
    """Chrome asks first when a public page calls a private address (WICG, Private Network Access)."""
    headers = {
        "origin": PAGE,
        "access-control-request-method": "POST",
        "access-control-request-private-network": "true",
    }
    answer = shared.options("/v1/detections", headers=headers)
    assert answer.status_code == 200 and answer.headers["access-control-allow-private-network"] == "true"


def test_a_listed_origin_may_read_errors(shared):
    for headers, status in (({}, 401), ({"x-api-key": "wrong"}, 403), ({"x-api-key": "secret"}, 415)):
        answer = shared.post("/v1/detections", content=b"", headers={"origin": PAGE} | headers)
        assert answer.status_code == status and answer.json()["detail"]
        assert answer.headers["access-control-allow-origin"] == PAGE
    big = shared.post(
        "/v1/detections", files={"file": bytes(21 * 2**20)}, headers={"origin": PAGE, "x-api-key": "secret"}
    )
    assert big.status_code == 413 and big.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize("origin", ["http://localhost:3001", "https://localhost:3000", "http://evil.example", "null"])
def test_other_origins_are_refused_in_json(shared, origin):
    answer = preflight(shared, origin)
    assert answer.status_code == 403 and "YOLOLAB_CORS_ORIGINS" in answer.json()["detail"]
    assert "access-control-allow-origin" not in answer.headers


def test_other_methods_are_refused_in_json(shared):
    assert "DELETE" in preflight(shared, PAGE, "DELETE").json()["detail"]


def test_without_the_setting_no_other_origin_gets_in():
    with ready_client(keep=False) as client:
        wait_ready(client)
        assert preflight(client, PAGE).status_code == 405
        answer = client.post("/predict", files={"file": APPLE}, headers={"origin": "http://app.example:3000"})
        assert answer.status_code == 403 and "YOLOLAB_CORS_ORIGINS" in answer.json()["detail"]
        assert "access-control-allow-origin" not in client.get("/health", headers={"origin": PAGE}).headers


def behind(peer: str, port: int = 50000, **settings) -> TestClient:
    return TestClient(create_app(Settings(**settings)), base_url=BASE, client=(peer, port))


PREFIX = {"x-forwarded-prefix": "/user/ann/proxy/8000/"}


@pytest.mark.parametrize(
    ("peer", "port", "proxies", "used"),
    [
        ("127.0.0.1", 50000, None, True), ("::1", 50000, None, True), ("10.1.2.3", 50000, None, False),
        ("::ffff:127.0.0.1", 50000, None, True), ("::ffff:10.1.2.3", 50000, None, False),
        ("10.1.2.3", 50000, "10.0.0.0/8", True), ("127.0.0.1", 50000, "10.0.0.0/8", False),
        ("198.51.100.7", 0, None, True),  # as uvicorn hands on what came through a proxy with X-Forwarded-For
    ],
)  # fmt: skip
def test_the_prefix_of_a_trusted_proxy_is_used(peer, port, proxies, used):
    client = behind(peer, port, **({} if proxies is None else {"trusted_proxies": proxies}))
    root = "/user/ann/proxy/8000" if used else ""
    for page in ("/docs", "/redoc"):
        answer = client.get(page, headers=PREFIX)
        assert f'"{root}/docs-assets/' in answer.text or f"'{root}/docs-assets/" in answer.text
        assert f"'{root}/openapi.json'" in answer.text or f'"{root}/openapi.json"' in answer.text
    assert client.get("/openapi.json", headers=PREFIX).json().get("servers") == ([{"url": root}] if used else None)
    assert client.get("/", headers=PREFIX).json()["docs"] == f"{root}/docs"
    assert client.get("/docs-assets/swagger-ui.css", headers=PREFIX).status_code == 200
    assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    "prefix", ["user", "//evil.example", "/a/../b", '/"><script>', "/a b", "/a,/b", "/", "http://x/"]
)
def test_a_prefix_that_is_no_plain_path_is_left_aside(prefix):
    answer = behind("127.0.0.1").get("/", headers={"x-forwarded-prefix": prefix})
    assert answer.status_code == 200 and answer.json()["docs"] == "/docs"


def test_the_key_is_asked_for_under_a_prefix_too():
    client = behind("127.0.0.1", api_key="secret")
    assert client.get("/docs", headers=PREFIX).status_code == 200
    assert client.get("/v1/models", headers=PREFIX).status_code == 401


def test_a_root_path_that_is_set_wins():
    with TestClient(create_app(), base_url=BASE, root_path="/mine", client=("127.0.0.1", 1)) as client:
        assert client.get("/", headers=PREFIX).json()["docs"] == "/mine/docs"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 101), ({"host": "evil.example"}, 403), ({"origin": "http://evil.example"}, 403),
        ({"x-api-key": "wrong"}, 403), ({"origin": BASE}, 101), ({"origin": PAGE}, 101),
    ],
)  # fmt: skip
def test_websockets_pass_the_same_checks(headers, status):
    app = FastAPI()

    @app.websocket("/live")
    async def live(socket: WebSocket):
        await socket.accept()
        await socket.send_text("in")

    settings = Settings(api_key="secret", cors_origins=PAGE)
    app.add_middleware(AccessMiddleware, settings=settings, metrics=Metrics())
    client = TestClient(app, base_url=BASE)
    headers = {"host": "127.0.0.1:8000", "x-api-key": "secret"} | headers
    if status == 101:
        with client.websocket_connect("/live", headers=headers) as socket:
            assert socket.receive_text() == "in"
    else:
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/live", headers=headers):
            pass


@pytest.mark.parametrize("accept", ["text/html", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"])
def test_the_root_is_a_page_for_browsers(accept):
    for extras, linked in (("", False), ("explore", True)):
        client = behind("127.0.0.1", extras=extras)
        answer = client.get("/", headers={"accept": accept} | PREFIX)
        assert answer.headers["content-type"].startswith("text/html") and answer.headers["vary"] == "Accept"
        assert 'href="/user/ann/proxy/8000/docs"' in answer.text
        assert ('href="/user/ann/proxy/8000/explore"' in answer.text) == linked


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/json, text/html;q=0.5", "image/png"])
def test_the_root_is_json_for_programs(client, accept):
    client.headers.pop("accept", None)
    answer = client.get("/", headers={"accept": accept} if accept else {})
    assert answer.json()["model"] == "starter" and answer.headers["vary"] == "Accept"
