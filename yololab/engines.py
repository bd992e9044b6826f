"""Engines run one network: pictures in, the rows of its YOLO heads out."""

import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from queue import SimpleQueue
from threading import Lock
from typing import Protocol

import cv2
import numpy as np

from .errors import BrokenModel
from .machine import cores
from .models import Model

Run = Callable[[np.ndarray], np.ndarray]  # uint8 (1, S, S, 3) to rows (R, 5 + C)


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


class FastEngine:
    """A converted network, prepared twice: `one` runs a picture on all threads, `many` on one thread.

    While pictures come one by one, each gets all threads; while they overlap, each gets one, which together is faster.
    Both ways give the same bytes; where a machine's would not, each picture gets one thread always.
    """

    CALM = 8  # pictures in a row that met no other, until the next one gets all threads

    def __init__(self, size: int, one: Run, many: Run):
        self._size, self._one, self._many = (size, size), one, many
        self._running, self._calm, self._lock = 0, self.CALM, Lock()
        noise = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
        if one(noise).tobytes() != many(noise).tobytes():
            self._one = many

    def __call__(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self._rows(picture) for picture in pictures]

    def _rows(self, picture: np.ndarray) -> np.ndarray:
        small = cv2.resize(picture, self._size)[None]  # as blobFromImage does; colour and scale are the network's
        with self._lock:
            self._calm = 0 if self._running else self._calm + 1
            self._running += 1
            run = self._one if self._calm > self.CALM else self._many
        try:
            return run(small)
        finally:
            with self._lock:
                self._running -= 1


def onnxruntime_engine(model: Model, size: int, threads: int, provider: str = "CPUExecutionProvider") -> FastEngine:
    """ONNX Runtime: on a CPU, or on an NVIDIA GPU as CUDAExecutionProvider.

    Raises BrokenModel for files it cannot use and for a provider that is not there.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # importing it writes a device id to the temporary folder
    import onnxruntime

    from .conversion import converted

    if provider not in (there := onnxruntime.get_available_providers()):
        raise BrokenModel(f"ONNX Runtime has no {provider} here, only {there}. Install onnxruntime-gpu and CUDA.")
    network = converted(model, size)
    network = network if isinstance(network, bytes) else str(network)

    def prepare(threads: int) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3  # errors only
        session = onnxruntime.InferenceSession(network, options, [provider])
        return lambda small: session.run(None, {"pictures": small})[0][0]

    many = prepare(1)
    return FastEngine(size, prepare(threads) if threads > 1 and provider.startswith("CPU") else many, many)


def openvino_engine(model: Model, size: int, threads: int, precision: str) -> FastEngine:
    """OpenVINO; with precision "bf16" about 1.8 times as fast on CPUs that have it, the third digit of scores aside.

    Raises BrokenModel for files it cannot use.
    """
    import openvino

    from .conversion import converted

    core = openvino.Core()
    network = core.read_model(converted(model, size))
    network.reshape([1, size, size, 3])

    def prepare(streams: int) -> Run:
        options = {"INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": threads,
                   "ENABLE_HYPER_THREADING": True, "ENABLE_CPU_PINNING": False}  # fmt: skip
        compiled = core.compile_model(network, "CPU", options)
        idle: SimpleQueue = SimpleQueue()
        for _ in range(streams):
            idle.put(compiled.create_infer_request())

        def run(small: np.ndarray) -> np.ndarray:
            request = idle.get()
            try:
                request.infer([small], share_inputs=True)
                return request.get_output_tensor(0).data[0].copy()  # the request reuses its own memory
            finally:
                idle.put(request)

        return run

    many = prepare(threads)
    return FastEngine(size, prepare(1) if threads > 1 else many, many)


ENGINES = {  # name -> the packages it needs, how to make it
    "onnxruntime": ("onnx onnxruntime", onnxruntime_engine),
    "cuda": ("onnx onnxruntime-gpu", partial(onnxruntime_engine, provider="CUDAExecutionProvider")),
    "openvino": ("onnx openvino", partial(openvino_engine, precision="f32")),
    "openvino-bf16": ("onnx openvino", partial(openvino_engine, precision="bf16")),
    "opencv": ("opencv-python-headless", lambda model, size, threads: OpenCVEngine(model, size)),
}


def make_engine(name: str, model: Model, size: int, threads: int | None = None) -> Engine:
    """The engine called `name`, see ENGINES; "auto" is ONNX Runtime's where it is installed, else OpenCV's.

    threads: by default as many as cores are granted to the process; OpenCV counts its own.
    Raises ValueError for another name or a package that is not installed, BrokenModel for files it cannot use.
    """
    if name == "auto":
        name = "onnxruntime" if find_spec("onnxruntime") and find_spec("onnx") else "opencv"
    if name not in ENGINES:
        raise ValueError(f"engine is {name!r}; there are 'auto', {', '.join(map(repr, ENGINES))}")
    packages, make = ENGINES[name]
    try:
        return make(model, size, threads or cores())
    except ImportError as error:
        raise ValueError(f"engine {name!r} needs packages: pip install {packages}") from error


def _weight_bytes(net: cv2.dnn.Net, weights: np.ndarray) -> int:
    """The bytes that a .weights file for this net has: Darknet's header and a float32 for each weight."""
    major, minor = np.frombuffer(weights[:8].tobytes().ljust(8, b"\0"), "<i4").tolist()
    header = 20 if 10 * major + minor >= 2 else 16  # since 0.2 it counts the pictures seen in 64 bits
    layers = [net.getLayer(net.getLayerId(name)) for name in net.getLayerNames()]
    return header + 4 * sum(blob.size for layer in layers if layer.type != "Region" for blob in layer.blobs)
