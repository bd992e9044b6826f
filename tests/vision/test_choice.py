"""The engine that "auto" takes: the fastest one that sees the same, chosen once for a network on a machine."""

import importlib.util
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import PACKAGE

from yololab.errors import BrokenModel
from yololab.vision import engines
from yololab.vision.detector import Detector
from yololab.vision.engines import choice, make_engine
from yololab.vision.engines.agreement import agreement, best, scenes
from yololab.vision.machine import cpu_name
from yololab.vision.models import from_path

SIZE = (320, 320)
ROWS = np.array([[0.5, 0.5, 0.2, 0.2, 0.9, 0.9, 0.0], [0.2, 0.2, 0.1, 0.1, 0.8, 0.0, 0.8]], np.float32)


@pytest.fixture
def model():
    return from_path(PACKAGE / "starter.cfg")


@pytest.fixture
def rivals(monkeypatch):
    """Make engines that take `seconds` of a clock that only they move; put in the place of those of the package."""
    clock = [0.0]
    monkeypatch.setattr(choice, "process_time", lambda: clock[0])

    def make(**engines_):
        made = []

        def engine(name):
            made.append(name)
            seconds, rows = engines_[name.replace("-", "_")]

            def run(pictures):
                clock[0] += seconds
                return [rows for _ in pictures]

            return Fake(run)

        engine.made = made
        return engine

    return make


class Fake:
    nms = True

    def __init__(self, run):
        self._run = run

    def __call__(self, pictures):
        return self._run(pictures)


def moved(by: float) -> np.ndarray:
    rows = ROWS.copy()
    rows[:, 0] += by
    return rows


def test_a_clearly_faster_engine_with_the_same_answers_is_chosen(rivals):
    make = rivals(onnxruntime=(0.010, ROWS), openvino=(0.009, ROWS), openvino_bf16=(0.004, moved(0.0005)))
    chosen = choice.measure(make, ["openvino", "openvino-bf16"])
    assert chosen.engine == "openvino-bf16"
    assert chosen.why.endswith("onnxruntime 10.0 ms, openvino 9.0 ms, openvino-bf16 4.0 ms")


def test_a_little_faster_is_not_enough(rivals):
    make = rivals(onnxruntime=(0.010, ROWS), openvino=(0.009, ROWS))
    assert choice.measure(make, ["openvino"]).engine == "onnxruntime"


@pytest.mark.parametrize(
    "rows", [moved(0.08), ROWS[:, [0, 1, 2, 3, 4, 6, 5]], ROWS[:1], ROWS * [1, 1, 1, 1, 0.7, 0.7, 0.7]]
)
def test_one_that_finds_other_objects_is_not_chosen_and_it_is_said(rivals, rows):
    make = rivals(onnxruntime=(0.010, ROWS), openvino=(0.001, rows.astype(np.float32)))
    chosen = choice.measure(make, ["openvino"])
    assert chosen.engine == "onnxruntime" and "openvino 1.0 ms (but finds other objects: agreement 0" in chosen.why


def test_one_that_cannot_run_the_network_is_left_out(rivals):
    make = rivals(onnxruntime=(0.010, ROWS), openvino=(0.001, ROWS))

    def broken(name):
        if name == "openvino":
            raise BrokenModel("no")
        return make(name)

    assert choice.measure(broken, ["openvino"]) == choice.Choice(
        "onnxruntime", "the only fast one that runs this network"
    )


def test_agreement_is_that_of_boxes_classes_and_scores():
    same = [best(ROWS, True)]
    assert agreement(same, same) == 1 and agreement([best(ROWS * 0, True)], [best(ROWS * 0, True)]) == 1
    assert agreement(same, [best(moved(0.002), True)]) > 0.9
    assert 0.2 < agreement(same, [best(moved(0.02), True)]) < 0.8
    assert agreement(same, [best(ROWS * 0, True)]) == 0
    assert agreement(same, [best(ROWS[:1], True)]) == 0.5 == agreement([best(ROWS[:1], True)], same)


def test_the_scenes_are_in_the_package_and_show_things():
    detector = Detector("starter", engine="onnxruntime")
    assert len(scenes()) == 6 and all(scene.shape == (240, 320, 3) for scene in scenes())
    assert all(detector(scene) for scene in scenes())


@pytest.fixture
def counted(monkeypatch, rivals):
    """OpenVINO is there, and faster; counts the measurements."""
    monkeypatch.setattr(choice, "find_spec", lambda name: True)
    monkeypatch.setattr(choice, "version", lambda name: "1.0")
    monkeypatch.setattr(choice, "rivals", lambda exact: ["openvino"] if exact else ["openvino", "openvino-bf16"])
    return rivals(onnxruntime=(0.010, ROWS), openvino=(0.008, ROWS), openvino_bf16=(0.004, ROWS))


