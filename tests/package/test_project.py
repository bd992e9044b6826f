"""What is written down twice agrees: pins and lock, versions of the tools, settings and links of the documents."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import tomllib

import numpy as np
import pytest
import yaml
from helpers import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import SecretStr

from yololab import __version__
from yololab.api.settings import Settings
from yololab.vision.suppression import iou

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "models/README.md", "benchmarks/RESULTS.md",
             *(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")
               if path.name != "http_api.md")]  # that one is written by `make site`  # fmt: skip


def requirements(path):
    """The requirements in a file by name, each with the part of its line or lines that follows the first."""
    text = re.sub(r" *\\\n *", " ", (ROOT / path).read_text("utf-8"))
    lines = [line for line in text.splitlines() if line.strip() and line.lstrip()[0] not in "#-"]
    found = {}
    for line in lines:
        requirement, *hashes = re.split(r" --hash=", line)
        found[canonicalize_name(Requirement(requirement).name)] = (Requirement(requirement), hashes)
    return found


def version(requirement):
    (only,) = requirement.specifier
    assert only.operator == "==", requirement
    return only.version


PINS, LOCK = requirements("requirements.txt"), requirements("requirements.lock")


def test_the_lock_has_every_pin_of_requirements_txt():
    assert len(PINS) > 30 and len(LOCK) > 100
    differ = {
        name: str(pin) for name, (pin, _) in PINS.items() if name not in LOCK or version(LOCK[name][0]) != version(pin)
    }
    assert differ == {}, "run: make lock"


def test_every_locked_package_has_hashes_and_no_address():
    for name, (requirement, hashes) in LOCK.items():
        assert hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), name
        assert requirement.url is None and version(requirement), name
    text = (ROOT / "requirements.lock").read_text("utf-8")
    assert "://" not in text and "--index" not in text and "--find-links" not in text


@pytest.mark.parametrize("needs", ["dependencies", "lab"])
def test_what_the_package_and_the_lessons_need_is_pinned(needs):
    asked = PROJECT["dependencies"] if needs == "dependencies" else PROJECT["optional-dependencies"][needs]
    for requirement in map(Requirement, asked):
        pin, _ = PINS[canonicalize_name(requirement.name)]
        assert version(pin) in requirement.specifier and pin.marker == requirement.marker, requirement


def test_exactly_one_build_of_opencv_is_locked():
    assert [name for name in LOCK if name.startswith("opencv")] == ["opencv-python-headless"]


def test_the_extras_do_not_change_what_the_lock_installs():
    for extra in ("test", "dev", "browser", "cluster", "bench"):
        for requirement in map(Requirement, PROJECT["optional-dependencies"][extra]):
            locked = LOCK.get(canonicalize_name(requirement.name))
            assert locked is None or version(locked[0]) in requirement.specifier, (extra, requirement)


def test_the_git_hooks_run_the_versions_of_pyproject():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0]["hooks"]
    known = {each for extra in ("test", "dev") for each in PROJECT["optional-dependencies"][extra]}
    used = {each for hook in hooks for each in hook["additional_dependencies"]}
    assert used and used <= known


def test_the_changelog_has_this_version():
    assert re.search(
        rf"^## \[{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M
    )


def test_the_documented_settings_are_those_of_the_code():
    rows = re.findall(r"^\| `(YOLOLAB_\w+)` \| (.*?) ?\| ", (ROOT / "docs/api.md").read_text("utf-8"), re.M)

    def shown(value):
        if isinstance(value, SecretStr) or value == ():
            return ""
        return str(int(value)) if isinstance(value, bool) else str(value)

    actual = {f"YOLOLAB_{name.upper()}": shown(field.default) for name, field in Settings.model_fields.items()}
    assert dict(rows) == actual and len(rows) == len(actual)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_to_a_file(name):
    path = ROOT / name
    links = re.findall(r"\]\(([^)\s#]+)", path.read_text("utf-8"))
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_to_a_heading_has_one(name):
    path = ROOT / name
    for link, anchor in re.findall(r"\]\(([^)\s#]*)#([^)\s]+)\)", path.read_text("utf-8")):
        if "://" not in link:
            text = (path.parent / link).read_text("utf-8") if link else path.read_text("utf-8")
            headings = [
                re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in re.findall(r"^#+ (.+)$", text, re.M)
            ]
            assert anchor in headings, (link, anchor)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/install.md"])
def test_the_files_that_a_document_names_exist(name):
    named = re.findall(
        r"`((?:yololab|classroom|tests|docs|notebooks|images|deploy|benchmarks)/[\w./-]*)`",
        (ROOT / name).read_text("utf-8"),
    )
    assert [each for each in named if "NN" not in each and "NAME" not in each and not (ROOT / each).exists()] == []


def test_the_readme_s_python_does_what_it_says(monkeypatch):
    monkeypatch.chdir(ROOT)
    code = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert len(code) == 1
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code[0], {})
    (truth,) = json.loads((ROOT / "images/truth.json").read_text("utf-8"))["annotations"][:1]  # of apple.jpg
    label, _, *box = re.findall(r"[a-z]+|[\d.]+", printed.getvalue())[:6]
    x, y, width, height = truth["bbox"]
    found, there = np.array(box, float), np.array([x, y, x + width, y + height])
    assert label == "apple" and iou(found, there[None])[0] > 0.5


def test_the_workflow_runs_the_lines_that_install_md_shows():
    blocks = re.findall(r"```(?:powershell|sh)\n(.*?)```", (ROOT / "docs/install.md").read_text("utf-8"), re.S)
    shown = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    endless = ("classroom lab", "yololab serve")
    jobs = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text("utf-8"))["jobs"]
    run = [line.strip() for job in jobs.values() for step in job["steps"] for line in step.get("run", "").splitlines()]
    assert len(shown) > 15 and [line for line in shown if not line.endswith(endless) and line not in run] == []


def test_make_says_which_python_it_needs(tmp_path):
    if shutil.which("make") is None or os.name == "nt":
        pytest.skip("needs make and a POSIX shell")
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.18\nexit 1\n')
    old.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # `make test` sets some
    command = ["make", "run", f"PYTHON={old}"]
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    needed, remedy = ended.stdout.splitlines()
    assert ended.returncode and needed == "This lab needs Python 3.11 or newer; here is: Python 3.9.18"
    assert "https://www.python.org/" in remedy and "make run PYTHON=" in remedy


def test_make_lists_every_target():
    if shutil.which("make") is None:
        pytest.skip("needs make")
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.M).group(1).split()
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    assert re.findall(r"^make (\S+) +\S", listed, re.M) == targets
