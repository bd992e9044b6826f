"""Lesson 7's checks, both ways: the solutions pass; the skeletons and typical mistakes fail with the right hint."""

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial

import pytest
from fastapi import FastAPI, HTTPException
from helpers import cell_with

from classroom.checks import check, held, lesson_07


def slow_app(route):
    """An app with /health and the given function for GET /slow/{number}."""
    app = FastAPI()

    @app.get("/health")
    async def alive():
        return {"status": "alive"}

    app.get("/slow/{number}")(route)
    return app


def with_def(slow):
    def route(number: int):
        return {"result": slow(number)}

    return slow_app(route)


def with_to_thread(slow):
    async def route(number: int):
        return {"result": await asyncio.to_thread(slow, number)}

    return slow_app(route)


def with_executor(slow):
    pool = ThreadPoolExecutor(5)

    async def route(number: int):
        return {"result": await asyncio.get_running_loop().run_in_executor(pool, slow, number)}

    return slow_app(route)


@pytest.mark.parametrize("make", [with_def, with_to_thread, with_executor])
def test_fix_solutions_pass(make):
    assert check("07.1", make).ok


def test_fix_skeleton_blocks_the_loop(capsys):
    def make(slow):
        async def route(number: int):
            return {"result": slow(number)}

        return slow_app(route)

    assert not check("07.1", make).ok
    assert "a plain def, or await asyncio.to_thread" in capsys.readouterr().out


def test_fix_with_a_thread_that_the_loop_waits_for(capsys, monkeypatch):
    monkeypatch.setattr(held, "LIMIT", 2)

    def make(slow):
        async def route(number: int):
            with ThreadPoolExecutor(1) as pool:
                return {"result": pool.submit(slow, number).result()}

        return slow_app(route)

    assert not check("07.1", make).ok
    out = capsys.readouterr().out
    assert "no answer" in out and "nothing that blocks belongs on the loop" in out


def test_fix_with_a_lock_around_the_slow_part(capsys, monkeypatch):
    monkeypatch.setattr(held, "LIMIT", 2)

    def make(slow):
        lock = threading.Lock()

        def route(number: int):
            with lock:
                return {"result": slow(number)}

        return slow_app(route)

    assert not check("07.1", make).ok
    assert "is there a lock" in capsys.readouterr().out


def test_fix_that_does_not_wait_for_the_result(capsys):
    def make(slow):
        async def route(number: int):
            threading.Thread(target=slow, args=(number,)).start()
            return {"result": None}

        return slow_app(route)

    assert not check("07.1", make).ok
    assert "is an await missing?" in capsys.readouterr().out


def test_fix_that_forgets_the_await(capsys, monkeypatch):
    monkeypatch.setattr(held, "LIMIT", 0.5)

    def make(slow):
        async def route(number: int):
            asyncio.to_thread(slow, number).close()  # closed, so that Python does not warn of it
            return {"result": None}

        return slow_app(route)

    assert not check("07.1", make).ok
    assert "calls nothing without an await" in capsys.readouterr().out


def test_fix_that_never_calls_slow(capsys, monkeypatch):
    monkeypatch.setattr(held, "LIMIT", 0.5)
    assert not check("07.1", lambda slow: slow_app(lambda number: None)).ok
    assert "call slow(number) in the route" in capsys.readouterr().out


def test_fix_whose_number_is_a_text_is_told_in_short_lines(capsys):
    def make(slow):
        def route(number: str):
            return {"result": slow(number)}

        return slow_app(route)

    assert not check("07.1", make).ok
    out = capsys.readouterr().out
    assert "number: int in the route" in out and max(map(len, out.splitlines())) < 150


def test_fix_without_health(capsys):
    def make(slow):
        app = FastAPI()
        app.get("/slow/{number}")(with_def(slow).routes[-1].endpoint)
        return app

    assert not check("07.1", make).ok
    out = capsys.readouterr().out
    assert "there is no route for GET /health" in out and 'under @app.get("/health")' in out
    assert "nothing that blocks" not in out


def trial_app(detect, claim, give_back, whole=None, number_of=lambda number: number):
    """An app with POST /trial: `claim()` gives a number or None; `whole` is a lock around everything."""
    app = FastAPI()

    @app.post("/trial")
    def trial():
        with whole or nullcontext():
            number = claim()
            if number is None:
                raise HTTPException(429, "The trial is used up.")
            try:
                return {"result": detect(), "number": number_of(number)}
            except ValueError as error:
                give_back(number)
                raise HTTPException(422, str(error)) from error

    return app


def exact(quota, detect, more=0, **mistake):
    free, lock = list(range(quota + more, 0, -1)), threading.Lock()

    def claim():
        with lock:
            return free.pop() if free else None

    def give_back(number):
        with lock:
            free.append(number)

    return trial_app(detect, claim, mistake.pop("give_back", give_back), **mistake)


