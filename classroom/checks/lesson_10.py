"""The exercises of lesson 10: an API with keys, a login with scopes, an upload handler; each is attacked."""

import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from secrets import token_bytes, token_hex, token_urlsafe
from tempfile import TemporaryDirectory
from unittest.mock import patch

import cv2
import jwt
import numpy as np
from pwdlib import PasswordHash

from .answer import Answer
from .pictures import sample, starter
from .probe import Probe, made
from .report import Report, Such, having
from .uploads import files, pour, shape

YEAR = 366 * 24 * 3600  # seconds
LISTED = 'return {"labels": detector.labels}: a list of all, under this key, and nothing else'
ABSENT = "only the header counts, and a missing one is no 422 and no 500: auto_error=False, then `given or ''`"
STOLEN = "what lies in `hashes` is no key itself: hash what came"
UMLAUT = "hash first, given.encode(): compare_digest takes ASCII only"
CHALLENGE = "HTTP wants this header with each 401: HTTPException takes headers={...}"
WHOLE = "compare the SHA-256 of the whole header with each of `hashes`, and raise an HTTPException if none fits"
SCOPES = "grant what was asked for AND is in users[name]['scopes']; whoever asks for nothing gets all of their own"
TOKEN = "HS256, aud 'lab', sub the name; decode with algorithms=['HS256'], audience='lab'; {'name': claims['sub']}"
ISSUED = 'answer {"access_token": ..., "token_type": "bearer", "scope": ...}, all three as texts'
CLAIMS = "sub the name, aud 'lab', scope one text, exp in seconds since 1970: int(time.time()) + 900; HS256, the key"
SAME = "act on what verify returns, with one answer whether the name or the password is wrong"
NAMED = having({"name": Such("the file's name", lambda name: isinstance(name, str))})
WRITE = "write the whole picture: what file.file.read() gave (a second read() gives nothing), or encode(picture)"


def keyed(report: Report, make: Callable) -> None:
    """keyed(hashes): an app with GET /health for all, and GET /v1/labels for those with a key."""
    keys = [token_urlsafe(32) for _ in range(2)]
    hashes = {sha256(key.encode()).hexdigest() for key in keys}
    with made(report, make, hashes) as api:

        def labels(key: str | bytes | None, query: str = "") -> Answer:
            return api.get(f"/v1/labels{query}", headers={"X-API-Key": key})

        hint = "put the check on one route only"
        api.get("/health", hint=hint).expect(200, "GET /health asks for no key")
        hint = "hash what came in X-API-Key with sha256(...).hexdigest(), compare it with each; return the labels"
        for which, key in zip(("the first", "the other"), keys, strict=True):
            answer = labels(key)
            why = LISTED if answer.status == 200 else hint
            answer.require(200, f"{which} of two keys gets in, and gets the labels", why, json=_listed())
        labels(token_urlsafe(32)).require(401, "a wrong key is refused with 401", WHOLE)
        for what, given, query, hint in (
            ("half a key", keys[0][:21], "", WHOLE),
            ("a stolen hash, used as a key,", min(hashes), "", STOLEN),
            ("a key with an umlaut", b"schl\xfcssel", "", UMLAUT),
            ("a right key, but in the query,", None, f"?X-API-Key={keys[0]}&api_key={keys[0]}", ABSENT),
            ("no key", None, "", ABSENT),
        ):
            _refused(labels(given, query), what, hint)


def _listed() -> Such:
    """The whole JSON with all labels, in any order."""
    right = sorted(starter().labels)

    def whole(json: dict) -> bool:
        return [*json] == ["labels"] and isinstance(json["labels"], list) and sorted(json["labels"]) == right

    return Such(f'{{"labels": [...]}}, a list of all {len(right)} labels', whole)


def login(report: Report, make: Callable) -> None:
    """login(users, key): POST /token, GET /me for any valid token, GET /admin for those with the scope admin."""
    boss, clerk, password, key = f"boss-{token_hex(4)}", f"clerk-{token_hex(4)}", token_urlsafe(9), token_bytes(32)
    stored = PasswordHash.recommended().hash(password)
    users = {boss: {"hash": stored, "scopes": ["read", "admin"]}, clerk: {"hash": stored, "scopes": ["read"]}}
    hint = "@app.post('/token') with OAuth2PasswordRequestForm; verify the password against users[name]['hash']"
    tokens = []
    with made(report, make, users, key) as api:
        logins = ((boss, "", "admin read"), (boss, "read", "read"), (clerk, "read admin", "read"), (clerk, "", "read"))
        for name, asked, granted in logins:
            form = {"username": name, "password": password, "scope": asked}
            answer = api.post("/token", data=form, hint=hint)
            why = ISSUED if answer.status == 200 else hint
            answer.require(200, f"POST /token with the scope {asked!r}", why, json=_issued())
            tokens.append(answer.json["access_token"])
            _check_claims(report, tokens[-1], key, name)
            actual = " ".join(sorted(str(answer.json.get("scope")).split()))
            report.expect(f"the scopes that it grants to {name[:5]}", granted, actual, SCOPES)
        with patch("argon2.PasswordHasher.verify", return_value=False) as verify:
            forms = [{"username": name, "password": "wrong"} for name in (boss, f"nobody-{token_hex(4)}")]
            wrong, nobody = (api.post("/token", data=form) for form in forms)
        wrong.expect((400, 401), "a wrong password: 400 or 401", SAME)
        report.expect("an unknown name: just the same", (wrong.status, wrong.text), (nobody.status, nobody.text), SAME)
        hint = "for an unknown name, verify against the hash of a random password, made once beforehand"
        report.expect("two wrong logins cost two verifications", 2, verify.call_count, hint)
        _tokens(api, boss, key, tokens)


