"""The student's package of the capstone, served from its folder by a process of its own, and tested there."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from classroom import ROOT
from yololab.vision.machine import free_port

FOLDER = Path(os.environ.get("CLASSROOM_PROJECT", ROOT / "build/capstone"))
APP = "fraudapi.api:app"
SECONDS = 60  # that a start, or the tests of the package, may take


class NotStarted(Exception):
    """The service ended before it answered, or did not answer in time; the message is its last words."""


@dataclass(frozen=True)
class Service:
    """A running service: its address, and the file that its standard output goes to."""

    url: str
    log: Path


@contextmanager
def running(folder: Path = FOLDER, **env: str) -> Iterator[Service]:
    """Serve the package in `folder` with these environment variables until the block ends.

    Returns once GET /health answers. Raises NotStarted.
    """
    port = free_port()
    service = Service(f"http://127.0.0.1:{port}", Path(tempfile.mkdtemp()) / "service.log")
    command = [sys.executable, "-B", "-m", "uvicorn", APP, "--port", str(port), "--no-access-log"]
    words = service.log.with_name("errors.log")
    with service.log.open("w") as out, words.open("w") as errors:
        process = subprocess.Popen(command, cwd=folder, env=os.environ | env, stdout=out, stderr=errors)
    try:
        _wait(process, service.url, words)
        yield service
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(service.log.parent)


def _wait(process: subprocess.Popen[bytes], url: str, words: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if requests.get(f"{url}/health", timeout=5).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.05)
    lines = [line for line in words.read_text(errors="replace").splitlines() if line.strip()]
    said = lines[-1] if process.poll() is not None and lines else "GET /health did not answer 200"
    raise NotStarted(said)


def tested(folder: Path, sabotage: str = "") -> subprocess.CompletedProcess[str]:
    """Run the package's own tests in a copy of its folder; `sabotage` is code at the end of the copy's api.py."""
    with tempfile.TemporaryDirectory() as copy:
        there = Path(copy) / "project"
        shutil.copytree(folder, there, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
        with (there / "fraudapi/api.py").open("a") as file:
            file.write(f"\n\n{sabotage}")
        command = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
        try:
            return subprocess.run(command, cwd=there, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, "", f"no end within {SECONDS} s")


def altered(change: str) -> str:
    """Sabotage: every response is changed. change: statements over `status` (int) and `body` (bytes)."""
    return f"""
class Altered:
    def __init__(self, right):
        self.right = right

    def __getattr__(self, name):
        return getattr(self.right, name)

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.right(scope, receive, send)
        held = []

        async def keep(message):
            held.append(message)

        await self.right(scope, receive, keep)
        status, body = held[0]["status"], b"".join(each.get("body", b"") for each in held[1:])
        {change}
        headers = [pair for pair in held[0]["headers"] if pair[0] != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        await send({{"type": "http.response.start", "status": status, "headers": headers}})
        await send({{"type": "http.response.body", "body": body}})


app = Altered(app)
"""
