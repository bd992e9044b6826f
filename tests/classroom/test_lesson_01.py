"""The checks of lesson 1, both ways: the solution passes; the skeleton and typical mistakes get the right hint."""

from itertools import count

import pytest
from fastapi import Body, FastAPI, HTTPException, Response
from fastapi.responses import JSONResponse
from helpers import PACKAGE

from classroom.checks import check
from yololab import serve

FRESH = count(100)
LABELS = (PACKAGE / "starter.names").read_text().splitlines()


def writer(
    end="\r\n",
    length=lambda text: len(text.encode()),
    closing=("",),
    header="Host: {}",
    code="utf-8",
    content=lambda method, text: text,
):
    """The solution of exercise 1; each argument is a way to get it wrong."""

    def write_request(method, target, host, text=""):
        lines = [f"{method} {target} HTTP/1.1", header.format(host)]
        if content(method, text):
            lines += ["Content-Type: text/plain; charset=utf-8", f"Content-Length: {length(text)}"]
        return end.join([*lines, *closing, text]).encode(code)

    return write_request


async def awaited(method, target, host, text=""):
    return writer()(method, target, host, text)


def test_a_request_by_hand_passes(capsys):
    assert check("01.1", writer()).ok
    assert "well done" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("write", "hint"),
    [
        (lambda method, target, host, text="": b"", r"one more \r\n"),
        (lambda *request: writer()(*request).decode(), "encode head and text"),
        (lambda *request: None, "a function that only prints"),
        (awaited, "write def, not async def"),
        (lambda method, target, host, text: writer()(method, target, host, text), "text may be left out"),
        (writer(content=lambda method, text: method == "POST"), "ask for the text, not for the method"),
        (writer(content=lambda method, text: method == "POST" and text), "it says what the bytes mean"),
        (writer(content=lambda method, text: method != "GET"), "ask for the text, not for the method"),
        (writer(content=lambda method, text: True), "ask for the text, not for the method"),
        (writer(end="\n"), r"put \r\n after each line"),
        (writer(closing=()), r"one more \r\n behind it"),
        (writer(length=len), "not the characters"),
        (writer(code="latin-1"), "the text in UTF-8"),
        (writer(header="Host: http://{}"), "the argument as it comes"),
    ],
)
def test_a_wrong_request_by_hand_gets_a_hint(write, hint, capsys):
    assert not check("01.1", write).ok
    assert hint in capsys.readouterr().out


def skeleton_2():
    notes, app = {}, FastAPI()

    @app.get("/notes")
    def all_notes():
        return list(notes.values())

    return notes, app


IDS = count(1)


def as_it_is(value):
    return value


def solution_2(
    new_id=None,
    put_status=(200, 201),
    put_id=as_it_is,
    deleted=404,
    location="/notes/{}",
    default=...,
    embed=True,
    posted=as_it_is,
    put=as_it_is,
    keep=("id", "text"),
    listing=lambda notes: list(notes.values()),
    kinds=(int, int, int),
    put_default=...,
    detail="There is no note",
    taken=None,
):
    """The solution of exercise 2; each argument is a way to get it wrong."""
    notes, app = {}, FastAPI()
    ids = count(1)
    get_kind, put_kind, delete_kind = kinds

    def note(id, text):
        return {key: value for key, value in (("id", id), ("text", text)) if key in keep}

    @app.get("/notes")
    def all_notes():
        return listing(notes)

    @app.post("/notes", status_code=201)
    def add_note(response: Response, text: str = Body(default, embed=embed)):
        id = new_id(notes) if new_id else next(each for each in ids if taken or each not in notes)
        if id in notes and taken:
            raise HTTPException(taken, "this id is taken")
        notes[id] = note(id, text)
        if location:
            response.headers["Location"] = location.format(id)
        return posted(notes[id])

    @app.get("/notes/{id}")
    def one_note(id: get_kind):
        if id not in notes:
            raise HTTPException(404, detail)
        return notes[id]

    @app.put("/notes/{id}")
    def put_note(id: put_kind, text: str = Body(put_default, embed=True)):
        status, id = put_status[id not in notes], put_id(id)
        notes[id] = note(id, text)
        return Response(status_code=204) if status == 204 else JSONResponse(put(notes[id]), status)

    @app.delete("/notes/{id}", status_code=204)
    def delete_note(id: delete_kind):
        if notes.pop(id, None) is None and deleted != 204:
            raise HTTPException(deleted, f"There is no note {id}.")

    return app


