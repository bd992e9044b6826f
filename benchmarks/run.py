"""The ladder: python -m benchmarks.run [--quick]. Writes benchmarks/RESULTS.md and results.png.

Everything in one run on one machine. In each round the contenders take turns, each started anew; what is reported are
medians over the rounds.
"""

import argparse
import json
import os
import platform
import signal
import socket
import subprocess
import sys
from collections import defaultdict
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

import cv2
import numpy as np
import psutil
from tqdm import tqdm

from benchmarks import ROOT, report
from benchmarks.baseline import Baseline
from benchmarks.client import Connection, Load, load, prepare
from benchmarks.inputs import arguments
from benchmarks.servers.common import CONFIDENCE
from yololab.vision.images import decode, encode

SIDES = {"medium": 640, "small": 250, "large": 4000}  # pixels on the long side
CLIENTS = (1, 8, 32)
PHOTOS = 16


@dataclass(frozen=True)
class Contender:
    """A server to compare. paths: route by kind of answer; package: what it needs beside the lab's own."""

    name: str
    module: str
    paths: dict[str, str]
    form: bool = True
    package: str | None = None
    options: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()

    def command(self, port: int, cfg: Path) -> list[str]:
        if self.module == "yololab":
            return [sys.executable, "-m", "yololab", "serve"]
        return [sys.executable, "-m", f"benchmarks.servers.{self.module}", str(port), str(cfg), *self.options]


JSON = {"json": "/json"}
BOTH = {"json": "/json", "picture": "/picture"}
OURS = {kind: f"{path}?confidence={CONFIDENCE}" for kind, path in
        {"json": "/v1/detections", "picture": "/predict"}.items()}  # fmt: skip
CONTENDERS = [
    Contender("classic handler", "classic", BOTH),
    Contender("classic handler, lock", "classic", BOTH, options=("lock",)),
    Contender("this project", "yololab", OURS),
    Contender("this project, 2 workers", "yololab", OURS, env=(("YOLOLAB_WORKERS", "2"),)),
    Contender("FastAPI + ONNX Runtime", "plain", JSON, package="onnxruntime"),
    Contender("LitServe", "litserve_", JSON, package="litserve"),
    Contender("mosec", "mosec_", {"json": "/inference"}, form=False, package="mosec"),
    Contender("Ray Serve", "ray_", JSON, form=False, package="ray"),
]


@dataclass
class Running:
    """A started contender. start_up: seconds until its first answer."""

    port: int
    start_up: float
    process: psutil.Process

    def peak_memory(self) -> float:
        """VmHWM of all its processes together, MB."""
        total = 0
        for process in [self.process, *self.process.children(recursive=True)]:
            status = Path(f"/proc/{process.pid}/status").read_text()
            total += next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)
        return total / 1024


