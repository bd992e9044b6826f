"""What the API does under overload and faults: python -m benchmarks.reliability [NAME ...]. Writes RELIABILITY.md."""

import argparse
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, sleep

import numpy as np
import psutil

from benchmarks import ROOT
from benchmarks.client import Connection, load, prepare
from benchmarks.inputs import arguments
from benchmarks.run import CONTENDERS, OURS, Running, machine, photos, started

HERE = Path(__file__).parent
MARK = "<!-- {} -->"
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
    def serving(self, workers: int = 1, **settings: str) -> Iterator[Running]:
        """`python -m yololab serve`, ready."""
        ours = next(each for each in CONTENDERS if each.name == "this project")
        env = {"YOLOLAB_WORKERS": str(workers), **{f"YOLOLAB_{name.upper()}": each for name, each in settings.items()}}
        ours = type(ours)(ours.name, ours.module, ours.paths, env=tuple(env.items()))
        with started(ours, self.cfg, self.medium[0]) as server:
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


def overload(bench: Bench) -> Lines:
    """Requests come at five times the capacity for 30 s, whether the earlier ones have been answered or not."""
    with bench.serving() as server:
        asked, answers = bench.requests(server.port)
        capacity = load(server.port, asked, answers, 8, 5).rate
        before = server.process.memory_info().rss
        tally, began, seconds, clients = Tally(), perf_counter() + 0.5, 30, 400

        def client(number: int) -> None:
            connection = None
            for turn in range(number, int(5 * capacity * seconds), clients):
                sleep(max(0, began + turn / (5 * capacity) - perf_counter()))
                each = turn % len(asked)
                connection = tally.ask(connection, server.port, asked[each], answers[each])

        threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
        with health(server.port) as taken:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        elapsed = perf_counter() - began
        peak = server.peak_memory()
        after = server.process.memory_info().rss
    total = len(tally.accepted) + len(tally.refused) + len(tally.lost) + tally.other
    return [
        ("capacity, 8 clients", f"{capacity:.0f} requests/s"),
        ("sent", f"{total} requests in {elapsed:.0f} s, {total / elapsed / capacity:.1f} times the capacity"),
        ("accepted and right", f"{len(tally.accepted) - tally.wrong}, that is {len(tally.accepted) / elapsed:.0f}/s"),
        ("accepted and wrong", str(tally.wrong)),
        ("refused with 503", str(len(tally.refused))),
        ("connections broken while a refused request was still being sent", str(len(tally.lost))),
        ("other statuses", str(tally.other)),
        ("accepted: p50, p99", _ms(tally.accepted, 0.5, 0.99)),
        ("refused: p50, p99", _ms(tally.refused, 0.5, 0.99)),
        ("/health: p50, p99, longest", _ms(taken, 0.5, 0.99, 1)),
        ("memory before, at the peak, after", f"{before / 2**20:.0f}, {peak:.0f}, {after / 2**20:.0f} MB"),
    ]


def impatient(bench: Bench) -> Lines:
    """110 clients send a 4000 px photo at once, and hang up after 2.5 s; then the server is asked what it did."""
    with bench.serving(queue="200") as server:
        large = prepare(server.port, OURS["picture"], bench.large[0], form=True)
        tally = Tally()

        def client() -> None:
            connection = Connection(server.port)
            connection._socket.settimeout(2.5)
            tally.ask(connection, server.port, large, b"")
            connection.close()

        threads = [threading.Thread(target=client) for _ in range(110)]
        with health(server.port) as taken:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            deadline = perf_counter() + 60
            while (waiting := _metric(server.port, "yololab_waiting")) > 0 and perf_counter() < deadline:
                sleep(0.05)
        computed = _metric(server.port, 'yololab_stage_seconds_count{stage="detect"}') - 1  # the one of start-up
    return [
        ("answered in time", str(len(tally.accepted))),
        ("hung up", str(len(tally.lost))),
        ("computed all the same (they were being worked on)", f"{computed - len(tally.accepted):.0f}"),
        ("left in the queue", f"{waiting:.0f}"),
        ("/health: p50, p99, longest", _ms(taken, 0.5, 0.99, 1)),
    ]


