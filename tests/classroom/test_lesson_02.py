"""The checks of lesson 2, both ways: the solution passes; the skeleton and typical mistakes get the right hint."""

import json
from urllib.parse import parse_qs, parse_qsl

import pytest
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, create_model, model_validator

from classroom.checks import check
from yololab import serve


def overlap(a, b):
    """The arithmetic that the skeleton of exercise 1 gives."""
    width = max(0, min(a.x2, b.x2) - max(a.x1, b.x1))
    height = max(0, min(a.y2, b.y2) - max(a.y1, b.y1))
    areas = sum((box.x2 - box.x1) * (box.y2 - box.y1) for box in (a, b))
    return width * height / (areas - width * height)


def out_of_order(box):
    return box.x2 <= box.x1 or box.y2 <= box.y1


def box_model(ordered=True, kind=float, wrong=out_of_order, least=(0, 0), optional=None, **config):
    class Box(BaseModel):
        model_config = ConfigDict(**{"strict": True, "extra": "forbid"} | config)
        x1: kind = Field(ge=least[0])
        y1: optional or kind = Field(ge=least[1])
        x2: kind = Field(ge=0)
        y2: kind = Field(ge=0)

        @model_validator(mode="after")
        def in_order(self):
            if ordered and wrong(self):
                raise ValueError("corners out of order")
            return self

    return Box


def iou_app(box=None, extra="forbid", answer=lambda value: {"iou": value}):
    box = box or box_model()
    pair = create_model("Pair", __config__=ConfigDict(extra=extra), a=(box, ...), b=(box, ...))
    app = FastAPI()

    @app.post("/iou")
    def compare(both: pair):
        return answer(overlap(both.a, both.b))

    return app


def test_iou_solution_passes(capsys):
    assert check("02.1", iou_app()).ok
    assert "well done" in capsys.readouterr().out


def test_numbers_that_are_whole_or_not_pass(capsys):
    """Two entries in the list of mistakes, one for each kind of number."""
    assert check("02.1", iou_app(box_model(kind=StrictInt | StrictFloat))).ok, capsys.readouterr().out


def test_iou_solution_passes_by_url():
    server = serve(iou_app(), port=0)
    assert check("02.1", server.url).ok
    server.stop()


def test_iou_skeleton_is_told_to_add_the_route(capsys):
    assert not check("02.1", FastAPI()).ok
    out = capsys.readouterr().out
    assert "@iou_app.post('/iou')" in out and out.count("NOT YET") == 1


def forgiving():
    """Equal corners pass, and the area 0 is divided by."""

    class Box(box_model(ordered=False)):
        @model_validator(mode="after")
        def in_order(self):
            if self.x2 < self.x1 or self.y2 < self.y1:
                raise ValueError("corners out of order")
            return self

    return iou_app(Box)


def two_parameters():
    box, app = box_model(), FastAPI()

    @app.post("/iou")
    def compare(a: box, b: box):
        return {"iou": overlap(a, b)}

    return app


def in_the_route():
    """Out of order is refused, but with a sentence instead of a list."""
    box, app = box_model(ordered=False), FastAPI()

    class Pair(BaseModel):
        model_config = ConfigDict(extra="forbid")
        a: box
        b: box

    @app.post("/iou")
    def compare(pair: Pair):
        if any(each.x2 <= each.x1 or each.y2 <= each.y1 for each in (pair.a, pair.b)):
            raise HTTPException(422, "corners out of order")
        return {"iou": overlap(pair.a, pair.b)}

    return app


@pytest.mark.parametrize(
    ("app", "hint"),
    [
        (lambda: iou_app(box_model(strict=False)), "ConfigDict(strict=True)"),
        (lambda: iou_app(box_model(kind=int)), "the route refuses two right boxes: {"),
        (lambda: iou_app(box_model(extra="ignore")), "extra='forbid') in the model of a box"),
        (lambda: iou_app(extra="ignore"), "an outer model, with extra='forbid'"),
        (two_parameters, "an outer model, with extra='forbid'"),
        (forgiving, "equal is wrong, too"),
        (lambda: iou_app(box_model(wrong=lambda box: box.x2 <= box.x1 or box.y2 < box.y1)), "equal is wrong, too"),
        (lambda: iou_app(box_model(wrong=lambda box: box.x2 == box.x1 or box.y2 <= box.y1)), "x2 smaller than x1"),
        (lambda: iou_app(box_model(wrong=lambda box: box.x2 <= box.x1)), "y2 smaller than y1"),
        (lambda: iou_app(box_model(wrong=lambda box: box.x2 <= box.x1 + 1 or out_of_order(box))), "that are thin"),
        (lambda: iou_app(box_model(least=(0, -9999))), "y1 below 0"),
        (lambda: iou_app(box_model(least=(-9999, 0))), "a coordinate below 0"),
        (lambda: iou_app(box_model(least=(1, 1))), "a coordinate may be 0"),
        (lambda: iou_app(box_model(optional=StrictInt | StrictFloat | str)), "y1 as text"),
        (in_the_route, "error.errors() under 'detail'"),
        (lambda: iou_app(answer=lambda value: {"iou": round(value, 2)}), "not rounded"),
        (lambda: iou_app(answer=lambda value: value), "key iou"),
    ],
)
def test_iou_mistakes(app, hint, capsys):
    assert not check("02.1", app()).ok
    assert hint in capsys.readouterr().out


