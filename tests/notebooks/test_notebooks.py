"""The notebooks as they are committed, and the whole lab as `make run` runs it."""

import json
import os
import re
import subprocess
import sys

import nbformat
import psutil
import pytest
from helpers import ROOT
from jupyter_client.manager import start_new_kernel

NOTEBOOKS = sorted(
    path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.ipynb"), *ROOT.glob("notebooks/**/*.ipynb")]
)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_is_committed_is_clean(name):
    notebook = nbformat.read(ROOT / name, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
            assert len(cell.source.splitlines()) <= 32
        else:
            assert not re.search(r"!\[\]\(", cell.source), "a picture without alternative text"
    assert not re.search(r"/home/|/Users/|/root/|/work/|C:\\\\", json.dumps(notebook))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """`python -m classroom run`, twice in a row, the second time behind a company's proxy; and what it left."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("YOLOLAB_")}
    command = [sys.executable, "-m", "classroom", "run"]
    env["YOLOLAB_UPLOADS"] = str(tmp_path_factory.mktemp("uploads"))
    behind_a_proxy = env | {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}  # nothing answers
    runs = [
        subprocess.run(command, capture_output=True, text=True, env=each, cwd=ROOT, timeout=600)
        for each in (env, behind_a_proxy)
    ]
    return runs, env


@pytest.mark.xdist_group("lab")
def test_the_lab_runs_twice_in_a_row(lab):
    runs, _ = lab
    for run in runs:
        assert run.returncode == 0, run.stdout + run.stderr
        assert run.stderr == ""
        assert "apple.jpg" in run.stdout and "1 apple" in run.stdout


@pytest.mark.xdist_group("lab")
def test_no_cell_of_the_run_failed_or_was_skipped(lab):
    for name in ("server", "client"):
        notebook = nbformat.read(ROOT / "build" / f"{name}.ipynb", as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                assert cell.execution_count
                for output in cell.outputs:
                    assert output.output_type != "error"
                    assert output.get("name") != "stderr", output.text
                    for kind, data in output.get("metadata", {}).items():
                        assert kind != "image/png" or data["alt"]
        html = (ROOT / "build" / f"{name}.html").read_text(encoding="utf-8")
        assert len(html) > 100_000 and "No description has been provided" not in html


@pytest.mark.xdist_group("lab")
def test_the_annotated_pictures_are_kept(lab):
    _, env = lab
    assert len(os.listdir(env["YOLOLAB_UPLOADS"])) > 10


@pytest.mark.xdist_group("lab")
def test_no_process_stays_behind(lab):
    _, env = lab
    left = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("YOLOLAB_UPLOADS") == env["YOLOLAB_UPLOADS"]:
                left.append(process.cmdline())
        except psutil.Error:  # it has ended meanwhile, or is somebody else's
            continue
    assert left == []


def test_run_all_twice_in_one_kernel_as_jupyterlab_queues_it(monkeypatch):
    """Every cell of server.ipynb is sent at once, and all of them again while the server of the first time runs."""
    from yololab.vision.machine import free_port

    monkeypatch.setenv("YOLOLAB_PORT", str(free_port()))
    manager, client = start_new_kernel(extra_arguments=["--log-level=ERROR"], cwd=str(ROOT))
    try:
        cells = [each for each in nbformat.read(ROOT / "server.ipynb", as_version=4).cells if each.cell_type == "code"]
        sent = [client.execute(cell.source) for cell in cells * 2]
        replies = {}
        while len(replies) < len(sent):
            message = client.get_shell_msg(timeout=120)
            if message["msg_type"] == "execute_reply":
                replies[message["parent_header"]["msg_id"]] = message["content"]["status"]
        assert [replies[each] for each in sent] == ["ok"] * len(sent)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_a_notebook_that_fails_is_told(tmp_path):
    from classroom.run import Failed, executed

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    nbformat.write(notebook, tmp_path / "bad.ipynb")
    with (
        pytest.raises(Failed, match=r"(?s)bad\.ipynb.*ZeroDivisionError"),
        executed(tmp_path / "bad.ipynb", tmp_path / "out"),
    ):
        pytest.fail("it went on")
    assert (tmp_path / "out" / "bad.ipynb").exists() and (tmp_path / "out" / "bad.html").exists()
