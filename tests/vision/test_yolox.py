"""A real ONNX model, yolox-nano, through the API and with each engine."""

import contextlib
import io

import numpy as np
import pytest
from helpers import ready_client, wait_ready

from yololab.vision.detector import Detector
from yololab.vision.images import decode
from yololab.vision.models import find


@pytest.fixture
def yolox(weights):
    if not (weights / "yolox-nano.onnx").is_file():
        pytest.skip("needs yolox-nano.onnx: fetch it into the folder of YOLOLAB_MODEL_PATH")
    return weights


def test_average_precision_through_the_api(yolox, coco_sample):
    """A careful evaluation of the same file reached an AP50 of 0.508."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    labels = find("yolox-nano", [yolox]).labels()
    settings = {"model_path": str(yolox), "model": "yolox-nano", "engine": "onnxruntime", "keep": False}
    with contextlib.redirect_stdout(io.StringIO()), ready_client(**settings) as client:
        wait_ready(client)
        (known,) = (each for each in client.get("/v1/models").json() if each["name"] == "yolox-nano")
        assert known["input_size"] == {"width": 416, "height": 416} and known["engine"] == "onnxruntime"
        truth = COCO(coco_sample / "annotations.json")
        results = []
        for image in truth.loadImgs(truth.getImgIds()):
            data = (coco_sample / "images" / image["file_name"]).read_bytes()
            answer = client.post("/v1/detections", params={"confidence": 0.005}, files={"file": data})
            for found in answer.json()["detections"]:
                x1, y1, x2, y2 = (found["box"][side] for side in ("x1", "y1", "x2", "y2"))
                results.append({
                    "image_id": image["id"], "category_id": labels.index(found["label"]) + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1], "score": found["confidence"],
                })  # fmt: skip
        judge = COCOeval(truth, truth.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    assert judge.stats[1] >= 0.50


@pytest.mark.parametrize("engine", ["openvino", "opencv"])
def test_the_other_engines_agree(yolox, coco_sample, engine):
    pytest.importorskip({"opencv": "cv2"}.get(engine, engine))
    path = yolox / "yolox-nano.onnx"
    reference, other = Detector(path, "onnxruntime"), Detector(path, engine)
    assert other.engine.name == engine and other.engine.family == "yolox"
    for photo in sorted((coco_sample / "images").iterdir())[:16]:
        picture = decode(photo.read_bytes())
        np.testing.assert_allclose(other.engine([picture]), reference.engine([picture]), atol=1e-3)
