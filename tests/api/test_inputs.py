"""What may be sent, and how: forms and raw pictures, parameters in the query or beside the file, and what is said."""

import json
import socket

import pytest
import requests
from helpers import IMAGES, ready_client, wait_ready

from yololab import create_app, serve
from yololab.api.settings import Settings
from yololab.vision.images import media_type

APPLE = (IMAGES / "apple.jpg").read_bytes()
ROUTES = ["/predict", "/v1/detections", "/v1/explain"]


@pytest.fixture(scope="module")
def client():
    with ready_client(keep=False, extras="batch,explore") as client:
        yield wait_ready(client)


def form(*parts: tuple[str, bytes], boundary: str = "x") -> bytes:
    """A form of parts, each with its Content-Disposition behind `form-data; `."""
    head = f"--{boundary}\r\nContent-Disposition: form-data; ".encode()
    return b"".join(head + about.encode() + b"\r\n\r\n" + data + b"\r\n" for about, data in parts) + (
        f"--{boundary}--\r\n".encode()
    )


def send(client, route: str, *parts: tuple[str, bytes], content_type: str = "multipart/form-data; boundary=x"):
    return client.post(route, content=form(*parts), headers={"content-type": content_type})


def told(answer, status: int) -> str:
    """The sentence of an error; no upload comes back in it."""
    assert answer.status_code == status, answer.text[:500]
    detail = answer.json()["detail"]
    assert isinstance(detail, str) and len(answer.content) < 1000
    return detail


@pytest.mark.parametrize("route", ROUTES)
class TestWays:
    @pytest.mark.parametrize(
        "kind", ["image/jpeg", "image/png", "IMAGE/JPEG", "application/octet-stream", "image/x; a=b"]
    )
    def test_the_raw_picture_is_answered_as_the_form_is(self, client, route, kind):
        raw = client.post(route, content=APPLE, headers={"content-type": kind})
        assert raw.status_code == 200
        assert raw.content == client.post(route, files={"file": APPLE}).content

    @pytest.mark.parametrize("about", ['name="file"', 'name="file"; filename=""', 'name="file"; filename="ä.jpg"'])
    def test_a_part_needs_no_filename(self, client, route, about):
        assert send(client, route, (about, APPLE)).content == client.post(route, files={"file": APPLE}).content

    @pytest.mark.parametrize(
        "charset", ["utf-7", "unicode_escape", "idna", "punycode", "undefined", "base64", "\x7f", ""]
    )
    @pytest.mark.parametrize("value", [b"+2AA-", rb"\ud800", b"\xff\xfe", b"a\0b"])
    def test_the_charset_of_a_form_changes_nothing(self, client, route, charset, value):
        kind = f"multipart/form-data; boundary=x; charset={charset}"
        assert send(client, route, ('name="file"', APPLE), content_type=kind).status_code == 200
        assert (
            send(client, route, ('name="file"', APPLE), ('name="model"', value), content_type=kind).status_code == 404
        )
        answer = send(
            client, route, ('name="file"', APPLE), (f'name="{value.decode("latin-1")}"', b"1"), content_type=kind
        )
        assert answer.status_code in (400, 422)

    @pytest.mark.parametrize("boundary", ['a"b', "a\\b", "(+:=?)", "a b"])
    def test_any_boundary_is_read(self, client, route, boundary):
        quoted = boundary.replace("\\", "\\\\").replace('"', '\\"')
        headers = {"content-type": f'multipart/form-data; boundary="{quoted}"'}
        body = form(('name="file"; filename="a"', APPLE), boundary=boundary)
        assert client.post(route, content=body, headers=headers).status_code == 200

    def test_a_large_part_without_a_filename(self, client, route):
        assert send(client, route, ('name="file"', APPLE + bytes(3 * 2**20))).status_code == 200

    def test_an_empty_body_is_an_empty_file(self, client, route):
        assert "empty" in told(client.post(route, headers={"content-type": "image/jpeg"}), 400)
        assert "empty" in told(send(client, route, ('name="file"', b"")), 400)

    def test_413_for_a_raw_body(self, client, route):
        for size in (20 * 2**20 + 1, 21 * 2**20):
            answer = client.post(route, content=bytes(size), headers={"content-type": "image/jpeg"})
            assert "20 MiB" in told(answer, 413)


