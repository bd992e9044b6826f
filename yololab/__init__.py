"""Learn to deploy an object-detection model as a web API.

    from yololab import Detector, annotate, create_app, serve

yololab/errors.py draws the way that every picture takes through the code.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .api.app import create_app
    from .detections import Detection
    from .serving.kernel import serve, serve_here
    from .vision.detector import Detector
    from .vision.drawing import annotate
    from .vision.images import decode, encode

__version__ = "0.2.0"
__all__ = ["Detection", "Detector", "annotate", "create_app", "decode", "encode", "serve", "serve_here"]

_HOME = {
    "Detection": "detections",
    "Detector": "vision.detector",
    "annotate": "vision.drawing",
    "create_app": "api.app",
    "decode": "vision.images",
    "encode": "vision.images",
    "serve": "serving.kernel",
    "serve_here": "serving.kernel",
}


def __getattr__(name: str) -> object:
    """Each name is imported when it is first used: `yololab models` need not load a web framework."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
