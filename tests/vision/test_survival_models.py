"""Whatever a model's file holds: it loads, or BrokenModel says in a sentence why not."""

import os

import numpy as np
import pytest
from helpers import PACKAGE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx_graphs import NAMES, table_graph

from yololab.errors import BrokenModel
from yololab.vision.detector import Detector

LONG = bool(os.environ.get("LAB_FUZZ"))
survive = settings(
    max_examples=1000 if LONG else 25, derandomize=not LONG, database=None, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
CFG, WEIGHTS = ((PACKAGE / f"starter.{end}").read_bytes() for end in ("cfg", "weights"))
changes = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8)


def changed(data: bytes, edits: list[tuple[float, int]], keep: float) -> bytes:
    """Some bytes replaced, then cut off after the part `keep`; the places are parts of its length as well."""
    new = bytearray(data)
    for place, byte in edits:
        new[int(place * len(new))] = byte
    return bytes(new[: round(keep * len(new))])


def loads_or_says_why(path) -> None:
    try:
        Detector(path, "onnxruntime")(np.zeros((64, 64, 3), np.uint8))
    except BrokenModel as error:
        assert str(error)


@survive
@given(changes, st.one_of(st.just(1.0), st.floats(0, 1)))
def test_any_cfg(tmp_path, edits, keep):
    (tmp_path / "mine.cfg").write_bytes(changed(CFG, edits, keep))
    (tmp_path / "mine.weights").write_bytes(WEIGHTS)
    loads_or_says_why(tmp_path / "mine.cfg")


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "mine.onnx"
    return table_graph(path, {"output0": np.zeros((1, 7, 5))}, names=NAMES).read_bytes()


@survive
@given(changes, st.one_of(st.just(1.0), st.floats(0, 1)))
def test_any_onnx_file(tmp_path, graph, edits, keep):
    (tmp_path / "mine.onnx").write_bytes(changed(graph, edits, keep))
    loads_or_says_why(tmp_path / "mine.onnx")
