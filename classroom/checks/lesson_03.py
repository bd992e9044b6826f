"""The exercises of lesson 3: cameras whose passwords stay inside, and a name for every answer."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from random import choice, randint
from secrets import token_hex
from string import ascii_letters
from typing import Any

from .answer import Answer
from .lesson_02 import refused
from .probe import Probe, served
from .report import Report, Such, between, having
from .resources import only_wrong

LIMITS = (
    "Field(min_length=1, max_length=40), Field(ge=1, le=60), Field(min_length=8): both ends count; no default values"
)
UNIT = "in seconds, as a decimal number and nothing else; from the arrival of the request until its answer begins"
SHARED = "the start, too, belongs to one request: keep it in a local variable, never in self or a global"
NAMES = ("X-Request-ID", "X-Process-Time")


def cameras(report: Report, target: Any) -> None:
    """/cameras: the password goes in and never out; one handler answers for a camera that nobody has."""
    public = {"name": f"camera-{token_hex(4)}", "fps": randint(1, 60)}
    whole = public | {"password": (secret := token_hex(8))}
    one = f"/cameras/{public['name']}"
    missing = "@camera_app.post('/cameras', status_code=201), with a model as its one parameter"
    form = "return type: a model with name and fps only; and return no finished Response, which passes it by"
    with served(report, target) as api:
        answers = [made := api.post("/cameras", json=whole, missing=missing)]
        why = f"the route refuses a camera that is right: {made.text}"
        made.require(201, "POST /cameras makes a camera", hints={422: why})
        made.expect(json=public, what="POST /cameras answers name and fps", hint=form)
        answers.append(api.get(one, hint=form).expect(200, "GET /cameras/{name} answers the same", json=public))
        hint = "raise HTTPException(409, ...) if it is taken, before you store anything"
        again = whole | {"fps": public["fps"] % 60 + 1}
        answers.append(api.post("/cameras", json=again, hint=hint).expect(409, "the same name once more"))
        with only_wrong(report):
            answers.append(api.get(one, hint=hint).expect(200, "GET after the 409: as before", json=public))
            answers += _at_the_limits(api, whole)
        others = [f"{letter}{public['name']}" for letter in "za"]  # stored in an order that is not sorted
        answers += [api.post("/cameras", json=whole | {"name": name}) for name in others]
        stored = {public["name"], *others}
        for method in ("GET", "DELETE"):
            absent = f"there is no route for {method} /cameras/{{name}} yet"
            hint = "let find() raise, and answer with a function under @camera_app.exception_handler(UnknownCamera)"
            answer = api.request(method, f"/cameras/{(name := f'w{token_hex(4)}')}", hint=hint)
            answer.expect(404, f"{method} of an unknown camera", hints={405: absent})
            known = Such("the sorted names", lambda names: stored <= set(names) and names == sorted(names))
            body = {"detail": Such(f"a text with {name}", lambda text, name=name: name in text), "known": known}
            hint = "error.args[0] is the name; JSONResponse({'detail': ..., 'known': sorted(cameras)}, 404)"
            answer.expect(json=body, what=f"{method} of it: the name, and what is known", hint=hint)
        for what, body, field in (
            ("fps 0", whole | {"fps": 0}, "fps"),
            ("no fps", {"name": f"w{token_hex(4)}", "password": secret}, "fps"),
            ("a short password", whole | {"password": secret[:7]}, "password"),
        ):
            answers.append(refused(api.post("/cameras", json=body, hint=LIMITS), what, ["body", field]))
        with only_wrong(report):
            for what, body, field in _beyond(whole):
                answers.append(refused(api.post("/cameras", json=body, hint=LIMITS), what, ["body", field]))
        leaks = sorted({answer.status for answer in answers if secret[:7] in answer.text})
        hint = "annotate each route with the return type PublicCamera"
        if 422 in leaks:
            hint = "the standard 422 repeats what it was sent, as `input`: answer RequestValidationError without it"
        report.expect("answers that hold the password, by status", [], leaks, hint)
        hint = "@camera_app.delete('/cameras/{name}', status_code=204) takes it out of the dictionary, returns nothing"
        api.delete(one, hint=hint).expect(204)
        api.get(one, hint=hint).expect(404, "GET after the DELETE")
        with only_wrong(report):
            for name in others:
                api.get(f"/cameras/{name}", hint=hint).expect(200, "the DELETE leaves the other cameras")
                api.delete(f"/cameras/{name}", hint=hint).expect(204)


def _at_the_limits(api: Probe, whole: dict) -> list[Answer]:
    """Cameras at each end of what is right, made and deleted again; what was answered."""
    answers, letter = [], choice(ascii_letters)
    for what, change in (
        ("fps 1", {"fps": 1}),
        ("fps 60", {"fps": 60}),
        ("a name of 40 characters", {"name": f"w{token_hex(20)}"[:40]}),
        ("a name of one character", {"name": letter}),
        ("a password of 8 characters", {"password": whole["password"][:8]}),
        ("a long password", {"password": whole["password"] * 5}),
    ):
        body = whole | {"name": f"w{token_hex(4)}"} | change
        made = api.post("/cameras", json=body, hint=LIMITS)
        answers.append(made.expect((201, 409), f"a camera with {what} is right"))  # 409: one is left from before
        if made.status == 201:
            api.delete(f"/cameras/{body['name']}")
    return answers


def _beyond(whole: dict) -> Iterator[tuple[str, dict, str]]:
    """Cameras that are wrong, and the field that is to blame."""
    new = whole | {"name": f"w{token_hex(4)}"}
    for what, field, value in (
        ("fps 61", "fps", 61),
        ("fps 1.5", "fps", 1.5),
        ("an empty name", "name", ""),
        ("a name of 41 characters", "name", f"w{token_hex(20)}"),
        ("a name that is a number", "name", 5),
    ):
        yield what, new | {field: value}, field
    for field in ("name", "password"):
        yield f"no {field}", {key: new[key] for key in new if key != field}, field


def named(report: Report, target: Any) -> None:
    """X-Request-ID and X-Process-Time on every answer, the 500 of a crash included."""
    set_both = "set both headers on the message http.response.start; and is `api` the app with your middleware?"
    outside = "ServerErrorMiddleware makes it, outside of your middleware: wrap the whole app, or catch it"
    with served(report, target) as api:
        answers = [api.get("/items/1", hint=set_both).require(200, headers=NAMES)]
        for path, status, hint in (
            ("/nowhere", 404, set_both),
            ("/items/one", 422, set_both),
            ("/crash", 500, outside),
        ):
            answers.append(api.get(path, hint=hint).expect(status, headers=NAMES))
        slow = _slow(api)
    ids = [answer.headers.get("X-Request-ID") for answer in [*answers, *slow]]
    hint = "make an id for each request, inside of __call__: uuid4().hex; keep it in a local variable"
    report.expect("the ids of twelve requests are different", 12, len(set(ids)), hint)
    same = sum(having({"request_id": answer.headers.get("X-Request-ID")}) == answer.json for answer in slow)
    hint = "keep what belongs to one request in local variables and in scope['state'], never in self or a global"
    report.expect("eight requests at once: /slow answers the id of its header", 8, same, hint)
    what = "eight requests at once: times between the wait and what the client measures"
    expected, told = _first_wrong([(each, 0.09) for each in slow])  # a sleep of 0.1, by a coarse clock
    right = report.expect(what, expected, told, SHARED if _is_less(told, 0.09) else UNIT)
    with only_wrong(report):
        expected, told = _first_wrong([(each, 0) for each in answers])
        if right:
            report.expect("times of short requests: at most what the client measures", expected, told, UNIT)


def _slow(api: Probe) -> list[Answer]:
    """Eight /slow at once; while they wait, others begin, each of which would overwrite a start that is shared."""
    with ThreadPoolExecutor(8) as pool:
        slow = [pool.submit(api.get, "/slow") for _ in range(8)]
        while wait(slow, 0.02).not_done:
            api.get("/items/1")
    return [each.result() for each in slow]


def _first_wrong(answers: list[tuple[Answer, float]]) -> tuple[Any, str]:
    """What X-Process-Time may be, and what it is: of the first answer where it is something else, or the last."""
    for answer, least in answers:
        most = answer.seconds + 0.01  # it may be rounded up
        fits = between(least, most)
        told = answer.headers.get("X-Process-Time", "no such header")
        expected = Such(f"{least:g} to {most:.3f}", lambda text, fits=fits: fits == float(text))
        if expected != told:
            break
    return expected, told


def _is_less(told: str, least: float) -> bool:
    """Whether it is a number, but a smaller one."""
    return Such("less", lambda text: 0 <= float(text) < least) == told


EXERCISES = {"1": cameras, "2": named}
