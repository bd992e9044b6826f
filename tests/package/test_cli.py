"""yololab, as typed into a terminal."""

import ast
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import venv

import pytest
import requests
from helpers import IMAGES, LIMIT, PACKAGE, ROOT, answers, wait_for

from yololab import Detector
from yololab.__main__ import main
from yololab.api.settings import Settings
from yololab.serving import terminal


def test_models_lists_what_is_known(capsys):
    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    assert "starter" in printed and "python -m yololab fetch yolov3-tiny" in printed


def test_fetch_of_what_is_installed_verifies_it(capsys):
    assert main(["fetch", "starter"]) == 0
    assert "verified" in capsys.readouterr().out


def test_fetch_of_an_unknown_model_says_which_are_known(capsys):
    assert main(["fetch", "yolov99"]) == 1
    assert "yolov3-tiny" in capsys.readouterr().err


def test_doctor_finds_nothing_wrong(monkeypatch, capsys):
    monkeypatch.setenv("YOLOLAB_PORT", "0")
    assert main(["doctor"]) == 0, capsys.readouterr().out
    printed = capsys.readouterr().out
    for word in ("Python 3.", "requirements.txt", "opencv-python-headless", "model starter", "port 0", "folder"):
        assert word in printed


def test_doctor_sees_a_taken_port_and_a_damaged_model(monkeypatch, capsys, tmp_path):
    for suffix in ("cfg", "weights", "names"):
        (tmp_path / f"starter.{suffix}").write_bytes((PACKAGE / f"starter.{suffix}").read_bytes())
    with (tmp_path / "starter.weights").open("r+b") as file:
        file.seek(5000)
        file.write(b"flip")
    monkeypatch.setenv("YOLOLAB_MODEL_PATH", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("YOLOLAB_PORT", str(other.getsockname()[1]))
        assert main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert "WRONG  port" in printed and "WRONG  model starter" in printed and "git checkout" in printed


@pytest.fixture
def models(monkeypatch, tmp_path):
    """A folder of models that is searched first."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("YOLOLAB_MODEL_PATH", str(folder))
    monkeypatch.setenv("YOLOLAB_PORT", "0")
    return folder


def starter_as(folder, name, weights=None):
    """The starter's files under another name, its weights perhaps replaced."""
    for suffix in ("cfg", "names"):
        (folder / f"{name}.{suffix}").write_bytes((PACKAGE / f"starter.{suffix}").read_bytes())
    whole = (PACKAGE / "starter.weights").read_bytes()
    (folder / f"{name}.weights").write_bytes(whole if weights is None else weights(whole))


def doctor(capsys):
    status = main(["doctor"])
    return status, capsys.readouterr().out


def test_doctor_loads_each_model_and_says_what_cannot_be_served(models, capsys):
    starter_as(models, "fine")
    starter_as(models, "short", lambda whole: whole[:-400])
    starter_as(models, "page", lambda whole: b"<!DOCTYPE html><html>404</html>" * 1000)
    (models / "lonely.cfg").write_text("[net]\nwidth=32\n")
    (models / "other.weights").write_bytes(b"x")
    status, printed = doctor(capsys)
    assert status == 1
    assert "ok     model fine" in printed
    for wrong in ("model short", "model page", "lonely.cfg", "other.weights"):
        assert any(line.startswith("WRONG") and wrong in line for line in printed.splitlines()), (wrong, printed)


def test_doctor_names_a_model_folder_that_does_not_exist(models, monkeypatch, capsys):
    monkeypatch.setenv("YOLOLAB_MODEL_PATH", str(models / "nowhere"))
    status, printed = doctor(capsys)
    assert status == 1 and "nowhere" in printed


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "seven"), ("EXTRAS", "cats"), ("ENGINE", "abacus"), ("QUEUE", "-1")]
)
def test_doctor_works_with_any_wrong_setting(models, monkeypatch, capsys, name, value):
    monkeypatch.setenv(f"YOLOLAB_{name}", value)
    status, printed = doctor(capsys)
    assert status == 1 and f"WRONG  YOLOLAB_{name}=" in printed and "model starter" in printed


def test_doctor_names_unknown_variables(models, monkeypatch, capsys):
    monkeypatch.setenv("YOLOLAB_APIKEY", "abc")
    assert "WRONG  YOLOLAB_APIKEY is no setting" in doctor(capsys)[1]


@pytest.mark.parametrize("command", [["serve"], ["models"], ["fetch", "starter"]])
def test_a_wrong_setting_is_one_sentence_from_every_command(monkeypatch, capsys, command):
    monkeypatch.setenv("YOLOLAB_PORT", "seven")
    assert main(command) == 1
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("error: YOLOLAB_PORT='seven'") and printed.err.count("\n") == 1


