"""yololab detect: videos and cameras."""

import json
import signal
import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest
from helpers import IMAGES, wait_for, with_small_disk

from yololab import Detector, annotate
from yololab.__main__ import main
from yololab.detect import codecs

FRAMES, FPS = 12, 25
COMMAND = [sys.executable, "-m", "yololab", "detect"]


def frames(count=FRAMES, size=(320, 240)):
    """Pictures of fruit that move to the left."""
    width, height = size
    wide = cv2.resize(cv2.imread(str(IMAGES / "fruit.jpg")), (width + 2 * count, height))
    return [np.ascontiguousarray(wide[:, 2 * number : 2 * number + width]) for number in range(count)]


def film(path, pictures, fourcc="mp4v", fps=FPS):
    """A video file of these pictures."""
    height, width = pictures[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*fourcc), fps, (width, height))
    for picture in pictures:
        writer.write(picture)
    writer.release()
    return path


def play(path):
    """The pictures of a video file, and its frames a second."""
    capture = cv2.VideoCapture(str(path))
    pictures = []
    while True:
        there, picture = capture.read()
        if not there:
            return pictures, capture.get(cv2.CAP_PROP_FPS)
        pictures.append(picture)


def results(path):
    return json.loads(path.read_text())


def test_each_frame_is_detected_drawn_and_written(here, capsys):
    film(here / "clip.mp4", frames())
    assert main(["detect", "clip.mp4", "--json", "r.json", "--csv", "r.csv", "--coco", "c.json"]) == 0
    found = results(here / "r.json")
    assert [each["frame"] for each in found] == list(range(FRAMES))
    assert [each["time"] for each in found] == pytest.approx([number / FPS for number in range(FRAMES)])
    detector = Detector("starter")
    pictures, _ = play(here / "clip.mp4")
    for each, picture in zip(found, pictures, strict=True):
        assert each["file"] == "clip.mp4" and each["image"] == {"width": 320, "height": 240}
        assert each["detections"] == [detection.as_dict() for detection in detector(picture)]
    assert sum(len(each["detections"]) for each in found) > FRAMES
    drawn, fps = play(here / "detected" / "clip.mp4")
    assert fps == FPS and len(drawn) == FRAMES
    for actual, picture in zip(drawn, pictures, strict=True):
        expected = annotate(picture, detector(picture))
        assert cv2.PSNR(actual, expected) > 25 > cv2.PSNR(actual, 255 - expected)
    lines = (here / "r.csv").read_text().splitlines()
    assert lines[0].endswith(",y2,frame,time") and lines[-1].split(",")[-2:] == ["11", str(found[-1]["time"])]
    assert {each["image_id"] for each in results(here / "c.json")} == set(range(1, FRAMES + 1))
    assert f"clip.mp4: {FRAMES} frames" in capsys.readouterr().out


def test_stride_takes_each_nth_frame_at_a_slower_rate(here):
    film(here / "clip.mp4", frames())
    assert main(["detect", "clip.mp4", "--stride", "5", "--json", "r.json"]) == 0
    assert [each["frame"] for each in results(here / "r.json")] == [0, 5, 10]
    drawn, fps = play(here / "detected" / "clip.mp4")
    assert len(drawn) == 3 and fps == FPS / 5


def test_other_containers_and_odd_sizes_become_mp4(here):
    film(here / "clip.avi", frames(4, (322, 242)), "MJPG")
    assert main(["detect", ".", "--codec", "vp9"]) == 0
    drawn, _ = play(here / "detected" / "clip.avi.mp4")
    assert len(drawn) == 4 and drawn[0].shape == (242, 322, 3)


def test_pictures_and_videos_keep_their_order(here):
    film(here / "b.mp4", frames(2))
    for name in ("a.jpg", "c.jpg"):
        (here / name).write_bytes((IMAGES / "apple.jpg").read_bytes())
    assert main(["detect", ".", "--json", "r.json", "--no-save"]) == 0
    assert [each["file"] for each in results(here / "r.json")] == ["./a.jpg", "./b.mp4", "./b.mp4", "./c.jpg"]
    assert not (here / "detected").exists()


def test_a_turned_video_is_detected_and_written_upright(here):
    """The rotation that phones write is in the track header's matrix: ISO/IEC 14496-12, 8.3.2."""
    data = film(here / "clip.mp4", frames(3)).read_bytes()
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 240 << 16, 0, 1 << 30)
    start = data.index(b"tkhd")
    assert upright in data[start : start + 100]
    (here / "clip.mp4").write_bytes(data[:start] + data[start:].replace(upright, turned, 1))
    assert main(["detect", "clip.mp4", "--json", "r.json"]) == 0
    assert results(here / "r.json")[0]["image"] == {"width": 240, "height": 320}
    assert play(here / "detected" / "clip.mp4")[0][0].shape == (320, 240, 3)


