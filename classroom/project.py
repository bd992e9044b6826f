"""The student's package of the capstone, served from its folder by a process of its own, and tested there."""

import os
import re
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
    """A running service: its address, and the files that its standard output and standard error go to."""

    url: str
    log: Path
    errors: Path


@contextmanager
def running(folder: Path = FOLDER, **env: str) -> Iterator[Service]:
    """Serve the package in `folder` with these environment variables until the block ends.

    Returns once GET /health answers. Raises NotStarted.
    """
    port = free_port()
    home = Path(tempfile.mkdtemp())
    service = Service(f"http://127.0.0.1:{port}", home / "service.log", home / "errors.log")
    command = [sys.executable, "-B", "-m", "uvicorn", APP, "--port", str(port), "--no-access-log"]
    with service.log.open("w") as out, service.errors.open("w") as errors:
        process = subprocess.Popen(command, cwd=folder, env=os.environ | env, stdout=out, stderr=errors)
    try:
        _wait(process, service, folder)
        yield service
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(home)


def crash(text: str, folder: Path) -> str:
    """The last traceback in what a process printed: its exception, and the last of its lines that lies in `folder`.

    Empty where there is no traceback.
    """
    _, found, last = text.rpartition("Traceback (most recent call last):\n")
    said = re.search(r"(?m)^\w.*", last)
    if not found or not said:
        return ""
    frames = re.findall(r'File "(.+)", line (\d+)(?:, in .+)?\n +(.+)', last)
    own = [(Path(name), line, code) for name, line, code in frames if Path(name).is_relative_to(folder.resolve())]
    path, line, code = own[-1] if own else (None, "", "")
    where = f" (your line {line} of {path.relative_to(folder.resolve())}: {code})" if path else ""
    return said[0][:300] + where


def printed_crash(service: Service, folder: Path, seconds: float = 1) -> str:
    """As `crash`, of what the service has printed: it answers a 500 a moment before it prints why."""
    deadline = time.monotonic() + seconds
    while not (said := crash(service.errors.read_text(errors="replace"), folder)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return said


def _wait(process: subprocess.Popen[bytes], service: Service, folder: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            status = requests.get(f"{service.url}/health", timeout=5).status_code
            if status == 200:
                return
            if status == 500:  # it is there, and broken
                break
        except requests.RequestException:
            pass
        time.sleep(0.05)
    text = service.errors.read_text(errors="replace")
    lines = text.split("\n") if process.poll() is not None else []
    last = next((line for line in reversed(lines) if line.strip()), "GET /health did not answer 200")
    raise NotStarted(printed_crash(service, folder) or last)


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
