"""`make serve WORKERS=2`: what becomes of the requests when a worker dies, of the server when it is asked to stop."""

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import requests
from helpers import PACKAGE, ROOT, wait_for
from processes import COMMAND, serving, started, wait_until_both_live

from yololab.api.settings import Settings
from yololab.serving import server as server_module
from yololab.serving import supervisor, workers

APPLE = (ROOT / "images/apple.jpg").read_bytes()
pytestmark = [
    pytest.mark.xdist_group("workers"),  # one server with workers for all
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL and no SIGTERM"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """`yololab serve` with two workers, for tests that leave two that serve: its URL, its process, its log."""
    log = tmp_path_factory.mktemp("log") / "log"
    with started(log, workers=2) as (url, process):
        yield url, process, log
        process.terminate()
        assert process.wait(60) == 0
        assert "Traceback" not in log.read_text()


def ask(url: str) -> requests.Response:
    return requests.post(f"{url}/v1/detections", files={"file": APPLE}, timeout=60)


def answered(url: str) -> float:
    """How many pictures /metrics counts."""
    name = 'yololab_requests_total{route="/v1/detections",status="200"}'
    lines = requests.get(f"{url}/metrics", timeout=60).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def test_after_a_kill_the_others_answer_and_a_new_one_starts(server):
    url, process, log = server
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
    wait_for(lambda: {child.pid for child in serving(process)} - before and len(serving(process)) == 2)
    assert f"worker [{victim}] ended by SIGKILL; a new one starts" in log.read_text()


def test_metrics_are_those_of_all_workers_and_survive_their_folder(server):
    url, process, _ = server
    wait_until_both_live(url, process)
    before = answered(url)
    with ThreadPoolExecutor(8) as clients:
        statuses = [answer.status_code for answer in clients.map(ask, [url] * 24)]
    assert statuses == [200] * 24
    wait_for(lambda: answered(url) - before == 24, "the counters of both")
    folder = Path(serving(process)[0].environ()[workers.METRICS])
    shutil.rmtree(folder)
    assert ask(url).status_code == 200 and requests.get(f"{url}/metrics", timeout=60).status_code == 200
    wait_for(lambda: answered(url) - before == 25, "the counters in a new folder")


def test_a_worker_in_which_a_picture_hangs_ends_itself(monkeypatch):
    def ended(status):
        raise SystemExit(status)

    monkeypatch.setattr(os, "_exit", ended)
    with pytest.raises(SystemExit) as end:
        workers._watch(SimpleNamespace(queue=SimpleNamespace(longest=61.0)), 60)
    assert end.value.code == server_module.HUNG


def test_workers_end_when_their_supervisor_was_killed(tmp_path):
    with started(tmp_path / "log", workers=2) as (url, process):
        wait_until_both_live(url, process)
        left = serving(process)
        process.kill()
        assert not psutil.wait_procs(left, timeout=60)[1]


@pytest.mark.parametrize(("number", "sig"), [(1, signal.SIGTERM), (1, signal.SIGHUP), (2, signal.SIGHUP)])
def test_a_stop_that_was_asked_for_ends_with_status_0(tmp_path, number, sig):
    with started(tmp_path / "log", workers=number) as (url, process):
        wait_for(lambda: requests.get(f"{url}/health", timeout=60).ok)
        process.send_signal(sig)
        assert process.wait(60) == 0
        assert "Traceback" not in (tmp_path / "log").read_text()


def short(grace: int) -> list[str]:
    """`yololab serve` with another grace."""
    code = (
        f"import sys; from yololab.serving import terminal; terminal.GRACE = {grace}\nfrom yololab.__main__ import main"
    )
    return [sys.executable, "-c", f"{code}\nif __name__ == '__main__': sys.exit(main(['serve', '--port', '0']))"]


def test_a_worker_that_is_stopped_is_killed_when_the_grace_is_over(tmp_path):
    with started(tmp_path / "log", short(grace=0), workers=2) as (url, process):
        wait_until_both_live(url, process)
        victim = serving(process)[0]
        victim.suspend()
        process.terminate()
        assert process.wait(60) == 0
        assert f"worker [{victim.pid}] has not ended: it is killed" in (tmp_path / "log").read_text()
        assert not victim.is_running()


def test_a_second_signal_ends_all_at_once(tmp_path):
    with started(tmp_path / "log", short(grace=600), workers=2) as (url, process):
        wait_until_both_live(url, process)
        children = serving(process)
        children[0].suspend()
        process.send_signal(signal.SIGINT)
        wait_for(lambda: not children[1].is_running() or children[1].status() == psutil.STATUS_ZOMBIE)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 128 + signal.SIGINT
        assert not psutil.wait_procs(children, timeout=60)[1]


STUCK = """
import sys, threading
from yololab.serving import terminal
from yololab.api.service import DetectionService
from yololab.__main__ import main
terminal.GRACE = 1
def process(*given):
    print("stuck", file=sys.stderr, flush=True)
    threading.Event().wait()
DetectionService.process = process
sys.exit(main(["serve", "--port", "0"]))
"""


@pytest.mark.parametrize("twice", [False, True])
def test_one_process_ends_though_a_picture_hangs_in_it(tmp_path, twice):
    log = tmp_path / "log"
    with started(log, [sys.executable, "-c", STUCK]) as (url, process), ThreadPoolExecutor(1) as client:
        wait_for(lambda: requests.get(f"{url}/ready", timeout=60).ok)
        answer = client.submit(ask, url)
        wait_for(lambda: "stuck" in log.read_text())
        process.terminate()
        if twice:
            wait_for(lambda: "Shutting down" in log.read_text())
            process.terminate()
        status = process.wait(60)
        assert status == (128 + signal.SIGTERM if twice else server_module.HUNG)
        assert ("a second time" if twice else "still at work 1 s after") in log.read_text()
        with suppress(requests.ConnectionError):
            assert answer.result(60).status_code >= 500


def test_workers_whose_model_is_missing_serve_503_until_it_is_there(tmp_path):
    shutil.copy(PACKAGE / "starter.cfg", tmp_path / "copy.cfg")
    shutil.copy(PACKAGE / "starter.names", tmp_path / "copy.names")
    log = tmp_path / "log"
    with started(log, workers=2, model="copy", model_path=tmp_path) as (url, process):
        assert requests.get(f"{url}/ready", timeout=60).status_code == 503
        assert "worker [" in log.read_text() and f"exit status {supervisor.NO_MODEL}" in log.read_text()
        shutil.copy(PACKAGE / "starter.weights", tmp_path / "part")
        (tmp_path / "part").replace(tmp_path / "copy.weights")
        wait_for(lambda: [ask(url).status_code for _ in range(6)] == [200] * 6)
        # one that is started without the model's files takes no requests while the other one has its detector
        (tmp_path / "copy.weights").unlink()
        victim = serving(process)[0].pid
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: log.read_text().count(f"exit status {supervisor.NO_MODEL}; a new one starts in") >= 1)
        assert [ask(url).status_code for _ in range(20)] == [200] * 20


def slot_after(slot: supervisor.Slot, status: int, lived: float | None = None, others: int = 0) -> float | None:
    """Let a slot's worker end; the pause before the next one."""
    above = supervisor.Supervisor(SimpleNamespace(workers=0), None)
    now = supervisor.monotonic()
    above._slots = [
        slot,
        *(supervisor.Slot(SimpleNamespace(has_model=True)) for _ in range(others)),
    ]
    since = None if lived is None else now - lived
    slot.worker = SimpleNamespace(pid=1, exitcode=status, serving_since=since, close=lambda: None)
    above._served = lived is not None or others > 0
    above._replace(slot, slot.worker)
    return None if above._stop else round(slot.start_at - now)


def test_a_terminal_that_closes_is_no_second_signal():
    above = supervisor.Supervisor(SimpleNamespace(workers=0), None)
    for sig in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM, signal.SIGHUP):
        above._on_signal(sig, None)
    assert above._stop and not above._at_once
    above._on_signal(signal.SIGTERM, None)
    assert above._at_once


