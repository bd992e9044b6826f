"""The site: built without a warning, no dead link, nothing from other hosts; its model answers as the server's does."""

import functools
import json
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from helpers import IMAGES, ROOT

from yololab import Detector, decode
from yololab.vision.explain import explain
from yololab.vision.suppression import iou

sys.path.append(str(ROOT / "docs"))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SHOTS = ROOT / "build/screenshots"
pytestmark = pytest.mark.xdist_group("site")  # it is built once
needs_sphinx = pytest.mark.skipif(
    not all(map(find_spec, ("sphinx", "myst_nb", "furo"))), reason="needs Sphinx: pip install -e '.[site]'"
)
needs_browser = pytest.mark.skipif(
    not (find_spec("playwright") and CHROMIUM), reason="needs Playwright and Chromium: make test-browser"
)
LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src"), ("video", "src")}


class Page(HTMLParser):
    """The anchors of a page, what it links to, and what a browser loads with it."""

    def __init__(self, path: Path):
        super().__init__()
        self.ids, self.links, self.loaded, self.unnamed = set(), [], [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids |= {found[key] for key in ("id", "name") if found.get(key)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        for kind, key in LOADED:
            if tag == kind and found.get(key) and found.get("rel") != "canonical":
                self.loaded.append(found[key])
        if tag == "img" and not found.get("alt"):
            self.unnamed.append(found.get("src", "")[:80])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages of a freshly built site, by path."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-c", "docs", "-d", out / "trees"]
    built = subprocess.run([*command, ".", out / "html"], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert built.returncode == 0, built.stderr
    return out / "html", {path.relative_to(out / "html"): Page(path) for path in (out / "html").rglob("*.html")}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def browser(site, tmp_path_factory):
    """A function that opens a page of the site; what it loads must come from there, and nothing may fail."""
    from playwright.sync_api import sync_playwright

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site[0]))
    threading.Thread(target=server.serve_forever).start()
    SHOTS.mkdir(parents=True, exist_ok=True)
    problems = []
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=CHROMIUM, headless=True,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
                  "--disable-sync", "--no-first-run", "--use-fake-device-for-media-stream",
                  "--use-fake-ui-for-media-stream"],
        )  # fmt: skip
        context.set_default_timeout(120_000)
        page = context.new_page()
        page.on("request", lambda it: urlsplit(it.url).hostname in ("127.0.0.1", None) or problems.append(it.url))
        page.on("response", lambda it: it.status < 400 or problems.append(f"{it.status} {it.url}"))
        page.on("console", lambda it: it.type != "error" or problems.append(f"{page.url}: {it.text}"))
        page.on("pageerror", lambda it: problems.append(f"{page.url}: {it}"))

        def visit(path, width=1280):
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(f"http://127.0.0.1:{server.server_port}/{path}")
            return page

        visit.problems = problems
        yield visit
        context.close()
    server.shutdown()
    server.server_close()


@needs_sphinx
@needs_browser
def test_every_page_loads_in_a_browser(site, browser):
    for path in sorted(site[1]):
        if path.name != "index.html" or path.parent.name:  # that one leads on at once
            browser(path.as_posix())
    assert browser.problems == []


@needs_sphinx
@needs_browser
@pytest.mark.parametrize("width", [390, 820, 1280])
def test_a_lesson_fits_the_window(browser, width):
    page = browser("notebooks/14_metrics_and_alerts.html", width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=SHOTS / f"site_{width}.png")
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=SHOTS / f"site_{width}_dark.png")
    page.emulate_media(color_scheme="light")


@pytest.fixture
def runtime(site):
    if not (site[0] / "try/explore.html").exists():
        pytest.skip("onnxruntime-web could not be downloaded from the npm registry")


@needs_sphinx
@needs_browser
@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize("name", ["fruit.jpg", "crowd.jpg", "cup_and_bottle.jpg"])
def test_the_model_in_the_browser_answers_as_the_server_does(browser, name):
    page = browser("try/explore.html")
    found = page.evaluate(
        """async (name) => {
          const source = await import("/try/explore-assets/source.js");
          const {url} = (await source.samples()).find((each) => each.name === name);
          const {answer} = await source.explain(await (await fetch(`/try/${url}`)).blob(), "");
          return answer;
        }""",
        name,
    )
    detector, picture = Detector("starter"), decode((IMAGES / name).read_bytes())
    # browsers round the colors of a JPEG in their own way, so what is far from being detected may differ by more
    expected = [each for each in explain(detector, picture).candidates if each.confidence >= found["confidence"]]
    assert (found["confidence"], found["image"]) == (detector.model.confidence, {"width": 640, "height": 480})
    for each in expected:
        same = [other for other in found["candidates"] if other["label"] == each.label]
        near = max(same, key=lambda other: iou(np.array(each.unclipped), np.array([other["unclipped"]]))[0])
        assert near["confidence"] == pytest.approx(each.confidence, abs=1e-3)
        assert near["objectness"] == pytest.approx(each.objectness, abs=1e-3)
        assert near["unclipped"] == pytest.approx(each.unclipped, abs=1e-3 * 640)
        assert near["color"] == each.color
    assert browser.problems == []


