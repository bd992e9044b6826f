"""The benchmark's own client: it counts wrong answers, and it reads what servers send."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import IMAGES, PACKAGE

from benchmarks import accuracy, contenders, gpu, report, run
from benchmarks.client import Connection, Load, load, prepare
from benchmarks.limit import limit, limit_name, picture
from benchmarks.servers.common import detect
from yololab import Detector, create_app, serve
from yololab.vision.images import decode
from yololab.vision.models import find

PHOTOS = [(IMAGES / name).read_bytes() for name in ("apple.jpg", "fruit.jpg", "clock.jpg")]


@pytest.fixture(scope="module")
def port():
    server = serve(create_app(), port=0)
    yield int(server.url.rsplit(":", 1)[1])
    server.stop()


def test_right_answers_are_not_wrong_and_swapped_ones_are(port):
    asked = [prepare(port, "/v1/detections", photo, form=True) for photo in PHOTOS]
    with Connection(port) as connection:
        answers = [connection.ask(request) for request in asked]
    assert [status for status, _ in answers] == [200, 200, 200]
    bodies = [body for _, body in answers]
    right = load(port, asked, bodies, clients=4, seconds=0.3)
    assert right.seconds and right.wrong == right.errors == 0 and right.rate > 0 and right.cpu_share > 0
    wrong = load(port, asked, bodies[1:] + bodies[:1], clients=4, seconds=0.3)
    assert wrong.wrong == len(wrong.seconds) > 0


def test_refusals_are_errors_and_not_answers(port):
    refused = load(port, [prepare(port, "/v1/detections", b"", form=True)], [b""], clients=1, seconds=0.1)
    assert refused.errors > 0 and not refused.seconds


def test_chunks_are_put_together():
    parts = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nap", b"pl\r\n1\r\ne\r\n0\r\n\r\n"]
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            with listener.accept()[0] as other:
                other.recv(1000)
                for part in parts:
                    other.sendall(part)

        thread = threading.Thread(target=answer)
        thread.start()
        with Connection(listener.getsockname()[1]) as connection:
            assert connection.ask(b"GET / HTTP/1.1\r\n\r\n") == (200, b"apple")
        thread.join()


def test_the_limit_does_the_same_work_as_the_server(port):
    detector = Detector("starter")
    with Connection(port) as connection:
        told = connection.ask(prepare(port, "/v1/detections?confidence=0.3", PHOTOS[1], form=True))[1]
        drawn = connection.ask(prepare(port, "/predict?confidence=0.3", PHOTOS[1], form=True))[1]
    found = detect(detector, PHOTOS[1])
    assert told.partition(b'"detections"')[2] == found.partition(b'"detections"')[2] != b""
    assert drawn == picture(detector, PHOTOS[1])
    with limit(PACKAGE / "starter.cfg", "onnxruntime", processes=2, threads=1) as work:
        for kind in ("json", "picture"):
            done = work.load(kind, PHOTOS, seconds=0.2)
            assert done.seconds and done.rate > 0 and done.cost > 0 and done.errors == done.wrong == 0


def test_a_model_at_another_size_is_the_same_network(tmp_path, monkeypatch):
    monkeypatch.setattr(contenders, "ROOT", tmp_path)
    copy = contenders.at_size(PACKAGE / "starter.cfg", 416)
    assert Detector(copy, "onnxruntime").size == (416, 416) and contenders.at_size(copy, None) == copy
    picture = decode(PHOTOS[1])
    assert Detector(copy, "onnxruntime")(picture, 0.3) == Detector("starter", "onnxruntime", size=416)(picture, 0.3)


@pytest.mark.slow
@pytest.mark.parametrize("lever", ["nothing", "simplejpeg", "uvloop"])
def test_a_lever_that_is_taken_away_changes_no_detection(lever, port, monkeypatch):
    contender = contenders.Contender("", contenders.LEVERS, "without", contenders.OURS, options=(lever,))
    asked = [prepare(port, contenders.OURS["json"], photo, form=True) for photo in PHOTOS]
    with Connection(port) as connection:
        expected = [connection.ask(request) for request in asked]
    with contenders.started(contender, PACKAGE / "starter.cfg", PHOTOS[0]) as server:
        server.settle()
        with Connection(server.port) as connection:
            assert [connection.ask(request) for request in asked] == expected
        assert server.peak_memory() > 0 and server.cpu() > 0


def a_record() -> report.Record:
    """What a run of two rounds gives, with made-up figures."""
    values = {"low": 9, "high": 60, "cost": 9.0, "p50": 9.0, "p99": 20.0, "answers": 50, "wrong": 0, "errors": 0}
    record = report.Record(facts={"CPU": "one"})
    for place, contender in enumerate(contenders.CONTENDERS):
        record.groups[contender.name] = contender.group
        record.start_up[contender.name], record.memory[contender.name] = [1.0, 2.0], [100.0, 120.0]
        record.rows[contender.name] = {cell: values | {"rate": 10 + place} for cell in run.cells(contender, False)}
    for size in (None, 416):
        for name in run.LIMITS:
            cells = [(kind, photos, 0) for kind in ("json", "picture") for photos in run.SIDES]
            record.rows[limit_name(name, size)] = {cell: values | {"rate": 40} for cell in cells}
    return record


def test_the_report_holds_every_contender_and_target_and_a_plot(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "HERE", tmp_path)
    (tmp_path / "RESULTS.md").write_text(f"before {report.MARK} old {report.MARK} after", encoding="utf-8")
    record = a_record()
    report.write(record)
    written = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert written.startswith("before ") and written.endswith(" after") and " old " not in written
    assert all(f"| {contender.name} | 200 |" in written for contender in contenders.CONTENDERS[:11])
    assert "| as it comes: 6 times the classic handler with a lock, 8 with bf16 (8 clients) | 1.09 | 1.18 |" in written
    assert "equal footing: ahead of every peer, 8 clients | 0.70 of Ray Serve | 0.75 of Ray Serve |" in written
    assert "not measured" not in written and (tmp_path / "results.png").stat().st_size > 10_000
    assert json.loads(json.dumps(record.as_json()))["rows"]


def test_a_summary_is_medians_and_quartiles():
    loads = [Load(1, elapsed=1.0, seconds=[0.001] * count, server_cpu=count / 100) for count in (10, 20, 30)]
    got = run.summary(loads)
    assert (got["low"], got["rate"], got["high"], got["cost"], got["p50"]) == (15, 20, 25, 10, 1)


def test_the_gpus_ladder_runs_on_the_cpu_too_and_says_what_it_needs(capsys):
    assert gpu.main(["--engine", "onnxruntime", "--seconds", "0.05", "--rounds", "1"]) == 0
    told = capsys.readouterr().out
    assert "14 of 14 pictures agree" in told and "| 128 |" in told
    if "CUDAExecutionProvider" not in __import__("onnxruntime").get_available_providers():
        assert gpu.main([]) == 0
        assert "only " in (told := capsys.readouterr().out) and "onnxruntime-gpu" in told and "120 s in all" in told


def test_batches_give_what_one_by_one_gives_and_an_error_reaches_all_of_its_batch():
    detector = Detector("starter", "onnxruntime")
    run_network = gpu.session(detector, "onnxruntime")
    noise = np.random.default_rng(0).integers(0, 256, (6, *detector.size[::-1], 3), np.uint8)
    with gpu.batched(run_network) as ask, ThreadPoolExecutor(6) as clients:
        together = list(clients.map(ask, noise))
    with gpu.one_by_one(run_network) as ask:
        np.testing.assert_allclose(together, [ask(picture) for picture in noise], atol=1e-3)
    with gpu.batched(lambda pictures: 1 / 0) as ask, pytest.raises(ZeroDivisionError):
        ask(noise[0])


def test_engines_that_disagree_are_told():
    starter = Detector("starter", "onnxruntime")
    pictures = {"fruit.jpg": decode(PHOTOS[1])}
    assert not gpu.disagreements(starter, starter, pictures)
    (sentence,) = gpu.disagreements(starter, Detector("starter", "onnxruntime", size=416), pictures)
    assert sentence.startswith("fruit.jpg: ")


def test_accuracy_by_size_has_a_row_for_each_size(monkeypatch, capsys, tmp_path):
    asked = []

    def scored(detector, sample):
        asked.append((detector.size, sample))
        return SimpleNamespace(ap=0.25, ap50=0.5)

    monkeypatch.setattr(accuracy, "score", scored)
    monkeypatch.setattr(accuracy, "SIZES", (64, 320))
    accuracy.by_size([find("starter", [PACKAGE])], tmp_path)
    _, _, small, own = capsys.readouterr().out.splitlines()
    assert asked == [((64, 64), tmp_path), ((320, 320), tmp_path)]
    assert small.startswith("| starter | 64 | 0.250 | 0.500 |") and own.startswith("| starter | 320, its own |")
    assert all(float(line.split("|")[5]) > 0 for line in (small, own))
