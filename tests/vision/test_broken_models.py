"""Wrong files of models: each is one sentence from every engine, and asks for no memory."""

import resource
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import IMAGES, PACKAGE, ready_client, wait_ready

from yololab.errors import BrokenModel
from yololab.vision.darknet import plan as darknet_plan
from yololab.vision.detector import Detector
from yololab.vision.models import find, installed
from yololab.vision.models.unusable import unusable

CASES = Path(__file__).parent / "cases"
STARTER = (PACKAGE / "starter.cfg").read_text()
ENGINES = ["auto", "onnxruntime", "opencv"]


def random_weights(cfg: str) -> bytes:
    """Weights of the right size for a cfg; where it cannot be planned, a few numbers."""
    try:
        count = darknet_plan.plan(cfg).weights
    except BrokenModel:
        count = 1000
    numbers = np.random.default_rng(0).uniform(0.05, 0.5, count).astype("<f4")
    return np.array([0, 2, 0, 0, 0], "<i4").tobytes() + numbers.tobytes()


def put(folder, cfg: str | bytes, weights: bytes | None = None, classes=3):
    text = cfg if isinstance(cfg, str) else cfg.decode(errors="replace")
    (folder / "mine.cfg").write_bytes(cfg if isinstance(cfg, bytes) else cfg.encode())
    (folder / "mine.weights").write_bytes(random_weights(text) if weights is None else weights)
    (folder / "mine.names").write_text("".join(f"c{number}\n" for number in range(classes)))
    return folder / "mine.cfg"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["bom", "trailing_comma", "new_coords", "shortcut_diff"])
def test_cfgs_of_editors_and_other_trainings_load(tmp_path, picture, name, engine):
    cfg = put(tmp_path, (CASES / f"v-{name}.cfg").read_bytes())
    detector = Detector(cfg, engine)
    assert detector.size == (416, 416) and detector.engine.name == engine.replace("auto", "onnxruntime")
    np.testing.assert_allclose(
        detector.engine([picture]), Detector(cfg, "opencv").engine([picture]), rtol=1e-3, atol=1e-3
    )


def changed(old: str, new: str, count: int = 1) -> str:
    text = (CASES / "v-trailing_comma.cfg").read_text()
    assert old in text
    return text.replace(old, new, count)


WRONG = {
    "filters that do not fit the head": ((CASES / "v-filters_wrong.cfg").read_text(), r"must follow 24 filters"),
    "four channels": (changed("channels=3", "channels=4"), r"3 channels"),
    "a mask beyond the anchors": (changed("mask = 3,4,5", "mask = 3,4,9"), r"chooses the anchors \[3, 4, 9\] of 6"),
    "a mask below them": (changed("mask = 3,4,5", "mask = 3,4,-5"), r"chooses the anchors"),
    "stride 0": (changed("stride=2", "stride=0"), r"stride=0; it must be a whole number from 1"),
    "no groups": (changed("pad=1", "pad=1\ngroups=0"), r"groups=0"),
    "groups that do not divide": (changed("pad=1", "pad=1\ngroups=7"), r"groups=7"),
    "no filters": (changed("filters=8", "filters=0"), r"filters=0"),
    "upsample 0": (changed("[upsample]\nstride=2", "[upsample]\nstride=0"), r"stride=0"),
    "upsample 64": (changed("[upsample]\nstride=2", "[upsample]\nstride=64"), r"\[route\], joins grids of different"),
    "upsample 100000": (changed("[upsample]\nstride=2", "[upsample]\nstride=100000"), r"stride=100000"),
    "far too much padding": (changed("pad=1", "padding=1000000000"), r"padding=1000000000"),
    "heads of other class counts": (
        changed("classes=3", "classes=2").replace("filters=24\nsize=1", "filters=21\nsize=1", 1),
        r"different numbers of classes: 2, 3|2 classes",
    ),
    "a number of 5000 digits": (changed("width=416", "width=" + "9" * 5000), r"width=9"),
    "a picture as large as a wall": (changed("width=416", "width=100000"), r"width=100000"),
    "layers that are not there": (changed("layers = -3", "layers = -30"), r"layers=-30"),
    "filters for all the memory": (changed("filters=8", "filters=60000"), r"too much memory|60000"),
    "a kernel of a mile": (changed("size=3", "size=5000"), r"size=5000"),
    "numbers that are none": (changed("filters=8", "filters=eight"), r"filters=eight"),
    "anchors that are none": (changed("10,14", "ten,14"), r"no list of numbers"),
    "anchors without end": (changed("10,14", "1e300,nan"), r"no list of numbers"),
    "a web page": ("<!DOCTYPE html>\n<html><body>404</body></html>", r"no line of a Darknet cfg|says no"),
    "nothing": ("", r"says no"),
    "no head": ("[net]\nwidth=64\nheight=64\n[convolutional]\nfilters=3\nclasses=3\n", r"no \[yolo\]"),
    "an endless network": ("[net]\nwidth=64\nheight=64\nclasses=3\n" + "[route]\nlayers=-1\n" * 3000, r"3000 layers"),
    "a shrinking network": (changed("stride=2", "stride=60", 3), r"grid of|joins grids|adds grids"),
    "an unknown layer": (changed("[upsample]", "[teleport]"), r"\[teleport\]"),
}  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("cfg", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_cfg_is_one_sentence(tmp_path, cfg, says, engine):
    path = put(tmp_path, cfg)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BrokenModel, match=says) as caught:
        Detector(path, engine)
    message = str(caught.value)
    assert "mine.cfg" in message and len(message) < 600 and "Traceback" not in message
    unit = 1024 if sys.platform == "linux" else 1
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 500 * 2**20