def exact_on_the_loop(quota, detect):
    """No await between look and take: on one loop that is exact without a lock."""
    app, free = FastAPI(), list(range(quota, 0, -1))

    @app.post("/trial")
    async def trial():
        if not free:
            raise HTTPException(429, "The trial is used up.")
        number = free.pop()
        try:
            return {"number": number, "result": await asyncio.to_thread(detect)}
        except ValueError as error:
            free.append(number)
            raise HTTPException(422, str(error)) from error

    return app


@pytest.mark.parametrize("make", [exact, exact_on_the_loop])
def test_trial_solutions_pass(make):
    assert check("07.2", make).ok


def test_trial_skeleton_gives_too_many(capsys):
    def make(quota, detect):
        app, used = FastAPI(), []

        @app.post("/trial")
        def trial():
            if len(used) >= quota:
                raise HTTPException(429, "The trial is used up.")
            result = detect()
            used.append(result)
            return {"number": len(used), "result": result}

        return app

    assert not check("07.2", make).ok
    assert "look and take under one lock" in capsys.readouterr().out


def test_trial_that_holds_its_lock_while_it_works(capsys):
    assert not check("07.2", lambda quota, detect: exact(quota, detect, whole=threading.Lock())).ok
    assert "do not hold the lock, or the loop" in capsys.readouterr().out


def test_trial_that_keeps_the_number_of_a_failure(capsys):
    assert not check("07.2", lambda quota, detect: exact(quota, detect, give_back=lambda number: None)).ok
    assert "must not cost a place" in capsys.readouterr().out


def test_trial_that_counts_down_after_a_failure(capsys):
    def make(quota, detect):
        used, lock = [], threading.Lock()

        def claim():
            with lock:
                if len(used) < quota:
                    used.append("place")
                    return len(used)

        return trial_app(detect, claim, lambda number: used.pop())

    assert not check("07.2", make).ok
    assert "put back its own number" in capsys.readouterr().out


def test_trial_that_gives_another_number_back(capsys):
    def make(quota, detect):
        free, lock = list(range(quota, 0, -1)), threading.Lock()

        def claim():
            with lock:
                return free.pop() if free else None

        return trial_app(detect, claim, lambda number: free.append(max(free or [0]) + 1))

    assert not check("07.2", make).ok
    out = capsys.readouterr().out
    assert "quota 3, the second fails" in out and "put back its own number" in out


@pytest.mark.parametrize("more", [1, -1])
def test_trial_with_one_number_too_many_or_too_few(more, capsys):
    assert not check("07.2", partial(exact, more=more)).ok
    out = capsys.readouterr().out
    assert "also one after another" in out and "under one lock" not in out


def trial_that_answers(answer, calls=True):
    """A function that makes a trial whose answer is `answer(number, result)`."""

    def make(quota, detect):
        right = exact(quota, detect if calls else lambda: 7).routes[-1].endpoint
        app = FastAPI()

        @app.post("/trial")
        def trial():
            return answer(**right())

        return app

    return make


@pytest.mark.parametrize(
    "make",
    [
        trial_that_answers(lambda number, result: {"number": number}),
        trial_that_answers(lambda number, result: None),
        trial_that_answers(lambda number, result: [number, result]),
        trial_that_answers(lambda number, result: {"number": str(number), "result": result}),
        trial_that_answers(lambda number, result: {"number": number, "result": result}, calls=False),
    ],
    ids=["no result", "nothing", "a list", "a text", "detect is not called"],
)
def test_trial_whose_answer_is_another(make, capsys):
    assert not check("07.2", make).ok
    out = capsys.readouterr().out
    assert "the result is what detect() returned" in out and out.count("NOT YET") == 1
    assert "do not hold the lock" not in out


def test_trial_that_counts_exactly_and_numbers_later(capsys):
    def make(quota, detect):
        left = ["place"] * quota

        def claim():
            return left.pop() if left else None

        return trial_app(detect, claim, left.append, number_of=lambda place: quota - len(left))

    assert not check("07.2", make).ok
    assert "in the same locked step" in capsys.readouterr().out


def bounded_app(places, work, headers=("1",), semaphore=None, blocking=False, leaks=False):
    """An app with GET /tasks/{number}, bounded by a semaphore that is asked, or waited for."""
    app = FastAPI()
    semaphore = semaphore or threading.Semaphore(places)

    @app.get("/tasks/{number}")
    def route(number: int):
        if not semaphore.acquire(blocking=blocking):
            raise HTTPException(503, "Busy.", headers=dict(zip(["Retry-After"], headers, strict=False)))
        failed = True
        try:
            result = work(number)
            failed = False
            return {"result": result}
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        finally:
            if not (leaks and failed):
                semaphore.release()

    return app


