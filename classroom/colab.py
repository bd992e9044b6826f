"""Google Colab, which opens one notebook without its repository: the cell that fetches the rest, and what it calls.

The cell is the first code cell of every notebook. `python -m classroom colab` writes it there, with the repository's
address as README.md has it; `python -m classroom colab URL` writes another address into README.md first.
"""

import importlib
import re
import subprocess
import sys
import tomllib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from classroom import ROOT

README = ROOT / "README.md"
ID = "colab"  # of the cell
METADATA = {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["hide-input", "remove-cell"]}
CELL = """\
# @title Only in Google Colab: fetch the lab and install it. Elsewhere this cell does nothing.
import os

if "COLAB_RELEASE_TAG" in os.environ:
    REPOSITORY = "{repository}"
    fetch = f"git clone --quiet --depth 1 '{{REPOSITORY}}' yolo-lab"
    if not os.path.exists("classroom/colab.py"):
        if not os.path.exists("yolo-lab") and os.system(fetch):
            raise RuntimeError(f"git cannot fetch {{REPOSITORY}}: write the right address above.")
        os.chdir("yolo-lab")
    from classroom.colab import install

    install()
"""
CLONE = re.compile(r"(?<=^git clone )\S+", re.MULTILINE)  # in README.md
JUPYTER = {"ipykernel", "jupyter", "jupyterlab"}  # Colab has its own, which must stay as they are
OTHER_OPENCV = ("opencv-python", "opencv-contrib-python")  # builds that write over the files of opencv-python-headless


def repository() -> str:
    """The address that README.md clones the repository from."""
    found = CLONE.search(README.read_text(encoding="utf-8"))
    if not found:
        raise ValueError(f"{README} has no line that begins with: git clone ADDRESS")
    return found[0]


def source() -> str:
    """The source of the cell."""
    return CELL.format(repository=repository()).rstrip("\n")


def write(address: str = "") -> list[Path]:
    """Write the cell into every notebook, as its first code cell; return the notebooks that were changed.

    address: of the repository, written into README.md first; by default what stands there.
    """
    import nbformat

    from .outputs import NOTE, notebooks, source_hash

    if address:
        README.write_text(CLONE.sub(lambda _: address, README.read_text(encoding="utf-8"), count=1), encoding="utf-8")
    changed = []
    for path in notebooks():
        before = path.read_text(encoding="utf-8")
        notebook = nbformat.reads(before, as_version=4)
        cell = nbformat.v4.new_code_cell(source(), id=ID, metadata=METADATA | {"source_sha256": source_hash(source())})
        notebook.cells = [each for each in notebook.cells if each.id != ID]
        notebook.cells.insert(1 + (notebook.cells[1].id == NOTE), cell)
        if (after := nbformat.writes(notebook).rstrip("\n") + "\n") != before:
            path.write_text(after, encoding="utf-8")
            changed.append(path)
    return changed


def install() -> None:
    """Install what the lessons need into this kernel's Python, unless that is done.

    Raises RuntimeError where pip fails, and where the kernel must be restarted, since it runs an older version of
    what was installed.
    """
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    with suppress(PackageNotFoundError):
        version("yololab")  # it comes last, so the rest is there, too
        return
    print("Installing the lab's packages: a minute or two ...", flush=True)
    before = _imported()
    _pip("uninstall", "--yes", *OTHER_OPENCV)
    _pip("install", *requirements())
    _pip("install", "--editable", str(ROOT))
    importlib.invalidate_caches()
    after = _imported()
    if old := sorted(name for name in before if after.get(name) != before[name]):
        raise RuntimeError(
            f"All is installed, but this session had loaded older versions of: {', '.join(old)}. "
            "Choose Runtime > Restart session, then Runtime > Run all."
        )
    print("The lab is ready.")


def requirements() -> list[str]:
    """What pyproject.toml names for the lessons, beside what the package itself needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [each for each in project["optional-dependencies"]["lab"] if _name(each) not in JUPYTER]


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=;~! ]", requirement)[0]


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", arguments[0], "--quiet", "--disable-pip-version-check", *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"`{' '.join(command[1:4])}` failed:\n{done.stderr.strip()[-1500:]}")


def _imported() -> dict[str, str]:
    """The version, as installed now, of each package that this process has imported."""
    owners = packages_distributions()
    found = {}
    for module in list(sys.modules):
        for package in owners.get(module, ()):
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                found[package] = ""
    return found
