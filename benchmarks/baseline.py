"""The baseline: decode, detect and answer in a loop over all cores, without HTTP.

No limit: the threads of one process share its interpreter's lock, and a server with a process for each core does not.
"""

import threading
from pathlib import Path
from time import perf_counter, process_time

from benchmarks.client import Load
from benchmarks.servers.common import CONFIDENCE, detect
from yololab.vision.detector import Detector
from yololab.vision.drawing import annotate
from yololab.vision.images import decode_small, decode_whole, encode
from yololab.vision.machine import cores


def picture(detector: Detector, photo: bytes) -> bytes:
    """The annotated picture, as the API makes it."""
    small, size = decode_small(photo, max(detector.size))
    return encode(annotate(decode_whole(photo, small, size), detector(small, CONFIDENCE, original=size)))


class Baseline:
    """One detector in this process, asked by some threads."""

    def __init__(self, cfg: Path):
        self._detector = Detector(cfg)

    def load(self, kind: str, photos: list[bytes], threads: int, seconds: float) -> Load:
        """As `client.load`, without a server."""
        work = detect if kind == "json" else picture
        result, lock = Load(threads), threading.Lock()
        began, cpu = perf_counter(), process_time()

        def loop(number: int) -> None:
            taken = []
            while perf_counter() - began < seconds:
                number = (number + 1) % len(photos)
                start = perf_counter()
                work(self._detector, photos[number])
                taken.append(perf_counter() - start)
            with lock:
                result.seconds.extend(taken)

        running = [threading.Thread(target=loop, args=(3 * number,)) for number in range(min(threads, cores()))]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        result.elapsed, result.cpu = perf_counter() - began, process_time() - cpu
        return result