def bounded_on_the_loop(places, work):
    app, free = FastAPI(), asyncio.Semaphore(places)

    @app.get("/tasks/{number}")
    async def route(number: int):
        if free.locked():
            raise HTTPException(503, "Busy.", headers={"Retry-After": "10"})
        async with free:
            try:
                return {"result": await asyncio.to_thread(work, number)}
            except ValueError as error:
                raise HTTPException(422, str(error)) from error

    return app


@pytest.mark.parametrize("make", [bounded_app, bounded_on_the_loop])
def test_bounded_solutions_pass(make):
    assert check("07.3", make).ok


def test_bounded_whose_number_is_a_text_is_told_in_short_lines(capsys):
    def make(places, work):
        right = bounded_app(places, work).routes[-1].endpoint
        app = FastAPI()

        @app.get("/tasks/{number}")
        def route(number: str):
            return right(number)

        return app

    assert not check("07.3", make).ok
    out = capsys.readouterr().out
    assert "number: int in the route" in out and max(map(len, out.splitlines())) < 150


def test_bounded_skeleton_lets_everybody_in(capsys):
    assert not check("07.3", partial(bounded_app, semaphore=threading.Semaphore(100))).ok
    assert "look whether a place is free" in capsys.readouterr().out


def test_bounded_that_lets_them_wait(capsys, monkeypatch):
    monkeypatch.setattr(held, "LIMIT", 2)
    assert not check("07.3", partial(bounded_app, blocking=True)).ok
    assert "rather than wait for one" in capsys.readouterr().out


def test_bounded_with_one_place_only(capsys, monkeypatch):
    monkeypatch.setattr(held, "LIMIT", 0.5)
    assert not check("07.3", lambda places, work: bounded_app(1, work)).ok
    assert "call work(number) in a thread" in capsys.readouterr().out


@pytest.mark.parametrize("headers", [(), ("0",), ("soon",)])
def test_bounded_without_a_good_retry_after(headers, capsys):
    assert not check("07.3", partial(bounded_app, headers=headers)).ok
    assert '"Retry-After": "1"' in capsys.readouterr().out


def test_bounded_that_loses_a_place_with_each_error(capsys):
    assert not check("07.3", partial(bounded_app, leaks=True)).ok
    assert "give the place back whatever happens" in capsys.readouterr().out


@pytest.mark.parametrize("target", [FastAPI(), "http://127.0.0.1:9", lambda *args: None])
@pytest.mark.parametrize("number", lesson_07.EXERCISES)
def test_what_is_no_function_that_makes_an_app(number, target, capsys):
    assert not check(f"07.{number}", target).ok
    assert "check needs the function" in capsys.readouterr().out


def make_with(method, path, line):
    """A function that makes an app whose one route fails in `line`."""

    def make(*args):
        app = FastAPI()

        @app.api_route(path, methods=[method])
        def route():
            line()

        return app

    return make


@pytest.mark.parametrize(
    ("number", "method", "path"),
    [("1", "GET", "/slow/{number}"), ("2", "POST", "/trial"), ("3", "GET", "/tasks/{number}")],
)
def test_an_error_of_the_students_own_is_shown_with_its_line(number, method, path, capsys, monkeypatch):
    monkeypatch.setattr(held, "LIMIT", 1)
    assert not check(f"07.{number}", make_with(method, path, lambda: 1 + "one")).ok
    out = capsys.readouterr().out
    assert "TypeError: unsupported operand" in out and "(your line " in out
    assert "this error: put that line right" in out and "Traceback" not in out


@pytest.mark.parametrize("number", lesson_07.EXERCISES)
def test_a_route_that_is_not_there_is_named(number, capsys, monkeypatch):
    monkeypatch.setattr(held, "LIMIT", 0.5)
    assert not check(f"07.{number}", lambda *args: FastAPI()).ok
    assert "there is no route for" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "name"), [("1", "make_awake"), ("2", "make_trial"), ("3", "make_bounded")], ids=lambda value: value
)
def test_the_skeleton_fails_and_the_solution_passes_in_one_process(number, name):
    lesson = "07_async_and_concurrency.ipynb"
    skeleton, solution = cell_with(lesson, f"def {name}("), cell_with(f"solutions/{lesson}", f"def {name}(")
    space = {"asyncio": asyncio, "threading": threading, "FastAPI": FastAPI, "HTTPException": HTTPException}
    exec(skeleton, space)
    assert not check(f"07.{number}", space[name]).ok
    exec(solution, space)
    assert check(f"07.{number}", space[name]).ok


@pytest.mark.parametrize("collect", [gc.collect, int], ids=["collected while it is checked", "collected later"])
def test_a_missing_await_is_told_and_warns_of_nothing(collect, capfd):
    def make(slow):
        app = FastAPI()

        @app.get("/slow/{number}")
        async def slow_route(number: int):
            collect()  # what the requests before left
            return {"result": asyncio.to_thread(slow, number)}

        return app

    assert not check("07.1", make).ok
    gc.collect()  # a warning would fail this test
    out, err = capfd.readouterr()
    assert "an await is missing" in out and "never awaited" not in out + err
