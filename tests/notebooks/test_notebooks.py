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


def longest(name, cell):
    """How many lines a code cell may have: few where a student reads all, more in a folded cell or a whole file."""
    if "hide-input" in cell.metadata.get("tags", []) or cell.source.startswith("%%writefile"):
        return 90
    return 40 if "solutions" in name else 32


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_is_committed_is_clean(name):
    notebook = nbformat.read(ROOT / name, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.execution_count is None
            assert len(cell.source.splitlines()) <= longest(name, cell)
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


def code_cells(name):
    return [each for each in nbformat.read(ROOT / name, as_version=4).cells if each.cell_type == "code"]


def cell_from(name, text):
    """The source of the one code cell that holds this text."""
    (found,) = (cell.source for cell in code_cells(name) if text in cell.source)
    return found


def solution_from(name):
    """The code of the folded solution."""
    cells = nbformat.read(ROOT / name, as_version=4).cells
    (text,) = (cell.source for cell in cells if "<summary>A solution</summary>" in cell.source)
    return re.search(r"(?s)```python\n(.*?)```", text)[1]


def said(client, source):
    """What a cell prints; an error in it fails the test."""
    printed = []

    def keep(message):
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    reply = client.execute_interactive(source, output_hook=keep, timeout=120)
    assert reply["content"]["status"] == "ok", reply["content"]
    return "".join(printed)


@pytest.fixture(scope="module")
def run_all():
    """The client of a kernel in which all cells of server.ipynb were queued twice; their statuses; the API's URL."""
    from yololab.vision.machine import free_port

    port = free_port()
    env = os.environ | {"YOLOLAB_PORT": str(port), "YOLOLAB_HOST": "127.0.0.1", "CLASSROOM_RESULTS": ""}
    manager, client = start_new_kernel(extra_arguments=["--log-level=ERROR"], cwd=str(ROOT), env=env)
    try:
        sent = [client.execute(cell.source) for cell in code_cells("server.ipynb") * 2]
        replies = {}
        while len(replies) < len(sent):
            message = client.get_shell_msg(timeout=120)
            if message["msg_type"] == "execute_reply":
                replies[message["parent_header"]["msg_id"]] = message["content"]["status"]
        yield client, [replies[each] for each in sent], f"http://127.0.0.1:{port}"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.mark.xdist_group("run_all")
def test_run_all_twice_in_one_kernel_as_jupyterlab_queues_it(run_all):
    """Every cell of server.ipynb is sent at once, and all of them again while the server of the first time runs."""
    _, statuses, _ = run_all
    assert statuses == ["ok"] * len(statuses)


def written(body):
    """An exercise cell of server.ipynb with this body for its function."""
    return f"""counting = FastAPI(title="How many?")

@counting.post("/count")
def count(file: UploadFile):
    {body}
"""


@pytest.mark.xdist_group("run_all")
def test_the_servers_exercise_wrong_then_right_in_one_kernel(run_all):
    client, _, _ = run_all
    check = cell_from("server.ipynb", 'check("server"')
    said(client, cell_from("server.ipynb", "# @counting.post"))  # the skeleton
    assert "add a function under @app.post('/count')" in said(client, check)
    said(client, written('return {"apple": 1 + "one"}'))
    assert "TypeError" in said(client, check)
    said(client, written("return [found.label for found in detector(decode(file.file.read()))]"))
    assert "collections.Counter" in said(client, check)
    copy = cell_from("server.ipynb", '@app.post("/predict")').replace("@app", "@counting").replace("/predict", "/count")
    counted = re.sub(r"    return .*", "    return Counter(each.label for each in found)", copy)
    said(client, f"from collections import Counter\ncounting = FastAPI()\n{counted}")  # begun with a copy of predict
    assert "well done" in said(client, check)
    said(client, solution_from("server.ipynb"))
    assert "well done" in said(client, check)


@pytest.mark.xdist_group("run_all")
def test_the_clients_exercise_wrong_then_right_in_one_kernel(run_all):
    *_, url = run_all
    env = os.environ | {"YOLOLAB_URL": url, "CLASSROOM_RESULTS": ""}
    manager, client = start_new_kernel(extra_arguments=["--log-level=ERROR"], cwd=str(ROOT), env=env)
    try:
        assert said(client, cell_from("client.ipynb", "URL = Settings().url")).strip() == url
        check = cell_from("client.ipynb", 'check("client"')
        said(client, cell_from("client.ipynb", "def labels(path, confidence)"))  # the skeleton
        assert "0 of 3 right" in said(client, check)
        said(client, "def labels(path, confidence):\n    return detections[0]")
        assert "NameError" in said(client, check)
        right = solution_from("client.ipynb")
        said(client, right.replace("    answer.raise_for_status()\n", ""))
        assert "2 of 3 right" in said(client, check)
        said(client, right)
        assert "well done" in said(client, check)
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
