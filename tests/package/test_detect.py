"""yololab detect: pictures and folders, and the files of results."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import pytest
from helpers import IMAGES, wait_for, with_small_disk
from PIL import Image

from yololab import Detector, decode
from yololab.__main__ import main
from yololab.detect.parallel import ahead, ordered_map
from yololab.detect.sources import expand


def put(path, name="apple.jpg"):
    """A sample picture at `path`, whose folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((IMAGES / name).read_bytes())
    return path


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def names(*arguments, out="detected"):
    return [source.name for source in expand(arguments, Path(out))]


def test_boxes_and_copies_are_those_of_the_api(here, client):
    with Image.open(IMAGES / "fruit.jpg") as image:
        image.resize((2000, 1500)).save(here / "large.jpg")  # decoded at half its size
        image.save(here / "lossless.png")
        image.save(here / "modern.webp")
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(here / "turned.jpg", exif=exif)
    assert main(["detect", ".", "--json", "all.json", "--confidence", "0.3"]) == 0
    results = json.loads((here / "all.json").read_text())
    assert [Path(each["file"]).name for each in results] == ["large.jpg", "lossless.png", "modern.webp", "turned.jpg"]
    copies = {"modern.webp": "modern.webp.jpg"}
    for result in results:
        name = Path(result["file"]).name
        upload = {"file": (here / name).read_bytes()}
        answer = client.post("/v1/detections?confidence=0.3", files=upload).json()
        assert result["detections"] and result == {
            "file": result["file"],
            **{k: answer[k] for k in result if k != "file"},
        }
        drawn = client.post("/predict?confidence=0.3", files=upload).content
        assert (here / "detected" / copies.get(name, name)).read_bytes() == drawn


def test_failures_are_named_and_counted_and_stop_nothing(here, capsys):
    put(here / "a.jpg")
    (here / "broken.jpg").write_bytes((IMAGES / "apple.jpg").read_bytes()[:5000])
    (here / "text.jpg").write_text("no picture")
    put(here / "z.jpg", "clock.jpg")
    paths = ["a.jpg", "broken.jpg", "missing.jpg", "text.jpg", "z.jpg"]
    assert main(["detect", *paths, "--json", "r.json", "--csv", "r.csv"]) == 1
    results = json.loads((here / "r.json").read_text())
    assert [each["file"] for each in results] == paths
    assert ["error" in each for each in results] == [False, True, True, True, False]
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["broken.jpg", "missing.jpg", "text.jpg"]
    assert len(lines) == 4 and "2 pictures, 2 objects, 3 failed" in lines[3]
    assert printed.out.splitlines() == ["a.jpg: 1 apple", "z.jpg: 1 clock"]
    assert files_in(here / "detected") == ["a.jpg", "z.jpg"]
    rows = list(csv.reader((here / "r.csv").read_text().splitlines()))
    assert rows[0] == ["file", "label", "confidence", "x1", "y1", "x2", "y2"]
    first = results[0]["detections"][0]
    assert rows[1] == ["a.jpg", "apple", *map(str, [first["confidence"], *first["box"].values()])] and len(rows) == 3


def test_a_folder_gives_its_pictures_and_videos_sorted_without_hidden_ones_and_copies(here):
    for name in ("b.JPG", "a/z.png", "a/clip.mp4", ".hidden/x.jpg", ".x.jpg", "notes.txt", "detected/b.JPG"):
        put(here / name)
    assert names(".") == ["./b.JPG", "./a/clip.mp4", "./a/z.png"]
    assert names("detected") == ["detected/b.JPG"]
    assert [each.kind for each in expand(["a"], Path("detected"))] == ["video", "picture"]
    (here / "empty").mkdir()
    (failure,) = expand(["empty"], Path("detected"))
    assert "no picture" in failure.error


def test_patterns_that_the_shell_left_alone_are_matched(here):
    for name in ("b.jpg", "a.jpg", "deep/er/c.jpg", "detected/a.jpg", "odd[1].jpg"):
        put(here / name)
    assert names("*.jpg") == ["a.jpg", "b.jpg", "odd[1].jpg"]
    assert names("**/*.jpg") == ["a.jpg", "b.jpg", "deep/er/c.jpg", "odd[1].jpg"]
    assert names("odd[1].jpg", "./a.jpg", "a.jpg", "*.jpg") == ["odd[1].jpg", "./a.jpg", "b.jpg"]  # each once
    (failure,) = expand(["*.png"], Path("detected"))
    assert "No file matches" in failure.error


def test_a_number_is_a_camera_unless_a_file_has_that_name(here):
    assert [each.kind for each in expand(["0"], Path("detected"))] == ["camera"]
    put(here / "0")
    assert [each.kind for each in expand(["0"], Path("detected"))] == ["picture"]


