"""Lesson 4: albums with a unique name, PUT against PATCH."""

from collections import Counter
from random import choice
from string import ascii_letters
from typing import Any
from uuid import uuid4

from .answer import Answer
from .probe import Probe, at_once, served
from .report import Report, Such, having

ROUNDS, CLIENTS = 5, 8  # how often so many send the same name at once
UNKNOWN = 987_654_321  # no new database gives such an id
LOADS = "answer all of the row: a commit empties its object, and session.refresh, or a response_model, loads it again"
LIMITS = "min_length=1 and max_length=50, in the model of the body: a table model checks nothing"
GONE = "status_code=204 in the decorator; session.delete, commit, return nothing; 404 when it is gone"
UNIQUE = "unique=True in the table; catch sqlalchemy.exc.IntegrityError around the commit, and roll back"
LOOK = "a look before the insert proves nothing: let the unique constraint decide, and turn its error into 409"


def make(api: Probe, path: str, body: dict) -> dict:
    """POST something new; what came back: the body with an id."""
    missing = f"add a function under .post('{path}', status_code=201) of your app, that takes a model of the body"
    answer = api.post(path, json=body, missing=missing).require(201)
    expected = having({**body, "id": Such("an id", lambda number: number is not None)})
    return answer.require(json=expected, what="it answers what was sent, with an id", hint=LOADS).json


def albums(report: Report, target: Any) -> None:
    """POST, GET, DELETE of albums; a name is there once, also under eight posts at the same moment."""
    with served(report, target) as api:
        name = f"album {uuid4().hex}"
        own, unknown = f"/albums/{make(api, '/albums', {'name': name})['id']}", f"/albums/{UNKNOWN}"
        hint = 'with a parameter response: Response, set response.headers["Location"] to the path of the new album'
        second = api.post("/albums", json={"name": name[:-1]}, hint=hint).expect(201, headers=("Location",))
        api.get(second.location, hint=hint).expect(200, "Location leads to the new album", json=second.json)
        for method in ("GET", "DELETE"):
            answer = api.request(method, unknown, hint="session.get gives None: answer 404")
            answer.expect(404, f"{method} of an unknown album")
        for length, longest in ((0, choice(ascii_letters)), (51, f"{name:x<50}")):
            answer = api.post("/albums", json={"name": "x" * length}, hint=LIMITS)
            answer.expect(422, f"a name of {length} characters is refused")
            answer = api.post("/albums", json={"name": longest}, hint=LIMITS)
            if answer.status not in (201, 409):  # one letter may be there from the last check
                answer.expect((201, 409), f"a name of {len(longest)} characters is none too many, and none too few")
        right = True
        for text, status, what in (
            (name, 409, "a taken name is a conflict"),
            (name, 409, "and a second time"),
            (f"not {name}"[:50], 201, "the next new name is none"),
        ):
            right &= bool(api.post("/albums", json={"name": text}).expect(status, what, UNIQUE))
        if right:
            race(api)
        api.delete(own, hint=GONE).expect(204, "DELETE of an album")
        api.get(own, hint=GONE).expect(404, "GET after the DELETE")
        api.delete(own, hint=GONE).expect(404, "DELETE once more")
        again = api.post("/albums", json={"name": name}, hint="delete the row, and commit")
        again.expect(201, "its name is free again")


def race(api: Probe) -> None:
    """One new name from all clients at once, some rounds; ends at the first that goes wrong."""
    expected = {201: 1, 409: CLIENTS - 1}
    for _ in range(ROUNDS):
        body = {"name": f"race {uuid4().hex}"}
        answers = at_once(lambda body: api.post("/albums", json=body), [body] * CLIENTS)
        if (actual := dict(Counter(answer.status for answer in answers))) != expected:
            break
    what = f"{CLIENTS} clients send one new name at once; how often each status"
    api.report.expect(what, expected, actual, LOOK)


def cameras(report: Report, target: Any) -> None:
    """PUT replaces all of a camera, PATCH changes what was sent."""
    body = {"name": f"camera {uuid4().hex[:8]}", "place": f"room {uuid4().hex[:8]}", "active": False}
    with served(report, target) as api:
        camera = make(api, "/cameras", body)
        own = f"/cameras/{camera['id']}"
        put(api, own, camera)
        api.put(own, json=body)
        patch(api, own, api.get(own).json)
        for method in ("PUT", "PATCH"):
            answer = api.request(method, f"/cameras/{UNKNOWN}", json={"name": "x"}, hint="as in read_camera")
            answer.expect(404, f"{method} of an unknown camera")


def put(api: Probe, own: str, camera: dict) -> None:
    """A name alone resets the rest; twice is as once; a part is refused."""
    reset = camera | {"name": f"new {camera['name']}", "place": "", "active": True}
    hint = "@cameras.put('/cameras/{number}') takes the model of POST: copy all its fields, those left out as well"
    for what in ("PUT of a name alone resets the rest", "... also a second time"):
        answer = api.put(own, json={"name": reset["name"]})
        if not answer.expect(200, json=reset, what=what, hint=_or_loads(answer, hint)):
            return
    api.get(own).expect(200, "what PUT answered is stored", "commit the session", json=reset)
    api.put(own, json={"place": "x"}).expect(422, "PUT without a name is refused", "as in POST")


def patch(api: Probe, own: str, camera: dict) -> None:
    """Only what was sent changes; false and "" count; null is refused."""
    moved, empty = camera | {"place": "in the hall"}, camera | {"active": False, "place": ""}
    hint = "@cameras.patch(...): model_dump(exclude_unset=True) holds the fields that came, and no others"
    answer = api.patch(own, json={"place": moved["place"]})
    if not answer.expect(200, json=moved, what="PATCH of place changes place alone", hint=_or_loads(answer, hint)):
        return
    api.patch(own, json={"active": True})
    hint = "false and an empty text are values, too: do not ask `if value:`, ask which fields were set"
    answer = api.patch(own, json={"active": False, "place": ""}, hint=hint)
    answer.expect(200, "PATCH to false and to an empty text counts", json=empty)
    hint = "keep the types str and bool, without | None, and give Field(default=None): defaults are not checked"
    for field in ("name", "place", "active"):
        api.patch(own, json={field: None}, hint=hint).expect(422, f"PATCH of {field} to null is refused")
    before = api.get(own).json
    api.patch(own, json={}).expect(200, "PATCH with {} changes nothing", "{} is no mistake", json=before)


def _or_loads(answer: Answer, hint: str) -> str:
    return LOADS if answer.json == {} else hint


EXERCISES = {"1": albums, "2": cameras}
