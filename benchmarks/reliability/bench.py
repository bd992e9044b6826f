"""What the scenarios share: a server that they start, a tally of what its clients saw, and its metrics."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.client import Connection, prepare
from benchmarks.contenders import OURS, Contender, Running, own, started

PATH = OURS["json"]
HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
Lines = list[tuple[str, str]]  # what, figure


@dataclass
class Bench:
    """What every scenario needs: the network and the photos."""

    cfg: Path
    medium: list[bytes]
    large: list[bytes]

    @contextmanager
    def serving(self, workers: int = 1, contender: Contender = own, **settings: str) -> Iterator[Running]:
        """`python -m yololab serve`, ready. settings: as in Settings; in capitals other variables."""
        named = {"workers": str(workers), "queue": "64", **settings}
        env = {name if name.isupper() else f"YOLOLAB_{name.upper()}": value for name, value in named.items()}
        with started(replace(contender, env=tuple(env.items())), self.cfg, self.medium[0]) as server:
            yield server

    def requests(self, port: int, path: str = PATH) -> tuple[list[bytes], list[bytes]]:
        """Prepared requests, and the answers that a lone client gets."""
        asked = [prepare(port, path, photo, form=True) for photo in self.medium]
        with Connection(port) as alone:
            return asked, [alone.ask(each)[1] for each in asked]


@dataclass
class Tally:
    """What became of the requests of a load. Times in seconds."""

    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    wrong: int = 0
    lost: list[float] = field(default_factory=list)  # when, on perf_counter's clock
    other: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, connection: Connection | None, port: int, request: bytes, expected: bytes) -> Connection | None:
        """Send one request and note what comes; the connection, where it is still good."""
        began = perf_counter()
        try:
            connection = connection or Connection(port)
            status, body = connection.ask(request)
        except OSError:
            with self.lock:
                self.lost.append(perf_counter())
            return None
        took = perf_counter() - began
        with self.lock:
            if status == 200:
                self.accepted.append(took)
                self.wrong += body != expected
            elif status == 503:
                self.refused.append(took)
            else:
                self.other += 1
        return connection if status == 200 else connection.close()


def watch_health(port: int, until: threading.Event) -> list[float]:
    """Ask /health twenty times a second on new connections; seconds that each answer took."""
    taken = []
    while not until.wait(0.05):
        began = perf_counter()
        with Connection(port) as connection:
            assert connection.ask(HEALTH)[0] == 200
        taken.append(perf_counter() - began)
    return taken


@contextmanager
def health(port: int) -> Iterator[list[float]]:
    """The seconds that /health took while the block ran."""
    taken: list[float] = []
    stop = threading.Event()
    thread = threading.Thread(target=lambda: taken.extend(watch_health(port, stop)))
    thread.start()
    try:
        yield taken
    finally:
        stop.set()
        thread.join()


def metric(port: int, name: str) -> float:
    request = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with Connection(port) as connection:
        text = connection.ask(request)[1].decode()
    return next(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


def milliseconds(seconds: list[float], *quantiles: float) -> str:
    return ", ".join(f"{1e3 * np.quantile(seconds, each):.0f}" for each in quantiles) + " ms" if seconds else "none"
