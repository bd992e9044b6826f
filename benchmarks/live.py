"""20 connections of /v1/live, each faster than it can be served: python -m benchmarks.live [--seconds 30].

First one connection alone, against the detector without a server: frames a second of both, in turn. Then the load.
Prints how many frames each connection got answered, what /health and /predict took meanwhile, and the server's memory.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

import cv2
import httpx2
import psutil
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from benchmarks import ROOT
from yololab.api.rendering import as_dict
from yololab.api.result import Options
from yololab.api.service import DetectionService
from yololab.api.settings import Settings
from yololab.vision.machine import free_port

CLIP = ROOT / "yololab" / "api" / "pages" / "shared" / "clip.webm"


@dataclass
class Tally:
    """What came of the load. Times in seconds, memory in bytes."""

    answered: list[int]
    skipped: int = 0
    wrong: int = 0
    health: list[float] = field(default_factory=list)
    predict: list[float] = field(default_factory=list)
    predict_failed: int = 0
    memory: list[int] = field(default_factory=list)


def frames() -> list[bytes]:
    """Every third frame of the clip as a JPEG."""
    film, found = cv2.VideoCapture(str(CLIP)), []
    while (read := film.read())[0]:
        found.append(cv2.imencode(".jpg", read[1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())
    return found[::3]


async def camera(url: str, number: int, pictures: list[bytes], expected: list[dict], rate: float, end: float,
                 tally: Tally) -> None:  # fmt: skip
    """One connection: sends `rate` frames a second whatever comes back, and compares each answer."""
    async with connect(url, proxy=None, open_timeout=60, compression=None) as websocket:

        async def send() -> None:
            due, at = perf_counter(), number  # each starts with another picture
            while perf_counter() < end:
                await websocket.send(pictures[at % len(pictures)])
                at, due = at + 1, due + 1 / rate
                await asyncio.sleep(max(0, due - perf_counter()))

        sending = asyncio.create_task(send())
        try:
            while perf_counter() < end:
                async with asyncio.timeout(60):
                    answer = json.loads(await websocket.recv())
                true = expected[(number + answer["frame"] - 1) % len(pictures)]
                same = [{key: value for key, value in each.items() if key != "color"} for each in answer["detections"]]
                tally.wrong += same != true["detections"]
                tally.answered[number] += 1
                tally.skipped += answer["skipped"]
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


async def ask(client: httpx2.AsyncClient, method: str, path: str, times: list[float], pause: float, end: float,
              **request: object) -> int:  # fmt: skip
    """Ask again and again; the number of answers that were not 200."""
    failed = 0
    while perf_counter() < end:
        started = perf_counter()
        response = await client.request(method, path, **request)
        times.append(perf_counter() - started)
        failed += response.status_code != 200
        await asyncio.sleep(pause)
    return failed


async def watch(process: psutil.Process, memory: list[int], end: float) -> None:
    """The server's resident memory, each second."""
    while perf_counter() < end:
        memory.append(process.memory_info().rss)
        await asyncio.sleep(1)


async def measure(port: int, pid: int, connections: int, rate: float, seconds: float) -> Tally:
    """The whole load at once."""
    pictures, tally = frames(), Tally([0] * connections)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
        expected = [(await client.post("/v1/detections", files={"file": each})).json() for each in pictures]
        end = perf_counter() + seconds
        url = f"ws://127.0.0.1:{port}/v1/live"
        cameras = [camera(url, each, pictures, expected, rate, end, tally) for each in range(connections)]
        _, _, tally.predict_failed, *_ = await asyncio.gather(
            watch(psutil.Process(pid), tally.memory, end),
            ask(client, "GET", "/health", tally.health, 0.02, end),
            ask(client, "POST", "/predict", tally.predict, 0, end, files={"file": pictures[0]}),
            *cameras,
        )
    return tally


async def paced(port: int, pictures: list[bytes], seconds: float) -> float:
    """Frames a second of one connection that keeps two frames under way, as the page does."""
    async with connect(f"ws://127.0.0.1:{port}/v1/live", proxy=None, open_timeout=60, compression=None) as websocket:
        await websocket.send(pictures[0])
        began, count = perf_counter(), 0
        while perf_counter() - began < seconds:
            await websocket.send(pictures[(count + 1) % len(pictures)])
            await websocket.recv()
            count += 1
        return count / (perf_counter() - began)


def alone(service: DetectionService, pictures: list[bytes], seconds: float) -> float:
    """Frames a second of decoding and detecting in this process, one after the other."""
    began, count = perf_counter(), 0
    while perf_counter() - began < seconds:
        service.process(pictures[count % len(pictures)], Options(service.settings.model), as_dict)
        count += 1
    return count / (perf_counter() - began)


def compare(port: int, rounds: int = 8, seconds: float = 1.5) -> str:
    """One connection against the detector alone, in turn, so that other load on the machine meets both."""
    service, pictures, pairs = DetectionService(Settings(keep=False)), frames(), []
    for _ in range(rounds):
        pairs.append((asyncio.run(paced(port, pictures, seconds)), alone(service, pictures, seconds)))
    ratio = median(live / lone for live, lone in pairs)
    live, lone = (median(column) for column in zip(*pairs, strict=True))
    return (
        f"one connection: {live:.1f} frames a second, the detector alone {lone:.1f}; median of the ratios {ratio:.2f}"
    )


def report(tally: Tally, seconds: float) -> str:
    """The figures, one a line."""
    shares, health = sorted(tally.answered), sorted(tally.health)
    megabytes = [each / 2**20 for each in tally.memory]
    third = max(1, len(megabytes) // 3)
    return "\n".join([
        f"frames: {sum(shares)} answered ({sum(shares) / seconds:.1f} a second), {tally.skipped} left out, "
        f"{tally.wrong} wrong",
        f"shares: {shares[0]} to {shares[-1]} frames a connection, a factor of {shares[-1] / max(1, shares[0]):.2f}",
        f"/health: median {median(health) * 1e3:.1f} ms, p99 {health[int(0.99 * len(health))] * 1e3:.1f} ms "
        f"({len(health)} requests)",
        f"/predict: {len(tally.predict)} answered, {tally.predict_failed} of them not 200, "
        f"median {median(tally.predict) * 1e3:.0f} ms, longest {max(tally.predict) * 1e3:.0f} ms",
        f"memory: {median(megabytes[third : 2 * third]):.0f} MiB in the middle third, "
        f"{median(megabytes[-third:]):.0f} MiB in the last, {max(megabytes):.0f} MiB at most",
    ])  # fmt: skip


def main() -> None:
    """Start a server, measure, print, stop it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--rate", type=float, default=10, help="frames a second of each")
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    port = free_port()
    env = os.environ | {"YOLOLAB_PORT": str(port), "YOLOLAB_EXTRAS": "live", "YOLOLAB_KEEP": "0"}
    server = subprocess.Popen([sys.executable, "-m", "yololab", "serve"], cwd=ROOT, env=env,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            while server.poll() is None:
                try:
                    if client.get("/ready").status_code == 200:
                        break
                except httpx2.TransportError:
                    continue
        print(compare(port))
        print(f"{options.connections} connections, {options.rate:g} frames a second each, {options.seconds:g} s")
        tally = asyncio.run(measure(port, server.pid, options.connections, options.rate, options.seconds))
        print(report(tally, options.seconds))
    except ConnectionClosed as closed:
        sys.exit(f"a connection was closed: {closed}")
    finally:
        server.terminate()
        server.wait(60)


if __name__ == "__main__":
    main()
