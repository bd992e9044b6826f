"""The reference engine: OpenCV's DNN module reads the Darknet files itself."""

import re
from collections.abc import Sequence
from threading import Lock

import cv2
import numpy as np

from ...errors import BrokenModel
from ..models import Model
from . import Size


def make(name: str, model: Model, size: Size, threads: int) -> "OpenCVEngine":
    """As `engines.make_engine`; OpenCV counts its own threads."""
    return OpenCVEngine(model, size)


class OpenCVEngine:
    """One net, one caller at a time."""

    def __init__(self, model: Model, size: Size, scale: float = 1 / 255, keep_low_scores: bool = True) -> None:
        """Load the net, to be fed RGB pictures of `size` (width, height) times `scale`.

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
        self._size, self._scale = size, scale
        self._lock = Lock()  # setInput and forward are two calls on one shared net

    def __call__(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See `Engine`."""
        return [self._rows(picture) for picture in pictures]

    def _rows(self, picture: np.ndarray) -> np.ndarray:
        blob = cv2.dnn.blobFromImage(picture, self._scale, self._size, (0, 0, 0), swapRB=True, crop=False)
        with self._lock:
            self._net.setInput(blob)
            return np.concatenate(self._net.forward(self._heads))  # a copy: the net reuses its own memory


def _weight_bytes(net: cv2.dnn.Net, weights: np.ndarray) -> int:
    """The bytes that a .weights file for this net has: Darknet's header and a float32 for each weight."""
    major, minor = np.frombuffer(weights[:8].tobytes().ljust(8, b"\0"), "<i4").tolist()
    header = 20 if 10 * major + minor >= 2 else 16  # since 0.2 it counts the pictures seen in 64 bits
    layers = [net.getLayer(net.getLayerId(name)) for name in net.getLayerNames()]
    return header + 4 * sum(int(blob.size) for layer in layers if layer.type != "Region" for blob in layer.blobs)
