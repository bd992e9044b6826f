"""Each family of ONNX detectors, on tiny networks whose right answers are known."""

import re

import numpy as np
import onnx
import pytest
from helpers import ROOT
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import NAMES, convolved_graph, pixel_graph, save, table_graph

from yololab.errors import BrokenModel
from yololab.vision.detector import Detector
from yololab.vision.detectors import Detectors
from yololab.vision.explain import explain
from yololab.vision.models import installed
from yololab.vision.onnx import families

PICTURE = np.zeros((100, 200, 3), np.uint8)  # twice as wide as high: a letterbox of 64 has 16 empty lines above
BOX = (50.0, 25.0, 150.0, 75.0)  # the right answer: class "b", 0.9
CELLS = 64 + 16 + 4  # of 64 x 64 pixels in strides of 8, 16, 32
ENGINES = ["onnxruntime", "openvino", "opencv"]


def table(shape, *cells, values):
    """Zeros with `values` at one place along the last axis."""
    result = np.zeros(shape, np.float32)
    result[cells] = values
    return result


IN_BOX = [32, 32, 32, 16]
V8 = table((1, 7, CELLS), 0, slice(None), 40, values=[*IN_BOX, 0, 0.9, 0])
V5 = table((1, 3 * CELLS, 8), 0, 100, values=[*IN_BOX, 0.9, 0, 1, 0])
V6 = V5[:, 20:104].copy()
V6[0, :, 4] = 1
V6[0, 80, 6] = 0.9
X_DECODED = table((1, CELLS, 8), 0, 20, values=[32, 16, 32, 16, 1, 0, 0.9, 0])
X_CELLS = table((1, CELLS, 8), 0, 20, values=[0, 0, np.log(4), np.log(2), 1, 0, 0.9, 0])  # cell 20: column 4, line 2
FINAL = table((1, 10, 6), 0, 3, values=[16, 24, 48, 40, 0.9, 1])
V7 = np.array([[0, 16, 24, 48, 40, 1, 0.9]])
LOGIT = np.log(0.9 / 0.1)
SIGMOIDS = np.full((1, 9, 3), -20.0)
SIGMOIDS[0, 5, 1] = LOGIT
SOFTMAX = table((1, 9, 4), 0, slice(None), 3, values=30.0)
SOFTMAX[0, 5] = [-20, LOGIT, -20, 0]
HALVES = table((1, 9, 4), 0, 5, values=[0.5, 0.5, 0.5, 0.5])
RT = table((1, 9, 7), 0, 5, values=[0.5, 0.5, 0.5, 0.5, 0, 0.9, 0])

RT_FINAL = table((1, 9, 6), 0, 5, values=[0.5, 0.5, 0.5, 0.5, 0.9, 1])
RF = np.full((1, 9, 4), -20.0)
RF[0, 5, 1] = LOGIT
NAS_SCORES = table((1, CELLS, 3), 0, 40, values=[0, 0.9, 0])
NAS_BOXES = np.tile(np.float32([8, 8, 20, 20]), (1, CELLS, 1))
NAS_BOXES[0, 40] = [16, 24, 48, 40]
NAS_FLAT = np.array([[0, 16, 24, 48, 40, 0.9, 1]])

FAMILIES = {  # file: its tables, metadata, the family it is
    "v8": ({"output0": V8}, {}, "yolov8"),
    "v8 turned": ({"output0": V8.transpose(0, 2, 1)}, {}, "yolov8"),
    "v5": ({"output0": V5}, {}, "yolov5"),
    "v5 with its raw heads": ({"output": V5, "raw": np.zeros((1, 3, 8, 8, 8))}, {}, "yolov5"),
    "v5 of another grid": ({"output0": V5[:, 98:103]}, {"stride": "32"}, "yolov5"),
    "v6": ({"outputs": V6}, {}, "yolov6"),
    "yolox": ({"output": X_CELLS}, {}, "yolox"),
    "yolox decoded": ({"output": X_DECODED}, {}, "yolox-decoded"),
    "end to end": ({"output0": FINAL}, {}, "yolov10"),
    "suppressed inside": ({"output0": FINAL}, {"args": "{'batch': 1, 'nms': True}"}, "yolov10"),
    "v7 end to end": ({"output": V7}, {}, "yolov7-nms"),
    "rtdetr": ({"output0": RT}, {"description": "Ultralytics RT-DETR-l model"}, "rtdetr"),
    "rtdetr without metadata": ({"output0": RT}, {}, "rtdetr"),
    "rtdetr of today": ({"output0": RT_FINAL}, {"head": "RTDETRDecoder", "end2end": "False"}, "rtdetr-final"),
    "rf-detr": ({"dets": HALVES, "labels": RF}, {}, "rf-detr"),
    "yolo-nas, flat": ({"graph2_flat_predictions": NAS_FLAT}, {}, "yolo-nas-flat"),
    "detr-like": ({"logits": SIGMOIDS, "pred_boxes": HALVES}, {}, "detr-sigmoid"),
    "detr, boxes first": ({"pred_boxes": HALVES, "logits": SOFTMAX}, {}, "detr"),
}


