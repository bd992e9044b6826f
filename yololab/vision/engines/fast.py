"""Engines that run ONNX networks, converted ones too: ONNX Runtime on a CPU or an NVIDIA GPU, OpenVINO."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any

import numpy as np

from ...errors import BrokenModel
from ..models import Model
from ..onnx.network import Network, Reading, network_of
from . import Size

Run = Callable[[np.ndarray], list[np.ndarray]]
"""A network's input to its outputs."""


def make(name: str, model: Model, size: Size, threads: int) -> "FastEngine":
    """As `engines.make_engine`."""
    network = network_of(model, size)
    try:
        if name.startswith("openvino"):
            all_threads, one_thread = openvino_runs(network, threads, "bf16" if name.endswith("bf16") else "f32")
        else:
            provider = "CUDAExecutionProvider" if name == "cuda" else "CPUExecutionProvider"
            all_threads, one_thread = onnxruntime_runs(network, threads, provider)
        outputs = one_thread(network.blank())
    except (BrokenModel, ImportError):
        raise
    except Exception as error:  # both libraries raise types of their own, and plain RuntimeError
        raise BrokenModel(f"{model.path} cannot be run by {name}: {first_line(error)}") from error
    return FastEngine(name, network.reading(outputs), all_threads, one_thread)


def first_line(error: Exception) -> str:
    """What a library says, short enough for a sentence: its beginning and its end, where the reason may stand."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:120]} ... {text[-180:]}"


class FastEngine:
    """A network, prepared twice: `all_threads` runs one picture on all of them, `one_thread` on one.

    While pictures come one by one, each gets all threads; while they overlap, each gets one, which together is faster.
    Both give the same bytes; where on some machine they would not, each picture gets one thread always.
    name: of the engine. reading: what its pictures and outputs mean.
    """

    why = ""
    CALM = 8  # pictures in a row that met no other, until the next one gets all threads

    def __init__(self, name: str, reading: Reading, all_threads: Run, one_thread: Run) -> None:
        self.name, self.nms, self.family, self._reading = name, reading.nms, reading.name, reading
        self.about, self.fed = reading.about, reading.fed
        self._all_threads, self._one_thread = all_threads, one_thread
        self._running, self._calm, self._lock = 0, self.CALM, Lock()
        width, height = reading.preparation.size
        noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        blob, _ = reading.preparation(noise)
        if all_threads is not one_thread and not _same(all_threads(blob), one_thread(blob)):
            self._all_threads = one_thread

    def __call__(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See `Engine`."""
        return [self._rows(picture) for picture in pictures]

    def maps(self, rows: np.ndarray, size: Size) -> list[np.ndarray]:
        """See `Engine`."""
        return self._reading.maps(rows, size)

    def _rows(self, picture: np.ndarray) -> np.ndarray:
        blob, frame = self._reading.preparation(picture)
        with self._lock:
            self._calm = 0 if self._running else self._calm + 1
            self._running += 1
            run = self._all_threads if self._calm > self.CALM else self._one_thread
        try:
            outputs = run(blob)
        except Exception as error:  # as in `make`
            raise BrokenModel(f"The network failed on this picture: {first_line(error)}") from error
        finally:
            with self._lock:
                self._running -= 1
        return self._reading.rows(outputs, frame)


def _same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return [each.tobytes() for each in first] == [each.tobytes() for each in second]


def onnxruntime_runs(network: Network, threads: int, provider: str) -> tuple[Run, Run]:
    """ONNX Runtime on all threads and on one: on a CPU, or on an NVIDIA GPU as CUDAExecutionProvider.

    Raises BrokenModel for a provider that is not there.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # importing it writes a device id to the temporary folder
    import onnxruntime

    if provider not in (there := onnxruntime.get_available_providers()):
        raise BrokenModel(f"ONNX Runtime has no {provider} here, only {there}. Install onnxruntime-gpu and CUDA.")
    content = network.file if isinstance(network.file, bytes) else str(network.file)

    def prepare(threads: int) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 4  # fatal errors only; the rest is raised
        # threads that wait in a loop for their next part take the cores from whoever else has work: the client, often
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(content, options, [provider])
        return lambda blob: list(session.run(list(network.outputs), {network.input: blob}))

    one = prepare(1)
    return prepare(threads) if threads > 1 and provider.startswith("CPU") else one, one


def openvino_runs(network: Network, threads: int, precision: str) -> tuple[Run, Run]:
    """OpenVINO on all threads for one picture, and on one for each of many.

    precision: "f32", or "bf16": about 1.8 times as fast on CPUs that have it, the third digit of scores aside.
    """
    import openvino

    core = openvino.Core()
    read = core.read_model(network.file if isinstance(network.file, bytes) else Path(network.file))
    read.reshape(list(network.blank().shape))

    def prepare(streams: int) -> Run:
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": threads,
            "ENABLE_HYPER_THREADING": True, "ENABLE_CPU_PINNING": False,
        }  # fmt: skip
        compiled = core.compile_model(read, "CPU", options)
        idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(streams):
            idle.put(compiled.create_infer_request())

        def run(blob: np.ndarray) -> list[np.ndarray]:
            request = idle.get()
            try:
                request.infer([blob], share_inputs=True)
                # copies: the request reuses its own memory
                return [request.get_tensor(compiled.output(name)).data.copy() for name in network.outputs]
            finally:
                idle.put(request)

        return run

    one = prepare(threads)
    return prepare(1) if threads > 1 else one, one
