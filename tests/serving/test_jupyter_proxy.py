"""Behind jupyter-server-proxy, as on Binder and JupyterHub: the pages are whole, and pictures are answered."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest
import requests
from helpers import IMAGES, LIMIT, wait_for

from yololab import create_app, serve
from yololab.api.settings import Settings
from yololab.vision.machine import free_port

pytestmark = pytest.mark.skipif(
    not find_spec("jupyter_server_proxy"), reason="needs jupyter-server-proxy: pip install -e '.[test]'"
)
PREFIX = "/user/ann/"
HUB = "hub.example.org"  # what the browser of a student asks for


@pytest.fixture
def jupyter(tmp_path):
    """The URL of a Jupyter server under a prefix, as a hub starts it; the hub's own proxy would be in front."""
    port = free_port()
    options = {"port": port, "base_url": PREFIX, "open_browser": False, "allow_root": True, "root_dir": tmp_path,
               "allow_remote_access": True}  # fmt: skip
    arguments = [f"--ServerApp.{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "jupyter", "server", *arguments, "--IdentityProvider.token="]
    env = os.environ | {"JUPYTER_CONFIG_DIR": str(tmp_path / "config"), "JUPYTER_DATA_DIR": str(tmp_path / "data")}
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=log, stderr=log)
        url = f"http://127.0.0.1:{port}{PREFIX}"

        def up():
            assert server.poll() is None, (tmp_path / "log").read_text()
            try:
                return requests.get(url + "api", timeout=LIMIT).status_code == 200
            except requests.ConnectionError:
                return False

        try:
            wait_for(up, "the Jupyter server")
            yield url
        finally:
            server.terminate()
            server.wait(LIMIT)


def test_pages_and_pictures_come_through(jupyter, monkeypatch, capsys):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", PREFIX)
    server = serve(create_app(Settings(keep=False, extras="explore")), port=0)
    try:
        prefix = f"{PREFIX}proxy/{server.port}"
        assert f"{prefix}/docs" in capsys.readouterr().out  # the address that works there
        through = f"{jupyter}proxy/{server.port}"
        host = {"Host": HUB}
        page = requests.get(f"{through}/docs", headers=host, timeout=LIMIT)
        assert page.status_code == 200
        links = re.findall(r"""["'](/[^"']+(?:\.js|\.css|\.json|\.png))["']""", page.text)
        assert len(links) >= 3 and all(link.startswith(prefix + "/") for link in links)
        for link in links:
            asset = requests.get(jupyter.removesuffix(PREFIX) + link, headers=host, timeout=LIMIT)
            assert asset.status_code == 200, link
        document = requests.get(f"{through}/openapi.json", headers=host, timeout=LIMIT).json()
        assert document["servers"] == [{"url": prefix}]
        picture = {"file": (IMAGES / "apple.jpg").read_bytes()}
        own_page = {**host, "Origin": f"https://{HUB}"}  # what /docs sends
        answer = requests.post(f"{through}/v1/detections", headers=own_page, files=picture, timeout=LIMIT)
        assert answer.status_code == 200, answer.text
        assert answer.json()["detections"][0]["label"] == "apple"
        foreign = {**host, "Origin": "https://evil.example"}
        refused = requests.post(f"{through}/v1/detections", headers=foreign, files=picture, timeout=LIMIT)
        assert refused.status_code == 403
    finally:
        server.stop()


def test_elsewhere_a_foreign_host_stays_refused():
    server = serve(create_app(Settings(keep=False)), port=0)
    try:
        assert requests.get(server.url + "/docs", headers={"Host": HUB}, timeout=LIMIT).status_code == 400
    finally:
        server.stop()