def check(path, engine="onnxruntime", family=None, **options):
    detector = Detector(path, engine, **options)
    (found,) = detector(PICTURE, 0.5)
    assert found.label == "b" and found.confidence == pytest.approx(0.9, abs=2e-3)
    assert found.box == pytest.approx(BOX, abs=0.2)
    assert family is None or detector.engine.family == family
    return detector


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("tables", "metadata", "family"), FAMILIES.values(), ids=FAMILIES)
def test_each_family_gives_the_right_box(tmp_path, tables, metadata, family, engine):
    if engine != "onnxruntime":
        pytest.importorskip({"opencv": "cv2"}.get(engine, engine))
    path = table_graph(tmp_path / "mine.onnx", tables, names=NAMES, **metadata)
    try:
        detector = check(path, engine, family)
    except BrokenModel as error:  # OpenCV lacks some operators, and says so
        assert engine == "opencv" and "Use another engine" in str(error)
        pytest.skip(str(error))
    explained = explain(detector, PICTURE, 0.5)
    assert [each.box for each in explained.detections] == [pytest.approx(BOX, abs=0.2)]
    best = explained.candidates[0]
    assert best.objectness * best.probability == pytest.approx(0.9, abs=2e-3)
    has_grid = any(each is V5 or each is X_CELLS or each is X_DECODED for each in tables.values())
    shapes = [each.shape for each in explained.objectness]
    assert shapes == ([(8, 8), (4, 4), (2, 2)] if has_grid else [])


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8])
@pytest.mark.parametrize(
    "shape", [(1, 3, 64, 64), ("batch", 3, "height", "width"), (1, 64, 64, 3), (1, "height", "width", 3)]
)
def test_inputs_of_each_kind(tmp_path, shape, dtype):
    path = table_graph(tmp_path / "mine.onnx", {"output0": V8}, shape, dtype, names=NAMES, imgsz="[64, 64]")
    detector = check(path)
    assert detector.size == (64, 64) == detector.model.input_size


def test_sizes_of_dynamic_and_fixed_inputs(tmp_path):
    wide = table((1, 7, 126), 0, slice(None), 40, values=[48, 32, 48, 24, 0, 0.9, 0])  # 96 x 64: letters of 8 above
    (tmp_path / "mine.toml").write_text("size = [96, 64]\n")
    path = table_graph(tmp_path / "mine.onnx", {"output0": wide}, (1, 3, "h", "w"), names=NAMES)
    assert check(path).size == (96, 64)
    (tmp_path / "mine.toml").unlink()
    assert check(path, size=(96, 64)).size == (96, 64)
    assert Detector(path).size == (416, 416)  # nothing says another one
    fixed = table_graph(tmp_path / "fixed.onnx", {"output0": wide}, (1, 3, 64, 96), names=NAMES)
    assert check(fixed).size == (96, 64)
    with pytest.raises(BrokenModel, match="96 x 64 only, not of 416 x 416"):
        Detector(fixed, size=416)


def test_quantized_networks(tmp_path):
    quantization = pytest.importorskip("onnxruntime.quantization")
    path = convolved_graph(tmp_path / "mine.onnx", V8)
    check(path)

    class Calibration(quantization.CalibrationDataReader):
        pictures = iter([{"images": np.full((1, 3, 64, 64), value, np.float32)} for value in (0, 0.5, 1)])

        def get_next(self):
            return next(self.pictures, None)

    static, dynamic = tmp_path / "static.onnx", tmp_path / "dynamic.onnx"
    quantization.quantize_static(path, static, Calibration(), op_types_to_quantize=["Conv"])
    quantization.quantize_dynamic(path, dynamic, op_types_to_quantize=["Conv"])
    for quantized in (static, dynamic):
        operators = {node.op_type for node in onnx.load(quantized).graph.node}
        assert operators & {"DequantizeLinear", "ConvInteger", "QLinearConv"}
        check(quantized)


