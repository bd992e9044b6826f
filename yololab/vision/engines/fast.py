"""Engines that run the converted network: ONNX Runtime on a CPU or an NVIDIA GPU, OpenVINO."""

import os
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Lock
from typing import Any, cast

import cv2
import numpy as np

from ...errors import BrokenModel
from ..conversion import converted
from ..models import Model
from . import Size

Run = Callable[[np.ndarray], np.ndarray]
"""uint8 (1, H, W, 3) to rows (R, 5 + C)."""


def make(name: str, model: Model, size: Size, threads: int) -> "FastEngine":
    """As `engines.make_engine`."""
    if name.startswith("openvino"):
        return openvino_engine(model, size, threads, "bf16" if name.endswith("bf16") else "f32")
    provider = "CUDAExecutionProvider" if name == "cuda" else "CPUExecutionProvider"
    return onnxruntime_engine(model, size, threads, provider)


class FastEngine:
    """A converted network, prepared twice: `all_threads` runs one picture on all of them, `one_thread` on one.

    size: width and height that pictures are resized to, pixels. While pictures come one by one, each gets all threads;
    while they overlap, each gets one, which together is faster. Both give the same bytes; where on some machine they
    would not, each picture gets one thread always.
    """

    CALM = 8  # pictures in a row that met no other, until the next one gets all threads

    def __init__(self, size: Size, all_threads: Run, one_thread: Run) -> None:
        self._size, self._all_threads, self._one_thread = size, all_threads, one_thread
        self._running, self._calm, self._lock = 0, self.CALM, Lock()
        noise = np.random.default_rng(0).integers(0, 256, (1, size[1], size[0], 3), np.uint8)
        if all_threads(noise).tobytes() != one_thread(noise).tobytes():
            self._all_threads = one_thread

    def __call__(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See `Engine`."""
        return [self._rows(picture) for picture in pictures]

    def _rows(self, picture: np.ndarray) -> np.ndarray:
        small = cv2.resize(picture, self._size)[None]  # as blobFromImage does; color and scale are the network's
        with self._lock:
            self._calm = 0 if self._running else self._calm + 1
            self._running += 1
            run = self._all_threads if self._calm > self.CALM else self._one_thread
        try:
            return run(small)
        finally:
            with self._lock:
                self._running -= 1


def onnxruntime_engine(model: Model, size: Size, threads: int, provider: str = "CPUExecutionProvider") -> FastEngine:
    """ONNX Runtime: on a CPU, or on an NVIDIA GPU as CUDAExecutionProvider.

    Raises BrokenModel for files it cannot use and for a provider that is not there.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # importing it writes a device id to the temporary folder
    import onnxruntime

    if provider not in (there := onnxruntime.get_available_providers()):
        raise BrokenModel(f"ONNX Runtime has no {provider} here, only {there}. Install onnxruntime-gpu and CUDA.")
    network = converted(model, size)
    content = network if isinstance(network, bytes) else str(network)

    def prepare(threads: int) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3  # errors only
        session = onnxruntime.InferenceSession(content, options, [provider])
        return lambda small: cast(np.ndarray, session.run(None, {"pictures": small})[0][0])

    one = prepare(1)
    return FastEngine(size, prepare(threads) if threads > 1 and provider.startswith("CPU") else one, one)


def openvino_engine(model: Model, size: Size, threads: int, precision: str) -> FastEngine:
    """OpenVINO; with precision "bf16" about 1.8 times as fast on CPUs that have it, the third digit of scores aside.

    Raises BrokenModel for files it cannot use.
    """
    import openvino

    core = openvino.Core()
    network = core.read_model(converted(model, size))
    network.reshape([1, size[1], size[0], 3])

    def prepare(streams: int) -> Run:
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": threads,
            "ENABLE_HYPER_THREADING": True, "ENABLE_CPU_PINNING": False,
        }  # fmt: skip
        compiled = core.compile_model(network, "CPU", options)
        idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(streams):
            idle.put(compiled.create_infer_request())

        def run(small: np.ndarray) -> np.ndarray:
            request = idle.get()
            try:
                request.infer([small], share_inputs=True)
                rows: np.ndarray = request.get_output_tensor(0).data[0].copy()  # the request reuses its own memory
                return rows
            finally:
                idle.put(request)

        return run

    one = prepare(threads)
    return FastEngine(size, prepare(1) if threads > 1 else one, one)
