"""Engines run one network: pictures in, rows out, one for each box that the network proposes.

For Darknet files `opencv` is the reference: OpenCV reads them itself. The others run them converted to ONNX: `fast`.
"""

import logging
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, Protocol, cast, get_args

from ...errors import BrokenModel
from ..machine import cores

if TYPE_CHECKING:
    import numpy as np

    from ..models import Model

logger = logging.getLogger(__name__)

EngineName = Literal["auto", "float32", "onnxruntime", "cuda", "openvino", "openvino-bf16", "opencv"]
NAMES: tuple[str, ...] = get_args(EngineName)
PACKAGES = {
    "onnxruntime": "onnx onnxruntime",
    "cuda": "onnx onnxruntime-gpu",
    "openvino": "onnx openvino",
    "openvino-bf16": "onnx openvino",
    "opencv": "opencv-python-headless",
}
Size = tuple[int, int]
"""Width and height of what a network is fed, pixels."""


class Engine(Protocol):
    """What a detector needs of an engine; safe to call from many threads.

    name: which of NAMES it is. why: why it was chosen, in words, empty where it was asked for.
    family: "darknet", or one of `families.FAMILIES`.
    about, fed: the family, and what it is fed, in words.
    nms: whether boxes of one object still need suppression.
    """

    name: str
    why: str
    family: str
    nms: bool
    about: str
    fed: str

    def __call__(self, pictures: "Sequence[np.ndarray]") -> "list[np.ndarray]":
        """For each BGR uint8 picture (H, W, 3) its rows, float32 (R, 5 + C), one for each box that is proposed.

        Columns: center x, center y, width, height as fractions of the picture, objectness (1 in families without it),
        then for each class objectness times class probability.
        """

    def maps(self, rows: "np.ndarray", size: Size) -> "list[np.ndarray]":
        """Of the rows of a picture of `size`: the best objectness of each cell, for each of the network's grids.

        float32 (lines, columns) over the picture, in the network's order; none in families without grid or objectness.
        """


def make_engine(name: str, model: "Model", size: Size, threads: int | None = None) -> Engine:
    """The engine called `name`, one of NAMES.

    "auto" is what `choice.choose` finds fastest on this machine, "float32" the same among those of that precision.
    Where ONNX Runtime is not installed, and for Darknet networks that only OpenCV can run, both are OpenCV's.
    size: width and height of what the network is fed, pixels.
    threads: by default as many as cores are granted to the process; OpenCV counts its own.
    Raises ValueError for another name or a package that is not installed, BrokenModel for files it cannot use.
    """
    threads = threads or cores()
    if name not in ("auto", "float32"):
        return _make(name, model, size, threads)
    if not (find_spec("onnxruntime") and find_spec("onnx")):
        return _make("opencv", model, size, threads, "ONNX Runtime is not installed")
    from .choice import choose

    make = cache(lambda name: _make(name, model, size, threads))  # what is measured is kept for use
    try:
        chosen = choose(model, size, threads, name == "float32", make)
        engine = make(chosen.engine)
        engine.why = chosen.why
        return engine
    except BrokenModel as error:
        if model.is_onnx:  # OpenCV runs less of them
            raise
        try:
            engine = _make("opencv", model, size, threads, "the only one that runs this network")
        except BrokenModel:
            raise error from None
        logger.warning("the model %s runs with the engine opencv, which is slower: %s", model.name, error)
        return engine


def _make(name: str, model: "Model", size: Size, threads: int, why: str = "") -> Engine:
    if name not in NAMES:
        raise ValueError(f"engine is {name!r}; there are {', '.join(map(repr, NAMES))}")
    kind = "opencv" if name == "opencv" else "fast"
    try:
        engine = cast(Engine, import_module(f".{kind}", __name__).make(name, model, size, threads))
    except ImportError as error:
        raise ValueError(f"engine {name!r} needs packages: pip install {PACKAGES[name]}") from error
    engine.why = why
    return engine
