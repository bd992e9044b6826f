"""Whatever a client sends: the status is one of the table, the process lives, the next good picture is answered right.

A few hundred cases in `make test`, always the same ones; `make fuzz` tries 10,000 new ones.
"""

import errno
import os
import subprocess
import sys
import tempfile
import zipfile
from datetime import datetime
from io import BytesIO

import numpy as np
import pytest
from helpers import ROOT
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from benchmarks.reliability.costly.corpus import corpus
from yololab.vision.images import ORIENTATION

APPLE = ROOT / "images/apple.jpg"

LONG = bool(os.environ.get("LAB_FUZZ"))
settings.register_profile(
    "survival", max_examples=2500 if LONG else 60, derandomize=not LONG, database=None, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
survive = settings(settings.get_profile("survival"))

OF_A_FILE = {200, 400, 413, 415}
OF_A_REQUEST = OF_A_FILE | {403, 404, 405, 406, 422}


COSTLY = {  # of those of the benchmark, what is small and of another form than the rest
    "JPEG, last scan 5 times more", "JPEG, arithmetic", "JPEG, list of 3,000 pictures",
    "PNG, 60 texts that inflate to 1 MB",
    "PNG, RGBA, 16 bits, interlaced", "WebP, animated, lossless", "GIF, 9,900 comments", "BMP, runs of one pixel",
    "TIFF, JPEG, 80 scans", "TIFF, 400 entries more",
}  # fmt: skip


def saved(image: Image.Image, kind: str, **options) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def seeds() -> list[bytes]:
    """Small files of every kind that a client may have."""
    picture = Image.open(APPLE).resize((96, 64))
    frames = {"save_all": True, "append_images": [picture.rotate(9), picture.rotate(20)]}
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 70_000, zip=True)
    files = [saved(picture, kind) for kind in ("JPEG", "PNG", "WEBP")]
    files += [saved(picture.convert(mode), "JPEG", progressive=True) for mode in ("L", "CMYK", "RGB")]
    files += [saved(picture.convert(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGBA", "I;16")]
    files += [saved(picture, "PNG", pnginfo=text), saved(picture, "PNG", **frames), saved(picture, "WEBP", **frames)]
    files += [saved(Image.new("RGB", size), kind) for size in ((1, 1), (1, 900), (900, 1)) for kind in ("JPEG", "PNG")]
    files += [saved(picture, kind) for kind in ("GIF", "BMP", "TIFF", "AVIF", "ICO")]
    files += [costly() for name, costly in corpus(48).items() if name in COSTLY]
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("bomb.png", bytes(10**6))
    return [*files, files[0] + archive.getvalue(), b"\xff\xd8\xff<script>alert(1)</script>", archive.getvalue()]


SEEDS = seeds()
cut_off = st.sampled_from(SEEDS).flatmap(lambda data: st.integers(0, len(data)).map(lambda end: data[:end]))
joined = st.lists(st.sampled_from(SEEDS), min_size=2, max_size=3).map(b"".join)
headed = st.tuples(st.sampled_from([data[:16] for data in SEEDS]), st.binary(max_size=300)).map(b"".join)


@st.composite
def altered(draw) -> bytes:
    """A file with some bytes replaced, mostly near its start, where the sizes stand."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    places = st.one_of(st.integers(0, min(len(data), 200) - 1), st.integers(0, len(data) - 1))
    for place, byte in draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=12)):
        data[place] = byte
    return bytes(data)


@pytest.fixture(scope="module")
def good(client):
    """Ask for the known picture, and compare with what was answered at first."""
    ask = lambda: client.post("/v1/detections", files={"file": APPLE.read_bytes()})  # noqa: E731
    first = ask()
    assert first.status_code == 200 and first.json()["detections"]

    def again():
        assert ask().json() == first.json()

    return again


def check(answer, allowed: set[int]) -> None:
    """Its status is allowed, its body is what the status promises."""
    assert answer.status_code in allowed, (answer.status_code, answer.text[:300])
    assert answer.headers["x-request-id"] and answer.headers["x-content-type-options"] == "nosniff"
    if answer.status_code != 200:
        detail = answer.json()["detail"]
        assert isinstance(detail, (list, str) if answer.status_code == 422 else str) and detail


@survive
@given(st.one_of(st.binary(max_size=300), cut_off, joined, headed, altered()), st.sampled_from(["json", "jpeg"]))
@example(b"", "json")
def test_any_file(client, good, data, kind):
    accept = {"json": "application/json", "jpeg": "image/jpeg"}[kind]
    check(client.post("/v1/detections", files={"file": data}, headers={"accept": accept}), OF_A_FILE)
    good()


@pytest.mark.parametrize("number", range(len(SEEDS)))
def test_every_file_as_it_is(client, good, number):
    for route in ("/predict", "/v1/detections"):
        check(client.post(route, files={"file": SEEDS[number]}), OF_A_FILE)
    good()


raw_types = st.sampled_from([
    "image/jpeg", "image/png", "image/", "image/svg+xml", "image/jpeg; charset=utf-7", "application/octet-stream",
    "IMAGE/JPEG", "application/octet-stream; boundary=x", "image/jpeg, multipart/form-data", "",
])  # fmt: skip


@survive
@given(
    st.sampled_from(["/predict", "/v1/detections"]), raw_types,
    st.one_of(st.binary(max_size=300), cut_off, joined, headed, altered()),
)  # fmt: skip
def test_any_raw_body(client, good, route, kind, body):
    check(client.post(route, content=body, headers={"content-type": kind}), OF_A_REQUEST)
    good()


values = st.one_of(
    st.text(max_size=40), st.binary(max_size=40), st.floats().map(str), st.sampled_from(["starter", "0.5", "1" * 5000])
)


@survive
@given(
    st.sampled_from(["/predict", "/v1/detections"]),
    st.lists(st.tuples(st.sampled_from(["model", "confidence", "nms_threshold", "iou", "x", ""]), values), max_size=10),
    st.dictionaries(
        st.sampled_from(["model", "confidence"]), st.sampled_from(["starter", "0.5", "", "nan"]), max_size=2
    ),
)
def test_any_field_beside_the_picture(client, good, route, fields, params):
    parts = [
        (name, (None, value if isinstance(value, bytes) else value.encode(errors="replace"))) for name, value in fields
    ]
    answer = client.post(route, params=params, files=[*parts, ("file", ("a.jpg", SEEDS[0]))])
    check(answer, OF_A_REQUEST)
    good()


pieces = st.sampled_from([
    b"--x", b"--x--", b"\r\n", b"\n", b"--", b"x", b'Content-Disposition: form-data; name="file"; filename="a.jpg"',
    b'Content-Disposition: form-data; name="file"', b"Content-Disposition: form-data", b"Content-Type: image/jpeg",
    b'Content-Disposition: form-data; name="file"; filename="../../a"', b"Content-Transfer-Encoding: base64",
    b"Content-Type: multipart/mixed; boundary=y", b"\xff\xd8\xff", b"\0" * 70_000, SEEDS[0],
])  # fmt: skip
content_types = st.sampled_from([
    "multipart/form-data; boundary=x", "multipart/form-data", "multipart/form-data; boundary=", "text/plain",
    'multipart/form-data; boundary="x"; charset=utf-7', "multipart/form-data; charset=nothing; boundary=x",
    "multipart/form-data; boundary=x; charset=unicode_escape", "multipart/form-data; boundary=x; charset=idna",
    "multipart/form-data; boundary=x; charset=utf-16-surrogatepass", "image/jpeg", "application/octet-stream",
    "MULTIPART/FORM-DATA; BOUNDARY=x", "multipart/mixed; boundary=x", "application/x-www-form-urlencoded",
])  # fmt: skip


@survive
@given(st.lists(st.one_of(pieces, st.binary(max_size=20)), max_size=30).map(b"".join), content_types)
def test_any_form(client, good, body, content_type):
    check(client.post("/v1/detections", content=body, headers={"content-type": content_type}), OF_A_REQUEST)
    good()


@survive
@given(st.lists(st.tuples(st.sampled_from(["file", "File", "file[]", "x", ""]), st.sampled_from(SEEDS)), max_size=12))
def test_any_number_of_files(client, good, files):
    named = [(name, ("f", data)) for name, data in files]
    check(client.post("/v1/detections", files=named), OF_A_REQUEST)
    good()


anything = st.one_of(st.text(max_size=30), st.floats().map(str), st.sampled_from(["starter", "0", "1", "0.5", "-0.0"]))
headers = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)


@survive
@given(
    st.sampled_from(["/predict", "/v1/detections"]),
    st.dictionaries(st.sampled_from(["model", "confidence", "nms_threshold", "file", "x"]), anything, max_size=4),
    st.one_of(headers, st.sampled_from(["*/*", "image/*", "image/png;q=0", "text/html, image/jpeg;q=0.1", ",;q=,"])),
)
def test_any_parameter(client, good, route, params, accept):
    data = {"file": SEEDS[0]}
    check(client.post(route, params=params, files=data, headers={"accept": accept.strip()}), OF_A_REQUEST)
    good()


@survive
@given(st.sampled_from(["host", "origin", "sec-fetch-site", "content-length", "x-forwarded-for", "range"]), headers)
def test_any_header(client, good, name, value):
    answer = client.get("/health", headers={name: value.strip()})
    assert answer.status_code in {200, 400}
    if name != "content-length":
        check(client.post("/predict", files={"file": SEEDS[0]}, headers={name: value.strip()}), OF_A_REQUEST)
    good()


def test_a_full_disk_is_no_mistake_of_the_client(client, good, monkeypatch, caplog):
    """An upload of more than 1 MB goes to a temporary file."""
    room = tempfile.SpooledTemporaryFile

    class Full(room):
        def rollover(self):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("starlette.formparsers.SpooledTemporaryFile", Full)
    large = saved(Image.effect_noise((1500, 1500), 90), "PNG")
    assert len(large) > 2**20
    answer = client.post("/v1/detections", files={"file": large})
    assert answer.status_code == 503 and "disk is full" in answer.json()["detail"] and answer.headers["retry-after"]
    assert "No space left" in caplog.text
    good()


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs root on Linux, to mount a small tmpfs")
def test_a_full_file_system_costs_the_copy_and_not_the_answer(tmp_path):
    """In a mount namespace of its own, with the uploads folder on a file system of 16 KiB."""
    script = """
import sys
from fastapi.testclient import TestClient
from yololab.api.app import create_app
from yololab.api.settings import Settings
folder, apple = sys.argv[1], open(sys.argv[2], "rb").read()
with TestClient(create_app(Settings(uploads=folder)), base_url="http://127.0.0.1:8000") as client:
    while client.get("/ready").status_code != 200: pass
    answers = [client.post("/predict", files={"file": apple}) for _ in range(3)]
    print([answer.status_code for answer in answers], len({answer.content for answer in answers}))
    print([line for line in client.get("/metrics").text.splitlines() if line.startswith("yololab_copies_failed_total")])
"""
    command = f'mount -t tmpfs -o size=16k none "{tmp_path}" && exec "$@"'
    run = [*["unshare", "--mount", "sh", "-c"], command, "sh", sys.executable, "-c", script, str(tmp_path), str(APPLE)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, cwd=ROOT)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()[:100]}")
    assert "[200, 200, 200] 1" in done.stdout and "yololab_copies_failed_total 3.0" in done.stdout, done.stderr
    assert "was not kept" in done.stderr


def test_a_clock_that_jumps_back_costs_nothing(fresh, monkeypatch, tmp_path):
    """Names of copies begin with the time of day; durations never come from that clock."""
    from yololab.api import uploads

    class Jumping(datetime):
        hours = iter([12, 12, 3, 3, 23])

        @classmethod
        def now(cls, zone=None):
            return datetime(2026, 11, 21, next(cls.hours))

    monkeypatch.setattr(uploads, "datetime", Jumping)
    answers = [fresh.post("/predict", files={"file": SEEDS[0]}) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 5
    assert len(list((tmp_path / "uploads").iterdir())) == 5
    for answer in answers:
        assert all(float(part.split("dur=")[1]) >= 0 for part in answer.headers["server-timing"].split(","))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_orientation_gives_the_same_boxes(client, kind):
    """The same upright picture, stored in eight ways."""
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's numbers of the transpositions that store it so
    picture = Image.open(APPLE)
    found = []
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        stored = picture.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else picture
        options = {"JPEG": {"quality": 100, "subsampling": 0}, "PNG": {}, "WEBP": {"lossless": True}}[kind]
        data = saved(stored, kind, exif=exif, **options)
        answer = client.post("/v1/detections", files={"file": data}).json()
        assert answer["image"] == {"width": picture.width, "height": picture.height}
        found.append(answer["detections"])
    for each in found[1:]:
        assert [one["label"] for one in each] == [one["label"] for one in found[0]]
        for one, first in zip(each, found[0], strict=True):
            assert np.allclose(list(one["box"].values()), list(first["box"].values()), atol=0.5)