WHOLE = (PACKAGE / "starter.weights").read_bytes()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("weights", "says"),
    [(b"", "0 bytes"), (WHOLE[:-4], "cut off"), (WHOLE + bytes(4), "needs exactly"), (WHOLE[:20], "20 bytes"),
     (b"<!DOCTYPE html><html>404</html>" * 9, "web page"), (WHOLE[: len(WHOLE) // 2], "cut off")],
    ids=["empty", "cut off", "longer", "header only", "web page", "half"],
)  # fmt: skip
def test_weights_must_have_exactly_the_size_of_the_cfg(tmp_path, weights, says, engine):
    with pytest.raises(BrokenModel, match=says) as caught:
        Detector(put(tmp_path, STARTER, weights, 80), engine)
    assert "mine.weights" in str(caught.value)


def test_file_names_that_are_not_text_are_left_out_and_named(tmp_path):
    try:
        (tmp_path / "caf\udce9.onnx").write_bytes(b"x")  # the byte E9 alone, which is no UTF-8
    except (OSError, UnicodeError):
        pytest.skip("needs a file system that takes any bytes as a name")
    put(tmp_path, STARTER, WHOLE, 80)
    assert list(installed([tmp_path])) == ["mine"]
    (sentence,) = unusable([tmp_path])
    sentence.encode()
    assert "not readable text" in sentence and "caf" in sentence


def test_installed_never_raises(tmp_path):
    (tmp_path / "file").write_text("no folder")
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "loop.cfg").symlink_to("loop.cfg")
    (tmp_path / "folder.onnx").mkdir()
    folders = [tmp_path / "file", closed, tmp_path / "loop", tmp_path, tmp_path / "a\0b"]
    assert installed(folders) == {} and unusable(folders) == []
    closed.chmod(0o700)


def test_a_training_folder_is_told_what_to_rename(tmp_path):
    for name in ("yolo-obj.cfg", "yolo-obj_best.weights", "yolo-obj_last.weights", "obj.names", "obj.data", "best.pt"):
        (tmp_path / name).write_text("x")
    first, second = unusable([tmp_path])
    assert "rename it to yolo-obj.weights, and obj.names to yolo-obj.names" in first
    assert "yolo-obj_best.weights" in first and "best.pt is a PyTorch checkpoint" in second and "format=onnx" in second


def test_a_network_of_ones_own_under_a_public_name_is_served(tmp_path, fruit):
    for suffix in ("cfg", "weights", "names"):
        (tmp_path / f"yolov3-tiny.{suffix}").write_bytes((PACKAGE / f"starter.{suffix}").read_bytes())
    model = find("yolov3-tiny", [tmp_path])
    assert Detector(model)(fruit, 0.3) == Detector("starter")(fruit, 0.3)
    assert "another file of this name than the registry's; it is served as your own" in model.note
    with pytest.raises(BrokenModel) as caught:
        model.verify()
    assert "elete" not in str(caught.value)


def test_a_broken_model_never_stops_the_list_of_models(tmp_path):
    """Nor is a request for it answered with 500."""
    for name, files in {
        "toml": {"onnx": b"x", "toml": b"= ="},
        "names": {"cfg": STARTER.encode(), "weights": WHOLE, "names": b"one\n"},
        "page": {"onnx": b"<html>", "names": b"a\n"},
        "digits": {"cfg": b"[net]\nwidth=" + b"9" * 5000, "weights": b"x", "names": b"a\n"},
        "binary": {"cfg": bytes(range(256)), "weights": b"x", "names": bytes(range(256))},
    }.items():
        for suffix, data in files.items():
            (tmp_path / f"{name}.{suffix}").write_bytes(data)
    with ready_client(model_path=str(tmp_path), keep=False) as client:
        wait_ready(client)
        known = {each["name"]: each for each in client.get("/v1/models").json()}
        photo = (IMAGES / "apple.jpg").read_bytes()
        for name in ("toml", "names", "page", "digits", "binary"):
            assert known[name]["installed"] and known[name]["engine"] is None
            answer = client.post(f"/v1/detections?model={name}", files={"file": photo})
            assert answer.status_code == 503 and f"{name}." in answer.json()["detail"], answer.text
        assert known["page"]["input_size"] is None and known["starter"]["engine"] == "onnxruntime"
