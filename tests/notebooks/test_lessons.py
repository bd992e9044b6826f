"""Every lesson and its solution, run top to bottom in a kernel of its own: no warning, nothing left behind."""

import os
from pathlib import Path

import psutil
import pytest
from helpers import ROOT

from classroom.run import executed

NOTEBOOKS = ROOT / "notebooks"
LESSONS = sorted(path.relative_to(NOTEBOOKS).as_posix() for path in NOTEBOOKS.glob("**/[0-9][0-9]_*.ipynb"))


def files() -> set[Path]:
    """What lies in the folders that a lesson might write to."""
    left_out = {".ipynb_checkpoints", "__pycache__", ".pytest_cache", ".ruff_cache", ".coverage", "build"}
    found = {path for path in [*NOTEBOOKS.rglob("*"), *ROOT.glob("*")] if not left_out & set(path.parts)}
    return {path for path in found if not path.name.startswith(".coverage.")}


def processes() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def marked(name: str) -> object:
    """Lesson 16 starts a Ray cluster where Ray is installed: not beside another one."""
    return pytest.param(name, marks=pytest.mark.xdist_group("cluster")) if "16_" in name else name


@pytest.mark.parametrize("name", [marked(name) for name in LESSONS])
def test_it_runs_without_a_warning_and_leaves_nothing_behind(name, tmp_path, monkeypatch):
    for setting in [each for each in os.environ if each.startswith("YOLOLAB_")]:
        monkeypatch.delenv(setting)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    uploads = tmp_path / "out/uploads"  # a folder of its own: another test may fill the repository's at the same time
    monkeypatch.setenv("YOLOLAB_UPLOADS", str(uploads))
    before, running = files(), processes()
    with executed(NOTEBOOKS / name, tmp_path / "out") as notebook:
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                assert output.get("name") != "stderr", output.text
                for kind, data in output.get("metadata", {}).items():
                    assert kind != "image/png" or data["alt"]
    assert files() == before and not any(uploads.glob("*"))
    assert processes() <= running
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", [name for name in LESSONS if "/" not in name])
def test_it_has_a_solution(name):
    assert f"solutions/{name}" in LESSONS