@pytest.mark.parametrize(
    "right",
    [
        {},
        {"put_status": (204, 201)},
        {"location": "notes/{}"},
        {"new_id": lambda notes: max(notes, default=0) + 1},
    ],
)
def test_an_api_for_notes_passes(right):
    app = solution_2(**right)
    assert check("01.2", app).ok
    assert check("01.2", app).ok  # with the notes of the first time


def test_an_api_for_notes_passes_by_url():
    server = serve(solution_2(), port=0)
    assert check("01.2", server.url).ok
    server.stop()


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"new_id": lambda notes: len(notes) + 1}, "take the next of ids"),
        ({"new_id": lambda notes: next(IDS)}, "PUT may have taken the id"),
        ({"put_status": (200, 200)}, "response.status_code = 201"),
        ({"put_status": (201, 201)}, "201 is for a new note only"),
        ({"put_id": lambda id: next(FRESH)}, "PUT replaces what stands under the id"),
        ({"deleted": 204}, "(any more), raise HTTPException(404"),
        ({"location": ""}, "response.headers['Location']"),
        ({"location": "/note/{}"}, "Location must lead to what was made"),
        ({"default": "nothing"}, "without a default value"),
        ({"embed": False}, "take it with text: str = Body(embed=True)"),
        ({"posted": lambda note: None}, "return it from POST and from GET"),
        ({"posted": lambda note: note["id"]}, "return it from POST and from GET"),
        ({"posted": lambda note: {"id": note["id"]}}, "return it from POST and from GET"),
        ({"keep": ("text",)}, "store a dictionary with id and text"),
        ({"put": lambda note: None}, "return what you have stored"),
        ({"put": lambda note: {"ok": True}}, "return what you have stored"),
        ({"listing": as_it_is}, "return list(notes.values())"),
        ({"listing": lambda notes: []}, "return list(notes.values())"),
        ({"listing": lambda notes: list(notes)}, "return list(notes.values())"),
        ({"listing": lambda notes: [each["text"] for each in notes.values()]}, "return list(notes.values())"),
        ({"kinds": (str, int, int)}, "does not say id: int"),
        ({"kinds": (str, int, int), "detail": None}, "does not say id: int"),
        ({"kinds": (int, str, int)}, "under the id of the URL, which is a number, id: int"),
        ({"kinds": (int, int, str)}, "take id: int, as in GET"),
        ({"put_default": "nothing"}, "without a default value"),
        ({"taken": 409}, "PUT may have taken the id"),
    ],
)
def test_a_wrong_api_for_notes_gets_a_hint(wrong, hint, capsys):
    assert not check("01.2", solution_2(**wrong)).ok
    assert hint in (out := capsys.readouterr().out)
    assert "runs to its end" not in out and ("route is needed" not in out or "location" in wrong)


def test_the_skeleton_for_notes_gets_one_hint(capsys):
    assert not check("01.2", skeleton_2()[1]).ok
    assert "@app.post('/notes', status_code=201)" in (out := capsys.readouterr().out)
    assert out.count("NOT YET") == 1


def skeleton_3():
    alarms, ids, app = {}, count(1), FastAPI()

    @app.get("/getAlarms")
    def get_alarms():
        return list(alarms.values())

    @app.get("/createAlarm")
    def create_alarm(label: str):
        if label not in LABELS:
            return {"error": "unknown label"}
        id = next(ids)
        alarms[id] = {"id": id, "label": label, "muted": False}
        return alarms[id]

    @app.get("/deleteAlarm")
    def delete_alarm(id: int):
        alarms.pop(id, None)
        return {"ok": True}

    return app


