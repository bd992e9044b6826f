"""The notebooks' first code cell: fetches and installs the lab in Google Colab, and does nothing elsewhere.

Colab is simulated: its environment variable, an empty folder, a local git repository as origin, and a `pip` that only
notes what it is asked for.
"""

import os
import shutil
import subprocess
import sys
import venv

import nbformat
import pytest
from helpers import ROOT

from classroom import colab, outputs

IN_COLAB = {"COLAB_RELEASE_TAG": "release-colab_20261120"}
PIP = """
import os, pathlib, sys
with open(os.environ["PIP_LOG"], "a") as log:
    print(*sys.argv[1:], file=log)
if os.environ.get("PIP_FAILS"):
    sys.exit("ERROR: no space left on device")
here = pathlib.Path(__file__).parents[1]
for old in here.glob("older-1.dist-info"):  # what the session has imported is renewed
    (old / "METADATA").write_text("Metadata-Version: 2.1\\nName: older\\nVersion: 2\\n")
if "--editable" in sys.argv:
    there = here / "yololab-3.dist-info"
    there.mkdir()
    (there / "METADATA").write_text("Metadata-Version: 2.1\\nName: yololab\\nVersion: 3\\n")
"""


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", outputs.notebooks(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_it_is_the_first_code_cell_of_every_notebook(path):
    first, *others = code_cells(path)
    assert (first.id, first.source) == (colab.ID, colab.source()), "run: python -m classroom colab"
    assert first.outputs == [] and first.metadata == colab.METADATA | {
        "source_sha256": outputs.source_hash(first.source)
    }
    assert colab.ID not in [cell.id for cell in others]


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A git repository with what the cell needs of this one."""
    if sys.platform == "win32":
        pytest.skip("Colab runs Linux, and so does the cell")
    if shutil.which("git") is None:
        pytest.skip("needs git")
    folder = tmp_path_factory.mktemp("the origin")
    (folder / "classroom").mkdir()
    for name in ("pyproject.toml", "README.md", "classroom/__init__.py", "classroom/colab.py"):
        shutil.copy(ROOT / name, folder / name)
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *words], cwd=folder, check=True, timeout=60)
    return folder


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python without any package, as far as the lab is concerned."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False)
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


@pytest.fixture
def run(tmp_path, python):
    """A function that runs the cell in a process of its own; what ended, and what pip was asked for."""
    content, stubs, log = tmp_path / "content", tmp_path / "stubs", tmp_path / "pip.log"
    content.mkdir()
    (stubs / "pip").mkdir(parents=True)
    (stubs / "pip/__init__.py").touch()
    (stubs / "pip/__main__.py").write_text(PIP)
    kept = {name: value for name, value in os.environ.items() if name not in ("COLAB_RELEASE_TAG", "PYTHONPATH")}
    path = os.pathsep.join([".", str(stubs)])  # a kernel finds what lies in its working folder

    def run(source, **env):
        env = kept | {"PYTHONPATH": path, "PIP_LOG": str(log), "GIT_TERMINAL_PROMPT": "0"} | env
        done = subprocess.run([python, "-c", source], cwd=content, capture_output=True, text=True, timeout=120, env=env)
        return done, log.read_text().splitlines() if log.exists() else []

    run.content, run.stubs = content, stubs
    return run


def cell(address):
    """The cell, as it is written where the repository has this address."""
    return colab.CELL.format(repository=address)


def test_elsewhere_it_does_nothing(run):
    done, asked = run(colab.source())
    assert (done.returncode, done.stdout, done.stderr, asked) == (0, "", "", [])
    assert list(run.content.iterdir()) == []


def test_in_colab_it_fetches_installs_and_goes_there(run, origin):
    source = f"{cell(origin)}\nimport os, sys\nprint(os.getcwd(), sys.path[0])"
    done, (removal, packages, lab) = run(source, **IN_COLAB)
    there = run.content / "yolo-lab"
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["The lab is ready.", f"{there} {there}"]
    assert removal.startswith("uninstall --quiet") and "opencv-contrib-python" in removal
    assert "scikit-learn" in packages and "jupyterlab" not in packages and "ipykernel" not in packages
    assert lab.startswith("install --quiet") and lab.endswith(f"--editable {there}")


def test_run_again_it_only_goes_there(run, origin):
    run(cell(origin), **IN_COLAB)
    twice = f"{cell(origin)}\n{cell(origin)}\nimport os\nprint(os.getcwd())"  # in a restarted session, Run All twice
    done, asked = run(twice, **IN_COLAB)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(run.content / "yolo-lab")] and len(asked) == 3


def test_an_address_that_is_wrong_is_told(run):
    done, asked = run(cell("URL-OF-THIS-REPOSITORY"), **IN_COLAB)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and last.startswith("RuntimeError: git cannot fetch URL-OF-THIS-REPOSITORY: write")
    assert asked == []


def test_what_pip_says_is_shown_and_tried_again(run, origin):
    done, _ = run(cell(origin), PIP_FAILS="1", **IN_COLAB)
    assert done.returncode == 1 and done.stderr.endswith("failed:\nERROR: no space left on device\n")
    done, _ = run(cell(origin), **IN_COLAB)
    assert done.returncode == 0 and "The lab is ready." in done.stdout


def test_a_session_that_runs_older_packages_must_be_restarted(run, origin):
    (run.stubs / "older.py").touch()
    info = run.stubs / "older-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: older\nVersion: 1\n")
    (info / "top_level.txt").write_text("older\n")
    done, _ = run(f"import older\n{cell(origin)}", **IN_COLAB)
    assert done.returncode == 1 and "older versions of: older. Choose Runtime > Restart session" in done.stderr
    done, _ = run(f"import older\n{cell(origin)}", **IN_COLAB)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_address_is_written_into_every_notebook(monkeypatch, tmp_path):
    readme, notebook = tmp_path / "README.md", tmp_path / "a.ipynb"
    readme.write_text("```sh\ngit clone URL-OF-THIS-REPOSITORY yolo-lab && cd yolo-lab\n```\n")
    cells = [nbformat.v4.new_markdown_cell("# A"), nbformat.v4.new_code_cell("1")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), notebook)
    monkeypatch.setattr(colab, "README", readme)
    monkeypatch.setattr(outputs, "notebooks", lambda: [notebook])
    for address, changed in (("", [notebook]), ("", []), ("https://code.example/lab", [notebook])):
        assert colab.write(address) == changed
        title, first, other = nbformat.read(notebook, as_version=4).cells
        assert (title.source, first.id, other.source) == ("# A", colab.ID, "1")
        assert f'"{address or "URL-OF-THIS-REPOSITORY"}"' in first.source
    assert "git clone https://code.example/lab yolo-lab && cd" in readme.read_text()
