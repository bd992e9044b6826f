"""The soak: a server of two workers, everything at once, and the comparison of its end with its start."""

import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic, sleep

import cv2
import numpy as np
import psutil

from benchmarks.client import Connection, prepare
from benchmarks.contenders import Running
from benchmarks.reliability.bench import Bench, Lines
from benchmarks.reliability.costly.corpus import corpus

from . import clients
from .disk import fill, small_disk
from .state import State, left, look, settled

MODELS = ("starter", "mobilenetv2-yolov3-nano", "yolo-fastest-1.1-xl", "yolox-nano")
BETWEEN_KILLS = 20  # seconds
STEADY = 5  # minutes; a shorter soak is compared by answers and files only: workers were killed just before its end
LEAD_IN = 2  # minutes of the same before the first look: a worker whose mate was killed has all clients, and keeps
# the memory of so many pictures at once for the next
WARM_ROUNDS, ADDS_NOTHING = 5, 5  # at most; MB
ROUNDS = 6  # times that each known picture is asked for before the server is looked at
WARM = 60  # seconds at most, of each round


def soak(bench: Bench, minutes: float) -> tuple[Lines, list[str]]:
    """The figures, and one line for all that was lost, left or wrong."""
    with small_disk() as (folder, mounted):
        (folder / "tmp").mkdir()
        settings = {"uploads": str(folder / "uploads"), "uploads_quota": str(16 * 2**20), "keep": "1",
                    "extras": "live", "upload_timeout": "15", "TMPDIR": str(folder / "tmp")}  # fmt: skip
        with bench.serving(2, **settings) as server:
            load = _load(bench, server.port)
            disk = folder if mounted else None
            begun, _ = _attack(server, load, disk, LEAD_IN if minutes >= STEADY else 0)
            _warm(server, load, folder)
            before = settled(server, folder)
            seen, filled = _attack(server, load, disk, minutes)
            _warm(server, load, folder)
            wrong = [
                name for name, (request, answer) in load.good.items() if _ask(server.port, request) != (200, answer)
            ]
            after = settled(server, folder, before)
    lines = _lines(seen, before, after, filled if mounted else None, minutes)
    return lines, [
        *(f"at the end other: {name}" for name in wrong),
        *(line for each in (begun, seen) for line in (*each.lost, *each.wrong)),
        *left(before, after, minutes >= STEADY),
    ]


def _load(bench: Bench, port: int) -> clients.Load:
    """What is sent, and the answers that a lone client gets."""
    good = {}
    for model in MODELS:
        for number, photo in enumerate(bench.medium[:4]):
            for path in (f"/v1/detections?model={model}", f"/predict?model={model}"):
                request = prepare(port, path, photo, form=True)
                status, answer = _ask(port, request)
                if status == 200:
                    good[f"{path}, photo {number}"] = request, answer
    noisy = np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)
    large = prepare(port, "/v1/detections", cv2.imencode(".png", noisy)[1].tobytes(), form=True)
    frames = []
    for photo in bench.medium[:6]:
        answer = json.loads(_ask(port, prepare(port, "/v1/detections", photo, form=True))[1])
        frames.append((photo, answer["detections"]))
    bad = [data for make in corpus(64).values() if 0 < len(data := make()) < 2**20]
    return clients.Load(port, good, (large, _ask(port, large)[1]), frames, [*bad, b"", b"hello"])


def _ask(port: int, request: bytes) -> tuple[int, bytes]:
    with Connection(port) as connection:
        return connection.ask(request)


def _works(load: clients.Load, seen: clients.Seen, stop: threading.Event) -> list[Callable[[], None]]:
    """The clients of all kinds."""
    return [
        *(partial(clients.client, load, seen, stop, seed) for seed in range(3)),
        *(partial(clients.hostile, load, seen, stop, seed) for seed in (10, 11)),
        *(partial(clients.live, load, seen, stop) for _ in range(3)),
        partial(clients.uploader, load, seen, stop),
        partial(clients.stalled, load, stop, 30),
        partial(clients.scraper, load, seen, stop),
    ]


def _warm(server: Running, load: clients.Load, folder: Path) -> None:
    """Use the server until that adds nothing: each worker must have had each model, each kind of file, all threads."""
    was = look(server, folder)
    for _ in range(WARM_ROUNDS):
        _use(load)
        now = look(server, folder)
        if now.memory < was.memory + ADDS_NOTHING and now.threads <= was.threads:
            return
        was = now


def _use(load: clients.Load) -> None:
    """Let all clients ask until both workers have had each model and each kind of file, and have what they keep."""
    stop, seen = threading.Event(), clients.Seen()
    with _running(_works(load, seen, stop), stop):
        deadline = monotonic() + WARM
        while (seen.good < ROUNDS * len(load.good) or seen.hostile.total() < 2 * len(load.bad)) and (
            monotonic() < deadline
        ):
            sleep(0.1)
    if seen.wrong:
        raise RuntimeError(seen.wrong[0])


@contextmanager
def _running(works: list[Callable[[], None]], stop: threading.Event) -> Iterator[None]:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _attack(server: Running, load: clients.Load, disk: Path | None, minutes: float) -> tuple[clients.Seen, int]:
    """Everything at once; what the clients saw, and how often the disk was full."""
    stop, seen, filled = threading.Event(), clients.Seen(), [0]
    works = _works(load, seen, stop)
    works.append(partial(_kill, server, seen, stop, BETWEEN_KILLS if minutes >= 1 else 5))
    if disk:
        works.append(partial(fill, disk, stop, filled))
    with _running(works, stop):
        sleep(60 * minutes)
    return seen, filled[0]


def _kill(server: Running, seen: clients.Seen, stop: threading.Event, pause: float) -> None:
    """Kill a worker now and then, once both serve again."""
    chance = random.Random(0)
    while not stop.wait(pause):
        workers = _workers(server)
        if len(workers) == 2:
            seen.kills.append(monotonic())
            chance.choice(workers).kill()


def _workers(server: Running) -> list[psutil.Process]:
    return [each for each in server.process.children() if "spawn_main" in " ".join(each.cmdline())]


def _lines(seen: clients.Seen, before: State, after: State, filled: int | None, minutes: float) -> Lines:
    hostile = ", ".join(f"{count} of {status or 'closed'}" for status, count in sorted(seen.hostile.items()))
    return [
        ("minutes", f"{minutes:g}"),
        ("models", ", ".join(MODELS)),
        ("known pictures answered as at the start", str(seen.good)),
        ("refused with 503: the queue or the disk was full", str(seen.refused)),
        ("hostile requests, by status", hostile),
        ("live frames answered; connected anew", f"{seen.live}; {seen.reconnected}"),
        ("workers killed; requests lost with them", f"{len(seen.kills)}; {seen.lost_at_a_kill}"),
        ("times the disk was full", "no small disk could be mounted here" if filled is None else str(filled)),
        ("lost otherwise; wrong answers", f"{len(seen.lost)}; {len(seen.wrong)}"),
        ("memory before, after", f"{before.memory:.0f}, {after.memory:.0f} MB"),
        ("descriptors before, after", f"{before.descriptors}, {after.descriptors}"),
        ("threads before, after", f"{before.threads}, {after.threads}"),
        ("temporary files before, after", f"{len(before.files)}, {len(after.files)}"),
        ("metric files before, after", f"{before.metric_files}, {after.metric_files}"),
    ]
