"""`make serve WORKERS=2`: what becomes of the requests when a worker dies."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace

import psutil
import pytest
import requests
from helpers import ROOT, wait_for

from yololab.api.settings import Settings
from yololab.serving import workers

APPLE = (ROOT / "images/apple.jpg").read_bytes()
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL and no SIGTERM")


@pytest.fixture(scope="module")
def server():
    """`python -m yololab serve` with two workers: its URL and its process."""
    env = os.environ | {"YOLOLAB_WORKERS": "2", "YOLOLAB_KEEP": "0"}
    command = [sys.executable, "-m", "yololab", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        url = next(line for line in process.stderr if "Try it:" in line).split()[-1].removesuffix("/docs")
        with ThreadPoolExecutor(1) as drain:  # a full pipe would stop the server
            log = drain.submit(process.stderr.read)
            yield url, psutil.Process(process.pid)
            process.terminate()
            assert "Traceback" not in log.result()
    assert process.returncode == 0


def serving(process: psutil.Process) -> list[psutil.Process]:
    """The worker processes that live."""
    found = []
    for child in process.children():
        with suppress(psutil.Error):  # it ended a moment ago
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def ask(url: str) -> requests.Response:
    return requests.post(f"{url}/v1/detections", files={"file": APPLE}, timeout=60)


def wait_until_both_live(url: str, process: psutil.Process) -> None:
    wait_for(lambda: len(serving(process)) >= 2)
    assert requests.get(f"{url}/ready", timeout=60).status_code == 200


def test_after_a_kill_the_others_answer_and_a_new_one_starts(server):
    url, process = server
    wait_until_both_live(url, process)
    before = {child.pid for child in serving(process)}
    expected = ask(url).json()
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    lost = 0
    for _ in range(20):
        try:
            assert ask(url).json() == expected
        except requests.ConnectionError:  # it had been handed to the one that was killed
            lost += 1
    assert lost <= 1
    while victim in {child.pid for child in serving(process)} or len(serving(process)) < 2:
        assert requests.get(f"{url}/health", timeout=60).status_code == 200
    assert {child.pid for child in serving(process)} - before


def test_metrics_are_those_of_all_workers(server):
    url, process = server
    wait_until_both_live(url, process)

    def answered() -> float:
        name = 'yololab_requests_total{route="/v1/detections",status="200"}'
        lines = requests.get(f"{url}/metrics", timeout=60).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    before = answered()
    with ThreadPoolExecutor(8) as clients:
        statuses = [answer.status_code for answer in clients.map(ask, [url] * 24)]
    assert answered() - before == statuses.count(200) == 24


def test_a_worker_in_which_a_picture_hangs_ends_itself(monkeypatch):
    def ended(status):
        raise SystemExit(status)

    monkeypatch.setattr(os, "_exit", ended)
    with pytest.raises(SystemExit) as end:
        workers._watch(SimpleNamespace(queue=SimpleNamespace(longest=61.0)), 60)
    assert end.value.code == workers.HUNG


def test_workers_end_when_their_supervisor_was_killed(tmp_path):
    env = os.environ | {"YOLOLAB_WORKERS": "2", "YOLOLAB_KEEP": "0", "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "yololab", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        url = next(line for line in process.stderr if "Try it:" in line).split()[-1].removesuffix("/docs")
        wait_until_both_live(url, psutil.Process(process.pid))
        left = serving(psutil.Process(process.pid))
        process.kill()
        assert not psutil.wait_procs(left, timeout=60)[1]


def test_a_worker_gets_the_settings_of_the_supervisor(monkeypatch):
    given = Settings(queue=7, api_key="secret", keep=False, allowed_hosts="lab.example", model_path="x", port=1234)
    for name, value in given.as_environment().items():
        monkeypatch.setenv(name, value)
    assert Settings(_env_file=None) == given