@pytest.mark.parametrize("route", ROUTES)
class TestParameters:
    def test_they_may_stand_beside_the_file(self, client, route):
        expected = client.post(route, params={"confidence": 0.97, "model": "starter"}, files={"file": APPLE})
        data = {"confidence": "0.97", "model": "starter"}
        assert client.post(route, data=data, files={"file": APPLE}).content == expected.content
        assert expected.content != client.post(route, files={"file": APPLE}, data={"confidence": "0"}).content
        assert client.post(route, data={"model": "none"}, files={"file": APPLE}).status_code == 404

    def test_they_may_stand_beside_a_raw_picture(self, client, route):
        headers = {"content-type": "image/jpeg"}
        assert client.post(route, params={"model": "none"}, content=APPLE, headers=headers).status_code == 404

    @pytest.mark.parametrize(("query", "field", "status"), [("0.5", "0.50", 200), ("0.5", "0.6", 422), ("x", "y", 422)])
    def test_given_twice_they_must_be_equal(self, client, route, query, field, status):
        answer = client.post(route, params={"confidence": query}, data={"confidence": field}, files={"file": APPLE})
        assert answer.status_code == status
        if status == 422:
            assert "'confidence' is given twice" in told(answer, 422)

    def test_twice_in_the_query(self, client, route):
        assert "twice" in told(client.post(f"{route}?model=a&model=b", files={"file": APPLE}), 422)

    def test_out_of_range_says_where_it_was(self, client, route):
        for options, place in (({"data": {"confidence": "9"}}, "body"), ({"params": {"confidence": "9"}}, "query")):
            answer = client.post(route, files={"file": APPLE}, **options)
            (mistake,) = answer.json()["detail"]
            assert (answer.status_code, mistake["loc"], mistake["input"]) == (422, [place, "confidence"], "9")

    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("conf", "confidence"),
            ("threshold", "confidence"),
            ("iou", "nms_threshold"),
            ("Model", "model"),
            ("x", None),
        ],
    )
    def test_unknown_ones_are_named(self, client, route, name, meant):
        for options in ({"params": {name: "0.9"}}, {"data": {name: "0.9"}}):
            detail = told(client.post(route, files={"file": APPLE}, **options), 422)
            assert repr(name) in detail and "model, confidence, nms_threshold" in detail
            assert (f"Is {meant!r} meant?" in detail) == bool(meant)

    def test_a_long_value_does_not_come_back(self, client, route):
        answer = client.post(route, data={"confidence": "x" * 50_000}, files={"file": APPLE})
        assert answer.status_code == 422 and len(answer.content) < 500
        for data in ({"y" * 2000: "1"}, {"confidence": ["1", "z" * 50_000]}):
            assert client.post(route, data=data, files={"file": APPLE}).status_code == 422
        assert len(client.post(route, data={"y" * 2000: "1"}, files={"file": APPLE}).content) < 500


