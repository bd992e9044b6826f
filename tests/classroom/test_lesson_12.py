"""The checks of lesson 12, both ways: solutions pass; the skeleton and typical mistakes fail with the right hint."""

import asyncio
import threading
from contextlib import asynccontextmanager
from math import ceil

import pytest
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from classroom.checks import check


class Number(BaseModel):
    x: float


class Batcher:
    """A solution in another way than the lesson's: a list and a timer, no queue."""

    def __init__(self, compute, largest, window):
        self.compute, self.largest, self.window = compute, largest, window
        self.waiting, self.timer, self.running = [], None, set()
        self.stats = {"calls": 0, "largest": 0}

    async def __call__(self, x):
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self.waiting.append((x, future))
        if len(self.waiting) == self.largest:
            self.flush()
        elif len(self.waiting) == 1:
            self.timer = loop.call_later(self.window, self.flush)
        return await future

    def flush(self):
        self.timer.cancel()
        batch, self.waiting = self.waiting, []
        task = asyncio.create_task(self.answer(batch))
        self.running.add(task)
        task.add_done_callback(self.running.discard)

    async def call(self, numbers):
        self.stats = {"calls": self.stats["calls"] + 1, "largest": max(self.stats["largest"], len(numbers))}
        return await asyncio.to_thread(self.compute, numbers)

    async def answer(self, batch):
        try:
            for (_, future), y in zip(batch, await self.call([x for x, _ in batch]), strict=True):
                future.set_result(y)
        except ValueError as error:
            await self.failed(batch, error)

    async def failed(self, batch, error):
        if len(batch) == 1:
            batch[0][1].set_exception(error)
            return
        for each in batch:
            await self.answer([each])


def batched(kind=Batcher, status=422):
    """make(compute, largest, window) of the solution, or with another batcher."""

    def make(compute, largest, window):
        app, batcher = FastAPI(), kind(compute, largest, window)

        @app.post("/predict")
        async def predict(number: Number):
            try:
                return {"y": await batcher(number.x)}
            except ValueError as error:
                raise HTTPException(status, str(error)) from error

        @app.get("/stats")
        async def stats():
            return batcher.stats

        return app

    return make


@pytest.mark.parametrize("status", [422, 400])
def test_batches_solution_passes(status, capsys):
    assert check("12.1", batched(status=status)).ok
    assert "well done" in capsys.readouterr().out


def test_batches_a_solution_that_refuses_negative_numbers_itself(capsys):
    class Refusing(Batcher):
        async def __call__(self, x):
            if x < 0:
                raise ValueError("a number is negative")
            return await super().__call__(x)

    assert check("12.1", batched(Refusing)).ok


def test_batches_skeleton(capsys):
    def make(compute, largest, window):
        app = FastAPI()

        @app.post("/predict")
        async def predict(number: Number):
            return {"y": (await asyncio.to_thread(compute, [number.x]))[0]}

        return app

    report = check("12.1", make)
    assert not report.ok and len(report.lines) == 1
    assert "add GET /stats" in capsys.readouterr().out


class Alone(Batcher):
    async def __call__(self, x):
        return (await self.call([x]))[0]


class Patient(Batcher):
    def __init__(self, compute, largest, window):
        super().__init__(compute, largest, 60)


class Strict(Batcher):
    async def failed(self, batch, error):
        for _, future in batch:
            future.set_exception(error)


class Shuffled(Batcher):
    async def call(self, numbers):
        return (await super().call(numbers))[::-1]


class Blocking(Batcher):
    async def call(self, numbers):
        self.stats = {"calls": self.stats["calls"] + 1, "largest": max(self.stats["largest"], len(numbers))}
        return self.compute(numbers)


class Boundless(Batcher):
    def __init__(self, compute, largest, window):
        super().__init__(compute, 1000, window)


class Hasty(Batcher):
    def __init__(self, compute, largest, window):
        super().__init__(compute, largest, 0.02)


class Text(Batcher):
    async def __call__(self, x):
        return str(await super().__call__(x))


class Whole(Batcher):
    async def __call__(self, x):
        return int(await super().__call__(x))


class Uncounted(Batcher):
    async def call(self, numbers):
        self.stats = self.stats if self.stats["calls"] else {"calls": 1, "largest": len(numbers)}
        return await asyncio.to_thread(self.compute, numbers)


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        (Alone, "collect until the batch is full"),
        (Patient, "a lone request goes when the window is over"),
        (Strict, "ask again, for parts of it"),
        (Shuffled, "results keep the order"),
        (Blocking, "asyncio.to_thread(compute, numbers)"),
        (Boundless, "a full batch goes at once"),
        (Hasty, "`window` seconds are over"),
        (Text, "a number, not a text"),
        (Whole, "not rounded"),
        (Uncounted, "count where compute is called"),
    ],
)
def test_batches_mistakes(kind, hint, monkeypatch, capsys):
    if kind in (Patient, Boundless):  # requests that are never answered
        monkeypatch.setattr("classroom.checks.held.LIMIT", 1)
        monkeypatch.setattr("yololab.serving.kernel_server.GRACE", 0.1)
    assert not check("12.1", batched(kind)).ok
    assert hint in capsys.readouterr().out


def test_batches_of_whole_numbers_only(capsys, monkeypatch):
    class Whole(BaseModel):
        x: int

    monkeypatch.setitem(globals(), "Number", Whole)
    assert not check("12.1", batched()).ok
    out = capsys.readouterr().out
    assert "x is any number" in out and out.count("NOT YET") == 1


