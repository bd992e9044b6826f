"""OpenCV's DNN module: it reads Darknet files itself, which makes it the reference for them, and ONNX files."""

from collections.abc import Sequence
from threading import Lock

import cv2
import numpy as np

from ...errors import BrokenModel
from ..darknet.cfg import Section, read, sections
from ..darknet.layers import chosen_anchors
from ..darknet.plan import HEADS, checked
from ..models import Model
from ..onnx.families import Grid
from . import Engine, Size

# What it reads and then ignores, so that the answers would be wrong: option, and what it is without it.
IGNORED = {"dilation": "1", "stride_x": None, "stride_y": None, "scale": "1", "weights_type": "none"}


def make(name: str, model: Model, size: Size, threads: int) -> Engine:
    """As `engines.make_engine`; OpenCV counts its own threads."""
    return onnx_engine(model, size) if model.is_onnx else OpenCVEngine(model, size)


def onnx_engine(model: Model, size: Size) -> Engine:
    """An ONNX file run by OpenCV, one caller at a time. Raises BrokenModel for what OpenCV cannot run."""
    from ..onnx.network import network_of  # Darknet files are run without the package onnx, too
    from ..onnx.safety import check_standard
    from .fast import FastEngine

    network = network_of(model, size)
    check_standard(model.path)
    lock = Lock()

    def run(blob: np.ndarray) -> list[np.ndarray]:
        with lock:
            net.setInput(blob.astype(np.float32, copy=False), network.input)
            return [output.copy() for output in net.forward(list(network.outputs))]

    try:
        net = cv2.dnn.readNetFromONNX(str(model.path))
        net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        outputs = run(network.blank())
    except (cv2.error, UnicodeError) as error:
        raise BrokenModel(f"OpenCV cannot run {model.path}: {_first_line(error)} Use another engine.") from error
    return FastEngine("opencv", network.reading(outputs), run, run)


class OpenCVEngine:
    """A Darknet net, one caller at a time."""

    name, why, family, nms = "opencv", "", "darknet", True
    about, fed = "Darknet: boxes in cells, objectness, classes", "squeeze, rgb"

    def __init__(self, model: Model, size: Size, scale: float = 1 / 255, keep_low_scores: bool = True) -> None:
        """Load the net, to be fed RGB pictures of `size` (width, height) times `scale`.

        keep_low_scores: OpenCV's importer zeroes class scores under 0.2; True lifts that.
        Raises BrokenModel where OpenCV cannot read the files, or would ignore a part of them.
        """
        plan = checked(model.cfg, model.weights, size)
        for layer in plan.layers:
            _check(model, layer.options)
        classes = plan.classes
        self._grids = [Grid(head.width, head.height, head.channels // (5 + classes)) for head in plan.heads]
        cfg = _text(sections(read(model.cfg)), keep_low_scores)
        try:
            weights = np.fromfile(model.weights, np.uint8)
            self._net = cv2.dnn.readNetFromDarknet(np.frombuffer(cfg.encode(), np.uint8), weights)
            self._net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
            self._heads = self._net.getUnconnectedOutLayersNames()
            self._size, self._scale = size, scale
            self._lock = Lock()  # setInput and forward are two calls on one shared net
            (rows,) = self([np.zeros((size[1], size[0], 3), np.uint8)])
            if rows.shape != (sum(grid.rows for grid in self._grids), 5 + classes):
                raise BrokenModel(f"OpenCV reads {model.cfg} otherwise than Darknet does. Use another engine.")
        except (cv2.error, ValueError) as error:
            raise BrokenModel(
                f"OpenCV cannot read {model.cfg} with {model.weights.name}: {_first_line(error)} Use another engine."
            ) from error

    def __call__(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See `Engine`."""
        return [self._rows(picture) for picture in pictures]

    def maps(self, rows: np.ndarray, size: Size) -> list[np.ndarray]:
        """See `Engine`."""
        ends = np.cumsum([grid.rows for grid in self._grids])[:-1]
        return [grid.best(part) for grid, part in zip(self._grids, np.split(rows[:, 4], ends), strict=True)]

    def _rows(self, picture: np.ndarray) -> np.ndarray:
        blob = cv2.dnn.blobFromImage(picture, self._scale, self._size, (0, 0, 0), swapRB=True, crop=False)
        with self._lock:
            self._net.setInput(blob)
            return np.concatenate(self._net.forward(self._heads))  # a copy: the net reuses its own memory


def _text(found: Sequence[Section], keep_low_scores: bool) -> str:
    """The cfg as it was checked: OpenCV's own parser knows no byte order mark and no [yolo] without mask or num."""
    lines = []
    for section in found:
        options = {key: value for key, value in section.items() if key != "type"}
        if section.type == "yolo":
            options["mask"] = ",".join(map(str, chosen_anchors(section)))
            options["num"] = str(len(section.decimals("anchors")) // 2)
        if section.type in HEADS and keep_low_scores:
            options["thresh"] = "0"
        lines += [f"[{section.type}]", *(f"{key}={value}" for key, value in options.items())]
    return "\n".join(lines) + "\n"


def _check(model: Model, options: Section) -> None:
    ignored = [key for key, plain in IGNORED.items() if options.get(key, plain) != plain]
    if options.type == "shortcut" and len(options.layers("from")) > 1:
        ignored = ["from"]
    if ignored and options.type in ("convolutional", "upsample", "shortcut"):
        raise BrokenModel(f"OpenCV cannot run {model.cfg}: {options} says {ignored[0]}={options[ignored[0]][:40]}, "
                          "which it ignores. Use the engine onnxruntime.")  # fmt: skip


def _first_line(error: Exception) -> str:
    text = error.err if isinstance(error, cv2.error) else str(error)
    return " ".join(text.split())[:200].rstrip(".") + "."
