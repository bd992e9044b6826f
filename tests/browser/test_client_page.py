"""The page with fetch() that client.ipynb shows, in a real browser, served by an app with the route /predict."""

import json
import re
import shutil
from importlib.util import find_spec

import pytest
from fastapi import FastAPI, HTTPException, Response, UploadFile
from fastapi.responses import HTMLResponse
from helpers import IMAGES, ROOT

from yololab import Detector, annotate, decode, encode, serve
from yololab.errors import LabError

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(not find_spec("playwright"), reason="needs Playwright: make test-browser"),
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium on the path (Debian: apt-get install chromium)"),
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture
def address():
    """Where the notebook's page is served, from the API's own address."""
    cells = json.loads((ROOT / "client.ipynb").read_text(encoding="utf-8"))["cells"]
    (html,) = re.findall(r"(?s)```html\n(.*?)```", "\n".join("".join(cell["source"]) for cell in cells))
    app, detector = FastAPI(), Detector("starter")
    app.get("/page", response_class=HTMLResponse)(lambda: html)

    @app.post("/predict")
    def predict(file: UploadFile, model: str):
        try:
            picture = decode(file.file.read())
        except LabError as error:
            raise HTTPException(error.status, str(error)) from error
        return Response(encode(annotate(picture, detector(picture))), media_type="image/jpeg")

    server = serve(app, port=0)
    yield server.url + "/page"
    server.stop()


def test_a_picture_is_shown_and_an_error_is_told(address, tmp_path):
    from playwright.sync_api import sync_playwright

    (tmp_path / "photo.jpg").write_text("not a picture")
    told = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.on("dialog", lambda dialog: (told.append(dialog.message), dialog.accept()))
        page.goto(address)
        page.set_input_files("#photo", IMAGES / "apple.jpg")
        page.wait_for_function("result.naturalWidth > 0")
        assert page.evaluate("[result.naturalWidth, result.naturalHeight]") == [640, 480]
        with page.expect_event("dialog"):
            page.set_input_files("#photo", tmp_path / "photo.jpg")
        browser.close()
    assert len(told) == 1 and "by its first bytes" in told[0]
