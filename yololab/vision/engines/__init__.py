"""Engines run one network: pictures in, the rows of its YOLO heads out.

`opencv` is the reference: OpenCV reads the Darknet files itself. The others run the converted network: `fast`.
"""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, Protocol, cast, get_args

from ..machine import cores

if TYPE_CHECKING:
    import numpy as np

    from ..models import Model

EngineName = Literal["auto", "onnxruntime", "cuda", "openvino", "openvino-bf16", "opencv"]
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
    """What a detector needs of an engine; safe to call from many threads."""

    def __call__(self, pictures: "Sequence[np.ndarray]") -> "list[np.ndarray]":
        """For each BGR uint8 picture (H, W, 3) its rows, float32 (R, 5 + C), one for each cell and anchor.

        Columns: center x, center y, width, height as fractions of the picture, objectness,
        then for each class objectness times class probability.
        """


def make_engine(name: str, model: "Model", size: Size, threads: int | None = None) -> Engine:
    """The engine called `name`, one of NAMES; "auto" is ONNX Runtime's where it is installed, else OpenCV's.

    size: width and height that pictures are resized to, pixels.
    threads: by default as many as cores are granted to the process; OpenCV counts its own.
    Raises ValueError for another name or a package that is not installed, BrokenModel for files it cannot use.
    """
    if name == "auto":
        name = "onnxruntime" if find_spec("onnxruntime") and find_spec("onnx") else "opencv"
    if name not in NAMES:
        raise ValueError(f"engine is {name!r}; there are {', '.join(map(repr, NAMES))}")
    kind = "opencv" if name == "opencv" else "fast"
    try:
        return cast(Engine, import_module(f".{kind}", __name__).make(name, model, size, threads or cores()))
    except ImportError as error:
        raise ValueError(f"engine {name!r} needs packages: pip install {PACKAGES[name]}") from error
