"""Each engine says what the reference says, alone and with company; conversions are made once and kept whole."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest
from helpers import PACKAGE, ROOT, wait_for

from yololab.errors import BrokenModel
from yololab.vision import engines
from yololab.vision.darknet import cache as conversion
from yololab.vision.darknet import convert as darknet
from yololab.vision.darknet.cache import converted
from yololab.vision.detector import Detector
from yololab.vision.engines import make_engine
from yololab.vision.engines.fast import FastEngine
from yololab.vision.engines.opencv import OpenCVEngine
from yololab.vision.images import decode
from yololab.vision.models import from_path
from yololab.vision.onnx.network import Reading
from yololab.vision.onnx.preparation import Preparation

FAST = ["onnxruntime", "openvino"]
SIZE = (416, 416)
READING = Reading(Preparation((32, 32)), classes=1)


@pytest.fixture
def model():
    return from_path(PACKAGE / "starter.cfg")


def need(package: str):
    if not find_spec(package):
        pytest.skip(f"needs {package}: pip install {package}")


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize("size", [320, 416])
def test_fast_engines_agree_with_the_reference(model, fruit, name, size):
    need(name)
    pictures = [fruit, np.ascontiguousarray(fruit[40:300, 10:]), np.zeros((1, 7, 3), np.uint8)]
    expected = OpenCVEngine(model, (size, size))(pictures)
    got = make_engine(name, model, (size, size))(pictures)
    assert len(got) == 3 and got[0].dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-3)


def test_cuda_agrees_with_the_reference_where_there_is_one(model, fruit):
    need("onnxruntime")
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(BrokenModel, match="onnxruntime-gpu"):
            make_engine("cuda", model, SIZE)
        pytest.skip("needs an NVIDIA GPU and onnxruntime-gpu")
    np.testing.assert_allclose(make_engine("cuda", model, SIZE)([fruit]), OpenCVEngine(model, SIZE)([fruit]), atol=1e-3)


@pytest.mark.parametrize("name", ["opencv", *FAST])
def test_32_threads_get_byte_for_byte_what_one_gets(model, name):
    need({"opencv": "cv2"}.get(name, name))
    engine = make_engine(name, model, SIZE)
    pictures = [decode(path.read_bytes()) for path in sorted((ROOT / "images").glob("*.jpg"))]
    alone = [engine([picture])[0].tobytes() for picture in pictures]
    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(lambda picture: engine([picture])[0].tobytes(), pictures * 8))
    assert together == alone * 8


@pytest.mark.parametrize("name", FAST)
def test_fast_engines_agree_on_the_coco_photos(weights, coco_sample, name):
    need(name)
    for cfg in ("mobilenetv2-yolov3-nano.cfg", "yolo-fastest-1.1-xl.cfg"):
        model = from_path(weights / cfg)
        reference, engine = OpenCVEngine(model, SIZE), make_engine(name, model, SIZE)
        for path in sorted((coco_sample / "images").iterdir())[:16]:
            picture = decode(path.read_bytes())
            np.testing.assert_allclose(engine([picture]), reference([picture]), atol=1e-3)


def test_bf16_changes_the_scores_in_the_third_digit_at_most(model, fruit):
    need("openvino")
    (expected,) = OpenCVEngine(model, SIZE)([fruit])
    (got,) = make_engine("openvino-bf16", model, SIZE)([fruit])  # a CPU without bf16 computes in float32
    np.testing.assert_allclose(got[:, 4:], expected[:, 4:], atol=0.05)


def test_alone_all_threads_together_one_each():
    """Which way is taken, with ways that only say their name and wait to be let go."""
    taken, go = [], threading.Semaphore(0)

    def way(name):
        def run(small):
            taken.append(name)
            go.acquire()
            return [np.zeros((1, 1, 6), np.float32)]

        return run

    go.release(2)
    engine = FastEngine("onnxruntime", READING, way("all"), way("one"))
    taken.clear()
    picture = np.zeros((4, 4, 3), np.uint8)
    go.release(3)
    engine([picture] * 3)
    assert taken == ["all"] * 3
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(engine, [picture])
        wait_for(lambda: len(taken) >= 4)
        second = pool.submit(engine, [picture])
        wait_for(lambda: len(taken) >= 5)
        assert taken[3:] == ["all", "one"]
        go.release(2)
        first.result(), second.result()
    go.release(engine.CALM + 1)
    engine([picture] * (engine.CALM + 1))
    assert taken[5:] == ["one"] * engine.CALM + ["all"]


def test_where_the_two_ways_differ_one_thread_is_taken_always():
    engine = FastEngine("openvino", READING, lambda small: [np.ones((1, 1))], lambda small: [np.zeros((1, 1))])
    assert engine([np.zeros((4, 4, 3), np.uint8)])[0] == 0


def test_auto_is_the_fast_one_where_it_is_installed_else_opencv(model, monkeypatch):
    assert isinstance(make_engine("auto", model, SIZE), FastEngine)
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    assert isinstance(make_engine("auto", model, SIZE), OpenCVEngine)
    assert isinstance(Detector("starter", class_agnostic=True).engine, OpenCVEngine)


def test_wrong_engines_are_named(model, monkeypatch):
    with pytest.raises(ValueError, match="'abacus'; there are 'auto', 'float32', 'onnxruntime'"):
        make_engine("abacus", model, SIZE)
    with pytest.raises(ValueError, match="cvlib's arithmetic"):
        Detector("starter", "onnxruntime", class_agnostic=True)
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(ValueError, match="pip install onnx onnxruntime-gpu"):
        make_engine("cuda", model, SIZE)


def test_a_network_is_converted_once_for_each_size(model, tmp_path, monkeypatch):
    calls = []
    original = darknet.to_onnx
    monkeypatch.setattr(darknet, "to_onnx", lambda *args: calls.append(args[2]) or original(*args))
    first = converted(model, (320, 320), tmp_path)
    assert converted(model, (320, 320), tmp_path) == first and calls == [(320, 320)]
    assert converted(model, SIZE, tmp_path) != first and calls == [(320, 320), SIZE]
    assert sorted(tmp_path.iterdir()) == sorted({first, converted(model, SIZE, tmp_path)})


def test_many_that_convert_at_once_all_read_a_whole_file(model, tmp_path):
    barrier = threading.Barrier(4)

    def convert(_):
        barrier.wait()
        return converted(model, (320, 320), tmp_path).read_bytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(convert, range(4)))) == 1
    assert [path.suffix for path in tmp_path.iterdir()] == [".onnx"]


@pytest.mark.parametrize("name", FAST)
def test_where_nothing_can_be_kept_the_network_still_runs(model, fruit, tmp_path, monkeypatch, name, caplog):
    need(name)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(conversion, "user_cache", lambda folder: tmp_path / "file" / folder)
    np.testing.assert_allclose(make_engine(name, model, SIZE)([fruit]), OpenCVEngine(model, SIZE)([fruit]), atol=1e-3)
    assert "not kept" in caplog.text


def test_a_conversion_that_fails_leaves_nothing_behind(model, tmp_path):
    broken = tmp_path / "mine.cfg"
    broken.write_text("[net]\nchannels=3\n[lstm]\n")
    (tmp_path / "mine.weights").write_bytes(model.weights.read_bytes())
    with pytest.raises(BrokenModel, match="lstm"):
        converted(from_path(broken), SIZE, tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


def test_onnx_runtime_keeps_no_device_id(tmp_path):
    """Its wheels carry telemetry, which leaves a file in the temporary folder where it is on."""
    code = "from yololab import Detector; Detector('starter')"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"TMPDIR": str(tmp_path)}, cwd=ROOT)
    assert done.returncode == 0 and not list(tmp_path.iterdir())
