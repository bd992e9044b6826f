"""The soak in its short form: nothing lost, nothing left; and what would be lost or left is said."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from helpers import ROOT, real_models

from benchmarks.reliability.soak.state import State, left

STATE = State(memory=300, descriptors=60, threads=20, files=["a"], metric_files=2)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="a small disk is mounted, and descriptors counted, on Linux only")
@pytest.mark.skipif(not real_models(), reason="needs the COCO weights in YOLOLAB_MODEL_PATH")
def test_a_short_soak_ends_as_it_began():
    command = [sys.executable, "-m", "benchmarks.reliability", "soak", "--minutes", "0.3", "--dry"]
    environment = os.environ | {"YOLOLAB_MODEL_PATH": str(real_models())}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lost otherwise; wrong answers: 0; 0" in done.stdout


@pytest.mark.parametrize(
    ("after", "said"),
    [({"memory": 331}, "memory: 300 MB before, 331 MB after"),
     ({"descriptors": 61}, "descriptors: 60 before, 61 after"),
     ({"threads": 21}, "threads: 20 before, 21 after"), ({"files": ["a", "b"]}, "left: b"),
     ({"metric_files": 3}, "metric files: 2 before, 3 after")],
)  # fmt: skip
def test_what_is_left_is_said(after, said):
    assert left(STATE, STATE) == [] and left(STATE, replace(STATE, **after)) == [said]


def test_a_short_soak_is_judged_by_answers_and_files():
    grown = replace(STATE, memory=900, descriptors=99, threads=99)
    assert left(STATE, grown, steady=False) == []
    assert left(STATE, replace(grown, files=["a", "b"], metric_files=3), steady=False) == [
        "left: b", "metric files: 2 before, 3 after",
    ]  # fmt: skip