def test_boxes_that_overlap_stay_where_the_network_has_chosen(tmp_path):
    both = FINAL.copy()
    both[0, 4] = [17, 24, 49, 40, 0.8, 1]
    path = table_graph(tmp_path / "mine.onnx", {"output0": both}, names=NAMES)
    assert len(Detector(path)(PICTURE, 0.5, nms_threshold=0.1)) == 2
    assert len(explain(Detector(path), PICTURE, 0.5, nms_threshold=0.1).detections) == 2


def test_the_map_of_a_letterboxed_picture_lies_over_the_picture(tmp_path):
    """The box's cell is in the middle of the picture, and in the upper half of what the network is fed."""
    path = table_graph(tmp_path / "mine.onnx", {"output": X_CELLS}, names=NAMES)
    fine = explain(Detector(path), PICTURE, 0.5).objectness[0]
    assert fine.max() == 1 and set(zip(*np.nonzero(fine), strict=True)) == {(4, 4), (5, 4)}


# what a network is fed


@pytest.mark.parametrize(
    ("toml", "factor", "expected"),
    [
        ("", 1, [0.6, 0.4, 0.2]),  # RGB in 0..1
        ('color = "bgr"', 1, [0.2, 0.4, 0.6]),
        ("scale = 1", 1 / 255, [0.6, 0.4, 0.2]),
        ('scale = "1/510"', 1, [0.3, 0.2, 0.1]),
        ("mean = [0.1, 0.2, 0.1]\nstd = [1, 2, 0.5]", 1, [0.5, 0.1, 0.2]),
    ],
)
def test_colors_and_scale(tmp_path, toml, factor, expected):
    (tmp_path / "mine.toml").write_text(toml)
    path = pixel_graph(tmp_path / "mine.onnx", 32, 32, factor)
    picture = np.full((64, 64, 3), (51, 102, 153), np.uint8)  # blue 0.2, green 0.4, red 0.6
    scores = {found.label: found.confidence for found in Detector(path)(picture, 0.01)}
    assert [scores[label] for label in "abc"] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("toml", "grey", "white"),
    [
        ("", [(32, 0), (32, 15), (32, 48), (32, 63)], [(0, 16), (63, 47)]),
        ('resize = "corner"', [(32, 32), (32, 63)], [(0, 0), (63, 31)]),
        ('resize = "squeeze"', [], [(0, 0), (63, 63)]),
        ("pad = 128", [], [(32, 32)]),
    ],
)
def test_where_the_picture_lies(tmp_path, toml, grey, white):
    (tmp_path / "mine.toml").write_text(toml)
    for points, value in ((grey, 114 / 255), (white, 1)):
        for x, y in points:
            path = pixel_graph(tmp_path / "mine.onnx", x, y, 1)
            found = Detector(path)(np.full((100, 200, 3), 255, np.uint8), 0.01)
            assert found[0].confidence == pytest.approx(value, abs=1e-3)


# what is refused, with a sentence


def refused(path, says, engine="auto"):
    with pytest.raises(BrokenModel, match=says) as caught:
        Detector(path, engine)
    assert str(path) in str(caught.value) and len(str(caught.value)) < 900


@pytest.mark.parametrize(
    ("tables", "metadata", "says"),
    [
        (
            {"output0": np.zeros((1, 84, 100))},
            {},
            r"has 3 labels and gives output0 \(1, 84, 100\).*no detector of a kind that is served: docs/models\.md",
        ),
        ({"output0": np.zeros((1, 7, 7, 30))}, {}, r"\(1, 7, 7, 30\)"),
        ({"output0": np.zeros((1, 1000))}, {}, r"no family was recognized"),
        ({"chances": np.array([[0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.4]])}, {}, "no detector of a kind"),
        ({"chances": np.array([[0.1, 0.1, 0.1, 0.1, 0.1, 0.5]])}, {}, "no detector of a kind"),
        ({"scores": NAS_SCORES, "boxes": NAS_BOXES / 64}, {}, "no detector of a kind"),
        ({"scores": NAS_SCORES, "boxes": NAS_BOXES}, {}, "NAME is one of yolo-nas"),
        ({"dets": np.zeros((1, 7, 5)), "labels": np.zeros((1, 7))}, {}, "no detector of a kind"),
        ({"output0": np.zeros((1, 50, 8))}, {"names": ""}, r"no family was recognized"),
        ({"output0": V8}, {"task": "segment"}, "task 'segment'; only detectors"),
        ({"output0": np.zeros((2, 7, CELLS))}, {}, "no family was recognized"),
    ],
)
def test_what_is_not_recognized(tmp_path, tables, metadata, says):
    (tmp_path / "coco.names").write_text("a\nb\nc\n")
    refused(table_graph(tmp_path / "mine.onnx", tables, **{"names": NAMES, **metadata}), says)


