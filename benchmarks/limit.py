"""The limit: decode, detect and answer in a loop, without HTTP, in as many processes as there are cores.

Nothing that also speaks HTTP can be faster, but for what a second of noise makes.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from time import perf_counter, process_time

from benchmarks.client import Load
from benchmarks.servers.common import CONFIDENCE, detect
from yololab.vision.detector import Detector
from yololab.vision.drawing import annotate
from yololab.vision.images import decode_small, decode_whole, encode

detector: Detector
barrier: Barrier


def picture(detector: Detector, photo: bytes) -> bytes:
    """The annotated picture, as the API makes it."""
    small, size = decode_small(photo, max(detector.size))
    return encode(annotate(decode_whole(photo, small, size), detector(small, CONFIDENCE, original=size)))


WORK = {"json": detect, "picture": picture}


def limit_name(name: str, size: int | None) -> str:
    """How the limit for a size stands in the tables; size None is the network's own."""
    words = {"alone": "one picture at a time, all cores, no HTTP", "limit": "limit: no HTTP, a process for each core"}
    return words[name] + (f", {size} px" if size else "")


class Limit:
    """So many processes, each with its own detector on so many threads."""

    def __init__(self, pool: ProcessPoolExecutor, processes: int):
        self._pool, self._processes = pool, processes

    def load(self, kind: str, photos: list[bytes], seconds: float) -> Load:
        """As `client.load`, without a server: what all processes do together in so many seconds."""
        running = [self._pool.submit(_loop, kind, photos, 3 * number, seconds) for number in range(self._processes)]
        result = Load(self._processes)
        for taken, elapsed, cpu in (each.result() for each in running):
            result.seconds += taken
            result.elapsed = max(result.elapsed, elapsed)
            result.server_cpu += cpu
        return result


@contextmanager
def limit(cfg: Path, engine: str, processes: int, threads: int) -> Iterator[Limit]:
    """Processes with the model of `cfg` loaded, for a while."""
    context = get_context("spawn")
    together = context.Barrier(processes)
    with ProcessPoolExecutor(processes, context, _prepare, (cfg, engine, threads, together)) as pool:
        yield Limit(pool, processes)


def _prepare(cfg: Path, engine: str, threads: int, together: Barrier) -> None:
    global detector, barrier
    detector, barrier = Detector(cfg, engine, threads=threads), together


def _loop(kind: str, photos: list[bytes], first: int, seconds: float) -> tuple[list[float], float, float]:
    """Seconds of each picture, seconds in all, seconds of CPU; begun when all processes have come to this point."""
    WORK[kind](detector, photos[0])
    taken, number = [], first
    barrier.wait(60)
    began, cpu = perf_counter(), process_time()
    while perf_counter() - began < seconds:
        number = (number + 1) % len(photos)
        start = perf_counter()
        WORK[kind](detector, photos[number])
        taken.append(perf_counter() - start)
    return taken, perf_counter() - began, process_time() - cpu
