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


def writer(end="\r\n", length=lambda text: len(text.encode()), closing=("",), header="Host: {}", code="utf-8"):
    """The solution of exercise 1; each argument is a way to get it wrong."""

    def write_request(method, target, host, text=""):
        lines = [f"{method} {target} HTTP/1.1", header.format(host)]
        if text:
            lines += ["Content-Type: text/plain; charset=utf-8", f"Content-Length: {length(text)}"]
        return end.join([*lines, *closing, text]).encode(code)

    return write_request


def test_a_request_by_hand_passes(capsys):
    assert check("01.1", writer()).ok
    assert "well done" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("write", "hint"),
    [
        (lambda method, target, host, text="": b"", r"one more \r\n"),
        (lambda *request: writer()(*request).decode(), "encode head and text"),
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


def solution_2(
    new_id=None, put_status=(200, 201), put_id=lambda id: id, deleted=404, location="/notes/{}", default=..., embed=True
):
    """The solution of exercise 2; each argument is a way to get it wrong."""
    notes, app = skeleton_2()
    ids = count(1)

    @app.post("/notes", status_code=201)
    def add_note(response: Response, text: str = Body(default, embed=embed)):
        id = new_id(notes) if new_id else next(each for each in ids if each not in notes)
        notes[id] = {"id": id, "text": text}
        if location:
            response.headers["Location"] = location.format(id)
        return notes[id]

    @app.get("/notes/{id}")
    def one_note(id: int):
        if id not in notes:
            raise HTTPException(404, f"There is no note {id}.")
        return notes[id]

    @app.put("/notes/{id}")
    def put_note(id: int, text: str = Body(embed=True)):
        status, id = put_status[id not in notes], put_id(id)
        notes[id] = {"id": id, "text": text}
        return Response(status_code=204) if status == 204 else JSONResponse(notes[id], status)

    @app.delete("/notes/{id}", status_code=204)
    def delete_note(id: int):
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
    ],
)
def test_a_wrong_api_for_notes_gets_a_hint(wrong, hint, capsys):
    assert not check("01.2", solution_2(**wrong)).ok
    assert hint in capsys.readouterr().out


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


def solution_3(unknown=422, twice=409, mute=lambda muted: muted, getter=False, missing=404):
    """The solution of exercise 3; each argument is a way to get it wrong."""
    alarms, ids, app = {}, count(1), FastAPI()

    def existing(id):
        if id not in alarms:
            raise HTTPException(missing, f"There is no alarm {id}.")
        return alarms[id]

    @app.get("/alarms")
    def all_alarms():
        return list(alarms.values())

    @app.post("/alarms", status_code=201)
    def add_alarm(response: Response, label: str = Body(embed=True)):
        if label not in LABELS:
            response.status_code = unknown
            return {"detail": "unknown label"}
        if twice and any(alarm["label"] == label for alarm in alarms.values()):
            raise HTTPException(twice, f"There is an alarm for {label} already.")
        id = next(ids)
        alarms[id] = {"id": id, "label": label, "muted": False}
        response.headers["Location"] = f"/alarms/{id}"
        return alarms[id]

    @app.get("/alarms/{id}")
    def one_alarm(id: int):
        return existing(id)

    @app.patch("/alarms/{id}")
    def change_alarm(id: int, muted: bool = Body(embed=True)):
        existing(id)["muted"] = mute(muted)
        return alarms[id]

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
        ({"mute": lambda muted: True}, "take muted: bool"),
        ({"getter": True}, "move what changes something to POST, PATCH and DELETE"),
        ({"getter": True}, "take the old route away"),
        ({"missing": 400}, "raise HTTPException(404"),
    ],
)
def test_a_badly_repaired_api_gets_a_hint(wrong, hint, capsys):
    assert not check("01.3", solution_3(**wrong)).ok
    assert hint in capsys.readouterr().out


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
