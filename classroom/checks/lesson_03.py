"""The exercises of lesson 3: cameras whose passwords stay inside, and a name for every answer."""

from random import randint
from secrets import token_hex
from typing import Any

from .lesson_02 import refused
from .probe import at_once, served
from .report import Report, Such, between

NAMES = ("X-Request-ID", "X-Process-Time")


def cameras(report: Report, target: Any) -> None:
    """/cameras: the password goes in and never out; one handler answers for a camera that nobody has."""
    public = {"name": f"camera-{token_hex(4)}", "fps": randint(1, 60)}
    whole = public | {"password": (secret := token_hex(8))}
    one = f"/cameras/{public['name']}"
    missing = "@camera_app.post('/cameras', status_code=201), with a model as its one parameter"
    form = "return type: a model with name and fps only; and return no finished Response, which passes it by"
    limits = "constrain the fields: Field(ge=1, le=60), Field(min_length=8), no default values"
    with served(report, target) as api:
        answers = [made := api.post("/cameras", json=whole, missing=missing)]
        why = f"the route refuses a camera that is right: {made.text}"
        made.require(201, "POST /cameras makes a camera", hints={422: why})
        made.expect(json=public, what="POST /cameras answers name and fps", hint=form)
        answers.append(api.get(one, hint=form).expect(200, "GET /cameras/{name} answers the same", json=public))
        answers.append(api.post("/cameras", json=whole, hint="raise HTTPException(409, ...) if it is taken"))
        answers[-1].expect(409, "the same name once more")
        for method in ("GET", "DELETE"):
            absent = f"there is no route for {method} /cameras/{{name}} yet"
            hint = "let find() raise, and answer with a function under @camera_app.exception_handler(UnknownCamera)"
            answer = api.request(method, f"/cameras/{(name := f'w{token_hex(4)}')}", hint=hint)
            answer.expect(404, f"{method} of an unknown camera", hints={405: absent})
            known = Such("the sorted names", lambda names: public["name"] in names and names == sorted(names))
            body = {"detail": Such(f"a text with {name}", lambda text, name=name: name in text), "known": known}
            hint = "error.args[0] is the name; JSONResponse({'detail': ..., 'known': sorted(cameras)}, 404)"
            answer.expect(json=body, what=f"{method} of it: the name, and what is known", hint=hint)
        for what, body, field in (
            ("fps 0", whole | {"fps": 0}, "fps"),
            ("no fps", {"name": token_hex(4), "password": secret}, "fps"),
            ("a short password", whole | {"password": secret[:7]}, "password"),
        ):
            answers.append(refused(api.post("/cameras", json=body, hint=limits), what, ["body", field]))
        leaks = sorted({answer.status for answer in answers if secret[:7] in answer.text})
        hint = "annotate each route with the return type PublicCamera"
        if 422 in leaks:
            hint = "the standard 422 repeats what it was sent, as `input`: answer RequestValidationError without it"
        report.expect("answers that hold the password, by status", [], leaks, hint)
        hint = "@camera_app.delete('/cameras/{name}', status_code=204) takes it out of the dictionary, returns nothing"
        api.delete(one, hint=hint).expect(204)
        api.get(one, hint=hint).expect(404, "GET after the DELETE")


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
        slow = at_once(api.get, ["/slow"] * 8)
    ids = [answer.headers.get("X-Request-ID") for answer in [*answers, *slow]]
    hint = "make an id for each request, inside of __call__: uuid4().hex; keep it in a local variable"
    report.expect("the ids of twelve requests are different", 12, len(set(ids)), hint)
    same = sum((answer.json or {}).get("request_id") == answer.headers.get("X-Request-ID") for answer in slow)
    hint = "keep what belongs to one request in local variables and in scope['state'], never in self or a global"
    report.expect("eight requests at once: /slow answers the id of its header", 8, same, hint)
    hint = "in seconds, as a decimal number; from the arrival of the request until its answer begins"
    times = [(float(each.headers.get("X-Process-Time", "nan")), each.seconds) for each in slow]
    right = sum(between(0.09, measured) == told for told, measured in times)  # a sleep of 0.1, by a coarse clock
    report.expect("eight requests at once: times between the wait and what the client measures", 8, right, hint)


EXERCISES = {"1": cameras, "2": named}
