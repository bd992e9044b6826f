"""The exercises of lesson 10: an API with keys, a login with scopes, an upload handler; each is attacked."""

import select
import time
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path
from secrets import token_bytes, token_hex, token_urlsafe
from tempfile import TemporaryDirectory
from unittest.mock import patch

import cv2
import jwt
import numpy as np
from pwdlib import PasswordHash

from yololab.vision.images import decode

from .answer import Answer
from .pictures import sample
from .probe import SECONDS, Probe, made
from .report import Report, Such, having

PIECE, MAX_BYTES = 2**16, 64 * 2**20  # bytes of an endless body: sent at a time, and at most
ABSENT = "only the header counts, and a missing one is no 422 and no 500: auto_error=False, then `given or ''`"
STOLEN = "what lies in `hashes` is no key itself: hash what came"
UMLAUT = "hash first, given.encode(): compare_digest takes ASCII only"
CHALLENGE = "HTTP wants this header with each 401: HTTPException takes headers={...}"
WHOLE = "compare the SHA-256 of the whole header with each of `hashes`, and raise an HTTPException if none fits"
SCOPES = "grant what was asked for AND is in users[name]['scopes']; whoever asks for nothing gets all of their own"
TOKEN = "HS256, aud 'lab', sub the name; decode with algorithms=['HS256'], audience='lab'; {'name': claims['sub']}"
SAME = "act on what verify returns, with one answer whether the name or the password is wrong"


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
        listed = Such("the labels", lambda json: "traffic light" in str(json))
        for which, key in zip(("the first", "the other"), keys, strict=True):
            labels(key).require(200, f"{which} of two keys gets in, and gets the labels", hint, json=listed)
        labels(token_urlsafe(32)).require(401, "a wrong key is refused with 401", WHOLE)
        for what, given, query, hint in (
            ("half a key", keys[0][:21], "", WHOLE),
            ("a stolen hash, used as a key,", min(hashes), "", STOLEN),
            ("a key with an umlaut", b"schl\xfcssel", "", UMLAUT),
            ("a right key, but in the query,", None, f"?X-API-Key={keys[0]}&api_key={keys[0]}", ABSENT),
            ("no key", None, "", ABSENT),
        ):
            _refused(labels(given, query), what, hint)


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
            answer = api.post("/token", data=form, hint=hint).require(200, f"POST /token with the scope {asked!r}")
            tokens.append(str(answer.json.get("access_token")))
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
                answer.require(201, f"a picture called {name} is taken", hint)
                told.append(f"site/uploads/{answer.json.get('name')}")
            hint = "write each under a name of your own, token_hex(8) + '.jpg', and tell that name; never file.filename"
            kept = _files(home)
            if report.expect("five files lie in the folder, nothing elsewhere", sorted(told), kept, hint):
                shapes = {decode(path.read_bytes()).shape for path in folder.iterdir()}
                report.expect("they are the pictures", {decode(apple).shape}, shapes, "write the whole picture")
            for what, data, status, hint in (
                ("a text called x.jpg", b"<script>", 415, "look at the first bytes, as media_type and decode do"),
                ("half a picture", apple[:9999], 400, "decode it whole; each LabError has its status with it"),
                ("a cut PNG of 20 megapixels", bomb[:999], 413, "decode(data, max_pixels=...) reads the header first"),
            ):
                answer = api.post("/upload", files={"file": ("x.jpg", data)}, hint=hint)
                answer.expect(status, f"{what} is refused: {status}")
            hint = "count while the body comes in, not afterwards: FastAPI(max_body_size=...) does"
            report.expect("an endless body is refused before it ends", (413, True), _pour(api.url), hint)
            report.expect("nothing of these is kept", kept, _files(home), "look first, write afterwards")


def _files(home: str) -> list[str]:
    return sorted(path.relative_to(home).as_posix() for path in Path(home).rglob("*") if path.is_file())


def _refused(answer: Answer, what: str, hint: str, scheme: str = "") -> None:
    """A 401, with a header that says how to do better."""
    if answer.expect(401, f"{what} is refused with 401", hint):
        challenge = Such(scheme or "a scheme", lambda text: text and text.title().startswith(scheme))
        asked = answer.headers.get("www-authenticate", "")
        answer.report.expect("... with the header WWW-Authenticate", challenge, asked, CHALLENGE)


def _pour(url: str) -> tuple[int, bool]:
    """Send a body without an end until there is an answer: its status, and whether it came before we gave up."""
    sent, piece = 0, b'--cut\r\nContent-Disposition: form-data; name="file"; filename="x.jpg"\r\n\r\n'
    with closing(HTTPConnection(url.removeprefix("http://"), timeout=SECONDS)) as wire:
        wire.putrequest("POST", "/upload")
        wire.putheader("Content-Type", "multipart/form-data; boundary=cut")
        wire.putheader("Transfer-Encoding", "chunked")
        wire.endheaders()
        try:
            while sent < MAX_BYTES and not select.select([wire.sock], [], [], 0)[0]:
                wire.send(b"%x\r\n%s\r\n" % (len(piece), piece))
                piece, sent = bytes(PIECE), sent + PIECE
            if sent >= MAX_BYTES:
                wire.send(b"b\r\n\r\n--cut--\r\n\r\n0\r\n\r\n")
            return wire.getresponse().status, sent < MAX_BYTES
        except ConnectionError:  # it refused and hung up before we could read its answer
            return 413, sent < MAX_BYTES


EXERCISES = {"1": keyed, "2": login, "3": uploader}
