"""Engines run one network: pictures in, the rows of its YOLO heads out."""

import re
from collections.abc import Sequence
from importlib.util import find_spec
from queue import SimpleQueue
from threading import Lock
from typing import Protocol

import cv2
import numpy as np

from .errors import BrokenModel
from .machine import cores
from .models import Model

PACKAGES = {"openvino": "openvino", "onnxruntime": "onnxruntime", "cuda": "onnxruntime-gpu", "opencv": "opencv-python"}


class Engine(Protocol):
    """What a detector needs of an engine; safe to call from many threads."""

    def __call__(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        """For each BGR uint8 picture (H, W, 3) its rows, float32 (R, 5 + C), one for each cell and anchor.

        Columns: centre x, centre y, width, height as fractions of the picture, objectness,
        then for each class objectness times class probability.
        """


class OpenCVEngine:
    """The reference: OpenCV's DNN module reads the Darknet files itself. One net, one caller at a time."""

    def __init__(self, model: Model, size: int = 416, scale: float = 1 / 255, keep_low_scores: bool = True):
        """Load the net, to be fed `size` x `size` RGB pictures times `scale`.

        keep_low_scores: OpenCV's importer zeroes class scores under 0.2; True lifts that.
        Raises BrokenModel where OpenCV cannot read the files.
        """
        cfg = model.cfg.read_bytes()
        if keep_low_scores:
            cfg = re.sub(rb"(?m)^\s*\[yolo\].*$", b"[yolo]\nthresh=0", re.sub(rb"(?m)^\s*thresh\s*=.*$", b"", cfg))
        try:
            weights = np.fromfile(model.weights, np.uint8)
            self._net = cv2.dnn.readNetFromDarknet(np.frombuffer(cfg, np.uint8), weights)
            needed = _weight_bytes(self._net, weights)
        except cv2.error as error:
            raise BrokenModel(
                f"OpenCV cannot read {model.cfg} with {model.weights}: {error.err[:200]}. Fetch or copy both anew."
            ) from error
        if weights.nbytes < needed:  # OpenCV itself would read on past the end
            raise BrokenModel(
                f"{model.weights} has {weights.nbytes} bytes, and {model.cfg.name} needs at least {needed}: "
                "it is cut off, or belongs to another cfg. Fetch or copy it anew."
            )
        self._net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        self._heads = self._net.getUnconnectedOutLayersNames()
        self._size, self._scale = (size, size), scale
        self._lock = Lock()  # setInput and forward are two calls on one shared net

    def __call__(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self._rows(picture) for picture in pictures]

    def _rows(self, picture: np.ndarray) -> np.ndarray:
        blob = cv2.dnn.blobFromImage(picture, self._scale, self._size, (0, 0, 0), swapRB=True, crop=False)
        with self._lock:
            self._net.setInput(blob)
            return np.concatenate(self._net.forward(self._heads))  # a copy: the net reuses its own memory


class OpenVINOEngine:
    """The fast one on a CPU: OpenVINO runs the converted network, one picture at a time on each of its streams.

    In float32, so that it says what the reference says. Answers do not depend on the load: each picture is alone.
    """

    def __init__(self, model: Model, size: int = 416):
        """Convert (once, see `conversion`) and compile. Raises BrokenModel."""
        import openvino

        from .conversion import converted

        streams = cores()
        core = openvino.Core()
        network = core.read_model(converted(model, size))
        network.reshape([1, size, size, 3])
        options = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": streams,
                   "ENABLE_CPU_PINNING": False}  # fmt: skip
        compiled = core.compile_model(network, "CPU", options)
        self._idle: SimpleQueue = SimpleQueue()
        for _ in range(streams):
            self._idle.put(compiled.create_infer_request())
        self._size = (size, size)

    def __call__(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self._rows(picture) for picture in pictures]

    def _rows(self, picture: np.ndarray) -> np.ndarray:
        small = cv2.resize(picture, self._size)[None]
        request = self._idle.get()
        try:
            request.infer([small], share_inputs=True)
            return request.get_output_tensor(0).data[0].copy()  # the request reuses its own memory
        finally:
            self._idle.put(request)


class ONNXRuntimeEngine:
    """ONNX Runtime on a CPU or, as engine "cuda", on an NVIDIA GPU (package onnxruntime-gpu)."""

    def __init__(self, model: Model, size: int = 416, provider: str = "CPUExecutionProvider"):
        """Convert (once) and load. Raises BrokenModel where the provider cannot be had."""
        import onnxruntime

        from .conversion import converted

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = cores()
        options.log_severity_level = 3  # errors
        if provider not in (there := onnxruntime.get_available_providers()):
            raise BrokenModel(f"ONNX Runtime has no {provider} here, only {there}. Install onnxruntime-gpu and CUDA.")
        network = converted(model, size)
        network = network if isinstance(network, bytes) else str(network)
        self._session = onnxruntime.InferenceSession(network, options, [provider])
        self._size = (size, size)

    def __call__(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self._rows(picture) for picture in pictures]

    def _rows(self, picture: np.ndarray) -> np.ndarray:
        return self._session.run(None, {"pictures": cv2.resize(picture, self._size)[None]})[0][0]


def make_engine(name: str, model: Model, size: int) -> Engine:
    """The engine called `name`: "openvino", "opencv", "onnxruntime", "cuda"; "auto" is OpenVINO's, else OpenCV's.

    Raises ValueError for another name or a package that is not installed, BrokenModel for files it cannot use.
    """
    if name == "auto":
        name = "openvino" if find_spec("openvino") and find_spec("onnx") else "opencv"
    if name not in PACKAGES:
        raise ValueError(f"engine is {name!r}; there are 'auto', {', '.join(map(repr, PACKAGES))}")
    try:
        match name:
            case "openvino":
                return OpenVINOEngine(model, size)
            case "onnxruntime":
                return ONNXRuntimeEngine(model, size)
            case "cuda":
                return ONNXRuntimeEngine(model, size, "CUDAExecutionProvider")
    except ImportError as error:
        raise ValueError(f"engine {name!r} needs a package: pip install onnx {PACKAGES[name]}") from error
    return OpenCVEngine(model, size)


def _weight_bytes(net: cv2.dnn.Net, weights: np.ndarray) -> int:
    """The bytes that a .weights file for this net has: Darknet's header and a float32 for each weight."""
    major, minor = np.frombuffer(weights[:8].tobytes().ljust(8, b"\0"), "<i4").tolist()
    header = 20 if 10 * major + minor >= 2 else 16  # since 0.2 it counts the pictures seen in 64 bits
    layers = [net.getLayer(net.getLayerId(name)) for name in net.getLayerNames()]
    return header + 4 * sum(blob.size for layer in layers if layer.type != "Region" for blob in layer.blobs)
