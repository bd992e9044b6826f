"""Many clients, clients that hang up, clients that are slow."""

import threading
from time import perf_counter, sleep

from benchmarks.client import Connection, load, prepare
from benchmarks.contenders import OURS

from .bench import Bench, Lines, Tally, health, metric, milliseconds


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
        ("accepted: p50, p99", milliseconds(tally.accepted, 0.5, 0.99)),
        ("refused: p50, p99", milliseconds(tally.refused, 0.5, 0.99)),
        ("/health: p50, p99, longest", milliseconds(taken, 0.5, 0.99, 1)),
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
            while (waiting := metric(server.port, "yololab_waiting")) > 0 and perf_counter() < deadline:
                sleep(0.05)
        computed = metric(server.port, 'yololab_stage_seconds_count{stage="detect"}') - 1  # the one of start-up
    return [
        ("answered in time", str(len(tally.accepted))),
        ("hung up", str(len(tally.lost))),
        ("computed all the same (they were being worked on)", f"{computed - len(tally.accepted):.0f}"),
        ("left in the queue", f"{waiting:.0f}"),
        ("/health: p50, p99, longest", milliseconds(taken, 0.5, 0.99, 1)),
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
        ("one client before: p50, p99", milliseconds(alone.seconds, 0.5, 0.99)),
        ("one client beside 200 stalled ones: p50, p99", milliseconds(beside.seconds, 0.5, 0.99)),
        ("wrong, errors", f"{beside.wrong}, {beside.errors}"),
    ]
