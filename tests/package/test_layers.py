"""The layers of the package: imports run downwards, and importing does no work."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "yololab").rglob("*.py")
)


def run(code, cwd=ROOT):
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_imports_run_downwards_only():
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip("import-linter is not installed: pip install -e '.[test]'")
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


def test_no_module_is_over_250_lines():
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in (ROOT / "yololab").rglob("*.py")}
    assert {str(path): count for path, count in lengths.items() if count > 250} == {}


@pytest.mark.parametrize("blocked", ["fastapi, starlette, uvicorn, pydantic, pydantic_settings, prometheus_client"])
def test_vision_needs_no_web_framework(blocked):
    """As if FastAPI were not installed: every module of the vision layer is imported, and a detector is used."""
    modules = [name for name in MODULES if name.startswith("yololab.vision")]
    code = f"""
import importlib, sys
for name in "{blocked}".split(", "):
    sys.modules[name] = None  # importing it raises ImportError
for name in {modules!r}:
    if "openvino" not in name:
        importlib.import_module(name)
from yololab import Detector, annotate, decode
picture = decode(open("images/apple.jpg", "rb").read())
found = Detector("starter")(picture)
annotate(picture, found)
print(found[0].label)
"""
    assert run(code) == "apple"


def test_importing_does_no_work(tmp_path):
    """No file is opened for reading or writing, no folder made, no environment variable of ours read."""
    code = f"""
import builtins, importlib, os, pathlib, sys
import cv2, fastapi, fastapi_offline, numpy, onnx, PIL.Image, prometheus_client.multiprocess, pydantic_settings
import requests, tqdm, uvicorn, werkzeug, filelock, platformdirs, uvicorn.supervisors, dotenv
sys.dont_write_bytecode = True
opened = []
def watch(event, arguments):
    if event == "open" and not str(arguments[0]).endswith((".py", ".pyc", ".so", ".pyi")):
        opened.append(str(arguments[0]))
    if event in ("os.mkdir", "socket.connect"):
        opened.append(event)
environment = type(os.environ)
original = environment.__getitem__
def get(self, key):
    if key.startswith("YOLOLAB_"):
        opened.append(key)
    return original(self, key)
environment.__getitem__ = get
sys.addaudithook(watch)
for name in {[name for name in MODULES if not name.endswith("__main__")]!r}:
    importlib.import_module(name)
print([each for each in opened if "site-packages" not in each and not each.startswith(("/proc", "/sys", "/dev"))])
"""
    assert run(code) == "[]"


def test_the_package_itself_imports_neither_numpy_nor_a_web_framework():
    code = "import sys, yololab; print(sorted({'cv2', 'fastapi', 'numpy'} & set(sys.modules)))"
    assert run(code) == "[]"