def test_a_choice_is_made_once_for_a_network_size_threads_and_precision(model, counted, tmp_path):
    first = choice.choose(model, SIZE, 2, False, counted, tmp_path)
    assert first.engine == "openvino-bf16"
    counted.made.clear()
    assert choice.choose(model, SIZE, 2, False, counted, tmp_path) == first and not counted.made
    assert choice.choose(model, SIZE, 2, True, counted, tmp_path).engine == "openvino" and counted.made
    for size, threads in (((416, 416), 2), (SIZE, 1)):
        counted.made.clear()
        choice.choose(model, size, threads, False, counted, tmp_path)
        assert counted.made
    assert len(list(tmp_path.iterdir())) == 4


def test_another_cpu_chooses_anew(model, counted, tmp_path, monkeypatch):
    choice.choose(model, SIZE, 2, False, counted, tmp_path)
    monkeypatch.setattr(choice, "cpu_name", lambda: "another one")
    counted.made.clear()
    choice.choose(model, SIZE, 2, False, counted, tmp_path)
    assert counted.made


def test_many_that_choose_at_once_take_the_same(model, tmp_path, monkeypatch, counted):
    """Each would choose another engine: what the first one keeps holds for all."""
    barrier, names = threading.Barrier(4), iter(["onnxruntime", "openvino", "openvino-bf16", "openvino"])

    def measure(make, rivals):
        barrier.wait()
        return choice.Choice(next(names), "measured")

    monkeypatch.setattr(choice, "measure", measure)
    with ThreadPoolExecutor(4) as pool:
        chosen = set(pool.map(lambda _: choice.choose(model, SIZE, 2, False, counted, tmp_path), range(4)))
    assert len(chosen) == 1 and [path.suffix for path in tmp_path.iterdir()] == [".json"]


@pytest.mark.parametrize("content", ["", '{"engine": "onn', "[]", '{"engine": "onnxruntime"}'])
def test_a_kept_choice_that_cannot_be_read_is_made_anew(model, counted, tmp_path, content):
    first = choice.choose(model, SIZE, 2, False, counted, tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_text(content)
    assert choice.choose(model, SIZE, 2, False, counted, tmp_path) == first
    assert json.loads(path.read_text())["engine"] == "openvino-bf16"


def test_what_cannot_be_kept_is_not_chosen(model, counted, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    chosen = choice.choose(model, SIZE, 2, False, counted, tmp_path / "file" / "engines")
    assert chosen.engine == "onnxruntime" and "not kept" in caplog.text


def test_nothing_is_measured_where_nothing_else_is_installed(model, monkeypatch, tmp_path):
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    chosen = choice.choose(model, SIZE, 2, False, lambda name: pytest.fail("an engine was made"), tmp_path)
    assert chosen == choice.Choice("onnxruntime", "the only fast one that is installed")


@pytest.mark.parametrize(
    ("capabilities", "exact", "expected"),
    [
        (["FP32", "BF16"], False, ["openvino", "openvino-bf16"]),
        (["FP32", "BF16"], True, ["openvino"]),
        (["FP32", "INT8"], False, ["openvino"]),
    ],
)
def test_bf16_is_a_rival_where_the_cpu_has_it_and_float32_is_not_asked_for(monkeypatch, capabilities, exact, expected):
    core = SimpleNamespace(get_property=lambda device, name: capabilities)
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Core=lambda: core))
    assert choice.rivals(exact) == expected


def test_the_engine_says_why_and_is_the_one_that_was_measured(model, monkeypatch):
    made = []
    original = engines._make
    monkeypatch.setattr(engines, "_make", lambda *values: made.append(values[0]) or original(*values))

    def choose(model, size, threads, exact, make):
        make("onnxruntime")
        return choice.Choice("onnxruntime", f"exact: {exact}")

    monkeypatch.setattr(choice, "choose", choose)
    assert make_engine("auto", model, SIZE).why == "exact: False"
    assert make_engine("float32", model, SIZE).why == "exact: True"
    assert made == ["onnxruntime", "onnxruntime"]
    assert make_engine("onnxruntime", model, SIZE).why == ""


def test_auto_measures_the_engines_of_this_machine(model, tmp_path, monkeypatch):
    if not importlib.util.find_spec("openvino"):
        pytest.skip("needs openvino: pip install openvino")
    monkeypatch.setattr(choice, "user_cache", lambda folder: tmp_path / folder)
    engine = make_engine("auto", model, SIZE)
    assert engine.name in ("onnxruntime", "openvino", "openvino-bf16")
    assert "CPU time of a picture: onnxruntime " in engine.why and "openvino " in engine.why
    assert "other objects" not in engine.why
    assert make_engine("auto", model, SIZE).name == engine.name


def test_the_cpu_is_named_and_where_it_is_not_its_architecture_is(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Fast One 9000\nmodel name\t: Fast One 9000\n")
    assert cpu_name(tmp_path / "cpuinfo") == "Fast One 9000"
    assert cpu_name(tmp_path / "missing") and cpu_name()
