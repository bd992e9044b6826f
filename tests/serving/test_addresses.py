"""Addresses for browsers, and requests to this machine behind a proxy."""

import asyncio
import sys
from types import SimpleNamespace

import pytest
import requests
from fastapi import FastAPI
from helpers import IMAGES, LIMIT

from classroom.checks import check
from yololab import create_app, serve, serve_here
from yololab.api.settings import Settings
from yololab.serving.addresses import browser_hint, bypass_proxies, url_of
from yololab.serving.kernel import running
from yololab.vision.machine import free_port


def test_urls():
    assert url_of("0.0.0.0", 80) == "http://127.0.0.1:80" and url_of("::", 80) == "http://[::1]:80"
    assert url_of("lab.example", 8000) == "http://lab.example:8000"


def test_where_the_browser_finds_it(monkeypatch):
    for name in ("JUPYTERHUB_SERVICE_PREFIX", "CODESPACE_NAME", "GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN"):
        monkeypatch.delenv(name, raising=False)
    assert browser_hint(8000) == ""
    monkeypatch.setenv("CODESPACE_NAME", "odd-name")
    monkeypatch.setenv("GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN", "app.example.dev")
    assert browser_hint(8000) == "https://odd-name-8000.app.example.dev/docs"
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ann/")
    assert browser_hint(8000).startswith("/user/ann/proxy/8000/docs,")


def test_colab_is_asked_for_its_address(monkeypatch):
    asked = []

    def eval_js(code):
        asked.append(code)
        return "https://abc-8000-colab.example.dev/"

    colab = SimpleNamespace(output=SimpleNamespace(eval_js=eval_js))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    assert browser_hint(8000) == "https://abc-8000-colab.example.dev/docs"
    assert asked == ["google.colab.kernel.proxyPort(8000)"]


@pytest.fixture
def codespace(monkeypatch):
    """The environment of a codespace, and the headers that its port forwarding sends."""
    monkeypatch.delenv("JUPYTERHUB_SERVICE_PREFIX", raising=False)
    monkeypatch.setenv("CODESPACE_NAME", "odd-name")
    monkeypatch.setenv("GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN", "app.example.dev")

    def headers(port):
        local = f"localhost:{port}"
        return {
            "host": local, "origin": f"http://{local}", "x-forwarded-host": f"odd-name-{port}.app.example.dev",
            "x-forwarded-proto": "https", "x-forwarded-for": "198.51.100.7",
        }  # fmt: skip

    return headers


def test_the_api_answers_through_the_port_that_a_codespace_forwards(codespace, capsys):
    server = serve(create_app(Settings(extras="explore", keep=False)), port=0)
    try:
        printed = capsys.readouterr().out
        assert f"In your browser: https://odd-name-{server.port}.app.example.dev/docs\n" in printed
        for page in ("/docs", "/explore"):
            assert requests.get(server.url + page, headers=codespace(server.port), timeout=60).status_code == 200
        picture = {"file": (IMAGES / "apple.jpg").read_bytes()}
        sent = requests.post(server.url + "/v1/detections", files=picture, headers=codespace(server.port), timeout=60)
        assert sent.status_code == 200 and sent.json()["detections"][0]["label"] == "apple"
    finally:
        server.stop()


def test_a_notebook_that_no_browser_shows_serves_all_the_same(monkeypatch, capsys):
    def eval_js(code):
        raise RuntimeError("no browser")

    for name in ("JUPYTERHUB_SERVICE_PREFIX", "CODESPACE_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace(output=SimpleNamespace(eval_js=eval_js)))
    serve(FastAPI(), port=0).stop()
    assert "In your browser" not in capsys.readouterr().out


def test_the_loop_that_a_cell_awaits_says_it_too(codespace, capsys):
    port = free_port()

    async def until_it_runs():
        async with asyncio.timeout(LIMIT):
            task = asyncio.create_task(serve_here(FastAPI(), port))
            while not (running(port) and running(port).started):
                await asyncio.sleep(0.002)
            running(port).should_exit = True
            await task

    asyncio.run(until_it_runs())
    assert f"In your browser: https://odd-name-{port}.app.example.dev/docs\n" in capsys.readouterr().out


@pytest.mark.parametrize("no_proxy", [None, "", "intranet.example", "*"])
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_this_machine_is_reached_without_the_proxy(monkeypatch, variable, no_proxy):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nothing answers there
    for name in ("NO_PROXY", "no_proxy"):  # as a student would set them; both are put back afterwards
        monkeypatch.setenv(name, no_proxy or "")
    app = FastAPI()

    @app.get("/")
    def hello():
        return "hello"

    server = serve(app, port=0)
    assert requests.get(server.url, timeout=60).json() == "hello"
    report = check("server", server.url)
    assert "is the server running" not in str(report)
    server.stop()


def test_without_a_proxy_nothing_is_set(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "a.example")
    bypass_proxies()
    import os

    assert os.environ["NO_PROXY"] == "a.example"


@pytest.mark.parametrize(("host", "at"), [("127.0.0.1", "127.0.0.1"), ("::", "127.0.0.1"), ("::", "[::1]")])
def test_the_scheme_of_a_trusted_proxy_is_used(host, at):
    server = serve(create_app(Settings(keep=False)), port=0, host=host, quiet=True)
    url = f"http://{at}:{server.port}/docs/"
    answer = requests.get(url, headers={"X-Forwarded-Proto": "https"}, allow_redirects=False, timeout=30)
    server.stop()
    assert answer.headers["location"].startswith(f"https://{at}:")
