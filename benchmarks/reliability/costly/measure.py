"""CPU and memory of each costly file, as multiples of what an ordinary one of the same size takes."""

import ctypes
import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import process_time

from tqdm import tqdm

from benchmarks.reliability.bench import Bench, Lines
from yololab.errors import LabError
from yololab.vision.cost import memory_of
from yololab.vision.images import decode, give_back_memory

from .corpus import corpus, ordinary

SIDES = (1000, 100)  # pixels
CPU, MEMORY = 20, 4  # at most so many times an ordinary file
LEAST_CPU, LEAST_MEMORY = 0.002, 4 * 10**6  # seconds, bytes: an ordinary file counts for at least that
TURNS = 5
NETWORK = 416  # pixels


@dataclass(frozen=True)
class Taken:
    """What one file took, as multiples, and the sentence that refused it."""

    cpu: float
    memory: float
    refused: str


def work(data: bytes) -> str:
    """What a request does with a file before the network; the sentence where it is refused."""
    try:
        memory_of(data, NETWORK, draw=False)
        decode(data)
    except LabError as error:
        return str(error)
    return ""


def seconds(data: bytes) -> float:
    """CPU of one call, all threads, the median of some."""
    times = []
    for _ in range(TURNS):
        began = process_time()
        work(data)
        times.append(process_time() - began)
    return median(times)


def memory(data: bytes) -> int:
    """Bytes by which the resident memory grows at the peak of one call; the file itself is not counted. Linux only."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM to VmRSS
    before = _status("VmRSS")
    work(data)
    return _status("VmHWM") - before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def measured(side: int, show: Callable[[str], None]) -> dict[str, Taken]:
    """Every file of the corpus against an ordinary one that is measured beside it."""
    plain, found = ordinary(side), {}
    work(plain)
    least = max(LEAST_MEMORY, memory(plain))
    for name, make in tqdm(corpus(side).items(), desc=f"{side} x {side}", file=sys.stderr):
        data = make()
        if not data:
            continue
        beside = max(LEAST_CPU, seconds(plain))
        found[name] = Taken(seconds(data) / beside, memory(data) / least, work(data))
        show(f"{name}: {found[name]}")
    return found


def costly(bench: Bench) -> Lines:
    """Valid files that cost more than an ordinary one of their size."""
    give_back_memory()
    lines = []
    for side in SIDES:
        found = measured(side, lambda line: None)
        for name, taken in found.items():
            over = " **over**" if taken.cpu > CPU or taken.memory > MEMORY else ""
            refused = f"; refused: {taken.refused.split('. ')[0]}" if taken.refused else ""
            lines.append((f"{side} x {side}: {name}", f"{taken.cpu:.1f}, {taken.memory:.1f}{over}{refused}"))
    return lines