def test_pauses_grow_while_a_worker_keeps_failing():
    slot = supervisor.Slot()
    assert [slot_after(slot, -9, others=1) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert slot_after(slot, -9, lived=3600) == 0 and slot_after(slot, -9, lived=1) == 1


def test_a_server_whose_workers_never_serve_gives_up():
    slot = supervisor.Slot()
    assert [slot_after(slot, 1) for _ in range(5)] == [1, 2, 4, 8, None]


def test_a_worker_without_a_model_serves_only_where_no_other_can():
    slot = supervisor.Slot()
    assert slot_after(slot, supervisor.NO_MODEL, others=1) == 1 and not slot.without_model
    assert slot_after(slot, supervisor.NO_MODEL) == 0 and slot.without_model


@pytest.mark.parametrize(("status", "told"), [(3, "with exit status 3"), (-9, "by SIGKILL"), (-200, "by signal 200")])
def test_how_a_worker_ended_is_told(status, told):
    assert supervisor.how(status) == told


def test_a_model_that_nobody_knows_stops_the_start():
    for number in ("1", "2"):
        env = os.environ | {"YOLOLAB_WORKERS": number, "YOLOLAB_MODEL": "nope"}
        done = subprocess.run(COMMAND, capture_output=True, text=True, env=env, timeout=100)
        assert done.returncode == 1 and done.stderr.count("\n") == 1
        assert done.stderr.startswith("error: YOLOLAB_MODEL='nope' is not possible.") and "starter" in done.stderr


def test_a_worker_gets_the_settings_of_the_supervisor(monkeypatch):
    given = Settings(queue=7, api_key="secret", keep=False, allowed_hosts="lab.example", model_path="x", port=1234)
    for name, value in given.as_environment().items():
        monkeypatch.setenv(name, value)
    assert Settings(_env_file=None) == given


def test_a_stop_while_the_model_still_loads_is_no_crash(tmp_path):
    with started(tmp_path / "log") as (_, process):
        process.terminate()  # the address is printed before the model is loaded
        assert process.wait(60) == 0
