"""The converter agrees with OpenCV's own reader, layer kind by layer kind, and on whole models."""

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from helpers import PACKAGE

from yololab.errors import BrokenModel
from yololab.vision.darknet.convert import to_onnx
from yololab.vision.darknet.plan import plan
from yololab.vision.detector import Detector
from yololab.vision.engines import make_engine
from yololab.vision.engines.opencv import OpenCVEngine
from yololab.vision.models import from_path

NET = "[net]\nwidth=64\nheight=64\nchannels=3\n"
CONV = "[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\nstride=1\npad=1\nactivation=leaky\n"
POINT = CONV.replace("size=3", "size=1")
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
    "tanh": CONV.replace("leaky", "tanh"),
    "shortcut to a wider layer": CONV.replace("filters=8", "filters=12") + CONV + "[shortcut]\nfrom=-2\n",
    "shortcut to a narrower layer": CONV + CONV.replace("filters=8", "filters=12") + "[shortcut]\nfrom=-2\n",
    "squeeze and excitation": CONV + "[avgpool]\n" + POINT.replace("leaky", "logistic") + "[scale_channels]\nfrom=-3\n",
    "spatial attention": CONV + POINT.replace("leaky", "logistic") + "[sam]\nfrom=-2\n",
    "reorg": CONV + "[reorg]\nstride=2\n",
    "trailing commas": CONV + CONV + "[route]\nlayers=-1,0,\n",
    "comments": "# one\n" + CONV + "; two\n\n",
}


def random_model(folder, body: str, version=(0, 2, 0), head=HEAD, net=NET):
    """A model of this cfg with random weights, its output near enough to 0 that exp() stays small."""
    cfg = net + body + head
    (folder / "net.cfg").write_text(cfg)
    (folder / "net.names").write_text("a\nb\n")
    random = np.random.default_rng(0)
    numbers = []
    for layer in plan(cfg).layers:
        options, filters = layer.options, layer.channels
        if options.type == "convolutional":
            inputs = layer.weights // filters - 1 - 3 * ("batch_normalize" in options)
            numbers.append(random.normal(0, 0.1, filters))
            if "batch_normalize" in options:
                numbers += [random.uniform(0.5, 1.5, filters), random.normal(0, 0.1, filters)]
                numbers.append(random.uniform(0.5, 1.5, filters))
            numbers.append(random.normal(0, 1 / np.sqrt(inputs), filters * inputs))
        else:
            numbers.append(random.uniform(0.5, 1.5, layer.weights))
    save(folder, np.concatenate(numbers), version)
    return from_path(folder / "net.cfg")


def save(folder, numbers: np.ndarray, version=(0, 2, 0)):
    header = np.array(version, "<i4").tobytes() + bytes(8 if version[1] >= 2 else 4)
    (folder / "net.weights").write_bytes(header + np.asarray(numbers, "<f4").tobytes())


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


NEW = HEAD.replace("activation=linear", "activation=logistic") + "new_coords=1\nscale_x_y=2.0\n"
WIDE = "[net]\nwidth=96\nheight=64\nchannels=3\n"


@pytest.mark.parametrize("net", [NET, WIDE, "\ufeff" + WIDE], ids=["square", "wide", "mark"])
@pytest.mark.parametrize("head", [HEAD, NEW, HEAD.replace("mask=1,2\n", "").replace(", 20,14", ",")],
                         ids=["yolo", "new_coords", "no mask"])  # fmt: skip
def test_heads_and_nets_agree_with_opencv(tmp_path, picture, net, head):
    model = random_model(tmp_path, HALF, head=head, net=net)
    size = model.input_size
    assert size == ((64, 64) if net == NET else (96, 64))
    picture = cv2.resize(picture, size)
    (got,) = run(to_onnx(net + HALF + head, model.weights.read_bytes(), size), [picture])
    np.testing.assert_allclose(got, OpenCVEngine(model, size)([picture])[0], atol=1e-5)
    for engine in ("onnxruntime", "opencv"):
        assert Detector(model, engine).size == size


def test_region_is_what_opencv_says_before_it_suppresses(tmp_path, picture):
    """OpenCV suppresses within its [region] layer, which sets some scores to 0; all others are the same."""
    head = HEAD.replace("filters=14", "filters=21").replace(
        "[yolo]\nmask=1,2", "[region]\nsoftmax=1\nthresh=.6\ncoords=4"
    )
    model = random_model(tmp_path, HALF, head=head.replace("4,5, 8,9, 20,14", "1.3,1.7, 3.1,4.0, 5.0,8.0"))
    (expected,) = OpenCVEngine(model, (64, 64))([picture])
    (got,) = make_engine("onnxruntime", model, (64, 64))([picture])
    np.testing.assert_allclose(got[:, :5], expected[:, :5], atol=1e-5)
    kept = expected[:, 5:] > 0
    assert kept.any() and not kept.all()
    np.testing.assert_allclose(got[:, 5:][kept], expected[:, 5:][kept], atol=1e-5)


# what OpenCV ignores is compared with another way to write the same


