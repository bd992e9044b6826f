"""The checks of lesson 10, both ways: a solution passes; the skeleton and typical mistakes get the right hint."""

import time
from hashlib import sha256
from secrets import compare_digest, token_hex
from typing import Annotated

import jwt
import pytest
from fastapi import Depends, FastAPI, Header, HTTPException, Security, UploadFile
from fastapi.security import APIKeyHeader, OAuth2PasswordBearer, OAuth2PasswordRequestForm, SecurityScopes
from helpers import cell_with
from pwdlib import PasswordHash

from classroom.checks import check
from yololab import Detector, decode
from yololab.errors import LabError

LABELS = Detector("starter").labels
HASHER = PasswordHash.recommended()
NOBODY = HASHER.hash(token_hex(16))


def keyed(opens, challenge=True, answer=None):
    """The function of exercise 1, whose door is `opens(given, hashes)`."""

    def make(hashes):
        app = FastAPI()
        app.get("/health")(lambda: {"status": "ok"})

        def caller(given: Annotated[str | None, Security(APIKeyHeader(name="X-API-Key", auto_error=False))]):
            if not opens(given or "", hashes):
                raise HTTPException(401, headers={"WWW-Authenticate": "APIKey"} if challenge else None)

        app.get("/v1/labels", dependencies=[Depends(caller)])(lambda: answer or {"labels": LABELS})
        return app

    return make


def keyed_that_requires_the_header(hashes):
    """The function of exercise 1, with a header that FastAPI itself asks for."""
    app = FastAPI()
    app.get("/health")(lambda: {"status": "ok"})

    @app.get("/v1/labels")
    def labels(x_api_key: Annotated[str, Header()]):
        if not right_key(x_api_key, hashes):
            raise HTTPException(401, headers={"WWW-Authenticate": "APIKey"})
        return {"labels": LABELS}

    return app


def right_key(given, hashes):
    digest = sha256(given.encode()).hexdigest()
    return any(compare_digest(digest, each) for each in hashes)


def test_keyed_solution_passes(capsys):
    assert check("10.1", keyed(right_key)).ok
    assert "well done" in capsys.readouterr().out


def test_keyed_by_a_middleware_passes():
    def make(hashes):
        app = keyed(lambda given, hashes: True)(hashes)

        @app.middleware("http")
        async def door(request, call_next):
            from fastapi.responses import JSONResponse

            given = request.headers.get("x-api-key", "").encode("latin-1")
            if request.url.path != "/health" and sha256(given).hexdigest() not in hashes:
                return JSONResponse({"detail": "no"}, 401, {"WWW-Authenticate": "Key"})
            return await call_next(request)

        return app

    assert check("10.1", make).ok


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (keyed(lambda given, hashes: True), "compare the SHA-256 of the whole header"),  # the skeleton
        (keyed(lambda given, hashes: given in hashes), "hash what came in X-API-Key"),
        (keyed(lambda given, hashes: given in hashes or right_key(given, hashes)), "is no key itself"),
        (keyed(lambda given, hashes: right_key(given, hashes) or 0 < len(given) < 30), "the whole header"),
        (keyed_that_requires_the_header, "a missing one is no 422"),
        (keyed(lambda given, hashes: given.isascii() and right_key(given, hashes), challenge=False), "with each 401"),
        (lambda hashes: FastAPI(), "put the check on one route only"),
        (lambda hashes: None, "return app"),
        (FastAPI(), "the check needs the function"),
    ],
)
def test_keyed_mistakes_get_a_hint(make, hint, capsys):
    assert not check("10.1", make).ok
    assert hint in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer",
    [LABELS, {"labels": ", ".join(LABELS)}, {"labels": LABELS[:-1]}, {"names": LABELS}, {"labels": LABELS, "n": 80}],
)
def test_keyed_that_answers_something_else(answer, capsys):
    assert not check("10.1", keyed(right_key, answer=answer)).ok
    out = capsys.readouterr().out
    assert 'return {"labels": detector.labels}' in out and out.count("NOT YET") == 1


