"""What tests share besides fixtures: paths, clients, and conditions that are awaited with a limit."""

import contextlib
import io
import json
import os
import struct
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import requests
from fastapi.testclient import TestClient

from yololab.api.app import create_app
from yololab.api.settings import Settings

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "images"
PACKAGE = ROOT / "yololab" / "vision"  # where the starter lies
SHARED = ROOT.parent / "shared"
BASE = "http://127.0.0.1:8000"
LIMIT = 60  # seconds that a test waits for a condition; far more than any needs
MODEL_PATH = os.environ.get("YOLOLAB_MODEL_PATH", "")


def wait_for(condition: Callable[[], T], what: str = "the condition", seconds: float = LIMIT) -> T:
    """Call `condition` until it returns something true, and return that; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come about within {seconds} s; last: {value!r}")
        time.sleep(0.002)
    return value


def with_small_disk(command: list[str], limit: int = 20_000) -> list[str]:
    """The command, allowed to write files of at most `limit` bytes.

    A process of its own sets the limit: a function between fork and exec is unsafe where libraries run threads.
    """
    code = f"import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
    return [sys.executable, "-c", code + "os.execv(sys.argv[1], sys.argv[1:])", *command]


def real_models() -> Path | None:
    """The first folder of YOLOLAB_MODEL_PATH that holds the real COCO weights, as the tests were started."""
    for part in MODEL_PATH.split(os.pathsep):
        folder = (ROOT / part).resolve()
        if part and (folder / "mobilenetv2-yolov3-nano.weights").is_file():
            return folder
    return None


def ready_client(**settings) -> TestClient:
    """A client of a new app; use it in a `with`, then wait with `wait_ready`."""
    return TestClient(create_app(Settings(**settings)), base_url=BASE)


def wait_ready(client: TestClient) -> TestClient:
    """Ask /ready until the model has answered; its loading takes a moment."""
    wait_for(lambda: client.get("/ready").status_code == 200, "/ready")
    return client


def answers(url: str) -> bool:
    """Whether a server answers /ready with 200."""
    try:
        return requests.get(url + "/ready", timeout=LIMIT).status_code == 200
    except requests.ConnectionError:
        return False


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is that large and holds no more than its header and an empty body."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    ihdr = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def coco_ap50(sample: Path, detect: Callable[[Path], list[dict]], labels: list[str]) -> float:
    """AP50 by pycocotools of what `detect` finds in each photo of a COCO sample, in the form of the API's JSON."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth, results = COCO(sample / "annotations.json"), []
        for image in truth.loadImgs(truth.getImgIds()):
            for found in detect(sample / "images" / image["file_name"]):
                x1, y1, x2, y2 = (found["box"][side] for side in ("x1", "y1", "x2", "y2"))
                results.append({
                    "image_id": image["id"], "category_id": labels.index(found["label"]) + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1], "score": found["confidence"],
                })  # fmt: skip
        judge = COCOeval(truth, truth.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return float(judge.stats[1])


def cell_with(notebook: str, text: str) -> str:
    """The source of the one code cell of a notebook in notebooks/ that holds this text."""
    cells = json.loads((ROOT / "notebooks" / notebook).read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    (found,) = (source for source in sources if text in source)
    return found
