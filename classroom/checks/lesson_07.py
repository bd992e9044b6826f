"""The exercises of lesson 7: a door with keys, a login with scopes, an upload handler; each is attacked."""

import select
import time
from contextlib import closing
from functools import partial
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path
from secrets import token_bytes, token_hex, token_urlsafe
from tempfile import TemporaryDirectory
from unittest.mock import patch

import cv2
import jwt
import numpy as np
import requests
from pwdlib import PasswordHash

from classroom import ROOT
from yololab.vision.images import decode

from .report import SECONDS, Report, served

PIECE, MOST = 2**16, 64 * 2**20  # bytes of an endless body: sent at a time, and at most
_get, _post = partial(requests.get, timeout=SECONDS), partial(requests.post, timeout=SECONDS)


def keyed(report: Report, make) -> None:
    """keyed(hashes): an app with GET /health for all, and GET /v1/labels for those with a key."""
    keys = [token_urlsafe(32) for _ in range(2)]
    hashes = {sha256(key.encode()).hexdigest() for key in keys}
    with served(_made(make, hashes)) as url:
        came = _get(f"{url}/health").status_code
        report.expect("GET /health asks for no key", 200, came, "put the check on one route only")
        url += "/v1/labels"
        came = [_get(url, headers={"X-API-Key": key}) for key in keys]
        came = [(each.status_code, "traffic light" in each.text) for each in came]
        hint = "hash what came in X-API-Key with sha256(...).hexdigest(), compare it with each; return the labels"
        if not report.expect("both right keys get in, and get the labels", [(200, True)] * 2, came, hint):
            return
        hint = "compare the SHA-256 of the whole header with each of `hashes`, and raise an HTTPException if none fits"
        came = _get(url, headers={"X-API-Key": token_urlsafe(32)})
        if not report.expect("a wrong key is refused with 401", 401, came.status_code, hint):
            return
        absent = "only the header counts, and a missing one is no 422 and no 500: auto_error=False, then `given or ''`"
        tried = {
            "half a key": (keys[0][:21], "compare the SHA-256 of the whole header"),
            "a stolen hash, used as a key,": (min(hashes), "what lies in `hashes` is no key itself: hash what came"),
            "a key with an umlaut": (b"schl\xfcssel", "hash first, given.encode(): compare_digest takes ASCII only"),
            "a right key, but in the query,": (None, absent),
            "no key": (None, absent),
        }
        answers = {what: _get(url, headers={"X-API-Key": given}) for what, (given, _) in tried.items()}
        answers["a right key, but in the query,"] = _get(f"{url}?X-API-Key={keys[0]}&api_key={keys[0]}")
        _refused(report, answers, {what: hint for what, (_, hint) in tried.items()})


def login(report: Report, make) -> None:
    """login(users, key): POST /token, GET /me for any valid token, GET /admin for those with the scope admin."""
    boss, clerk, password, key = f"boss-{token_hex(4)}", f"clerk-{token_hex(4)}", token_urlsafe(9), token_bytes(32)
    stored = PasswordHash.recommended().hash(password)
    users = {boss: {"hash": stored, "scopes": ["read", "admin"]}, clerk: {"hash": stored, "scopes": ["read"]}}
    with served(_made(make, users, key)) as url:
        logins = [(boss, ""), (boss, "read"), (clerk, "read admin"), (clerk, "")]
        forms = [{"username": name, "password": password, "scope": scope} for name, scope in logins]
        answers = [_post(f"{url}/token", data=form) for form in forms]
        hint = "@app.post('/token') with OAuth2PasswordRequestForm; verify the password against users[name]['hash']"
        came = [each.status_code for each in answers]
        if not report.expect("POST /token answers four right logins", [200] * 4, came, hint):
            return
        hint = "grant what was asked for AND is in users[name]['scopes']; all of his own to who asks for nothing"
        came = [" ".join(sorted(str(each.json().get("scope")).split())) for each in answers]
        report.expect("the scopes that it grants", ["admin read", "read", "read", "read"], came, hint)
        with patch("argon2.PasswordHasher.verify", return_value=False) as verify:
            forms = [{"username": name, "password": "wrong"} for name in (boss, f"nobody-{token_hex(4)}")]
            wrong, nobody = (_post(f"{url}/token", data=form) for form in forms)
        came = [wrong.status_code in (400, 401), (nobody.status_code, nobody.text) == (wrong.status_code, wrong.text)]
        hint = "act on what verify returns, with one answer whether the name or the password is wrong"
        report.expect("wrong password: 400 or 401; unknown name: just the same", [True, True], came, hint)
        hint = "for an unknown name, verify against the hash of a random password, made once beforehand"
        report.expect("two wrong logins cost two verifications", 2, verify.call_count, hint)
        _tokens(report, url, boss, key, [str(each.json().get("access_token")) for each in answers])