@needs_sphinx
@needs_browser
@pytest.mark.usefixtures("runtime")
def test_the_pages_say_that_nothing_leaves_and_show_boxes(browser):
    page = browser("try/explore.html")
    assert "No picture leaves your machine" in page.locator("header").inner_text()
    page.locator("#samples button").first.click()
    page.wait_for_function("document.querySelector('#summary').textContent.includes('detected')")
    page.screenshot(path=SHOTS / "site_try_explore.png")
    page = browser("try/live.html")
    page.get_by_role("button", name="Demo clip").click()
    page.wait_for_function("/[0-9]/.test(document.querySelector('#rate').textContent)")
    page.screenshot(path=SHOTS / "site_try_live.png")
    assert browser.problems == []


@needs_sphinx
def test_no_link_is_dead(site):
    folder, pages = site
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (folder / path.parent / unquote(parts.path)).resolve() if parts.path else folder / path
            if not target.exists() and "try" in target.parts and not (folder / "try").exists():
                continue  # left out, see `runtime`
            if not target.exists():
                dead.append((str(path), link))
            elif parts.fragment and target.suffix == ".html":
                anchors = pages[target.relative_to(folder.resolve() if parts.path else folder)].ids
                if unquote(parts.fragment) not in anchors:
                    dead.append((str(path), link))
    assert not dead


@needs_sphinx
def test_nothing_comes_from_another_host(site):
    foreign = [(str(path), each) for path, page in site[1].items() for each in page.loaded if urlsplit(each).netloc]
    assert not foreign


@needs_sphinx
def test_pictures_have_a_text(site):
    assert {str(path): page.unnamed for path, page in site[1].items() if page.unnamed and path.parts[0] != "try"} == {}


@needs_sphinx
def test_every_notebook_and_reference_is_there(site):
    names = {path.as_posix() for path in site[1]}
    notebooks = {"server.ipynb", "client.ipynb", *(f"notebooks/{each.name}" for each in ROOT.glob("notebooks/*.ipynb"))}
    assert {name.replace(".ipynb", ".html") for name in notebooks} <= names
    assert {"index.html", "search.html", "docs/http_api.html", "docs/python_api.html", "README.html"} <= names
    api = (site[0] / "docs/http_api.html").read_text(encoding="utf-8")
    assert "/v1/detections" in api and "nms_threshold" in api


def prepared(*sources):
    """What the site makes of markdown cells."""
    import pages

    cells = [{"cell_type": "markdown", "source": [source]} for source in sources]
    content = [json.dumps({"cells": cells})]
    pages.prepare(None, "notebooks/x", content)
    return [cell["source"] for cell in json.loads(content[0])["cells"]]


def test_anchors_are_those_of_code_hosts():
    text = '[a](#1.-The-Title) [b](../server.ipynb#4b.-Inside-YOLOv3) [c](#1.-What-"works"-hides) [d](x.md#As-It-Is)'
    assert prepared("# A", text)[1:] == [
        "[a](#1-the-title) [b](../server.ipynb#4b-inside-yolov3) [c](#1-what-works-hides) [d](x.md#As-It-Is)"
    ]


def test_a_notebook_says_where_it_can_be_opened(monkeypatch):
    import pages

    monkeypatch.setattr(pages, "REPOSITORY", "")
    title, text = prepared("# A\n\nB", "text")
    heading, where, rest = title.split("\n\n")
    assert (heading, rest, text) == ("# A", "B", "text")
    assert "`notebooks/x.ipynb`" in where and "(../docs/install.md)" in where and "http" not in where
    monkeypatch.setattr(pages, "REPOSITORY", "someone/lab")
    where = prepared("# A", "text")[0]
    assert "colab.research.google.com/github/someone/lab/blob/main/notebooks/x.ipynb" in where
    assert "mybinder.org/v2/gh/someone/lab/main?labpath=notebooks/x.ipynb" in where