def test_batches_that_answers_500(capsys):
    assert not check("12.1", batched(status=500)).ok
    assert "a 500 blames the server" in capsys.readouterr().out


class Line:
    """A solution: what the route does before, while and after it waits."""

    def __init__(self, places):
        self.places, self.inside, self.lock = places, 0, asyncio.Lock()

    @asynccontextmanager
    async def place(self, seconds):
        if self.inside > self.places:
            raise HTTPException(503, "busy", {"Retry-After": str(ceil(self.inside * seconds))})
        self.inside += 1
        try:
            async with self.lock:
                yield
        finally:
            self.inside -= 1


def queued(kind=Line, run=asyncio.to_thread, status=422):
    """make(work, seconds, places) of the solution, or with another line."""

    def make(work, seconds, places):
        app, line = FastAPI(), kind(places)

        @app.get("/jobs/{number}")
        async def job_route(number: int):
            try:
                async with line.place(seconds):
                    return {"result": await run(work, number)}
            except ValueError as error:
                raise HTTPException(status, str(error)) from error

        @app.get("/line")
        async def line_route():
            return {"running": min(1, line.inside), "waiting": max(0, line.inside - 1)}

        return app

    return make


def test_line_solution_passes(capsys):
    assert check("12.2", queued()).ok
    assert "well done" in capsys.readouterr().out


def test_line_solution_with_threads_passes(capsys):
    def make(work, seconds, places):
        app, lock, turns = FastAPI(), threading.Lock(), []

        @app.get("/jobs/{number}")
        def job_route(number: int):
            turn = threading.Event()
            with lock:
                if len(turns) > places:
                    raise HTTPException(503, "busy", {"Retry-After": str(ceil(len(turns) * seconds))})
                turns.append(turn)
                turns[0].set()
            turn.wait()
            try:
                return {"result": work(number)}
            except ValueError as error:
                raise HTTPException(422, str(error)) from error
            finally:
                with lock:
                    turns.pop(0)
                    if turns:
                        turns[0].set()

        @app.get("/line")
        def line_route():
            return {"running": min(1, len(turns)), "waiting": max(0, len(turns) - 1)}

        return app

    assert check("12.2", make).ok


def test_line_skeleton(capsys):
    def make(work, seconds, places):
        app = FastAPI()

        @app.get("/jobs/{number}")
        async def job_route(number: int):
            return {"result": await asyncio.to_thread(work, number)}

        return app

    report = check("12.2", make)
    assert not report.ok and len(report.lines) == 1
    assert "add GET /line" in capsys.readouterr().out


class Unbounded(Line):
    def __init__(self, places):
        super().__init__(1000)


class Short(Line):
    def __init__(self, places):
        super().__init__(places - 1)


class Silent(Line):
    @asynccontextmanager
    async def place(self, seconds):
        async with super().place(0.1):
            yield


class Leaking(Line):
    @asynccontextmanager
    async def place(self, seconds):
        if self.inside > self.places:
            raise HTTPException(503, "busy", {"Retry-After": str(ceil(self.inside * seconds))})
        self.inside += 1
        async with self.lock:
            yield
        self.inside -= 1


class LastFirst(Line):
    def __init__(self, places):
        super().__init__(places)
        self.turns = []

    @asynccontextmanager
    async def place(self, seconds):
        if self.inside > self.places:
            raise HTTPException(503, "busy", {"Retry-After": str(ceil(self.inside * seconds))})
        self.inside += 1
        if self.inside > 1:
            self.turns.append(asyncio.Event())
            await self.turns[-1].wait()
        try:
            yield
        finally:
            self.inside -= 1
            if self.turns:
                self.turns.pop().set()


class Open(Line):
    """Nobody waits: all run at once."""

    def __init__(self, places):
        super().__init__(places)
        self.lock = asyncio.Semaphore(1000)


class Two(Line):
    def __init__(self, places):
        super().__init__(places)
        self.lock = asyncio.Semaphore(2)


class Rounded(Line):
    @asynccontextmanager
    async def place(self, seconds):
        async with super().place(round(self.inside * seconds) / max(self.inside, 1)):
            yield


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        (Open, "one at a time: await it inside of `async with lock:`"),
        (Two, "one at a time: await it inside of `async with lock:`"),
        (Rounded, "rounded up: math.ceil"),
        (Unbounded, "is a place left?"),
        (Short, "running is 0 or 1, waiting is everybody else"),
        (Silent, "rounded up: math.ceil"),
        (Leaking, "give the place back whatever happens"),
        (LastFirst, "asyncio.Lock keeps the order"),
    ],
)
def test_line_mistakes(kind, hint, monkeypatch, capsys):
    if kind in (Unbounded, Short):  # what is waited for never comes
        monkeypatch.setattr("classroom.checks.held.LIMIT", 1)
    assert not check("12.2", queued(kind)).ok
    assert hint in capsys.readouterr().out


def test_line_that_blocks_the_loop(capsys):
    async def run(work, number):
        return work(number)

    assert not check("12.2", queued(run=run)).ok
    assert "work runs in a thread" in capsys.readouterr().out


def test_line_that_lets_the_error_through_as_500(capsys):
    assert not check("12.2", queued(status=500)).ok
    assert "answer 422 for work's ValueError" in capsys.readouterr().out


@pytest.mark.parametrize("number", ["1", "2"])
def test_an_app_instead_of_the_function(number, capsys):
    assert not check(f"12.{number}", FastAPI()).ok
    assert "check needs the function" in capsys.readouterr().out