@pytest.mark.parametrize("module", ["yololab", "classroom"])
def test_a_python_that_is_too_old_says_which_to_use(module):
    for name in (f"{module}/__init__.py", f"{module}/__main__.py", "yololab/__init__.py", "yololab/interpreter.py"):
        ast.parse((ROOT / name).read_text("utf-8"), feature_version=(3, 7))  # the oldest that can be asked for
    pretend = f"import sys, runpy; sys.version_info = (3, 9, 18); runpy.run_module('{module}', run_name='__main__')"
    ended = subprocess.run([sys.executable, "-c", pretend], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1 and ended.stdout == ""
    wrong, *advice = ended.stderr.splitlines()
    assert wrong == f"The lab needs Python 3.11 or newer; {sys.executable} is Python 3.9.18."
    assert 1 <= len(advice) <= 2 and ("https://www.python.org/" in advice[0] or advice[1].endswith(f"-m {module}"))


@pytest.mark.parametrize("arguments", [["yololab", "serve"], ["classroom"]])
def test_a_python_without_the_packages_says_which_has_them(tmp_path, arguments):
    venv.create(tmp_path / "bare", with_pip=False)
    python = next((tmp_path / "bare").glob("[Sb]*/python*"))
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for lab in (tmp_path / "lab", tmp_path / "lab/packages"):  # a repository, then a package beside others
        for name in ("yololab/__init__.py", "yololab/__main__.py", "yololab/interpreter.py", "classroom/__init__.py",
                     "classroom/__main__.py"):  # fmt: skip
            (lab / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, lab / name)

    def said(folder):
        command = [python, "-m", *arguments]
        ended = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)
        assert ended.returncode == 1 and ended.stdout == "" and "fastapi" in ended.stderr.splitlines()[0]
        return ended.stderr.split("\n", 1)[1]

    assert said(tmp_path / "lab/packages").startswith("Install it there, or use the Python")
    (tmp_path / "lab/Makefile").touch()
    assert said(tmp_path / "lab").startswith("Install the lab: `make run`")
    own = tmp_path / "lab/.venv" / ("Scripts" if os.name == "nt" else "bin")
    own.mkdir(parents=True)
    used = os.path.join(".venv", own.name, "python")
    assert said(tmp_path / "lab").splitlines()[-1] == f"  {used} -m {' '.join(arguments)}"


def test_a_fetch_that_fails_is_three_lines(monkeypatch, capsys, tmp_path):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nothing answers there
    monkeypatch.setattr("yololab.paths.user_cache_path", lambda _: tmp_path)
    assert main(["fetch", "yolov3"]) == 1
    what, why, remedy = capsys.readouterr().err.splitlines()[-3:]
    assert re.fullmatch(r"error: \S+ could not be downloaded:", what)
    assert "the proxy does not answer: " in why and "HTTPSConnection" not in why
    assert "set HTTPS_PROXY" in remedy and str(tmp_path / "models") in remedy


@pytest.mark.parametrize("command", ["models", "doctor"])
def test_a_reader_who_has_seen_enough_is_no_error(command):
    process = subprocess.Popen(
        [sys.executable, "-m", "yololab", command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()  # as `| head -0` does
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(LIMIT) == 1


def test_no_command_shows_the_help(capsys):
    assert main([]) == 0
    assert "serve" in capsys.readouterr().out


def test_wrong_settings_do_not_reach_the_detector(monkeypatch):
    monkeypatch.setenv("YOLOLAB_EXTRAS", "cats")
    monkeypatch.setenv("YOLOLAB_PORT", "seven")
    assert Detector("starter").labels


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to stop a server in order with")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_serve_answers_until_it_is_stopped(stop, tmp_path):
    command = [sys.executable, "-m", "yololab", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ) as server:
        try:
            url = next(line for line in server.stderr if "Try it:" in line).split()[-1].removesuffix("/docs")
            wait_for(lambda: answers(url), "/ready")
            with open(IMAGES / "apple.jpg", "rb") as file:
                assert requests.post(url + "/predict", files={"file": file}).headers["content-type"] == "image/jpeg"
        finally:
            server.send_signal(stop)
            rest = server.stderr.read()
    assert "Traceback" not in rest and "Finished server process" in rest
    assert len(list((tmp_path / "uploads").iterdir())) == 1


def test_serve_listens_without_nagles_delay(monkeypatch):
    heard = []

    def run(self, sockets):
        heard.append(sockets[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        sockets[0].close()

    monkeypatch.setattr(terminal.Server, "run", run)
    assert terminal.serve(Settings(port=0)) == 0 and heard and heard[0]


@pytest.mark.parametrize(
    ("extras", "pages", "off"),
    [
        ("", [], ["/explore (why was it not detected?) and /live (a camera)", "YOLOLAB_EXTRAS=explore,live "]),
        ("batch,live", ["live"], ["/explore (why was it not detected?);", "YOLOLAB_EXTRAS=batch,live,explore "]),
        ("explore,live", ["explore", "live"], []),
    ],
)
def test_serve_offers_the_pages_or_says_how_to_switch_them_on(monkeypatch, capsys, extras, pages, off):
    for name in ("CODESPACE_NAME", "JUPYTERHUB_SERVICE_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(terminal.Server, "run", lambda self, sockets: (self._on_start(), sockets[0].close()))
    assert terminal.serve(Settings(port=0, extras=extras, root_path="/lab")) == 0
    first, *rest = capsys.readouterr().err.splitlines()
    url = re.fullmatch(r"Try it: (http://127\.0\.0\.1:\d+/lab)/docs", first)[1]
    assert [line.strip() for line in rest[: len(pages)]] == [f"{url}/{name}" for name in pages]
    assert len(rest) == len(pages) + bool(off) and all(part in rest[-1] for part in off)


def test_serve_says_where_a_codespace_forwards_it(monkeypatch, capsys):
    monkeypatch.delenv("JUPYTERHUB_SERVICE_PREFIX", raising=False)
    monkeypatch.setenv("CODESPACE_NAME", "odd-name")
    monkeypatch.setenv("GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN", "app.example.dev")
    monkeypatch.setattr(terminal.Server, "run", lambda self, sockets: (self._on_start(), sockets[0].close()))
    assert terminal.serve(Settings(port=0)) == 0
    port = re.search(r"Try it: http://127\.0\.0\.1:(\d+)/docs", said := capsys.readouterr().err)[1]
    assert f"In your browser: https://odd-name-{port}.app.example.dev/docs\n" in said


def test_serve_on_a_taken_port_says_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as other:
        command = [sys.executable, "-m", "yololab", "serve", "--port", str(other.getsockname()[1])]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1 and "YOLOLAB_PORT" in ended.stderr
