"""`yololab serve` as a process of its own, and the workers under it."""

import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import requests
from helpers import wait_for

COMMAND = [sys.executable, "-m", "yololab", "serve", "--port", "0"]


@contextmanager
def started(log: Path, command=COMMAND, **settings):
    """`yololab serve`, its log in a file: its URL and its process, which is killed at the end with all it started."""
    env = os.environ | {"YOLOLAB_KEEP": "0"} | {f"YOLOLAB_{key.upper()}": str(value) for key, value in settings.items()}
    with log.open("w") as file:
        process = psutil.Popen(command, stderr=file, env=env)
    family = [process]
    try:
        wait_for(lambda: "/docs" in log.read_text() or process.poll() is not None, "the address")
        yield next(part for part in log.read_text().split() if part.endswith("/docs")).removesuffix("/docs"), process
        with suppress(psutil.Error):
            family += process.children(recursive=True)
    finally:
        for each in family:
            with suppress(psutil.Error):
                each.kill()
        process.wait(60)


def serving(process: psutil.Process) -> list[psutil.Process]:
    """The worker processes that live."""
    found = []
    for child in process.children():
        with suppress(psutil.Error):  # it ended a moment ago
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def wait_until_both_live(url: str, process: psutil.Process) -> None:
    wait_for(lambda: len(serving(process)) >= 2)
    assert requests.get(f"{url}/ready", timeout=60).status_code == 200