def test_equal_names_of_different_folders_do_not_meet(here):
    inputs = ["x/1.jpg", "y/1.jpg", "y/2.webp", "y/2.webp.jpg"]
    for name in inputs:
        put(here / name)
    assert main(["detect", *inputs]) == 0
    assert files_in(here / "detected") == ["x/1.jpg", "y/1.jpg", "y/2.webp.jpg", "y/2.webp_.jpg"]


@pytest.mark.parametrize(
    "options", [["--out", "."], ["--out", "link"], ["--json", "a.jpg"], ["--csv", "new.png"], ["--coco", "same.json"]]
)
def test_no_input_is_ever_replaced(here, capsys, options):
    before = put(here / "a.jpg").read_bytes()
    put(here / "plain")
    os.link(here / "plain", here / "same.json")
    (here / "link").symlink_to(here)
    assert main(["detect", "a.jpg", "plain", *options]) == 1
    assert "would replace" in capsys.readouterr().err
    assert (here / "a.jpg").read_bytes() == before and files_in(here) == ["a.jpg", "plain", "same.json"]


def test_without_save_only_the_results_are_written(here):
    put(here / "a.jpg")
    assert main(["detect", "a.jpg", "--no-save", "--csv", "r.csv"]) == 0
    assert files_in(here) == ["a.jpg", "r.csv"]


@pytest.mark.parametrize(
    ("options", "status", "part"),
    [
        (["--model", "yolov99"], 1, "yolov99"),
        (["--json", "nowhere/r.json"], 1, "nowhere"),
        (["--json", "r", "--csv", "r"], 1, "a file each"),
        (["--confidence", "30"], 2, "from 0 to 1"),
        (["--stride", "0"], 2, "whole number"),
    ],
)
def test_a_wrong_option_is_one_sentence_before_anything_is_written(here, capsys, options, status, part):
    put(here / "a.jpg")
    try:
        ended = main(["detect", "a.jpg", *options])
    except SystemExit as exit:
        ended = exit.code
    printed = capsys.readouterr().err
    assert ended == status and part in printed.splitlines()[-1] and "Traceback" not in printed
    assert files_in(here) == ["a.jpg"]


def test_coco_results_are_numbered_by_name_or_by_place(here):
    for name in ("7.jpg", "000012.jpg", "x.jpg"):
        put(here / name)

    def images(*paths):
        main(["detect", *paths, "--no-save", "--coco", "c.json", "--json", "r.json"])
        results = json.loads((here / "c.json").read_text())
        (first,) = [each for each in results if each["image_id"] == results[0]["image_id"]]
        box = json.loads((here / "r.json").read_text())[-1]["detections"][0]["box"]
        assert first["bbox"] == [box["x1"], box["y1"], box["x2"] - box["x1"], box["y2"] - box["y1"]]
        assert first["category_id"] == Detector("starter").labels.index("apple") + 1
        return [each["image_id"] for each in results]

    assert images("000012.jpg", "7.jpg") == [12, 7]
    assert images("7.jpg", "missing", "x.jpg", "000012.jpg") == [1, 3, 4]


def test_coco_results_score_as_a_loop_does(here, weights, coco_sample, monkeypatch):
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    monkeypatch.setenv("YOLOLAB_MODEL_PATH", str(weights))
    photos = sorted((coco_sample / "images").iterdir())[:40]
    arguments = ["--model", "mobilenetv2-yolov3-nano", "--confidence", "0.05", "--no-save", "--coco", "c.json"]
    assert main(["detect", *map(str, photos), *arguments]) == 0
    detector = Detector("mobilenetv2-yolov3-nano", threads=1, folders=[weights])
    loop = []
    for photo in photos:
        for found in detector(decode(photo.read_bytes()), confidence=0.05):
            x1, y1, x2, y2 = found.box
            category = detector.labels.index(found.label) + 1
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "score": found.confidence}
            loop.append({"image_id": int(photo.stem), "category_id": category, **box})
    truth = coco.COCO(coco_sample / "annotations.json")

    def score(results):
        judge = evaluation.COCOeval(truth, truth.loadRes(results), "bbox")
        judge.params.imgIds = [int(photo.stem) for photo in photos]
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
        return judge.stats.tolist()

    actual = score("c.json")
    assert actual == score(loop) and actual[1] > 0.3


def command(*arguments):
    return [sys.executable, "-m", "yololab", "detect", *map(str, arguments)]


posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither these signals nor limits")