def solution_3(
    unknown=422,
    twice=409,
    mute=lambda muted, before: muted,
    getter=False,
    missing=404,
    listing=lambda alarms: list(alarms.values()),
    posted=as_it_is,
    patched=as_it_is,
    muted_first=False,
    spreads=False,
    hasty=False,
):
    """The solution of exercise 3; each argument is a way to get it wrong."""
    alarms, ids, app = {}, count(1), FastAPI()

    def existing(id):
        if id not in alarms:
            raise HTTPException(missing, f"There is no alarm {id}.")
        return alarms[id]

    @app.get("/alarms")
    def all_alarms():
        return listing(alarms)

    @app.post("/alarms", status_code=201)
    def add_alarm(response: Response, label: str = Body(embed=True)):
        if label not in LABELS:
            if hasty:
                alarms[0] = {"id": 0, "label": label, "muted": False}
            response.status_code = unknown
            return {"detail": "unknown label"}
        if twice and any(alarm["label"] == label for alarm in alarms.values()):
            raise HTTPException(twice, f"There is an alarm for {label} already.")
        id = next(ids)
        alarms[id] = {"id": id, "label": label, "muted": muted_first}
        response.headers["Location"] = f"/alarms/{id}"
        return posted(alarms[id])

    @app.get("/alarms/{id}")
    def one_alarm(id: int):
        return existing(id)

    @app.patch("/alarms/{id}")
    def change_alarm(id: int, muted: bool = Body(embed=True)):
        changed = mute(muted, existing(id)["muted"])
        for each in alarms.values() if spreads else [alarms[id]]:
            each["muted"] = changed
        return patched(alarms[id])

    @app.delete("/alarms/{id}", status_code=204)
    def remove_alarm(id: int):
        del alarms[existing(id)["id"]]

    if getter:

        @app.get("/deleteAlarm")
        def delete_alarm(id: int):
            alarms.pop(id, None)

    return app


def test_a_repaired_api_passes():
    app = solution_3()
    assert check("01.3", app).ok
    assert check("01.3", app).ok  # with the alarms of the first time


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"unknown": 200}, "not a success with {'error': ...}"),
        ({"twice": None}, "409 is for what clashes"),
        ({"mute": lambda muted, before: True}, "take muted: bool"),
        ({"mute": lambda muted, before: not before}, "store it as it comes"),
        ({"patched": lambda alarm: {"ok": True}}, "and return the alarm"),
        ({"patched": lambda alarm: None}, "and return the alarm"),
        ({"spreads": True}, "PATCH leaves the other alarms"),
        ({"posted": lambda alarm: None}, "return it from POST and from GET"),
        ({"muted_first": True}, "'muted': False}"),
        ({"listing": lambda alarms: []}, "return list(alarms.values())"),
        ({"listing": as_it_is}, "return list(alarms.values())"),
        ({"listing": lambda alarms: [each["label"] for each in alarms.values()]}, "return list(alarms.values())"),
        ({"listing": lambda alarms: list(alarms.values())[:1]}, "return list(alarms.values())"),
        ({"hasty": True}, "a POST that is refused makes no alarm"),
        ({"getter": True}, "move what changes something to POST, PATCH and DELETE"),
        ({"getter": True}, "take the old route away"),
        ({"missing": 400}, "raise HTTPException(404"),
    ],
)
def test_a_badly_repaired_api_gets_a_hint(wrong, hint, capsys):
    assert not check("01.3", solution_3(**wrong)).ok
    assert hint in (out := capsys.readouterr().out) and "runs to its end" not in out


def test_the_bad_api_gets_one_hint(capsys):
    assert not check("01.3", skeleton_3()).ok
    assert "put a noun into the path" in (out := capsys.readouterr().out)
    assert out.count("NOT YET") == 1


def test_nobody_there_is_no_exception(capsys):
    assert not check("01.2", "http://127.0.0.1:9").ok
    assert "is the server running" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("exercise", "wrong", "right"),
    [
        ("01.1", lambda: writer(length=len), writer),
        ("01.2", lambda: skeleton_2()[1], solution_2),
        ("01.3", skeleton_3, solution_3),
    ],
)
def test_wrong_then_right_in_one_process(exercise, wrong, right):
    """A student corrects the cell and checks again: no restart is needed."""
    assert not check(exercise, wrong()).ok
    assert check(exercise, right()).ok