def test_keyed_with_labels_in_another_order_passes():
    assert check("10.1", keyed(right_key, answer={"labels": sorted(LABELS)})).ok


def test_keyed_that_breaks_on_an_umlaut(capsys):
    keys = keyed(lambda given, hashes: compare_digest(given, "key") or right_key(given, hashes))
    assert not check("10.1", keys).ok
    assert "a key with an umlaut is refused with 401\n           expected: 401\n           actual:   500" in (
        capsys.readouterr().out
    )


def login(**changed):
    """The function of exercise 2; `changed` puts a mistake in the place of one decision."""

    def fits(users, form):
        user = users.get(form.username)
        return HASHER.verify(form.password, user["hash"] if user else NOBODY) and user is not None

    def granted(asked, own):
        return [scope for scope in own if scope in asked or not asked]

    def claims_of(token, key):
        return jwt.decode(token, key, ["HS256"], audience="lab", options={"require": ["exp", "aud", "sub"]})

    def issued(token, scope):
        return {"access_token": token, "token_type": "bearer", "scope": scope}

    do = {"fits": fits, "granted": granted, "claims_of": claims_of, "forbidden": 403, "issued": issued} | changed
    bearer = OAuth2PasswordBearer("token")

    def make(users, key):
        app = FastAPI()

        def user(needed: SecurityScopes, token: Annotated[str, Depends(bearer)]):
            try:
                claims = do["claims_of"](token, key)
            except jwt.InvalidTokenError:
                raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"}) from None
            if not set(needed.scopes) <= set(claims["scope"].split()):
                raise HTTPException(do["forbidden"], headers={"WWW-Authenticate": "Bearer"})
            return claims["sub"]

        @app.post("/token")
        def token(form: Annotated[OAuth2PasswordRequestForm, Depends()]):
            if not do["fits"](users, form):
                raise HTTPException(400, "wrong name or password")
            scope = " ".join(do["granted"](form.scopes, users[form.username]["scopes"]))
            claims = {"sub": form.username, "scope": scope, "aud": "lab", "exp": int(time.time()) + 600}
            return do["issued"](jwt.encode(claims | changed.get("claims", {}), key, "HS256"), scope)

        @app.get("/me")
        def me(name: Annotated[str, Security(user)]):
            return {"name": name}

        @app.get("/admin")
        def admin(name: Annotated[str, Security(user, scopes=["admin"])]):
            return {"hello": name}

        return app

    return make


def test_login_solution_passes(capsys):
    assert check("10.2", login()).ok
    assert "well done" in capsys.readouterr().out


def early_end(users, form):
    return form.username in users and HASHER.verify(form.password, users[form.username]["hash"])


def tells_who_is_unknown(users, form):
    if form.username not in users:
        HASHER.verify(form.password, NOBODY)
        raise HTTPException(404, "no such user")
    return early_end(users, form)


def never_refuses(users, form):
    user = users.get(form.username)
    HASHER.verify(form.password, user["hash"] if user else NOBODY)
    return True


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda users, key: FastAPI(), "OAuth2PasswordRequestForm"),  # the skeleton
        (login(claims={"exp": 1000 * (int(time.time()) + 600)}), "exp in seconds since 1970"),
        (login(claims={"scope": ["read"]}), "scope one text"),
        (login(claims={"aud": "shop"}), "aud 'lab'"),
        (login(issued=lambda token, scope: {"access_token": token, "scope": scope}), '"token_type": "bearer"'),
        (login(issued=lambda token, scope: token), '"token_type": "bearer"'),
        (login(issued=lambda token, scope: [token]), '"token_type": "bearer"'),
        (login(granted=lambda asked, own: asked or own), "grant what was asked for AND"),
        (login(fits=early_end), "the hash of a random password"),
        (login(fits=tells_who_is_unknown), "one answer whether the name or the password"),
        (login(fits=never_refuses), "act on what verify returns"),
        (login(forbidden=401), "403 says"),
        (login(claims_of=lambda token, key: jwt.decode(token, options={"verify_signature": False})), "'require'"),
        (login(claims_of=lambda token, key: jwt.decode(token, key, ["HS256"], audience="lab")), "'require'"),
        (login(claims_of=lambda token, key: jwt.decode(token, key, ["HS256"])), "audience='lab'"),
    ],
)
def test_login_mistakes_get_a_hint(make, hint, capsys):
    assert not check("10.2", make).ok
    assert hint in capsys.readouterr().out


