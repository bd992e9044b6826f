"""A real ONNX model, yolox-nano, through the API and with each engine."""

import numpy as np
import pytest
from helpers import coco_ap50, ready_client, wait_ready

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
    labels = find("yolox-nano", [yolox]).labels()
    settings = {"model_path": str(yolox), "model": "yolox-nano", "engine": "onnxruntime", "keep": False}
    with ready_client(**settings) as client:
        wait_ready(client)
        (known,) = (each for each in client.get("/v1/models").json() if each["name"] == "yolox-nano")
        assert known["input_size"] == {"width": 416, "height": 416} and known["engine"] == "onnxruntime"

        def detect(path):
            upload = {"file": path.read_bytes()}
            return client.post("/v1/detections", params={"confidence": 0.005}, files=upload).json()["detections"]

        assert coco_ap50(coco_sample, detect, labels) >= 0.50


@pytest.mark.parametrize("engine", ["openvino", "opencv"])
def test_the_other_engines_agree(yolox, coco_sample, engine):
    pytest.importorskip({"opencv": "cv2"}.get(engine, engine))
    path = yolox / "yolox-nano.onnx"
    reference, other = Detector(path, "onnxruntime"), Detector(path, engine)
    assert other.engine.name == engine and other.engine.family == "yolox"
    for photo in sorted((coco_sample / "images").iterdir())[:16]:
        picture = decode(photo.read_bytes())
        np.testing.assert_allclose(other.engine([picture]), reference.engine([picture]), atol=1e-3)
