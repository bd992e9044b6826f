"""Load for an API that units 11 and 12 measure: the lab's API in processes of its own, and clients that take turns."""

import atexit
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import psutil
import requests

from classroom import ROOT
from yololab.vision.machine import free_port

Request = tuple[str, str, bytes, dict[str, str]]  # method, path, body, headers


def upload(path: str, image: str = "apple.jpg") -> Request:
    """A request that posts one of the lab's images as a form, ready to be sent many times."""
    files = {"file": (ROOT / "images" / image).read_bytes()}
    form = requests.Request("POST", "http://lab" + path, files=files).prepare()
    assert isinstance(form.body, bytes)
    return "POST", path, form.body, dict(form.headers)


def closed_loop(port: int, request: Request, clients: int, seconds: float) -> np.ndarray:
    """Each of `clients` sends its next request when the last one is answered, for `seconds` seconds.

    Returns an array (requests, 2): when each was sent and answered, in seconds. AssertionError: not answered by 200.
    """
    ready = threading.Barrier(clients)

    def client(_: int) -> list[tuple[float, float]]:
        connection, visits = HTTPConnection("127.0.0.1", port, timeout=60), []
        connection.connect()
        ready.wait(60)
        end = time.perf_counter() + seconds
        while (sent := time.perf_counter()) < end:
            connection.request(*request)
            response = connection.getresponse()
            response.read()
            assert response.status == 200, response.status
            visits.append((sent, time.perf_counter()))
        connection.close()
        return visits

    with ThreadPoolExecutor(clients) as pool:
        return np.array([visit for visits in pool.map(client, range(clients)) for visit in visits])


def latencies(visits: np.ndarray) -> np.ndarray:
    """Seconds for each request."""
    return visits[:, 1] - visits[:, 0]


def throughput(visits: np.ndarray) -> float:
    """Answered requests a second."""
    return float(len(visits) / (visits[:, 1].max() - visits[:, 0].min()))


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Return when condition() is true; AssertionError where that takes too long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds} seconds"
        time.sleep(0.01)


class LabProcess:
    """The lab's API in processes of its own, on a free port; `more` are settings without their YOLOLAB_ prefix."""

    def __init__(
        self, command: Sequence[str] = (sys.executable, "-m", "yololab", "serve"), workers: int = 1, **more: object
    ):
        self.port, self.workers = free_port(), workers
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = tempfile.TemporaryDirectory()
        folder = self._folder.name
        self.log = Path(folder, "log")
        settings = {"HOST": "127.0.0.1", "PORT": self.port, "WORKERS": workers, "KEEP": 0, "API_KEY": "", **more}
        env = os.environ | {f"YOLOLAB_{name}": str(value) for name, value in settings.items()}
        env |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), folder)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=log)
        atexit.register(self.stop)  # in case the notebook is closed half-way

    def is_up(self) -> bool:
        """Whether every worker has started and the server answers that it is ready."""
        assert self.process.poll() is None, self.log.read_text()
        if self.log.read_text().count("startup complete") < self.workers:
            return False
        with suppress(requests.ConnectionError):
            return requests.get(self.url + "/ready", timeout=60).status_code == 200
        return False

    def family(self) -> list[psutil.Process]:
        """The process that was started, and all of its descendants."""
        first = psutil.Process(self.process.pid)
        return [first, *first.children(recursive=True)]

    def stop(self) -> None:
        """End the first process, which tells the others (Windows: each of them), and wait for all."""
        if self.process.poll() is None:
            family = self.family()
            for each in family if sys.platform == "win32" else family[:1]:
                with suppress(psutil.NoSuchProcess):
                    each.terminate()
            for each in psutil.wait_procs(family, timeout=30)[1]:
                each.kill()
            self.process.wait()
        atexit.unregister(self.stop)
        self._folder.cleanup()