def answers(folder, body, numbers, picture):
    """The rows that the converter's network gives, and OpenCV's refusal to run it."""
    model = random_model(folder, body)
    save(folder, numbers)
    (rows,) = run(to_onnx(model.cfg.read_text(), model.weights.read_bytes(), (64, 64)), [cv2.resize(picture, (64, 64))])
    return rows


def numbers_of(folder, body):
    model = random_model(folder, body)
    return np.frombuffer(model.weights.read_bytes()[20:], "<f4").copy()


EACH, CHANNELS = "weights_type=per_feature\n", "weights_type=per_channel\n"
NORMALIZED = "weights_normalization="
HEAD_KERNEL = 14 * 8  # numbers at the end of the weights, after the 14 biases


@pytest.mark.parametrize(
    ("body", "extra", "factor"),
    [
        (HALF + "[upsample]\nstride=2\nscale=3\n", [], 3),
        (HALF + POINT + "[shortcut]\nfrom=-2\n" + EACH, [2, 0], 2),
        (HALF + POINT + "[shortcut]\nfrom=-2\n" + CHANNELS, [2] * 8 + [0] * 8, 2),
        (HALF + POINT + "[shortcut]\nfrom=-1,-1\n" + EACH + NORMALIZED + "softmax\n", [5] * 3, 3 / 3.0001),
        (HALF + POINT + "[shortcut]\nfrom=-1\n" + CHANNELS + NORMALIZED + "relu\n", [3] * 8 + [-1] * 8, 3 / 3.0001),
    ],
    ids=["upsample scale", "one weight each", "weights for channels", "softmax of weights", "relu of weights"],
)  # fmt: skip
def test_factors_are_as_if_the_next_kernel_had_them(tmp_path, picture, body, extra, factor):
    plain = body.split("[shortcut]")[0].replace("scale=3\n", "")
    numbers = numbers_of(tmp_path, plain)
    split = len(numbers) - HEAD_KERNEL - 14
    got = answers(tmp_path, body, np.concatenate([numbers[:split], extra, numbers[split:]]), picture)
    with pytest.raises(BrokenModel, match=r"OpenCV cannot run .* which it ignores"):
        OpenCVEngine(from_path(tmp_path / "net.cfg"), (64, 64))
    numbers[-HEAD_KERNEL:] *= factor
    np.testing.assert_allclose(got, answers(tmp_path, plain, numbers, picture), atol=1e-5)


def test_several_inputs_of_a_shortcut_are_several_shortcuts(tmp_path, picture):
    body = HALF + POINT + POINT
    numbers = numbers_of(tmp_path, body)
    got = answers(tmp_path, body + "[shortcut]\nfrom=-2,-3\n", numbers, picture)
    expected = answers(tmp_path, body + "[shortcut]\nfrom=-2\n[shortcut]\nfrom=0\n", numbers, picture)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_a_dilated_kernel_is_a_larger_one_with_zeros(tmp_path, picture):
    plain = CONV.replace("batch_normalize=1\n", "")
    numbers = numbers_of(tmp_path, plain)
    got = answers(tmp_path, plain + "dilation=2\n", numbers, picture)
    wide = np.zeros((8, 3, 5, 5))
    wide[:, :, ::2, ::2] = numbers[8 : 8 + 8 * 27].reshape(8, 3, 3, 3)
    larger = np.concatenate([numbers[:8], wide.ravel(), numbers[8 + 8 * 27 :]])
    np.testing.assert_allclose(got, answers(tmp_path, plain.replace("size=3", "size=5"), larger, picture), atol=1e-5)


def test_strides_of_each_direction_and_relu6(tmp_path, picture):
    numbers = numbers_of(tmp_path, HALF)
    both = answers(tmp_path, CONV + "stride_x=2\nstride_y=2\n", numbers, picture)
    np.testing.assert_allclose(both, answers(tmp_path, HALF, numbers, picture), atol=1e-5)
    assert len(answers(tmp_path, CONV + "stride_x=2\n", numbers, picture)) == 2 * len(both)
    plain = CONV.replace("batch_normalize=1\n", "").replace("leaky", "linear")
    numbers = numbers_of(tmp_path, plain)
    numbers[: 8 + 8 * 27] = 0
    numbers[:8] = 100
    clipped = answers(tmp_path, plain.replace("linear", "relu6"), numbers, picture)
    numbers[:8] = 6
    np.testing.assert_allclose(clipped, answers(tmp_path, plain, numbers, picture), atol=1e-5)


def test_the_weights_of_a_network_that_only_opencv_runs(tmp_path, picture, caplog):
    """`auto` takes OpenCV, and says so."""
    model = random_model(tmp_path, "[maxpool]\nsize=2\nstride=2\n" + CONV)
    with pytest.raises(BrokenModel, match="first layer"):
        make_engine("onnxruntime", model, (64, 64))
    engine = make_engine("auto", model, (64, 64))
    assert engine.name == "opencv" and "net runs with the engine opencv" in caplog.text
    np.testing.assert_array_equal(engine([picture]), OpenCVEngine(model, (64, 64))([picture]))


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