def _issued() -> Such:
    """The JSON for a right login; the type's capitals do not matter."""
    texts = {name: Such("a text", lambda text: isinstance(text, str)) for name in ("access_token", "scope")}
    return having({**texts, "token_type": Such("'bearer'", lambda text: text.lower() == "bearer")})


def _check_claims(report: Report, token: str, key: bytes, name: str) -> None:
    """A line for a token that is wrong only: what is in it, where a check of the routes may not see it."""
    now, text = int(time.time()), Such("a text", lambda scope: isinstance(scope, str))
    in_time = Such("seconds since 1970, within ten years", lambda exp: now <= exp <= now + 10 * YEAR)
    expected = {"sub": name, "aud": Such("'lab'", lambda aud: aud in ("lab", ["lab"])), "scope": text, "exp": in_time}
    try:
        actual = jwt.decode(token, key, ["HS256"], options={"verify_aud": False, "verify_exp": False})
    except jwt.InvalidTokenError as error:
        actual = f"no such token: {error}"
    if having(expected) != actual:
        report.require("the claims of your token", expected, actual, CLAIMS)


def _tokens(api: Probe, boss: str, key: bytes, tokens: list[str]) -> None:
    """What /me and /admin say to the four tokens, and to forged ones."""
    soon = int(time.time())
    whole = {"sub": boss, "scope": "read admin", "aud": "lab", "exp": soon + 600}
    endless = {name: value for name, value in whole.items() if name != "exp"}

    def call(path: str, token: str) -> Answer:
        return api.get(path, headers={"Authorization": f"Bearer {token}"})

    for token, whose in ((tokens[0], "your token"), (jwt.encode(whole, key, "HS256"), "a token of the check's")):
        call("/me", token).require(200, f"GET /me knows {whose}", TOKEN, json=having({"name": boss}))
    hint = "compare SecurityScopes with the token's scope, a string with spaces; 403 says: known, and not allowed"
    actual = [call("/admin", token).status for token in tokens]
    api.report.expect("GET /admin: 200 with the scope admin, 403 without", [200, 403, 403, 403], actual, hint)
    hint = "jwt.decode(..., options={'require': ['exp', 'aud', 'sub']}); answer jwt.InvalidTokenError with 401"
    forged = {
        "an expired token": jwt.encode(whole | {"exp": soon - 60}, key, "HS256"),
        "a token for another audience": jwt.encode(whole | {"aud": "shop"}, key, "HS256"),
        "a token that never expires": jwt.encode(endless, key, "HS256"),
        "a token signed with another key": jwt.encode(whole, token_bytes(32), "HS256"),
        "a token without a signature": jwt.encode(whole, "", "none"),
    }
    for what, token in forged.items():
        _refused(call("/me", token), what, hint, "Bearer")
    _refused(api.get("/me"), "no token", hint, "Bearer")


def uploader(report: Report, make: Callable) -> None:
    """uploader(folder): POST /upload keeps pictures in the folder, and nothing else anywhere."""
    apple = sample("apple")
    bomb = cv2.imencode(".png", np.zeros((4000, 5000), np.uint8))[1].tobytes()
    with TemporaryDirectory() as home:
        folder, told = Path(home, "site", "uploads"), []
        folder.mkdir(parents=True)
        with made(report, make, folder) as api:
            hint = "status_code=201 and {'name': ...}; what the sender calls the file must not matter"
            for name in ("apple.jpg", "apple.jpg", "notes.txt", "../../x.jpg", "large.jpg"):
                file = (name, apple + bytes(900_000 * (name == "large.jpg")))
                answer = api.post("/upload", files={"file": file}, missing=hint)
                answer.require(201, f"a picture called {name} is taken", hint, json=NAMED)
                told.append(f"site/uploads/{answer.json['name']}")
            hint = "write each under a name of your own, token_hex(8) + '.jpg', and tell that name; never file.filename"
            kept = files(home)
            if report.expect("five files lie in the folder, nothing elsewhere", sorted(told), kept, hint):
                shapes = {shape(Path(home, each)) for each in kept}
                report.expect("they are the pictures", {shape(apple)}, shapes, WRITE)
            for what, data, status, hint in (
                ("a text called x.jpg", b"<script>", 415, "look at the first bytes, as media_type and decode do"),
                ("half a picture", apple[:9999], 400, "decode it whole; each LabError has its status with it"),
                ("a cut PNG of 20 megapixels", bomb[:999], 413, "decode(data, max_pixels=...) reads the header first"),
            ):
                answer = api.post("/upload", files={"file": ("x.jpg", data)}, hint=hint)
                answer.expect(status, f"{what} is refused: {status}")
            hint = "count while the body comes in, not afterwards: FastAPI(max_body_size=...) does"
            report.expect("an endless body is refused before it ends", (413, True), pour(api.url), hint)
            report.expect("nothing of these is kept", kept, files(home), "look first, write afterwards")


def _refused(answer: Answer, what: str, hint: str, scheme: str = "") -> None:
    """A 401, with a header that says how to do better."""
    if answer.expect(401, f"{what} is refused with 401", hint):
        challenge = Such(scheme or "a scheme", lambda text: text and text.title().startswith(scheme))
        asked = answer.headers.get("www-authenticate", "")
        answer.report.expect("... with the header WWW-Authenticate", challenge, asked, CHALLENGE)


EXERCISES = {"1": keyed, "2": login, "3": uploader}