def uploader(limit=2**20, **changed):
    """The function of exercise 3, with one mistake in it for each name in `changed`."""

    def make(folder):
        app = FastAPI(max_body_size=limit)

        @app.post("/upload", status_code=201)
        def upload(file: UploadFile):
            data = file.file.read()
            if changed.get("counts_late") and len(data) > 2**20:
                raise HTTPException(413)
            name = file.filename if changed.get("their_name") else token_hex(8) + ".jpg"
            if changed.get("writes_first"):
                (folder / name).write_bytes(data)
            try:
                decode(data, **({} if changed.get("any_size") else {"max_pixels": 16_000_000}))
            except LabError as error:
                raise HTTPException(415 if changed.get("one_status") else error.status) from None
            if not changed.get("keeps_nothing"):
                (folder / name).write_bytes(b"" if changed.get("empty") else data)
            if changed.get("subfolder"):
                (folder / "pictures").mkdir(exist_ok=True)
            return changed.get("answer", lambda name: {"name": name})(name)

        return app

    return make


def test_uploader_solution_passes(capsys):
    assert check("10.3", uploader()).ok
    assert "well done" in capsys.readouterr().out


def test_uploader_that_makes_a_folder_in_its_folder_passes():
    assert check("10.3", uploader(subfolder=True)).ok


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda folder: FastAPI(), "status_code=201"),  # no route
        (uploader(their_name=True), "never file.filename"),
        (uploader(limit=None), "max_body_size"),
        (uploader(limit=None, counts_late=True), "max_body_size"),
        (uploader(any_size=True), "reads the header first"),
        (uploader(one_status=True), "each LabError has its status"),
        (uploader(writes_first=True), "look first, write afterwards"),
        (uploader(empty=True), "actual:   {'a file of 0 bytes: "),
        (uploader(empty=True), "write the whole picture"),
        (uploader(answer=lambda name: name), "status_code=201 and {'name': ...}"),
        (uploader(answer=lambda name: None), "expected: {'name': the file's name}"),
        (uploader(answer=lambda name: [name]), "expected: {'name': the file's name}"),
        (uploader(limit=2**16), "a picture called large.jpg is taken"),
        (uploader(keeps_nothing=True), "write each under a name of your own"),
    ],
)
def test_uploader_mistakes_get_a_hint(make, hint, capsys):
    assert not check("10.3", make).ok
    assert hint in capsys.readouterr().out


# the notebook's own cells


@pytest.mark.parametrize(("number", "name"), [("1", "keyed"), ("2", "login"), ("3", "uploader")])
def test_the_skeleton_fails_and_the_solution_passes_in_one_process(number, name):
    lesson, solutions = "10_security.ipynb", "solutions/10_security.ipynb"
    space: dict = {}
    exec(cell_with(solutions, "from pwdlib import"), space)
    exec(cell_with(lesson, f"def {name}("), space)
    assert not check(f"10.{number}", space[name]).ok
    for text in [*{"2": ["def fits(", "def claims_of("]}.get(number, []), f"def {name}("]:
        exec(cell_with(solutions, text), space)
    assert check(f"10.{number}", space[name]).ok


@pytest.mark.parametrize(
    ("number", "method", "path"), [("1", "GET", "/v1/labels"), ("2", "POST", "/token"), ("3", "POST", "/upload")]
)
def test_an_error_of_the_students_own_is_shown_with_its_line(number, method, path, capsys):
    def make(*args):
        app = FastAPI()
        app.get("/health")(lambda: {"status": "ok"})

        @app.api_route(path, methods=[method])
        def route():
            return 1 + "one"

        return app

    assert not check(f"10.{number}", make).ok
    out = capsys.readouterr().out
    assert "TypeError: unsupported operand" in out and "(your line " in out
    assert "this error: put that line right" in out and "Traceback" not in out
