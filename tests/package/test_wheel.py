"""The wheel, installed into a new virtual environment in an empty folder, is enough to detect and to serve."""

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import requests
from helpers import IMAGES, LIMIT, ROOT, answers, wait_for

pytestmark = pytest.mark.xdist_group("wheel")  # it is built and installed once
BIN = "Scripts" if sys.platform == "win32" else "bin"


def tree(folder: Path) -> set[str]:
    """Every file below, but for what Python itself compiles."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The bin folder of an environment with the wheel, and an empty folder to work in.

    The packages that it requires are those of the environment that runs the tests, seen through a .pth file: what is
    tried is the wheel, not the download of its requirements.
    """
    folder = tmp_path_factory.mktemp("wheel")
    build = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([sys.executable, "-m", *build], check=True, timeout=300)
    (wheel,) = folder.glob("yololab-*.whl")
    environment = folder / "environment"
    venv.create(environment, with_pip=True)
    python = environment / BIN / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True, timeout=300
    )
    site = Path(
        subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
    )
    outside = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (site / "requirements.pth").write_text("\n".join(outside) + "\n")
    work = folder / "work"
    work.mkdir()
    return environment / BIN, site, work


@pytest.fixture
def run(installed, tmp_path):
    scripts, _, work = installed

    def run(*command):
        env = {name: value for name, value in os.environ.items() if not name.startswith(("YOLOLAB_", "PYTHONPATH"))}
        env |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "YOLOLAB_PORT": "0"}
        command = [str(scripts / command[0]), *command[1:]]
        return subprocess.Popen(command, cwd=work, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return run


def finished(process):
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, out + errors
    return out


def test_it_comes_from_the_wheel_and_brings_no_classroom(run, installed):
    code = "import yololab; print(yololab.__file__)"
    assert finished(run("python", "-c", code)).strip() == str(installed[1] / "yololab" / "__init__.py")
    files = tree(installed[1])
    assert "yololab/vision/starter.weights" in files and "yololab/py.typed" in files
    assert sum(file.startswith("yololab/vision/scenes/") for file in files) == 6
    assert not [name for name in files if name.split("/")[0] in ("classroom", "tests", "training", "benchmarks")]


def test_models_doctor_and_version(run):
    assert re.search(r"^starter +installed", finished(run("yololab", "models")), re.M)
    assert "model starter" in finished(run("yololab", "doctor"))
    assert re.fullmatch(r"yololab \d+\.\d+\.\d+\n", finished(run("yololab", "--version")))


def test_detector_by_name(run):
    code = """
import sys
from yololab import Detector, decode
print(Detector("starter")(decode(open(sys.argv[1], "rb").read()))[0].label)
"""
    assert finished(run("python", "-c", code, str(IMAGES / "apple.jpg"))).strip() == "apple"


def test_serve_answers_a_picture_and_writes_nothing_into_the_package(run, installed):
    before = tree(installed[1])
    server = run("yololab", "serve")
    try:
        line = next(line for line in server.stderr if "Try it:" in line)
        url = line.split()[-1].removesuffix("/docs")
        wait_for(lambda: answers(url), "/ready")
        picture = (IMAGES / "apple.jpg").read_bytes()
        found = requests.post(url + "/v1/detections", files={"file": picture}, timeout=LIMIT).json()
        assert found["detections"][0]["label"] == "apple"
        assert requests.post(url + "/predict", files={"file": picture}, timeout=LIMIT).status_code == 200
        assert requests.get(url + "/docs", timeout=LIMIT).status_code == 200
    finally:
        server.terminate()
        server.communicate(timeout=60)
    assert tree(installed[1]) == before
    assert [path.name for path in installed[2].iterdir()] == ["images_uploaded"]  # beside where one works