def slow_clients(bench: Bench) -> Lines:
    """200 connections send half a request and then nothing; others go on working."""
    with bench.serving() as server:
        asked, answers = bench.requests(server.port)
        alone = load(server.port, asked, answers, 1, 3)
        half = [Connection(server.port) for _ in range(200)]
        for each in half:
            each._socket.sendall(asked[0][: len(asked[0]) // 2])
        beside = load(server.port, asked, answers, 1, 3)
        for each in half:
            each.close()
    return [
        ("one client before: p50, p99", _ms(alone.seconds, 0.5, 0.99)),
        ("one client beside 200 stalled ones: p50, p99", _ms(beside.seconds, 0.5, 0.99)),
        ("wrong, errors", f"{beside.wrong}, {beside.errors}"),
    ]


def _struck(bench: Bench, workers: int, strike: Callable[[psutil.Process], None], seconds: float) -> tuple:
    """Eight clients work; a serving process is struck after 2 s. The tally, when it was struck, each answer's time."""
    with bench.serving(workers) as server:
        asked, answers = bench.requests(server.port)
        processes = [each for each in server.process.children() if "spawn_main" in " ".join(each.cmdline())]
        victim = processes[0] if workers > 1 else server.process
        tally, until, times = Tally(), perf_counter() + seconds, []

        def client(number: int) -> None:
            connection = None
            while perf_counter() < until:
                number = (number + 1) % len(asked)
                connection = tally.ask(connection, server.port, asked[number], answers[number])
                if connection is not None:
                    times.append(perf_counter())

        threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        sleep(2)
        struck = perf_counter()
        strike(victim)
        for thread in threads:
            thread.join()
        return tally, struck, np.sort(times)


def killed(bench: Bench) -> Lines:
    """`kill -9` of a serving process while eight clients work."""
    tally, struck, _ = _struck(bench, 1, lambda process: process.send_signal(signal.SIGKILL), 4)
    lines = [("one process: lost after the kill", f"all ({len(tally.lost)} in 2 s); nothing starts it anew")]
    tally, struck, times = _struck(bench, 2, lambda process: process.send_signal(signal.SIGKILL), 8)
    lost = [f"{when - struck:.2f}" for when in tally.lost]
    lines.append(("two workers: lost, and seconds after the kill", f"{len(lost)} ({', '.join(lost)})"))
    lines.append(("two workers: wrong, refused, other", f"{tally.wrong}, {len(tally.refused)}, {tally.other}"))
    return [*lines, ("two workers: longest time without any answer", f"{np.diff(times).max():.2f} s")]


def hung(bench: Bench) -> Lines:
    """A worker is stopped (SIGSTOP), as if it hung, while eight clients work."""
    tally, struck, times = _struck(bench, 2, lambda process: process.send_signal(signal.SIGSTOP), 14)
    lost = [f"{when - struck:.1f}" for when in tally.lost]
    return [
        ("lost, and seconds after the stop", f"{len(lost)} ({', '.join(lost)})"),
        ("wrong, refused, other", f"{tally.wrong}, {len(tally.refused)}, {tally.other}"),
        ("longest time without any answer", f"{np.diff(times).max():.2f} s"),
    ]


def bomb(bench: Bench) -> Lines:
    """A PNG of a few kilobytes that says 12000 x 12000, a hundred times."""
    import zlib

    rows = zlib.compress(bytes(12000 * (12000 // 8 + 1)), 9)
    chunk = lambda kind, data: len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)  # noqa: E731
    head = (12000).to_bytes(4) * 2 + bytes([1, 0, 0, 0, 0])
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    with bench.serving() as server:
        before = server.peak_memory()
        request = prepare(server.port, PATH, png, form=True)
        with Connection(server.port) as connection:
            statuses = {connection.ask(request)[0] for _ in range(100)}
        after = server.peak_memory()
    return [("bytes of the file", str(len(png))), ("statuses", str(statuses)),
            ("peak memory before and after", f"{before:.0f}, {after:.0f} MB")]  # fmt: skip


def _metric(port: int, name: str) -> float:
    request = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with Connection(port) as connection:
        text = connection.ask(request)[1].decode()
    return next(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


def _ms(seconds: list[float], *quantiles: float) -> str:
    return ", ".join(f"{1e3 * np.quantile(seconds, each):.0f}" for each in quantiles) + " ms" if seconds else "none"


SCENARIOS = {each.__name__: each for each in (overload, impatient, slow_clients, killed, hung, bomb)}


def write(name: str, lines: Lines) -> None:
    """Replace what stands between a scenario's marks in RELIABILITY.md."""
    path, mark = HERE / "RELIABILITY.md", MARK.format(name)
    before, _, after = path.read_text().split(mark)
    table = "\n".join(["| what | figure |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in lines)])
    path.write_text(f"{before}{mark}\n{table}\n{mark}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Try overload and faults on the running API.")
    parser.add_argument("names", nargs="*", default=list(SCENARIOS), help=", ".join(SCENARIOS))
    options = arguments(parser)
    (ROOT / "build").mkdir(exist_ok=True)
    bench = Bench(options.model, photos(options.photos, 640), photos(options.photos, 4000)[:1])
    write("machine", [("model", f"{options.model.stem} at 416"), *machine().items()])
    for name in options.names:
        print(name, flush=True)
        lines = SCENARIOS[name](bench)
        for what, figure in lines:
            print(f"    {what}: {figure}", flush=True)
        write(name, lines)


if __name__ == "__main__":
    main()
