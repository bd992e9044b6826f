"""The site: it builds without a warning, no link in it is dead, and no page asks another host for anything."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from helpers import ROOT

sys.path.append(str(ROOT / "docs"))
needs_sphinx = pytest.mark.skipif(not find_spec("sphinx"), reason="needs Sphinx: pip install -e '.[site]'")
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
    assert {str(path): page.unnamed for path, page in site[1].items() if page.unnamed} == {}


@needs_sphinx
def test_every_notebook_and_reference_is_there(site):
    names = {path.as_posix() for path in site[1]}
    notebooks = {"server.ipynb", "client.ipynb", *(f"notebooks/{each.name}" for each in ROOT.glob("notebooks/*.ipynb"))}
    assert {name.replace(".ipynb", ".html") for name in notebooks} <= names
    assert {"index.html", "search.html", "docs/http_api.html", "docs/python_api.html", "README.html"} <= names
    api = (site[0] / "docs/http_api.html").read_text(encoding="utf-8")
    assert "/v1/detections" in api and "nms_threshold" in api


def test_anchors_are_those_of_code_hosts():
    import pages

    content = ["[a](#1.-The-Title) [b](../server.ipynb#4b.-Inside-YOLOv3) [c](x.md#As-It-Is)"]
    pages.prepare(None, "notebooks/x", content)
    assert content == ["[a](#1-the-title) [b](../server.ipynb#4b-inside-yolov3) [c](x.md#As-It-Is)"]


def test_a_notebook_says_where_it_can_be_opened(monkeypatch):
    import pages

    monkeypatch.setattr(pages, "REPOSITORY", "someone/lab")
    content = ['{"cells": [{"cell_type": "markdown", "source": ["# A"]}, {"cell_type": "markdown", "source": []}]}']
    pages.prepare(None, "notebooks/x", content)
    assert re.search(r"colab\.research\.google\.com/github/someone/lab/blob/main/notebooks/x\.ipynb", content[0])
    assert "mybinder.org/v2/gh/someone/lab/main?labpath=notebooks/x.ipynb" in content[0]
