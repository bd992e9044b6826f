"""POST /v1/explain and the page that shows it."""

import re

import pytest
from helpers import IMAGES, ready_client, wait_ready

from yololab import Detector
from yololab.vision.drawing import color_of
from yololab.vision.explain import explain


@pytest.fixture(scope="module")
def client():
    with ready_client(extras="explore", keep=False) as client:
        yield wait_ready(client)


def test_the_route_carries_the_colors_that_predict_draws(client):
    data = (IMAGES / "crowd.jpg").read_bytes()
    candidates = client.post("/v1/explain", files={"file": data}).json()["candidates"]
    assert len({each["label"] for each in candidates}) > 3
    for each in candidates:
        assert each["color"] == "#{:02x}{:02x}{:02x}".format(*color_of(each["label"]))


def test_the_route_tells_the_same(client, fruit):
    data = (IMAGES / "fruit.jpg").read_bytes()
    answer = client.post("/v1/explain", params={"confidence": 0.2}, files={"file": data}).json()
    expected = explain(Detector("starter"), fruit, 0.2).as_dict()
    assert answer["image"] == {"width": 640, "height": 480} and answer["model"] == "starter"
    assert len(answer["candidates"]) == len(expected["candidates"])
    assert answer["objectness"] == expected["objectness"]
    for each, wanted in zip(answer["candidates"], expected["candidates"], strict=True):
        assert each == {**wanted, "box": list(wanted["box"]), "unclipped": list(wanted["unclipped"])}


def test_the_route_tells_where_the_time_went(client):
    timing = client.post("/v1/explain", files={"file": (IMAGES / "apple.jpg").read_bytes()}).headers["server-timing"]
    stages = ("queue", "load", "decode", "detect", "encode")
    assert re.fullmatch(", ".join(rf"{stage};dur=[\d.]+" for stage in stages), timing)


@pytest.mark.parametrize(("data", "status"), [(b"", 400), (b"hello", 415), (b"\xff\xd8\xff", 400)])
def test_the_route_refuses_as_the_others_do(client, data, status):
    assert client.post("/v1/explain", files={"file": data}).status_code == status


def test_the_page_and_its_assets_come_from_here(client):
    page = client.get("/explore")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    assets = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    assert assets and not [each for each in assets if "//" in each]
    for each in assets:
        if each.startswith("explore-assets/"):
            answer = client.get("/" + each)
            text = answer.text.replace("http://www.w3.org/2000/svg", "")  # a name, nothing that is asked for
            assert answer.status_code == 200 and "http://" not in text and "https://" not in text
            assert answer.headers["content-type"].split(";")[0] in ("text/css", "text/javascript", "image/svg+xml")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert client.get("/explore-assets/../settings.py").status_code == 404
    assert client.get("/explore-assets/nothing.js").status_code == 404


def test_samples_are_offered_by_name(client, monkeypatch, tmp_path):
    names = client.get("/explore-assets/samples").json()
    assert names
    for name in names:
        answer = client.get(f"/explore-assets/samples/{name}")
        assert answer.content == (IMAGES / name).read_bytes() and answer.headers["content-type"] == "image/jpeg"
    assert client.get("/explore-assets/samples/truth.json").status_code == 404
    assert client.get("/explore-assets/samples/..%2Fexplore.js").status_code == 404
    monkeypatch.chdir(tmp_path)  # outside of the repository
    assert client.get("/explore-assets/samples").json() == []
    assert client.get(f"/explore-assets/samples/{names[0]}").status_code == 404


def test_the_page_opens_without_a_key_and_the_route_wants_it():
    with ready_client(extras="explore", keep=False, api_key="secret") as client:
        for path in ("/explore", "/explore-assets/explore.js", "/explore-assets/samples"):
            assert client.get(path).status_code == 200
        assert client.post("/v1/explain", files={"file": b""}).status_code == 401


@pytest.mark.parametrize("path", ["/explore", "/explore-assets/draw.js"])
def test_a_browser_that_has_the_file_gets_no_second_one(client, path):
    first = client.get(path)
    assert first.status_code == 200 and first.headers["cache-control"] == "no-cache"
    again = client.get(path, headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304 and not again.content and again.headers["etag"] == first.headers["etag"]
    assert client.get(path, headers={"if-none-match": '"other"'}).content == first.content
