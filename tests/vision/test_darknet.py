"""The converter agrees with OpenCV's own reader, layer kind by layer kind, and on whole models."""

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from helpers import PACKAGE

from yololab.errors import BrokenModel
from yololab.vision.darknet import sections, to_onnx
from yololab.vision.detector import Detector
from yololab.vision.engines.opencv import OpenCVEngine
from yololab.vision.models import from_path

NET = "[net]\nwidth=64\nheight=64\nchannels=3\n"
CONV = "[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\nstride=1\npad=1\nactivation=leaky\n"
HALF = CONV.replace("stride=1", "stride=2")
HEAD = """[convolutional]
filters=14
size=1
stride=1
pad=1
activation=linear
[yolo]
mask=1,2
anchors=4,5, 8,9, 20,14
classes=2
num=3
"""
CASES = {
    "nothing between": CONV,
    "relu": CONV.replace("leaky", "relu"),
    "mish": CONV.replace("leaky", "mish"),
    "swish": CONV.replace("leaky", "swish"),
    "logistic": CONV.replace("leaky", "logistic"),
    "no batch normalization": CONV.replace("batch_normalize=1\n", ""),
    "no padding": CONV.replace("pad=1", "pad=0"),
    "padding in pixels": CONV.replace("pad=1", "padding=1"),
    "even kernel, stride 2": CONV.replace("size=3\nstride=1", "size=4\nstride=2"),
    "groups": CONV + CONV.replace("filters=8", "filters=8\ngroups=4"),
    "depthwise, 5x5": CONV + CONV.replace("filters=8\nsize=3", "filters=8\ngroups=8\nsize=5"),
    "maxpool 2, stride 2": CONV + "[maxpool]\nsize=2\nstride=2\n",
    "maxpool 2, stride 1": CONV + "[maxpool]\nsize=2\nstride=1\n",
    "maxpool 5, stride 1": CONV + "[maxpool]\nsize=5\nstride=1\n",
    "maxpool 3, stride 2": CONV + "[maxpool]\nsize=3\nstride=2\n",
    "route of two": CONV + CONV + "[route]\nlayers=-1,0\n",
    "route of a half": CONV + "[route]\nlayers=-1\ngroups=2\ngroup_id=1\n",
    "upsample": HALF + "[upsample]\nstride=2\n",
    "shortcut": CONV + CONV + "[shortcut]\nfrom=-2\nactivation=linear\n",
    "shortcut, leaky": CONV + CONV + "[shortcut]\nfrom = -2\nactivation=leaky\n",
    "dropout": CONV + "[dropout]\nprobability=.2\n" + CONV,
    "two heads": HALF + HALF + HEAD + "[route]\nlayers=-4\n",
    "comments": "# one\n" + CONV + "; two\n\n",
}


def random_model(folder, body: str, version=(0, 2, 0)):
    """A model of this cfg with random weights, its output near enough to 0 that exp() stays small."""
    cfg = NET + body + HEAD
    (folder / "net.cfg").write_text(cfg)
    (folder / "net.names").write_text("a\nb\n")
    random = np.random.default_rng(0)
    numbers, channels = [], [3]
    kinds = sections(cfg)[1:]
    for index, options in enumerate(kinds):
        if options["type"] == "convolutional":
            filters, size = int(options["filters"]), int(options["size"])
            inputs = channels[-1] // int(options.get("groups", 1)) * size * size
            numbers.append(random.normal(0, 0.1, filters))
            if "batch_normalize" in options:
                numbers += [random.uniform(0.5, 1.5, filters), random.normal(0, 0.1, filters)]
                numbers.append(random.uniform(0.5, 1.5, filters))
            numbers.append(random.normal(0, 1 / np.sqrt(inputs), filters * inputs))
            channels.append(filters)
        elif options["type"] == "route":
            sources = [int(number) for number in options["layers"].split(",")]
            width = [channels[1:][number if number >= 0 else index + number] for number in sources]
            channels.append(sum(width) // int(options.get("groups", 1)))
        else:
            channels.append(channels[-1])
    header = np.array(version, "<i4").tobytes() + bytes(8 if version[1] >= 2 else 4)
    (folder / "net.weights").write_bytes(header + np.concatenate(numbers).astype("<f4").tobytes())
    return from_path(folder / "net.cfg")


def run(model: onnx.ModelProto, pictures: list[np.ndarray]) -> np.ndarray:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"pictures": np.stack(pictures)})[0]


@pytest.mark.parametrize("body", CASES.values(), ids=CASES)
def test_every_kind_of_layer_agrees_with_opencv(tmp_path, body):
    model = random_model(tmp_path, body)
    random = np.random.default_rng(1)
    pictures = [random.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(3)]
    expected = OpenCVEngine(model, (64, 64))(pictures)
    got = run(to_onnx(model.cfg.read_text(), model.weights.read_bytes(), (64, 64)), pictures)
    assert got.shape == np.shape(expected) and got.std() > 0.01
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("size", [416, 320])
def test_the_starter_agrees_with_opencv(fruit, size):
    check(PACKAGE / "starter.cfg", fruit, size)


@pytest.mark.parametrize("name", ["mobilenetv2-yolov3-nano", "yolo-fastest-1.1-xl"])
def test_real_models_agree_with_opencv(weights, fruit, name):
    check(weights / f"{name}.cfg", fruit, 416)


def check(cfg, picture, size):
    model = from_path(cfg)
    picture = cv2.resize(picture, (size, size))
    (expected,) = OpenCVEngine(model, (size, size))([picture])
    (got,) = run(to_onnx(model.cfg.read_text(), model.weights.read_bytes(), (size, size)), [picture])
    np.testing.assert_allclose(got, expected, atol=1e-3)


def test_old_weights_have_a_shorter_header(tmp_path):
    model = random_model(tmp_path, CONV, version=(0, 1, 0))
    picture = np.full((64, 64, 3), 99, np.uint8)
    got = run(to_onnx(model.cfg.read_text(), model.weights.read_bytes(), (64, 64)), [picture])
    np.testing.assert_allclose(got, OpenCVEngine(model, (64, 64))([picture]), atol=1e-5)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (CONV + "[lstm]\noutput=3\n", r"\[lstm\]"),
        (CONV.replace("leaky", "plse"), "'plse'"),
        (CONV.replace("pad=1", "pad=1\nxnor=1"), "xnor=1"),
        (CONV + HALF + "[shortcut]\nfrom=-2\nactivation=linear\n", "shapes"),
        (CONV.replace("filters=8", "filters=many"), "many"),
        (CONV.replace("filters=8\n", ""), "filters"),
        (CONV + "[route]\nlayers=7\n", "layers=7; those are no layers before it"),
        ("rubbish\n", "rubbish"),
    ],
)
def test_what_it_does_not_know_is_an_error_and_no_wrong_answer(body, says):
    with pytest.raises(BrokenModel, match=says):
        to_onnx(NET + body + HEAD, bytes(1_000_000))


def test_a_cfg_without_heads_or_net_and_weights_cut_off(tmp_path):
    with pytest.raises(BrokenModel, match="no YOLO detector"):
        to_onnx(NET + CONV, bytes(100_000))
    with pytest.raises(BrokenModel, match=r"\[net\]"):
        to_onnx(CONV + HEAD, bytes(100_000))
    starter = Detector("starter").model
    with pytest.raises(BrokenModel, match="cut off"):
        to_onnx(starter.cfg.read_text(), starter.weights.read_bytes()[:-4])
