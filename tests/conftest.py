"""What the tests share: pictures made on the spot, an app with a client, the real COCO models where they lie."""

import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import IMAGES, SHARED, ready_client, real_models, wait_ready

from yololab.vision.images import decode

# what a shell runs in its background ignores SIGINT, after nohup SIGHUP, and all processes of the tests inherit that
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# whole notebooks, browsers, clusters, servers of several processes: `make test-slow`, and not `make test`, runs these
SLOW = (
    "browser/",
    "classroom/test_grade.py",
    "classroom/test_lesson_17.py",
    "notebooks/test_exercises.py",
    "notebooks/test_lessons.py",
    "notebooks/test_notebooks.py",
    "package/test_wheel.py",
    "serving/test_cluster.py",
    "serving/test_deploy.py",
    "serving/test_jupyter_proxy.py",
    "serving/test_sharing.py",
    "serving/test_workers.py",
    "training/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = Path(__file__).parent
    for item in items:
        if item.path.relative_to(folder).as_posix().startswith(SLOW):
            item.add_marker("slow")


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch, tmp_path):
    """Tests must not depend on the YOLOLAB_* variables or the uploads folder of whoever runs them."""
    for name in [name for name in os.environ if name.startswith("YOLOLAB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("YOLOLAB_UPLOADS", str(tmp_path / "uploads"))
    monkeypatch.setenv("CLASSROOM_RESULTS", "")


@pytest.fixture
def weights() -> Path:
    """The folder with the real COCO models."""
    folder = real_models()
    if folder is None:
        pytest.skip("needs mobilenetv2-yolov3-nano and yolo-fastest-1.1-xl: fetch them and set YOLOLAB_MODEL_PATH")
    return folder


@pytest.fixture
def coco_sample() -> Path:
    """128 photos of COCO val2017 with their boxes."""
    folder = SHARED / "coco_val_sample"
    if not folder.is_dir():
        pytest.skip("needs the 128 COCO photos, which are not part of the repository (../shared/coco_val_sample)")
    return folder


@pytest.fixture(scope="session")
def fruit() -> np.ndarray:
    """images/fruit.jpg: apples, oranges and a banana in a bowl."""
    return decode((IMAGES / "fruit.jpg").read_bytes())


@pytest.fixture
def picture() -> np.ndarray:
    """A BGR picture (240, 320, 3) with edges and smooth parts."""
    picture = np.full((240, 320, 3), (60, 120, 180), np.uint8)
    cv2.circle(picture, (110, 120), 60, (20, 30, 200), cv2.FILLED)
    cv2.rectangle(picture, (200, 60), (300, 200), (200, 180, 40), cv2.FILLED)
    return cv2.GaussianBlur(picture, (9, 9), 0)


@pytest.fixture(scope="session")
def client():
    """A client of one ready app, which all tests share that leave it as it was."""
    with ready_client(keep=False) as client:
        yield wait_ready(client)


@pytest.fixture
def fresh():
    """A client of a ready app of the test's own."""
    with ready_client() as client:
        yield wait_ready(client)
