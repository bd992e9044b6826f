"""The API on a local Ray cluster: the same answers as the single server, also while a replica is killed."""

import os
import secrets
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec

import psutil
import pytest
import requests
from helpers import IMAGES, ROOT, wait_for
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from yololab.vision.machine import free_port

pytestmark = [
    pytest.mark.xdist_group("cluster"),  # one cluster at a time
    pytest.mark.timeout(600),
    pytest.mark.skipif(not find_spec("ray"), reason="needs Ray: pip install -e '.[cluster]'"),
]
NAMES = ("apple.jpg", "fruit.jpg", "crowd.jpg")


def has_settled(process, log):
    return process.poll() is not None or "Try it:" in log.read_text()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """`make cluster` with two replicas: its URL and its process."""
    port = free_port()
    env = os.environ | {"YOLOLAB_KEEP": "0", "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0",
                        "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32),
                        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # fmt: skip
    command = [sys.executable, "-m", "deploy.ray_serve", "--replicas", "2", "--port", str(port)]
    log = tmp_path_factory.mktemp("cluster") / "log"
    with log.open("w") as out:
        for _ in range(3):
            process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=out, start_new_session=True)
            wait_for(partial(has_settled, process, log), "the cluster", seconds=240)
            if process.poll() is None or "timed out during startup" not in log.read_text():
                break  # Ray gives its own processes 30 s to start, which a busy machine may not keep
        try:
            assert process.poll() is None, log.read_text()
            yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
        finally:
            if process.poll() is None:
                family = psutil.Process(process.pid).children(recursive=True)
                process.terminate()
                assert process.wait(120) == 0, log.read_text()
                left = psutil.wait_procs(family, timeout=60)[1]
                for each in left:
                    each.kill()
                assert not left


def replicas() -> set[int]:
    return {
        each.pid for each in psutil.process_iter(["cmdline"]) if "ServeReplica" in " ".join(each.info["cmdline"] or [])
    }


def test_the_same_answers_as_the_single_server(cluster, client):
    url, _ = cluster
    for name in NAMES:
        data = (IMAGES / name).read_bytes()
        for route, accept in (("/v1/detections", "*/*"), ("/v1/detections", "image/png"), ("/predict", "*/*")):
            headers = {"accept": accept}
            actual = requests.post(url + route, files={"file": data}, headers=headers, timeout=60)
            expected = client.post(route, files={"file": data}, headers=headers)
            assert actual.content == expected.content
            assert actual.headers["content-type"] == expected.headers["content-type"]
            assert actual.headers["server-timing"]
    for data in (b"", b"hello", b"\xff\xd8\xff"):
        actual = requests.post(f"{url}/predict", files={"file": data}, timeout=60)
        expected = client.post("/predict", files={"file": data})
        assert (actual.status_code, actual.json()) == (expected.status_code, expected.json())
    for path in ("/health", "/ready", "/v1/models", "/openapi.json", "/docs"):
        assert requests.get(url + path, timeout=60).text == client.get(path).text


def test_the_metrics_of_any_replica_are_the_sum_of_all(cluster):
    url, _ = cluster

    def counted() -> float:
        lines = requests.get(f"{url}/metrics", timeout=60).text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines
                   if line.startswith('yololab_requests_total{route="/predict",status="200"}'))  # fmt: skip

    before, data = counted(), (IMAGES / "apple.jpg").read_bytes()
    with ThreadPoolExecutor(4) as clients:
        asked = list(
            clients.map(lambda _: requests.post(f"{url}/predict", files={"file": data}, timeout=60), range(12))
        )
    assert all(each.status_code == 200 for each in asked)
    for _ in range(6):  # of whichever replica
        wait_for(lambda: counted() >= before + 12, "the sum")  # `before` may lack what was not written yet


def test_a_replica_killed_under_load_loses_nothing_where_clients_retry(cluster, client):
    url, _ = cluster
    expected = {name: client.post("/v1/detections", files={"file": (IMAGES / name).read_bytes()}) for name in NAMES}
    before = replicas()
    assert len(before) == 2
    retries = Retry(total=30, backoff_factor=0.2, backoff_max=2, status_forcelist=[500, 502, 503], allowed_methods=None)

    def post(number: int) -> bool:
        name = NAMES[number % len(NAMES)]
        if number == 40:
            os.kill(min(before), signal.SIGKILL)
        with requests.Session() as session:
            session.mount(url, HTTPAdapter(max_retries=retries))
            response = session.post(f"{url}/v1/detections", files={"file": (IMAGES / name).read_bytes()}, timeout=60)
        return response.content == expected[name].content

    with ThreadPoolExecutor(8) as clients:
        equal = list(clients.map(post, range(160)))
    assert all(equal)
    wait_for(lambda: len(replicas() - {min(before)}) >= 2, "another replica")
    assert requests.get(f"{url}/health", timeout=60).status_code == 200