def _tokens(report: Report, url: str, boss: str, key: bytes, tokens: list[str]) -> None:
    """What /me and /admin say to the four tokens, and to forged ones."""
    whole = {"sub": boss, "scope": "read admin", "aud": "lab", "exp": int(time.time()) + 600}
    endless = {name: value for name, value in whole.items() if name != "exp"}

    def ask(path: str, token: str) -> requests.Response:
        return _get(url + path, headers={"Authorization": f"Bearer {token}"})

    came = [ask("/me", tokens[0]), ask("/me", jwt.encode(whole, key, "HS256"))]
    hint = "HS256, aud 'lab', sub the name; decode with algorithms=['HS256'], audience='lab'; {'name': claims['sub']}"
    came = [(each.status_code, each.ok and each.json().get("name")) for each in came]
    if not report.expect("GET /me knows whose tokens they are, yours and ours", [(200, boss)] * 2, came, hint):
        return
    came = [ask("/admin", token).status_code for token in tokens]
    hint = "compare SecurityScopes with the token's scope, a string with spaces; 403 says: known, and not allowed"
    report.expect("GET /admin: 200 with the scope admin, 403 without", [200, 403, 403, 403], came, hint)
    tried = {
        "an expired token": jwt.encode(whole | {"exp": int(time.time()) - 60}, key, "HS256"),
        "a token for another audience": jwt.encode(whole | {"aud": "shop"}, key, "HS256"),
        "a token that never expires": jwt.encode(endless, key, "HS256"),
        "a token signed with another key": jwt.encode(whole, token_bytes(32), "HS256"),
        "a token without a signature": jwt.encode(whole, "", "none"),
    }
    hint = "jwt.decode(..., options={'require': ['exp', 'aud', 'sub']}); answer jwt.InvalidTokenError with 401"
    answers = {what: ask("/me", token) for what, token in tried.items()}
    answers["no token"] = _get(f"{url}/me")
    _refused(report, answers, dict.fromkeys(answers, hint), "Bearer")


def uploader(report: Report, make) -> None:
    """uploader(folder): POST /upload keeps pictures in the folder, and nothing else anywhere."""
    apple = (ROOT / "images" / "apple.jpg").read_bytes()
    bomb = cv2.imencode(".png", np.zeros((4000, 5000), np.uint8))[1].tobytes()
    with TemporaryDirectory() as home:
        folder, told = Path(home, "site", "uploads"), []
        folder.mkdir(parents=True)
        with served(_made(make, folder)) as url:
            url += "/upload"
            for name in ("apple.jpg", "apple.jpg", "notes.txt", "../../x.jpg", "large.jpg"):
                file = (name, apple + bytes(900_000 * (name == "large.jpg")))
                answer = _post(url, files={"file": file})
                hint = "status_code=201 and {'name': ...}; what the sender calls the file must not matter"
                if not report.expect(f"a picture called {name} is taken", 201, answer.status_code, hint):
                    return
                told.append(f"site/uploads/{answer.json().get('name')}")
            hint = "write each under a name of your own, token_hex(8) + '.jpg', and tell that name; never file.filename"
            kept = _files(home)
            if report.expect("five files lie in the folder, nothing elsewhere", sorted(told), kept, hint):
                came = {decode(path.read_bytes()).shape for path in folder.iterdir()}
                report.expect("they are the pictures", {decode(apple).shape}, came, "write the whole picture")
            for what, data, wanted, hint in [
                ("a text called x.jpg", b"<script>", 415, "look at the first bytes, as media_type and decode do"),
                ("half a picture", apple[:9999], 400, "decode it whole; each LabError has its status with it"),
                ("a cut PNG of 20 megapixels", bomb[:999], 413, "decode(data, max_pixels=...) reads the header first"),
            ]:
                came = _post(url, files={"file": ("x.jpg", data)}).status_code
                report.expect(f"{what} is refused: {wanted}", wanted, came, hint)
            hint = "count while the body comes in, not afterwards: FastAPI(max_body_size=...) does"
            report.expect("an endless body is refused before it ends", (413, True), _pour(url), hint)
            report.expect("nothing of these is kept", kept, _files(home), "look first, write afterwards")


def _made(make, *args):
    if not callable(app := make(*args)):
        raise TypeError("the function returned no app: let it end with `return app`")
    return app


def _files(home: str) -> list[str]:
    return sorted(path.relative_to(home).as_posix() for path in Path(home).rglob("*") if path.is_file())


def _refused(report: Report, answers: dict[str, requests.Response], hints: dict[str, str], scheme: str = "") -> None:
    for what, answer in answers.items():
        report.expect(f"{what} is refused with 401", 401, answer.status_code, hints[what])
    came = [each.headers.get("www-authenticate", "").title() for each in answers.values()]
    hint = "HTTP wants this header with each 401: HTTPException takes headers={...}"
    came = all(each and each.startswith(scheme) for each in came)
    report.expect(f"each of them has WWW-Authenticate{scheme and ': '}{scheme}", True, came, hint)


def _pour(url: str) -> tuple[int, bool]:
    """Send a body without an end until there is an answer: its status, and whether it came before we gave up."""
    (host, path), sent = url.removeprefix("http://").split("/"), 0
    piece = b'--cut\r\nContent-Disposition: form-data; name="file"; filename="x.jpg"\r\n\r\n'
    with closing(HTTPConnection(host, timeout=SECONDS)) as wire:
        wire.putrequest("POST", f"/{path}")
        wire.putheader("Content-Type", "multipart/form-data; boundary=cut")
        wire.putheader("Transfer-Encoding", "chunked")
        wire.endheaders()
        try:
            while sent < MOST and not select.select([wire.sock], [], [], 0)[0]:
                wire.send(b"%x\r\n%s\r\n" % (len(piece), piece))
                piece, sent = bytes(PIECE), sent + PIECE
            if sent >= MOST:
                wire.send(b"b\r\n\r\n--cut--\r\n\r\n0\r\n\r\n")
            return wire.getresponse().status, sent < MOST
        except ConnectionError:  # it refused and hung up before we could read its answer
            return 413, sent < MOST


EXERCISES = {"1": keyed, "2": login, "3": uploader}