@contextmanager
def started(contender: Contender, cfg: Path, photo: bytes):
    """Start a contender, wait for its first answer, and end it with all its processes afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {"YOLOLAB_PORT": str(port), "YOLOLAB_MODEL_PATH": str(cfg.parent), "YOLOLAB_MODEL": cfg.stem,
                        "YOLOLAB_KEEP": "0", "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0",
                        **dict(contender.env)}  # fmt: skip
    log = (ROOT / "build" / f"bench-{contender.module}.log").open("w")
    began = perf_counter()
    child = subprocess.Popen(contender.command(port, cfg), env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        request = prepare(port, contender.paths["json"], photo, contender.form)
        while True:
            if child.poll() is not None or perf_counter() - began > 120:
                raise RuntimeError(f"{contender.name} does not answer; see {log.name}")
            try:
                with Connection(port) as connection:
                    if connection.ask(request)[0] == 200:
                        break
            except OSError:  # not listening yet
                sleep(0.005)
        yield Running(port, perf_counter() - began, psutil.Process(child.pid))
    finally:
        family = psutil.Process(child.pid).children(recursive=True) if child.poll() is None else []
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
        for process in psutil.wait_procs(family, timeout=5)[1]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        log.close()


def photos(sample: Path, side: int) -> list[bytes]:
    """PHOTOS JPEGs of `side` pixels on the long side."""
    made = []
    for path in sorted(sample.glob("*.jpg"))[:PHOTOS]:
        picture = decode(path.read_bytes())
        scale = side / max(picture.shape[:2])
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        made.append(encode(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=method)))
    return made


def cells(contender: Contender | None, quick: bool) -> list[tuple[str, str, int]]:
    """(kind, size, clients) that a contender is measured at: peers with JSON for medium photos only."""
    kinds = contender.paths if contender else BOTH
    sizes = ("medium",) if quick or "picture" not in kinds else SIDES
    return [(kind, size, clients) for size in sizes for kind in kinds for clients in CLIENTS]


def measure(contender: Contender, cfg: Path, pictures: dict[str, list[bytes]], seconds: float, quick: bool):
    """One round of one contender: {cell: Load}, start-up in seconds, peak memory after the medium photos in MB."""
    loads: dict[tuple, Load] = {}
    with started(contender, cfg, pictures["medium"][0]) as server:
        for kind, size, clients in cells(contender, quick):
            requests = [prepare(server.port, contender.paths[kind], each, contender.form) for each in pictures[size]]
            with Connection(server.port) as alone:
                answers = [alone.ask(request)[1] for request in requests]
            loads[kind, size, clients] = load(server.port, requests, answers, clients, seconds)
            if size == "medium":
                peak = server.peak_memory()
        return loads, server.start_up, peak


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure this project beside others.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="medium photos only, one round, one second")
    parser.add_argument("--only", nargs="+", help="names of contenders")
    options = arguments(parser)
    if options.quick:
        options.rounds, options.seconds = 1, 1
    cfg = options.model
    pictures = {name: photos(options.photos, side) for name, side in SIDES.items()}
    (ROOT / "build").mkdir(exist_ok=True)

    there, missing = [], []
    for contender in CONTENDERS:
        try:
            contender.package and version(contender.package)
        except PackageNotFoundError:
            missing.append(contender.name)
            continue
        if not options.only or contender.name in options.only:
            there.append(contender)
    if missing:
        print(f"not installed, left out: {', '.join(missing)} (pip install -e '.[bench]')")
    baseline = Baseline(cfg)
    results: dict[str, dict] = defaultdict(lambda: defaultdict(list))
    start_ups, memory = defaultdict(list), defaultdict(list)
    for number in range(options.rounds):
        for contender in tqdm([None, *there], desc=f"round {number + 1} of {options.rounds}"):
            if contender is None:
                for kind, size, clients in cells(None, options.quick):
                    taken = baseline.load(kind, pictures[size], clients, options.seconds)
                    results[report.BASELINE][kind, size, clients].append(taken)
                continue
            loads, start_up, peak = measure(contender, cfg, pictures, options.seconds, options.quick)
            for cell, taken in loads.items():
                results[contender.name][cell].append(taken)
            start_ups[contender.name].append(start_up)
            memory[contender.name].append(peak)
    table = {name: {cell: summary(loads) for cell, loads in row.items()} for name, row in results.items()}
    facts = {"model": f"{cfg.stem} at 416", "photos": str(len(pictures["medium"])), "rounds": str(options.rounds),
             "seconds": str(options.seconds), **machine()}  # fmt: skip
    start = {name: median(values) for name, values in start_ups.items()}
    peak = {name: median(values) for name, values in memory.items()}
    raw = [[name, *cell, values] for name, row in table.items() for cell, values in row.items()]
    record = json.dumps({"facts": facts, "cells": raw, "start_up": start, "memory": peak}, indent=1)
    (ROOT / "build/bench.json").write_text(record)
    report.write(table, facts, start, peak)


def summary(loads: list[Load]) -> dict[str, float]:
    """Medians over the rounds; wrong answers and errors of all rounds together. Times in ms."""
    return {
        "rate": median(each.rate for each in loads),
        "p50": median(float(np.quantile(each.seconds, 0.5)) for each in loads) * 1e3,
        "p99": median(float(np.quantile(each.seconds, 0.99)) for each in loads) * 1e3,
        "wrong": sum(each.wrong for each in loads) / max(1, sum(len(each.seconds) for each in loads)),
        "errors": sum(each.errors for each in loads),
        "client": median(each.cpu_share for each in loads),
    }


def machine() -> dict[str, str]:
    """The machine's facts, without its name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    packages = ("fastapi", "uvicorn", "openvino", "onnxruntime", "opencv-python-headless", "litserve", "mosec", "ray")
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    cores = f"{len(os.sched_getaffinity(0))} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB"
    return {"CPU": f"{model}, {cores}", "Python": platform.python_version(), "packages": ", ".join(found)}


if __name__ == "__main__":
    main()
