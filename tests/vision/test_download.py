"""Downloads against a real server on loopback that behaves well, or badly, in every way we could think of."""

import errno
import hashlib
import json
import random
import signal
import subprocess
import sys
import threading
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from yololab.errors import DownloadFailed
from yololab.vision.models import download
from yololab.vision.models.download import PIECE, fetch_entry
from yololab.vision.models.entries import Entry, RemoteFile

DATA = random.Random(1).randbytes(8 * PIECE + 123)
SIZE = len(DATA)
HALF = 4 * PIECE
NAME = "tiny.weights"


class Mirror(ThreadingHTTPServer):
    """Answers /BEHAVIOUR/FILE as the handler's method BEHAVIOUR does; notes each request's path and Range."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []
        self.half_sent, self.go_on = threading.Event(), threading.Event()

    def url(self, behaviour, name=NAME):
        return f"http://127.0.0.1:{self.server_port}/{behaviour}/{name}"

    def handle_error(self, request, client_address):
        """A client that hangs up is what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.path = urlsplit(self.path).path  # through a proxy, a whole URL comes
        self.server.asked.append((self.path, self.headers["Range"]))
        getattr(self, self.path.split("/")[1])()

    def log_message(self, *args):
        pass

    def send(self, body, status=200, length=None, **headers):
        self.send_response(status)
        length = len(body) if length is None else length
        for key, value in {"Content-Length": length, "Content-Type": "text/plain", **headers}.items():
            self.send_header(key.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def right(self):
        """The file, or the range that was asked for."""
        if self.headers["Range"] is None:
            return self.send(DATA)
        start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        if start >= len(DATA):
            return self.send(b"", 416)
        where = f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
        return self.send(DATA[start:], 206, Content_Range=where)

    def whole(self):
        """The whole file, whatever range was asked for."""
        self.send(DATA)

    def shifted(self):
        """Another range than the one asked for."""
        if self.headers["Range"] is None:
            return self.send(DATA)
        return self.send(DATA[1:], 206, Content_Range=f"bytes 1-{len(DATA) - 1}/{len(DATA)}")

    def forbidden(self):
        self.send(b"no", 403)

    def page(self):
        self.send(b"<html>Please log in</html>", Content_Type="text/html; charset=utf-8")

    def plain_page(self):
        self.send(b"<html>Please log in</html>")

    def cut(self):
        self.send(DATA[:HALF], length=len(DATA))

    def wrong(self):
        self.send(DATA[:-1] + bytes([DATA[-1] ^ 1]))

    def long(self):
        self.send(DATA + b"more")

    def endless(self):
        self.send(DATA, length=10**15)

    def moved(self):
        self.send(b"", 302, Location=self.server.url("right"))

    def to_file(self):
        self.send(b"", 302, Location="file:///etc/hostname")

    def pause(self):
        """Half of the file; the rest when the test says so. Afterwards, whatever is asked for."""
        if self.server.half_sent.is_set():
            return self.right()
        self.send(DATA[:HALF], length=len(DATA))
        self.server.half_sent.set()
        self.server.go_on.wait()
        return self.wfile.write(DATA[HALF:])


@pytest.fixture
def mirror(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with Mirror() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path):
    return tmp_path / NAME


def part_of(target):
    return target.with_name(f"{NAME}.part")


def entry(mirror, *behaviours, size=SIZE, names=(NAME,)):
    digest = hashlib.sha256(DATA).hexdigest()
    files = (RemoteFile(name, size, digest, tuple(mirror.url(each, name) for each in behaviours)) for name in names)
    return Entry("tiny", 0.5, "A model for tests.", "MIT", tuple(files))


def child(entry, folder):
    """Another process that fetches `entry` into `folder`."""
    code = """
import json, sys
from pathlib import Path
from yololab.vision.models.download import fetch_entry
from yololab.vision.models.entries import Entry, RemoteFile
entry = json.loads(sys.argv[1])
entry["files"] = tuple(RemoteFile(**file) for file in entry["files"])
fetch_entry(Entry(**entry), Path(sys.argv[2]))
"""
    command = [sys.executable, "-c", code, json.dumps(asdict(entry)), str(folder)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


# good mirrors


@pytest.mark.parametrize("behaviour", ["right", "moved"])
@pytest.mark.parametrize("size", [SIZE, None])
def test_the_right_file_arrives_and_is_not_fetched_again(mirror, target, behaviour, size):
    folder = target.parent / "made" / "on the way"
    fetch_entry(entry(mirror, behaviour, size=size), folder, progress=False)
    assert (folder / NAME).read_bytes() == DATA and not list(folder.glob("*.part"))
    mirror.asked.clear()
    fetch_entry(entry(mirror, behaviour, size=size), folder, progress=False)
    assert not mirror.asked


def test_a_file_that_is_wrong_is_replaced_and_a_right_one_stays(mirror, tmp_path):
    both = entry(mirror, "right", names=("a.weights", "b.weights"))
    fetch_entry(both, tmp_path, progress=False)
    (tmp_path / "a.weights").write_bytes(DATA[:-1] + b"!")
    mirror.asked.clear()
    fetch_entry(both, tmp_path, progress=False)
    assert (tmp_path / "a.weights").read_bytes() == DATA and mirror.asked == [("/right/a.weights", None)]


def test_a_folder_that_cannot_be_written_to_is_fine_while_nothing_is_missing(mirror, target, monkeypatch):
    target.write_bytes(DATA)
    monkeypatch.setattr(download, "FileLock", None)
    fetch_entry(entry(mirror, "right"), target.parent, progress=False)


def test_a_proxy_is_used(mirror, target, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{mirror.server_port}")
    file = RemoteFile(NAME, len(DATA), hashlib.sha256(DATA).hexdigest(), ("http://mirror.invalid/right/it",))
    fetch_entry(Entry("tiny", 0.5, "", "", (file,)), target.parent, progress=False)
    assert mirror.asked == [("/right/it", None)] and target.read_bytes() == DATA


# bad mirrors


@pytest.mark.parametrize(
    "behaviour, reason",
    [
        ("forbidden", "403 Forbidden"),
        ("page", "web page"),
        ("plain_page", "26 bytes"),
        ("cut", "IncompleteRead"),
        ("wrong", "SHA-256 is wrong"),
        ("long", "more than"),
        ("endless", "IncompleteRead"),
        ("to_file", "file:///etc/hostname"),
    ],
)
def test_a_bad_answer_is_told_and_never_kept_and_the_next_mirror_is_tried(mirror, target, behaviour, reason, capsys):
    with pytest.raises(DownloadFailed, match=reason) as caught:
        fetch_entry(entry(mirror, behaviour), target.parent, progress=False)
    assert not target.exists()
    assert mirror.url(behaviour) in str(caught.value) and str(target) in str(caught.value)
    assert "HTTPS_PROXY" in str(caught.value) and not capsys.readouterr().err
    fetch_entry(entry(mirror, behaviour, "right"), target.parent)
    assert target.read_bytes() == DATA and not part_of(target).exists()
    told = capsys.readouterr().err
    assert f"{mirror.url(behaviour)}: " in told and reason in told and "100%" in told


def test_all_mirrors_are_listed_in_their_order(mirror, target):
    with pytest.raises(DownloadFailed, match=r"(?s)forbidden.*403.*page.*web page.*wrong.*SHA-256"):
        fetch_entry(entry(mirror, "forbidden", "page", "wrong"), target.parent, progress=False)


def test_nobody_listens(mirror, target):
    closed = "http://127.0.0.1:9/none"  # the discard port
    with pytest.raises(DownloadFailed, match=r"127\.0\.0\.1:9/none: "):
        fetch_entry(
            Entry("tiny", 0.5, "", "", (RemoteFile(NAME, 1, "0" * 64, (closed,)),)),
            target.parent,
            progress=False,
        )


def test_no_more_is_read_than_a_sane_maximum_where_the_size_is_unknown(mirror, target, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", HALF)
    with pytest.raises(DownloadFailed, match=f"more than the {HALF} bytes"):
        fetch_entry(entry(mirror, "right", size=None), target.parent, progress=False)
    assert not target.exists() and not part_of(target).exists()


# resuming


def test_only_the_missing_bytes_are_asked_for(mirror, target):
    part_of(target).write_bytes(DATA[:HALF])
    fetch_entry(entry(mirror, "right"), target.parent, progress=False)
    assert target.read_bytes() == DATA and mirror.asked == [(f"/right/{NAME}", f"bytes={HALF}-")]


def test_what_a_cut_connection_left_is_resumed_at_the_next_mirror(mirror, target):
    fetch_entry(entry(mirror, "cut", "forbidden", "right"), target.parent, progress=False)
    assert target.read_bytes() == DATA and mirror.asked[-1] == (f"/right/{NAME}", f"bytes={HALF}-")


@pytest.mark.parametrize(
    "left, behaviour, ranges",
    [
        (DATA[:HALF], "whole", [f"bytes={HALF}-"]),  # ignores Range: the file comes anew in the same answer
        (DATA[:HALF], "shifted", [f"bytes={HALF}-", None]),
        (b"?" * HALF, "right", [f"bytes={HALF}-", None]),  # the hash is wrong
        (DATA + b"more", "right", [f"bytes={len(DATA) + 4}-", None]),  # 416
        (DATA, "right", []),  # killed between the last byte and the renaming
    ],
)
def test_what_cannot_be_resumed_is_fetched_from_the_start(mirror, target, left, behaviour, ranges):
    part_of(target).write_bytes(left)
    fetch_entry(entry(mirror, behaviour), target.parent, progress=False)
    assert target.read_bytes() == DATA and mirror.asked == [(f"/{behaviour}/{NAME}", each) for each in ranges]


def test_a_mirror_that_stalls_is_left_and_its_half_kept(mirror, target):
    stalling = entry(mirror, "pause")
    with pytest.raises(DownloadFailed, match="timed out"):
        fetch_entry(stalling, target.parent, progress=False, timeout=(5, 1))
    assert not target.exists() and part_of(target).stat().st_size == HALF
    fetch_entry(stalling, target.parent, progress=False)
    assert target.read_bytes() == DATA and mirror.asked[-1] == (f"/pause/{NAME}", f"bytes={HALF}-")


# other processes, and the end of them


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send these signals to one process")
@pytest.mark.parametrize("end", ["SIGKILL", "SIGINT"])
def test_a_download_that_is_killed_is_resumed(mirror, target, end):
    target.write_bytes(b"old")
    with child(entry(mirror, "pause"), target.parent) as killed:
        assert mirror.half_sent.wait(60), killed.poll()
        while not (part_of(target).exists() and part_of(target).stat().st_size == HALF):
            assert killed.poll() is None, killed.stderr.read()
        killed.send_signal(getattr(signal, end))
    assert killed.returncode and target.read_bytes() == b"old"
    fetch_entry(entry(mirror, "pause"), target.parent, progress=False)
    assert target.read_bytes() == DATA and not part_of(target).exists()
    assert mirror.asked == [(f"/pause/{NAME}", None), (f"/pause/{NAME}", f"bytes={HALF}-")]


def test_of_two_processes_one_downloads_and_the_other_waits(mirror, target):
    both = entry(mirror, "pause", names=(NAME, "tiny.cfg"))
    with child(both, target.parent) as first:
        assert mirror.half_sent.wait(60), first.poll()
        with child(both, target.parent) as second:
            assert second.stderr.readline() == f"Waiting for another process that downloads {NAME}.\n"
            mirror.go_on.set()
            second.communicate()
        first.communicate()
    assert first.returncode == second.returncode == 0 and target.read_bytes() == DATA
    assert sorted(mirror.asked) == [("/pause/tiny.cfg", None), (f"/pause/{NAME}", None)]


def test_of_many_threads_one_downloads(mirror, target):
    threads = [
        threading.Thread(target=fetch_entry, args=(entry(mirror, "right"), target.parent, False)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == DATA and mirror.asked == [(f"/right/{NAME}", None)]


# the disk


def test_a_folder_that_is_a_file(mirror, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(DownloadFailed, match=r"tiny cannot be stored in .*file.*the folder can be written to"):
            fetch_entry(entry(mirror, "right"), folder, progress=False)
    assert not mirror.asked


def test_a_full_disk_ends_it_at_once(mirror, target, monkeypatch):
    def fsync(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download.os, "fsync", fsync)
    with pytest.raises(DownloadFailed, match=r"No space left on device\. Free some space there"):
        fetch_entry(entry(mirror, "right", "whole"), target.parent, progress=False)
    assert not target.exists() and len(mirror.asked) == 1
