"""The ladder: python -m benchmarks.run [--quick]. Writes benchmarks/RESULTS.md and results.png.

Everything in one run on one machine. In each round the contenders take turns, each started anew; what is reported are
medians over the rounds, with the quartiles.
"""

import argparse
import json
import os
import platform
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median, quantiles

import cv2
import numpy as np
import psutil
from tqdm import tqdm

from benchmarks import ROOT, report
from benchmarks.client import Connection, Load, load, prepare
from benchmarks.contenders import CONTENDERS, EQUAL, LEVERS, Contender, at_size, started
from benchmarks.inputs import arguments
from benchmarks.limit import limit, limit_name
from yololab.vision.images import decode, encode
from yololab.vision.machine import cores, cpu_name

SIDES = {"medium": 640, "small": 250, "large": 4000}  # pixels on the long side
CLIENTS = (1, 8, 32, 200)
SOME = 8  # clients for what is not measured with all of them
PHOTOS = 16
LIMITS = {"alone": (1, cores()), "limit": (cores(), 1)}  # processes and threads of each

Cell = report.Cell


def photos(sample: Path, side: int) -> list[bytes]:
    """PHOTOS JPEGs of `side` pixels on the long side."""
    made = []
    for path in sorted(sample.glob("*.jpg"))[:PHOTOS]:
        picture = decode(path.read_bytes())
        scale = side / max(picture.shape[:2])
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        made.append(encode(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=method)))
    return made


def cells(contender: Contender, quick: bool) -> list[Cell]:
    """(kind, size, clients) that a contender is measured at: peers with JSON for medium photos only."""
    if contender.group == LEVERS:
        return [("json", "medium", clients) for clients in (1, SOME)]
    found = [("json", "medium", clients) for clients in ((1, SOME) if quick else CLIENTS)]
    if "picture" in contender.paths and not quick:
        found += [(kind, size, SOME) for size in SIDES for kind in contender.paths if (kind, size) != found[0][:2]]
    return found


def measure(contender: Contender, cfg: Path, pictures: dict[str, list[bytes]], seconds: float, quick: bool):
    """One round of one contender: {cell: Load}, start-up in seconds, peak memory after the medium photos in MB."""
    loads: dict[Cell, Load] = {}
    with started(contender, cfg, pictures["medium"][0]) as server:
        server.settle()
        for kind, size, clients in cells(contender, quick):
            requests = [prepare(server.port, contender.paths[kind], each, contender.form) for each in pictures[size]]
            with Connection(server.port) as alone:
                answers = [alone.ask(request)[1] for request in requests]
            before = server.cpu()
            taken = loads[kind, size, clients] = load(server.port, requests, answers, clients, seconds)
            taken.server_cpu = server.cpu() - before
            if (kind, size) == ("json", "medium"):
                peak = server.peak_memory()
        return loads, server.start_up, peak


def measure_limit(name: str, cfg: Path, engine: str, pictures: dict[str, list[bytes]], seconds: float, quick: bool):
    """One round of "alone" or "limit": {cell: Load}; its clients are 0, it has none."""
    with limit(cfg, engine, *LIMITS[name]) as work:
        sizes = ["medium"] if quick or name == "alone" else list(SIDES)
        kinds = ["json"] if quick or name == "alone" else ["json", "picture"]
        return {(kind, size, 0): work.load(kind, pictures[size], seconds) for size in sizes for kind in kinds}


def installed(contenders: list[Contender]) -> Iterator[Contender]:
    """Those whose packages are there; says which are not."""
    missing = []
    for contender in contenders:
        try:
            contender.package and version(contender.package)
            yield contender
        except PackageNotFoundError:
            missing.append(contender.name)
    if missing:
        print(f"not installed, left out: {', '.join(missing)} (pip install -e '.[bench]')")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure this project beside others.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="medium photos, 1 and 8 clients, one round, one second")
    parser.add_argument("--only", nargs="+", help="names of contenders")
    options = arguments(parser)
    if options.quick:
        options.rounds, options.seconds = 1, 1
    (ROOT / "build").mkdir(exist_ok=True)
    pictures = {name: photos(options.photos, side) for name, side in SIDES.items()}
    there = [each for each in installed(CONTENDERS) if not options.only or each.name in options.only]
    cfgs = {size: at_size(options.model, size) for size in {each.size for each in CONTENDERS}}
    record = report.Record()
    rounds = defaultdict(list)
    for number in range(options.rounds):
        turns = [(name, size) for name in LIMITS for size in cfgs] + [(each, each.size) for each in there]
        for turn, size in tqdm(turns, desc=f"round {number + 1} of {options.rounds}"):
            given = cfgs[size], pictures, options.seconds, options.quick
            if isinstance(turn, str):
                engine = "auto" if size is None else "float32"
                key, loads = limit_name(turn, size), measure_limit(turn, given[0], engine, *given[1:])
            else:
                key, (loads, start_up, peak) = turn.name, measure(turn, *given)
                record.start_up.setdefault(key, []).append(start_up)
                record.memory.setdefault(key, []).append(peak)
            for cell, taken in loads.items():
                rounds[key, cell].append(taken)
    for (name, cell), loads in rounds.items():
        record.rows.setdefault(name, {})[cell] = summary(loads)
    record.groups = {each.name: each.group for each in there}
    record.facts = {
        "model": f"{options.model.stem}; {EQUAL}: at {max(filter(None, cfgs))} pixels in float32",
        "photos": f"{len(pictures['medium'])}, medium ones 640 pixels wide, small 250, large 4000",
        "rounds": f"{options.rounds}, each measurement {options.seconds:g} s", **machine(),
    }  # fmt: skip
    (ROOT / "build/bench.json").write_text(json.dumps(record.as_json(), indent=1))
    report.write(record)


def summary(loads: list[Load]) -> dict[str, float]:
    """Medians over the rounds, and quartiles of the rate; wrong answers and errors of all rounds. Times in ms."""
    rates = [each.rate for each in loads]
    low, middle, high = quantiles(rates, n=4, method="inclusive") if len(rates) > 1 else rates * 3
    return {
        "rate": middle,
        "low": low,
        "high": high,
        "cost": median(each.cost for each in loads),
        "p50": median(float(np.quantile(each.seconds, 0.5)) if each.seconds else 0 for each in loads) * 1e3,
        "p99": median(float(np.quantile(each.seconds, 0.99)) if each.seconds else 0 for each in loads) * 1e3,
        "answers": sum(len(each.seconds) for each in loads),
        "wrong": sum(each.wrong for each in loads),
        "errors": sum(each.errors for each in loads),
    }


def machine() -> dict[str, str]:
    """The machine's facts, without its name."""
    packages = ("fastapi", "uvicorn", "openvino", "onnxruntime", "opencv-python-headless", "litserve", "mosec",
                "bentoml", "ray")  # fmt: skip
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    size = f"{len(os.sched_getaffinity(0))} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB"
    return {"CPU": f"{cpu_name()}, {size}", "Python": platform.python_version(), "packages": ", ".join(found)}


if __name__ == "__main__":
    main()