def test_what_is_no_video_is_a_failure_with_a_sentence(here):
    (here / "text.mp4").write_text("no video")
    whole = film(here / "clip.mp4", frames()).read_bytes()
    (here / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    ended = subprocess.run(
        [*COMMAND, "text.mp4", "cut.mp4", "clip.mp4", "--json", "r.json"], capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 1
    first, second, *rest = results(here / "r.json")
    assert "cannot be opened" in first["error"] and "cannot be opened" in second["error"] and len(rest) == FRAMES
    lines = ended.stderr.splitlines()  # FFmpeg says nothing of its own
    assert [line.split(":")[0] for line in lines[:2]] == ["text.mp4", "cut.mp4"] and len(lines) == 3
    assert [path.name for path in (here / "detected").iterdir()] == ["clip.mp4"]


def test_of_a_video_that_breaks_off_the_beginning_is_kept(here):
    whole = film(here / "clip.avi", frames(40), "MJPG").read_bytes()
    (here / "clip.avi").write_bytes(whole[: len(whole) // 2])
    assert main(["detect", "clip.avi", "--json", "r.json"]) == 1
    *found, failure = results(here / "r.json")
    assert 10 < len(found) < 30 and f"breaks off after {len(found)} of 40 frames" in failure["error"]
    assert len(play(here / "detected" / "clip.avi.mp4")[0]) == len(found)


def test_a_frame_that_cannot_be_written_is_a_failure(here, monkeypatch):
    film(here / "clip.mp4", frames(3))
    monkeypatch.setattr(codecs, "_works", lambda *_: False)
    codecs.encoder.cache_clear()
    try:
        assert main(["detect", "clip.mp4", "--json", "r.json"]) == 1
    finally:
        codecs.encoder.cache_clear()
    (failure,) = results(here / "r.json")
    assert "--no-save" in failure["error"] and list((here / "detected").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_full_disk_leaves_no_half_video(here):
    film(here / "clip.mp4", frames(30))

    ended = subprocess.run(with_small_disk([*COMMAND, "clip.mp4"]), capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1 and "Is the disk full?" in ended.stderr
    assert list((here / "detected").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_ctrl_c_leaves_a_video_that_plays(here):
    film(here / "clip.mp4", frames(1500, (160, 120)))
    with subprocess.Popen([*COMMAND, "clip.mp4", "--json", "r.json"]) as child:
        try:
            wait_for(
                lambda: [path for path in here.glob(".*.json") if path.stat().st_size > 5_000], "the first results"
            )
            child.send_signal(signal.SIGINT)
            assert child.wait(60) == 130
        finally:
            child.kill()
    count = len(play(here / "detected" / "clip.mp4")[0])
    assert 0 < count < 1500 and 0 <= count - len(results(here / "r.json")) <= 1
    assert sorted(path.name for path in here.rglob("*.*")) == ["clip.mp4", "clip.mp4", "r.json"]


class Camera:
    """What cv2.VideoCapture is for a camera: frames without end; Ctrl+C is pressed at the thirtieth."""

    opened = True

    def __init__(self, number):
        assert number == 3
        self.count = 0
        self.pictures = frames()

    def isOpened(self):
        return self.opened

    def get(self, property):
        return 30.0 if property == cv2.CAP_PROP_FPS else 0.0

    def grab(self):
        self.count += 1
        if self.count == 30:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return True

    def retrieve(self):
        return True, self.pictures[self.count % FRAMES]

    def release(self):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pthread_kill")
def test_a_camera_is_recorded_until_ctrl_c(here, monkeypatch):
    real = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda source: Camera(source) if isinstance(source, int) else real(source))
    codecs.encoder(None)
    assert main(["detect", "3", "--json", "r.json"]) == 0
    found = results(here / "r.json")
    times = [each["time"] for each in found]
    assert len(found) > 15 and [each["frame"] for each in found] == list(range(len(found))) and times == sorted(times)
    (copy,) = (here / "detected").iterdir()
    assert copy.name.startswith("camera-3-")
    drawn, fps = play(copy)
    assert 0 <= len(drawn) - len(found) <= 1 and fps == 30


class Mjpeg(BaseHTTPRequestHandler):
    """A camera in the network, as most have it: JPEGs one after the other in one response."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for picture in frames():
            jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
            self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg))
            self.wfile.write(jpeg + b"\r\n")

    def log_message(self, *_):
        pass


def test_a_camera_in_the_network_is_read_until_it_stops(here, capsys):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mjpeg)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://ann:secret@127.0.0.1:{server.server_port}/video.mjpg"
    try:
        assert main(["detect", address, "--json", "r.json"]) == 1
        assert "The camera gave no more frames" in capsys.readouterr().err
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    found = results(here / "r.json")
    assert len(found) >= FRAMES - 1 and found[0]["detections"]
    (copy,) = (here / "detected").iterdir()
    assert copy.name.startswith("camera-127.0.0.1-") and "secret" not in copy.name
    assert main(["detect", address]) == 1
    assert "is its address right" in capsys.readouterr().err


def test_a_camera_that_is_not_there_is_a_failure(here, monkeypatch, capsys):
    monkeypatch.setattr(Camera, "opened", False)
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    assert main(["detect", "3"]) == 1
    assert "3: The camera 3 cannot be opened" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("able", "chosen"), [({"h264", "mpeg4"}, "h264"), ({"mpeg4", "vp9"}, "mpeg4"), ({"vp9"}, "vp9")]
)
def test_the_best_encoder_that_works_is_chosen(monkeypatch, able, chosen):
    monkeypatch.setattr(codecs, "_works", lambda path, codec, backend: codec in able)
    assert codecs.encoder.__wrapped__(None)[0] == chosen


def test_frames_of_another_size_are_fitted(here):
    copy = codecs.Copy(here / "copy.mp4", FPS, "mpeg4")
    assert not copy.close()
    for size in ((320, 240), (64, 48)):
        copy.write(frames(1, size)[0])
    assert copy.close() and [picture.shape for picture in play(here / "copy.mp4")[0]] == [(240, 320, 3)] * 2
