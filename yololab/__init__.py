"""Learn to deploy an object-detection model as a web API.

    from yololab import Detector, annotate, create_app, serve

yololab/errors.py draws the way that every picture takes through the code.
"""

from importlib import import_module

__version__ = "0.1.0"
__all__ = ["Detection", "Detector", "annotate", "create_app", "decode", "encode", "serve"]

_HOME = {
    "Detection": "detections",
    "Detector": "detector",
    "annotate": "drawing",
    "create_app": "api",
    "decode": "images",
    "encode": "images",
    "serve": "kernel_server",
}


def __getattr__(name: str):
    """Each name is imported when it is first used: `python -m yololab models` need not load a web framework."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
