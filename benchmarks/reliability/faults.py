"""A process is killed, one hangs, and a small file asks for much memory."""

import signal
import threading
import zlib
from collections.abc import Callable
from time import perf_counter, sleep

import numpy as np
import psutil

from benchmarks.client import Connection, prepare

from .bench import PATH, Bench, Lines, Tally


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
