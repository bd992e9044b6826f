"""Networks that are converted once and kept: what was cut off is made anew, and a failed write leaves nothing."""

import os

import pytest
from helpers import PACKAGE

from yololab.vision.darknet.cache import converted
from yololab.vision.models import from_path

SIZE = (320, 320)


@pytest.fixture
def model():
    return from_path(PACKAGE / "starter.cfg")


@pytest.mark.parametrize("left", [0, 1000, -1])
def test_a_conversion_that_is_cut_off_is_made_anew(model, tmp_path, left):
    path = converted(model, SIZE, tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:left])
    assert converted(model, SIZE, tmp_path) == path and path.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_no_part_of_a_file(model, tmp_path, monkeypatch, step):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    assert isinstance(converted(model, SIZE, tmp_path), bytes) and not list(tmp_path.iterdir())


def test_it_is_on_the_disk_before_it_has_its_name(model, tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: done.append("fsync") or fsync(file))
    monkeypatch.setattr(os, "replace", lambda *names: done.append("replace") or replace(*names))
    converted(model, SIZE, tmp_path)
    assert done == ["fsync", "replace"]
