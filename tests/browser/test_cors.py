"""A page on another port calls the API with fetch(): a listed origin reads answers and errors, another one nothing."""

import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec

import pytest
from helpers import IMAGES

from yololab import create_app, serve
from yololab.api.settings import Settings

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(not find_spec("playwright"), reason="needs Playwright: make test-browser"),
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium on the path (Debian: apt-get install chromium)"),
    pytest.mark.filterwarnings("default"),
]
ASK = """async ([url, key, raw]) => {
  const picture = await (await fetch("apple.jpg")).blob();
  const form = new FormData();
  form.append("file", picture, "apple.jpg");
  form.append("confidence", "0.5");
  try {
    const response = await fetch(url + "/v1/detections", {
      method: "POST", body: raw ? picture : form, headers: key ? { "X-API-Key": key } : {},
    });
    return [response.status, await response.json(), response.headers.get("Server-Timing")];
  } catch (error) {
    return [0, String(error), null];
  }
}"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves the lab's pictures as another site would."""

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def site():
    """A page of another origin: the same machine, another port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=IMAGES))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def page(site):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(f"{site}/")
        yield page
        browser.close()


@pytest.mark.parametrize("raw", [False, True], ids=["form", "raw"])
def test_a_listed_origin_reads_answers_and_errors(page, site, raw):
    server = serve(create_app(Settings(keep=False, api_key="secret", cors_origins=site)), port=0)
    try:
        status, body, timing = page.evaluate(ASK, [server.url, "secret", raw])
        assert status == 200 and body["detections"][0]["label"] == "apple" and "detect;dur=" in timing
        status, body, _ = page.evaluate(ASK, [server.url, "wrong", raw])
        assert status == 403 and "X-API-Key" in body["detail"]
    finally:
        server.stop()


def test_another_origin_reads_nothing(page):
    server = serve(create_app(Settings(keep=False, cors_origins="http://localhost:3000")), port=0)
    try:
        status, body, _ = page.evaluate(ASK, [server.url, "", False])
        assert status == 0 and "Failed to fetch" in body
    finally:
        server.stop()