@pytest.mark.parametrize("route", ROUTES)
class TestMissing:
    def test_another_field(self, client, route):
        assert "It has 'image'" in told(client.post(route, files={"image": APPLE}), 422)
        assert "It has 'confidence'" in told(client.post(route, files={"confidence": (None, "1")}), 422)
        assert "It is empty" in told(send(client, route), 422)

    def test_a_form_that_is_cut_off(self, client, route):
        whole, headers = form(('name="file"', APPLE)), {"content-type": "multipart/form-data; boundary=x"}
        for end in (1000, len(whole) - 3, len(whole) - 10):
            assert "cut off" in told(client.post(route, content=whole[:end], headers=headers), 400)
        assert client.post(route, content=whole + b"\r\nan epilogue", headers=headers).status_code == 200

    def test_a_field_that_nobody_has_filled_in(self, client, route):
        blank = {"confidence": "", "model": "", "nms_threshold": ""}
        answer = client.post(route, data=blank, files={"file": APPLE})
        assert answer.status_code == 200 and answer.content == client.post(route, files={"file": APPLE}).content

    @pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip"])
    def test_a_compressed_body(self, client, route, coding):
        headers = {"content-type": "image/jpeg", "content-encoding": coding}
        assert f"Content-Encoding: {coding}" in told(client.post(route, content=APPLE, headers=headers), 415)
        headers["content-encoding"] = "identity"
        assert client.post(route, content=APPLE, headers=headers).status_code == 200

    @pytest.mark.parametrize("text", ["apple.jpg", "ä" * 50_000, "data:image/jpeg;base64,/9j/4AAQ"])
    def test_text_instead_of_a_file(self, client, route, text):
        detail = told(client.post(route, files={"file": (None, text)}), 422)
        assert "holds text" in detail and "-F file=@photo.jpg" in detail and text not in detail

    def test_an_upload_is_never_sent_back(self, client, route):
        for parts in ([('name="image"', APPLE)], [('name="confidence"', APPLE), ('name="file"', APPLE)]):
            answer = send(client, route, *parts)
            assert answer.status_code == 422 and len(answer.content) < 600

    def test_several_files(self, client, route):
        twice = [("file", APPLE), ("file", APPLE)]
        assert "2 files" in told(client.post(route, files=twice), 422)
        assert "second file, in 'other'" in told(client.post(route, files={"file": APPLE, "other": APPLE}), 422)

    @pytest.mark.parametrize(
        "kind", [None, "application/x-www-form-urlencoded", "text/plain", "application/json", "x", ""]
    )
    def test_415_says_what_to_send(self, client, route, kind):
        answer = client.post(route, content=APPLE, headers={"content-type": kind} if kind is not None else {})
        detail = told(answer, 415)
        assert "multipart/form-data, in the field 'file'" in detail and "Content-Type: image/jpeg" in detail
        assert (kind or "no Content-Type") in detail

    @pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=", "Multipart/Form-Data;x"])
    def test_400_without_boundary(self, client, route, kind):
        detail = told(client.post(route, content=form(('name="file"', APPLE)), headers={"content-type": kind}), 400)
        assert "without its boundary" in detail and "Leave this header out" in detail

    @pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "image/jpeg"])
    def test_408_when_the_body_does_not_arrive(self, route, kind):
        server = serve(create_app(Settings(keep=False, extras="explore", upload_timeout=0.2)), port=0)
        try:
            with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
                head = (
                    f"POST {route} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: 99\r\n\r\n--"
                )
                connection.sendall(head.encode())
                answer = b""
                while part := connection.recv(9999):  # it ends, since the server closes the connection
                    answer += part
        finally:
            server.stop()
        head, body = answer.split(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408") and b"connection: close" in head.lower()
        assert "did not arrive within 0.2 s" in json.loads(body)["detail"]


def test_405_and_406(client):
    for method in ("GET", "PUT", "DELETE"):
        assert method in told(client.request(method, "/v1/detections"), 405)
    headers = {"content-type": "image/jpeg"}
    for accept in ("text/html", "image/webp", "image/jpeg;q=0", "audio/*"):
        answer = client.post("/v1/detections", content=APPLE, headers=headers | {"accept": accept})
        assert "Accept allows none of" in told(answer, 406)
    answer = client.post("/v1/detections", content=APPLE, headers=headers | {"accept": "image/png"})
    assert media_type(answer.content) == "image/png"


def test_the_batch_route_says_the_same(client):
    route = "/v1/detections/batch"
    assert "'files'" in told(client.post(route, files={"file": APPLE}), 422)
    assert "'conf'" in told(client.post(route, files={"files": APPLE}, data={"conf": "1"}), 422)
    answer = client.post(route, content=APPLE, headers={"content-type": "image/jpeg"})
    assert "or as the body" not in told(answer, 415)
    answers = client.post(route, files=[("files", ("ä.jpg", APPLE)), ("files", (None, APPLE))]).json()
    assert [(each["status"], each["name"]) for each in answers] == [(200, "ä.jpg"), (200, "")]


@pytest.mark.parametrize("way", ["file object", "bytes", "raw file", "raw stream"])
def test_what_people_write_with_requests(way):
    server = serve(create_app(Settings(keep=False)), port=0)
    try:
        url, raw = f"{server.url}/v1/detections", {"Content-Type": "application/octet-stream"}
        with (IMAGES / "apple.jpg").open("rb") as file:
            answer = {
                "file object": lambda: requests.post(url, files={"file": file}, data={"confidence": 0.5}),
                "bytes": lambda: requests.post(url, files={"file": APPLE}),
                "raw file": lambda: requests.post(url, data=file, headers=raw),
                "raw stream": lambda: requests.post(url, data=iter([APPLE[:99], APPLE[99:]]), headers=raw),
            }[way]()
        assert answer.status_code == 200 and answer.json()["detections"][0]["label"] == "apple"
    finally:
        server.stop()