@posix
def test_ctrl_c_leaves_whole_files(here):
    photo = put(here / "photo.jpg", "fruit.jpg")
    for number in range(1, 2000):
        os.link(photo, here / f"{number}.jpg")
    with subprocess.Popen(command(".", "--json", "r.json", "--coco", "c.json"), stdout=subprocess.PIPE) as child:
        try:
            for _ in range(3):
                child.stdout.readline()
            child.send_signal(signal.SIGINT)
            child.stdout.read()
            child.wait(60)
        finally:
            child.kill()
    assert child.returncode == 130
    results = json.loads((here / "r.json").read_text())
    assert 3 <= len(results) < 2000 and json.loads((here / "c.json").read_text())
    for name in files_in(here / "detected"):
        assert decode((here / "detected" / name).read_bytes()).size
    assert not [name for name in files_in(here) if ".yololab-" in name]


@posix
def test_a_full_disk_leaves_no_half_file(here):
    for number in range(30):
        put(here / f"{number}.jpg", "crowd.jpg")
    (here / "r.json").write_text("the last run")

    run = {"capture_output": True, "text": True, "timeout": 120}
    ended = subprocess.run(with_small_disk(command(".", "--json", "r.json", "--no-save")), **run)
    assert ended.returncode == 1 and "error: r.json cannot be written: File too large." in ended.stderr
    ended = subprocess.run(with_small_disk(command("1.jpg")), **run)
    assert ended.returncode == 1 and "1.jpg: File too large" in ended.stderr
    assert (here / "r.json").read_text() == "the last run"
    assert files_in(here) == sorted(["r.json", *(f"{number}.jpg" for number in range(30))])


@posix
def test_results_go_to_a_pipe_and_a_closed_one_is_no_error(here):
    put(here / "a.jpg")
    ended = subprocess.run(command("a.jpg", "--no-save", "--csv", "/dev/stderr"), capture_output=True, timeout=120)
    assert b"file,label," in ended.stderr and os.path.exists("/dev/stderr")
    child = subprocess.Popen(command("a.jpg", "a.jpg", "--json", "r.json"), stdout=subprocess.PIPE)
    child.stdout.close()
    assert child.wait(120) == 0 and len(json.loads((here / "r.json").read_text())) == 1


def test_a_progress_bar_is_shown_on_a_terminal_only(here, monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    put(here / "a.jpg")
    main(["detect", "a.jpg", "--no-save"])
    assert "\r" not in capsys.readouterr().err
    monkeypatch.setattr("sys.stderr", Terminal())
    main(["detect", "a.jpg", "--no-save"])
    assert "1/1" in sys.stderr.getvalue() or "0/1" in sys.stderr.getvalue()


def test_names_of_any_kind(here, capsys):
    name = os.fsdecode(b'caf\xe9 \xe2\x98\x95, "x".jpg')
    put(here / name)
    assert main(["detect", ".", "--json", "r.json", "--csv", "r.csv"]) == 0
    assert json.loads((here / "r.json").read_text())[0]["file"] == f"./{name}"
    assert os.fsencode(name).replace(b'"', b'""') in (here / "r.csv").read_bytes()
    assert "1 apple" in capsys.readouterr().out and files_in(here / "detected") == [name]


def test_ordered_map_keeps_the_order_and_takes_few_items_ahead():
    taken, let_go = [], Event()

    def items():
        for number in range(50):
            taken.append(number)
            yield number

    def work(number):
        assert number or let_go.wait(60)  # the first is the last to be done
        return number

    results = ordered_map(work, items(), 3)
    waiting = Thread(target=lambda: (wait_for(lambda: len(taken) == 6), let_go.set()))
    waiting.start()
    for number, result in enumerate(results):
        assert result == number and len(taken) <= number + 6
    waiting.join()
    assert len(taken) == 50


def test_ordered_map_ends_when_it_is_closed():
    started = []
    results = ordered_map(lambda number: started.append(number) or number, range(1000), 2)
    assert next(results) == 0
    results.close()
    assert len(started) <= 4


def test_ahead_makes_a_bounded_number_in_another_thread_and_passes_errors_on():
    made, closed = [], Event()

    def items():
        try:
            for number in range(6):
                made.append(number)
                yield number
            raise OSError("the cable")
        finally:
            closed.set()

    results = ahead(items(), 2)
    assert next(results) == 0
    wait_for(lambda: len(made) == 4)  # one taken, two ready, one in the hand
    assert [next(results) for _ in range(5)] == [1, 2, 3, 4, 5]
    with pytest.raises(OSError, match="the cable"):
        next(results)
    results = ahead(items(), 2)
    next(results)
    closed.clear()
    results.close()
    assert closed.is_set()
