"""The page that runs the model in the visitor's own browser: the server's pages, with another source of candidates."""

import base64
import hashlib
import io
import json
import re
import shutil
import tarfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import requests

from yololab import Detector
from yololab.api.page_routes import PAGES
from yololab.api.routes.explore import SAMPLES
from yololab.errors import UnknownModel
from yololab.vision.darknet.cache import converted
from yololab.vision.drawing import css_color_of
from yololab.vision.models import default_folders, find
from yololab.vision.onnx.families import Grid
from yololab.vision.onnx.network import network_of

ROOT = Path(__file__).resolve().parents[1]
HERE = Path(__file__).parent / "site/try"
RUNTIME = "https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-1.30.0.tgz"  # MIT
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
OPTIONAL = ("yolox-nano",)  # offered where they are installed when the site is built


def write(out: Path, cache: Path = ROOT / "build/npm") -> None:
    """Write try/ into the folder of a built site. Raises OSError where the runtime cannot be had."""
    there = out / "try"
    shutil.rmtree(there, ignore_errors=True)
    files = runtime(cache)
    (there / "runtime").mkdir(parents=True)
    for name, content in files.items():
        (there / "runtime" / name).write_bytes(content)
    models = [_model("starter", there)]
    for name in OPTIONAL:
        try:
            find(name, default_folders())
        except UnknownModel:
            continue
        models.append(_model(name, there))
    (there / "runtime/models.json").write_text(json.dumps(models))
    (there / "images").mkdir()
    for name in SAMPLES:
        shutil.copy(ROOT / "images" / name, there / "images")
    for page in ("explore", "live"):
        assets = there / f"{page}-assets"
        shutil.copytree(PAGES / page, assets)
        shutil.copytree(PAGES / "shared", assets, dirs_exist_ok=True)
        shutil.copytree(HERE, assets, dirs_exist_ok=True)
        text = (assets / f"{page}.html").read_text(encoding="utf-8")
        (there / f"{page}.html").write_text(_for_the_site(text), encoding="utf-8")
        (assets / f"{page}.html").unlink()


def runtime(cache: Path) -> dict[str, bytes]:
    """The files of onnxruntime-web, downloaded once and checked. Raises OSError."""
    package = cache / RUNTIME.rpartition("/")[2]
    if not package.exists():
        response = requests.get(RUNTIME, timeout=120)
        response.raise_for_status()
        cache.mkdir(parents=True, exist_ok=True)
        package.write_bytes(response.content)
    content = package.read_bytes()
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != SHA512:
        package.unlink()
        raise OSError(f"{RUNTIME} is not the file that it was; try again, or look why")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        found = {name: archive.extractfile(f"package/dist/{name}") for name in FILES}
        return {name: file.read() for name, file in found.items() if file}


def _model(name: str, there: Path) -> dict[str, Any]:
    """Put a model's network into the site; what the page needs to know of it."""
    detector = Detector(name)
    width, height = detector.size
    target = there / "runtime" / f"{name}.onnx"
    if detector.model.is_onnx:
        shutil.copy(detector.model.path, target)
        grids = [asdict(Grid(width // stride, height // stride, 1)) for stride in (8, 16, 32)]
    else:
        network = converted(detector.model, detector.size)
        target.write_bytes(network if isinstance(network, bytes) else network.read_bytes())
        reading = network_of(detector.model, detector.size).reading([])
        grids = [asdict(each) for each in reading.heads]
    return {
        "name": name, "kind": "yolox" if detector.model.is_onnx else "darknet", "size": [width, height],
        "confidence": detector.model.confidence, "labels": list(detector.labels), "grids": grids,
        "colors": [css_color_of(label) for label in detector.labels],
        "samples": list(SAMPLES),
    }  # fmt: skip


def _for_the_site(text: str) -> str:
    """A server's page as a page of the site: it says that nothing leaves the machine."""
    said = "The model runs in this browser. No picture leaves your machine; nothing is sent anywhere."
    text = re.sub(r"(</h1>\s*<p>)", rf"\g<1>{said} ", text, count=1)
    back = '<p><a href="../docs/index.html" style="color: var(--accent)">Back to the YOLO lab</a></p>'
    return text.replace("</header>", f"{back}</header>", 1)