@pytest.mark.parametrize(("tables", "family"), [
    ({"output": NAS_SCORES, "904": NAS_BOXES}, "yolo-nas"), ({"logits": RF, "pred_boxes": HALVES}, "rf-detr"),
    ({"output0": RT_FINAL}, "rtdetr-final"), ({"predictions": NAS_FLAT}, "yolo-nas-flat"),
])  # fmt: skip
def test_a_toml_names_what_a_file_does_not_tell(tmp_path, tables, family):
    path = table_graph(tmp_path / "mine.onnx", tables, names=NAMES)
    (tmp_path / "mine.toml").write_text(f'family = "{family}"\n')
    check(path, family=family)


def test_the_handbook_names_every_family():
    text = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([\w-]+)` \|", text, re.M)) == set(families.FAMILIES)


def test_a_toml_names_the_family(tmp_path):
    (tmp_path / "mine.names").write_text("a\nb\nc\n")
    path = table_graph(tmp_path / "mine.onnx", {"output0": V5[:, 98:103]})
    refused(path, "no family was recognized")
    (tmp_path / "mine.toml").write_text('family = "yolov5"\nconfidence = 0.25\n')
    assert check(path, family="yolov5").model.confidence == 0.25
    (tmp_path / "mine.toml").write_text('family = "yolov8"\n')
    refused(path, "does not fit family = 'yolov8'")
    for text, says in (("family = 3", "family = '3'"), ('color = "red"', "'rgb', 'bgr'"), ("size = 0", "size = '0'"),
                       ("shape = 3", "key 'shape'"), ("size = [", "cannot be read"), ("scale = true", "scale"),
                       ("pad = 256", "0 to 255"), ('family = "yolo"', "there are: yolox"), ('scale = "1/0"', "1/255"),
                       ("std = [0, 1, 1]", "other than 0"), ("confidence = 2", "from 0 to 1")):  # fmt: skip
        (tmp_path / "mine.toml").write_text(text)
        with pytest.raises(BrokenModel, match=says):
            Detector(path)


def test_labels_come_from_names_then_metadata_then_coco(tmp_path):
    path = table_graph(tmp_path / "mine.onnx", {"output0": V8})
    with pytest.raises(BrokenModel, match=r"put mine\.names or coco\.names"):
        Detector(path)
    (tmp_path / "coco.names").write_text("x\ny\nz\n")
    assert Detector(path)(PICTURE, 0.5)[0].label == "y"
    for names in (NAMES, '["a", "b", "c"]', '{"1": "b", "0": "a", "2": "c"}'):
        check(table_graph(tmp_path / "mine.onnx", {"output0": V8}, names=names))
    (tmp_path / "mine.names").write_text("p\nq\nr\n")
    assert installed([tmp_path])["mine"].labels() == ["p", "q", "r"]
    (tmp_path / "mine.names").write_text("q\nr\n")
    with pytest.raises(BrokenModel, match=r"mine\.names has 2 labels, and mine\.onnx has 3 classes"):
        Detector(path)


def test_a_number_without_a_name_is_its_own(tmp_path):
    path = table_graph(tmp_path / "mine.onnx", {"output0": FINAL}, names="{1: 'b', 4: 'c'}")
    check(path)
    assert installed([tmp_path])["mine"].labels() == ["0", "b", "2", "3", "c"]


def test_files_that_are_no_onnx(tmp_path):
    path = tmp_path / "mine.onnx"
    whole = table_graph(path, {"output0": V8}, names=NAMES).read_bytes()
    (tmp_path / "mine.names").write_text("a\nb\nc\n")
    pointer = b"version https://git-lfs.github.com/spec/v1\n"
    for data, says in ((b"", "no whole ONNX"), (b"<html>404</html>", "web page"), (pointer, "Git LFS"),
                       (whole[: len(whole) // 2], "no whole"), (b"\0" * 99, "no whole")):  # fmt: skip
        path.write_bytes(data)
        for engine in ("auto", *ENGINES):
            refused(path, says, engine)


def test_opencv_gets_no_file_that_breaks_the_standard(tmp_path):
    """Its reader crashes on some."""
    path = table_graph(tmp_path / "mine.onnx", {"output0": V8}, names=NAMES)
    model = onnx.load(path)
    model.opset_import[0].domain = "elsewhere"
    path.write_bytes(model.SerializeToString())
    refused(path, "does not keep to the ONNX standard", "opencv")


def test_inputs_that_are_no_picture(tmp_path):
    (tmp_path / "mine.names").write_text("a\nb\nc\n")
    for shape, says in (((1, 4, 64, 64), r"takes float \(1, 4, 64, 64\)"), ((8, 3, 64, 64), r"\(8, 3"),
                        ((1, 3), r"\(1, 3\)"), ((1, 3, 9999, 64), "4096 a side")):  # fmt: skip
        refused(table_graph(tmp_path / "mine.onnx", {"output0": V8}, shape), says)


def test_a_free_number_of_channels_is_three(tmp_path):
    free = ("batch", "channels", "height", "width")
    check(table_graph(tmp_path / "mine.onnx", {"output0": V8}, free, names=NAMES), size=(64, 64))


def test_an_output_that_is_no_tensor(tmp_path):
    nodes = [helper.make_node("SplitToSequence", ["images"], ["output0"], axis=1)]
    outputs = [helper.make_tensor_sequence_value_info("output0", TensorProto.FLOAT, None)]
    path = save(tmp_path / "mine.onnx", nodes, [], outputs, (1, 3, 64, 64), np.float32, names=NAMES)
    refused(path, r"gives output0 \(no tensor\)")


def test_what_a_library_says_at_its_end_is_told(tmp_path):
    path = table_graph(tmp_path / "mine.onnx", {"output0": V8}, names=NAMES)
    model = onnx.load(path)
    model.opset_import[0].version = 99
    onnx.save(model, path)
    refused(path, r"opset \d+", "onnxruntime")


def one_node(path, operator, inputs=("images",), constants=(), **options):
    nodes = [helper.make_node(operator, list(inputs), ["output0"], **options)]
    outputs = [helper.make_tensor_value_info("output0", TensorProto.FLOAT, None)]
    domain = options.get("domain", "")
    return save(
        path, nodes, list(constants), outputs, (1, 3, 64, 64), np.float32, [domain] if domain else [], names=NAMES
    )


def test_no_library_is_loaded_for_operators_of_other_domains(tmp_path):
    refused(
        one_node(tmp_path / "mine.onnx", "Run", domain="evil.example"), r"evil\.example::Run, which needs a library"
    )


def test_a_graph_that_wants_gigabytes(tmp_path):
    shape = numpy_helper.from_array(np.array([200_000, 200_000], np.int64), "shape")
    refused(one_node(tmp_path / "mine.onnx", "ConstantOfShape", ["shape"], [shape]), "too much memory")


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "../outside.bin", "a/../../outside.bin", "link.bin", "none.bin", "C:x"]
)
def test_tensors_in_files_elsewhere_are_never_read(tmp_path, location):
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "outside.bin").write_bytes(bytes(V8.nbytes))
    (folder / "link.bin").symlink_to(tmp_path / "outside.bin")
    path = table_graph(folder / "mine.onnx", {"output0": V8}, names=NAMES)
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == "output0_table":
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=location)
    path.write_bytes(model.SerializeToString())
    for engine in ENGINES:
        refused(path, "not in its own folder|leads out of its folder|is missing", engine)


def with_data(path, label):
    """A detector of `label` whose tensors lie in mine.data; the .onnx is the same for every label."""
    answer = V8.copy()
    answer[0, 4:, 40] = np.roll([0.9, 0, 0], label)
    path.with_name("mine.data").unlink(missing_ok=True)  # it would be written on
    table_graph(path, {"output0": answer}, names=NAMES)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="mine.data", size_threshold=0)
    return path


def test_replaced_tensors_are_noticed_and_break_nothing_that_runs(tmp_path):
    path, data = with_data(tmp_path / "mine.onnx", 1), tmp_path / "mine.data"
    model, first, graph = installed([tmp_path])["mine"], data.read_bytes(), path.read_bytes()
    digest, detectors = model.sha256(), Detectors([tmp_path])
    running = detectors["mine"]
    assert model.bytes == len(graph) + len(first) and running(PICTURE, 0.5)[0].label == "b"
    with_data(path, 2)
    assert path.read_bytes() == graph and model.sha256() != digest
    assert detectors["mine"](PICTURE, 0.5)[0].label == "c"
    data.write_bytes(b"")  # as a copy that has just begun
    assert running(PICTURE, 0.5)[0].label == "b"
    with pytest.raises(BrokenModel):
        detectors["mine"]
    with_data(path, 0)
    assert detectors["mine"](PICTURE, 0.5)[0].label == "a"


def test_tensors_in_a_file_beside_it_are_read(tmp_path):
    path = table_graph(tmp_path / "mine.onnx", {"output0": V8}, names=NAMES)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="mine.data", size_threshold=0)
    assert (tmp_path / "mine.data").is_file()
    check(path)