def test_wrong_then_right_in_one_process():
    """A student corrects the cell and checks again: no restart is needed."""
    assert not check("02.1", iou_app(box_model(strict=False))).ok
    assert check("02.1", iou_app()).ok


def test_a_crash_is_shown_with_its_line(capsys):
    assert not check("02.1", iou_app(answer=lambda value: value.no_such_field)).ok
    out = capsys.readouterr().out
    assert "no_such_field" in out and "your line" in out


def by_hand(
    query=lambda scope: parse_qs(scope["query_string"].decode()),
    pieces=lambda message: message.get("more_body", False),
    known=lambda path, method: {"/hello": "GET", "/length": "POST"}.get(path),
    kind=b"application/json",
    kind_of_errors=None,
    missing=422,
):
    """The solution of exercise 2; each argument is a way to get it wrong."""

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        path, right = scope["path"], known(scope["path"], scope["method"])
        status, data = (404 if right is None else 405), {"detail": "no"}
        if right == scope["method"] and path == "/hello":
            name = query(scope).get("name")
            status, data = (200, {"hello": name[0]}) if name else (missing, {"detail": "no name"})
        elif right == scope["method"]:
            message = await receive()
            total = len(message["body"])
            while pieces(message):
                message = await receive()
                total += len(message["body"])
            status, data = 200, {"bytes": total}
        told = (kind_of_errors or kind) if status >= 400 else kind
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", told)]})
        await send({"type": "http.response.body", "body": json.dumps(data).encode()})

    return app


def any_value(scope):
    """The first value of the query, whatever its name is."""
    return {"name": [pair[1] for pair in parse_qsl(scope["query_string"].decode())]}


def starts(path, method):
    """What begins like a path is taken for it."""
    return "GET" if path.startswith("/hello") else "POST" if path == "/length" else None


def only_the_other(path, method):
    """PUT is taken for GET."""
    right = {"/hello": "GET", "/length": "POST"}.get(path)
    return method if right and method == "PUT" else right


def test_an_app_by_hand_passes(capsys):
    assert check("02.2", by_hand()).ok
    assert "well done" in capsys.readouterr().out


def test_a_framework_passes_as_well():
    app = FastAPI()
    app.get("/hello")(lambda name: {"hello": name})

    @app.post("/length")
    async def length(request: Request):
        return {"bytes": len(await request.body())}

    @app.exception_handler(RequestValidationError)
    def refuse(request, error):
        return JSONResponse({"detail": "name is missing"}, 422)

    assert check("02.2", app).ok


@pytest.mark.parametrize(
    ("app", "hint"),
    [
        (lambda: by_hand(known=lambda path, method: None), 'if scope["path"] == "/hello"'),
        (lambda: by_hand(known=lambda path, method: {"/hello": "GET"}.get(path)), 'if scope["path"] == "/length"'),
        (lambda: by_hand(query=lambda scope: {"name": ["Ann"]}), "parse_qs(scope"),
        (lambda: by_hand(query=lambda scope: scope["query"]), "put that line right"),
        (lambda: by_hand(pieces=lambda message: False), "one message is one piece"),
        (
            lambda: by_hand(known=lambda path, method: method if path in ("/hello", "/length") else None),
            "then the method",
        ),
        (
            lambda: by_hand(known=lambda path, method: {"/hello": "GET", "/length": "POST"}.get(path, "")),
            "compare the path first",
        ),
        (lambda: by_hand(kind=b"text/plain"), "the header is a pair of bytes"),
        (lambda: by_hand(kind_of_errors=b"text/plain"), "the header is a pair of bytes"),
        (lambda: by_hand(query=any_value), "a name that was not sent"),
        (lambda: by_hand(known=starts), "compare the path first"),
        (lambda: by_hand(known=only_the_other), "then the method"),
        (lambda: by_hand(missing=200), "a name that was not sent is missing"),
    ],
)
def test_mistakes_by_hand_get_a_hint(app, hint, capsys):
    assert not check("02.2", app()).ok
    out = capsys.readouterr().out
    assert hint in out and "Traceback" not in out
