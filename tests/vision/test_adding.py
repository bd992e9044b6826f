"""yololab models add FILE."""

import numpy as np
import onnx
import pytest
from helpers import PACKAGE
from onnx_graphs import NAMES, table_graph
from test_families import V8

from yololab.__main__ import main
from yololab.vision.models import adding, installed


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The user's model folder."""
    folder = tmp_path / "cache" / "models"
    monkeypatch.setattr("yololab.paths.user_cache_path", lambda name: tmp_path / "cache")
    return folder


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine").mkdir()
    return table_graph(tmp_path / "mine" / "best.onnx", {"output0": V8}, names=NAMES)


def test_it_says_what_it_is_and_is_served_from_then_on(cache, mine, capsys):
    (mine.parent / "best.toml").write_text("confidence = 0.25\n")
    assert main(["models", "add", str(mine)]) == 0
    printed = capsys.readouterr().out
    for text in ("best: YOLOv8", "64 x 64 pixels, letterbox, rgb 0..1, float32", "3: a, b, c", "0.25", "?model=best",
                 "ms a picture with the engine onnxruntime"):  # fmt: skip
        assert text in printed
    model = installed([cache])["best"]
    assert model.confidence == 0.25 and model.labels() == ["a", "b", "c"]
    assert main(["models", "add", str(model.path)]) == 0 and str(cache) in capsys.readouterr().out  # already there
    assert main(["models"]) == 0 and "best" in capsys.readouterr().out


def test_a_dry_run_copies_nothing(cache, mine, capsys):
    assert main(["models", "add", "--dry-run", str(mine)]) == 0
    assert "YOLOv8" in capsys.readouterr().out and not cache.exists()


def test_nothing_is_overwritten(cache, mine, capsys):
    cache.mkdir(parents=True)
    (cache / "best.onnx").write_bytes(b"the training of a month")
    assert main(["models", "add", str(mine)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert (cache / "best.onnx").read_bytes() == b"the training of a month"


def test_a_wrong_file_is_one_sentence(cache, mine, capsys):
    mine.write_bytes(b"<html>")
    for path in (mine, mine.with_name("nothing.onnx"), mine.parent):
        assert main(["models", "add", str(path)]) == 1
        assert capsys.readouterr().err.count("\n") == 1
    assert not cache.exists()


def test_darknet_files_with_the_labels_of_coco(cache, tmp_path):
    folder = tmp_path / "trained"
    folder.mkdir()
    for suffix in ("cfg", "weights"):
        (folder / f"net.{suffix}").write_bytes((PACKAGE / f"starter.{suffix}").read_bytes())
    (folder / "coco.names").write_bytes((PACKAGE / "starter.names").read_bytes())
    assert main(["models", "add", str(folder / "net.cfg")]) == 0
    assert sorted(path.name for path in cache.iterdir()) == ["net.cfg", "net.names", "net.weights"]
    assert installed([cache])["net"].classes == 80


def test_tensors_in_other_files_come_along(cache, mine):
    onnx.save(onnx.load(mine), mine, save_as_external_data=True, location="best.data", size_threshold=0)
    assert main(["models", "add", str(mine)]) == 0
    copied = adding.check(cache / "best.onnx")
    assert (cache / "best.data").is_file()
    assert copied.detector(np.zeros((100, 200, 3), np.uint8), 0.5)[0].label == "b"


def test_the_doctor_tells_the_engine_the_size_and_a_file_of_ones_own(tmp_path, monkeypatch, capsys, mine):
    for suffix in ("cfg", "weights", "names"):
        (tmp_path / f"yolov3-tiny.{suffix}").write_bytes((PACKAGE / f"starter.{suffix}").read_bytes())
    table_graph(tmp_path / "other.onnx", {"output0": np.zeros((1, 30, 30))}, names=NAMES)
    monkeypatch.setenv("YOLOLAB_MODEL_PATH", str(tmp_path))
    main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    (own,) = (line for line in lines if "model yolov3-tiny" in line)
    assert own.startswith("ok") and "engine onnxruntime" in own and "it is served as your own" in own
    (other,) = (line for line in lines if "model other" in line)
    assert other.startswith("WRONG") and "(1, 30, 30)" in other
