"""Lesson 8: each exercise makes an app around a function that the check can hold; events are compared, not times."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from random import randint, sample, uniform
from time import monotonic
from typing import Any

import requests

from .report import SECONDS, Report, served

LIMIT = 5  # seconds for what takes milliseconds where it is right
EMPTY = (200, {"running": 0, "waiting": 0})


class Held:
    """A function of the check's: keeps what it was called with, and lets nobody out while its gate is closed."""

    def __init__(self, function: Callable):
        self.function, self.calls, self.on_loop, self.gate = function, [], False, threading.Event()
        self.gate.set()

    def __call__(self, given: Any) -> Any:
        self.calls.append(given if isinstance(given, int) else list(given))
        try:
            asyncio.get_running_loop()
            self.on_loop = True  # it stands still now: nobody could open the gate
        except RuntimeError:
            self.gate.wait(SECONDS)
        return self.function(given)


def batches(report: Report, make: Callable) -> None:
    """make(compute, largest, window): POST /predict merges concurrent requests into calls of compute; GET /stats."""
    salt, largest = randint(1000, 9999), randint(4, 6)

    def compute(numbers: list) -> list:
        if min(numbers) < 0:
            raise ValueError("a number is negative")
        return [salt + 3 * number for number in numbers]

    def answers(numbers: list) -> dict:
        return {number: (200, {"y": salt + 3 * number}) for number in numbers}

    held = Held(compute)
    with served(_made(make, held, largest, 0.1)) as url:
        hint = "add GET /stats; before the first call of compute both numbers are 0"
        if not report.expect("GET /stats at first", (200, {"calls": 0, "largest": 0}), _ask(f"{url}/stats")[:2], hint):
            return
        hint = f"a lone request goes when the window is over, though fewer than {largest} wait"
        if not report.expect("a lone request is answered", answers([7]), _together(url, [7]), hint):
            return
        report.expect("... by one call, with one number", [[7]], held.calls, "compute takes a list, here of one")
        report.expect("x that is no number", 422, _ask(f"{url}/predict", {"x": "seven"})[0], "x: float in the model")
        hint = "compute runs on the event loop; await asyncio.to_thread(compute, numbers) does not hold it up"
        report.expect("compute runs in a thread", False, held.on_loop, hint)
        came = _together(url, [-1, *(numbers := sample(range(9, 999), 3))])
        status = came.pop(-1)[0]
        hint = "answer 422 where compute raised ValueError for this very number; a 500 blames the server"
        report.expect("a negative number gets 422 (or 400)", 422, 422 if status == 400 else status, hint)
        hint = "a failed batch says nothing about its other numbers: ask again, for parts of it"
        report.expect("... its neighbours get their answers", answers(numbers), came, hint)
        hint = "the task that collects must outlive an error: catch it there"
        report.expect("... and so does the next request", answers([1]), _together(url, [1]), hint)
    _merging(report, make, Held(compute), largest, answers(sample(range(999), 2 * largest)))


def _merging(report: Report, make: Callable, held: Held, largest: int, wanted: dict) -> None:
    with served(_made(make, held, largest, SECONDS)) as url:
        hint = "the window is the longest wait, not the shortest: a full batch goes at once; results keep the order"
        what = f"{2 * largest} requests at once, batches of {largest}, a very long window: each gets its answer"
        if not report.expect(what, wanted, _together(url, list(wanted)), hint):
            return
        hint = "collect until the batch is full or the window is over; then call compute once for all of it"
        report.expect("the sizes of the batches", [largest] * 2, [len(each) for each in held.calls], hint)
        wanted = {"calls": 2, "largest": largest}
        report.expect("GET /stats afterwards", wanted, _ask(f"{url}/stats")[1], "count where compute is called")


def line(report: Report, make: Callable) -> None:
    """make(work, seconds, places): GET /jobs/{number}, one at a time, `places` may wait; GET /line counts them."""
    places, seconds, salt = randint(3, 5), uniform(1.5, 9.5), randint(1000, 9999)
    held, numbers = Held(lambda number: salt * number if number else int("nothing")), sample(range(1, 99), 1 + places)
    held.gate.clear()
    with served(_made(make, held, seconds, places)) as url, ThreadPoolExecutor(1 + places) as pool:
        if not report.expect("GET /line at the start", EMPTY, _ask(f"{url}/line")[:2], "add GET /line; both are 0"):
            return
        asked = []
        try:
            for waiting, number in enumerate(numbers):
                asked.append(pool.submit(_ask, f"{url}/jobs/{number}", None, SECONDS))
                if (came := _line_of(url, waiting, held)) != (200, {"running": 1, "waiting": waiting}):
                    break
            wanted, what = (200, {"running": 1, "waiting": places}), f"GET /line when 1 runs and {places} wait"
            hint = "work runs in a thread, behind a lock: running is 0 or 1, waiting is everybody else in the line"
            if not report.expect(what, wanted, "work ran on the event loop" if held.on_loop else came, hint):
                return
            more = _at_once(lambda number: _ask(f"{url}/jobs/{number}"), range(1, 6))
            hint = "before the wait for the lock: is a place left? If not, raise HTTPException(503)"
            if report.expect("5 more are refused at once", {503: 5}, dict(Counter(each[0] for each in more)), hint):
                wanted, waits = {str(ceil((1 + places) * seconds))}, {each[2].get("Retry-After") for each in more}
                hint = f"everybody in the line ({1 + places}) times seconds ({seconds:.2f}), rounded up: math.ceil"
                report.expect("... with Retry-After", wanted, waits, hint)
        finally:
            held.gate.set()
        wanted, came = [(200, {"result": salt * number}) for number in numbers], [each.result()[:2] for each in asked]
        report.expect("those who waited get their results", wanted, came, 'return {"result": ...} with what work gave')
        report.expect("... first come, first served", numbers, held.calls, "asyncio.Lock keeps the order")
        came = [*(_ask(f"{url}/jobs/0")[0] for _ in range(places + 2)), _ask(f"{url}/line")[:2]]
        hint = "answer 422 for work's ValueError, and give the place back whatever happens: try ... finally"
        report.expect("work raises ValueError, again and again", [422] * (places + 2) + [EMPTY], came, hint)


def _line_of(url: str, waiting: int, held: Held) -> Any:
    came, end = None, monotonic() + LIMIT
    while came != (200, {"running": 1, "waiting": waiting}) and not held.on_loop and monotonic() < end:
        came = _ask(f"{url}/line")[:2]
    return came


def _made(make: Callable, *args: Any) -> Any:
    if not callable(make) or hasattr(make, "routes") or (app := make(*args)) is None:
        raise TypeError("check needs the function, not its app; the function's last line is: return app")
    return app


def _at_once(ask: Callable, numbers: Sequence[int]) -> list:
    with ThreadPoolExecutor(len(numbers)) as pool:
        return list(pool.map(ask, numbers))


def _together(url: str, numbers: list[int]) -> dict[int, tuple[Any, Any]]:
    return dict(zip(numbers, _at_once(lambda x: _ask(f"{url}/predict", {"x": x})[:2], numbers), strict=True))


def _ask(url: str, body: dict | None = None, timeout: float = 0) -> tuple[int | str, Any, Any]:
    try:
        answer = requests.request("POST" if body else "GET", url, json=body, timeout=timeout or LIMIT)
    except requests.RequestException:
        return "no answer", {}, {}
    return answer.status_code, answer.json() if "json" in answer.headers.get("content-type", "") else {}, answer.headers


EXERCISES = {"1": batches, "2": line}
