"""Does speed cost accuracy? python -m benchmarks.accuracy FOLDER: AP by size, by engine, by reduced-size decoding."""

import argparse
import json
import tempfile
from pathlib import Path
from time import process_time

import cv2
import numpy as np

from benchmarks.inputs import check_photos
from training.evaluate import score
from yololab.api.settings import Settings
from yololab.errors import BrokenModel
from yololab.vision.detector import Detector
from yololab.vision.images import decode, encode
from yololab.vision.models import Model, find

SIZES = (256, 320, 416)  # pixels; what a network is fed
TURNS = 3
LARGER = 5  # times: COCO's photos become 3200 pixels wide


def enlarged(sample: Path, folder: Path) -> Path:
    """A copy of the sample with photos and boxes LARGER times the size."""
    truth = json.loads((sample / "annotations.json").read_text())
    (folder / "images").mkdir()
    for photo in truth["images"]:
        picture = decode((sample / "images" / photo["file_name"]).read_bytes())
        large = cv2.resize(picture, None, fx=LARGER, fy=LARGER, interpolation=cv2.INTER_CUBIC)
        (folder / "images" / photo["file_name"]).write_bytes(encode(large))
        photo["width"], photo["height"] = LARGER * photo["width"], LARGER * photo["height"]
    for each in truth["annotations"]:
        each["bbox"] = [LARGER * value for value in each["bbox"]]
        each["area"] *= LARGER**2
    (folder / "annotations.json").write_text(json.dumps(truth))
    return folder


def by_size(models: list[Model], sample: Path) -> None:
    """Print what each network finds at SIZES, and the CPU time of a picture on one thread: is its own size the best?"""
    print("| model | fed, pixels | AP | AP50 | CPU ms |\n|---|---|---|---|---|")
    for model in models:
        own = model.input_size
        for size in SIZES:
            try:
                detector = Detector(model, "float32", size=size, threads=1)
            except BrokenModel:  # an ONNX file of a fixed size
                continue
            result = score(detector, sample)
            said = f"{size}, its own" if (size, size) == own else f"{size}"
            cpu = cpu_seconds(detector) * 1e3
            print(f"| {model.name} | {said} | {result.ap:.3f} | {result.ap50:.3f} | {cpu:.1f} |", flush=True)


def cpu_seconds(detector: Detector) -> float:
    """The CPU time of a picture of the network's own size, the least of some: others may be at work as well."""
    picture = np.zeros((*detector.size[::-1], 3), np.uint8)
    detector(picture)  # the first one is slower
    times = []
    for _ in range(TURNS):
        began = process_time()
        detector(picture)
        times.append(process_time() - began)
    return min(times)


def by_engine(models: list[Model], sample: Path, large: Path) -> None:
    """Print whether engines, and photos decoded at a part of their size, find the same."""
    print("| model | engine | photos | decoded | AP | AP50 |\n|---|---|---|---|---|---|")

    def row(model: Model, engine: str, sample: Path, photos: str, small: bool) -> None:
        result = score(Detector(model, engine), sample, small)
        how = "at reduced size" if small else "whole"
        print(f"| {model.name} | {engine} | {photos} | {how} | {result.ap:.4f} | {result.ap50:.4f} |", flush=True)

    for model in models:
        for engine in ("opencv", "onnxruntime", "openvino"):
            row(model, engine, sample, "as they are", small=False)
        for small in (False, True):
            row(model, "onnxruntime", large, f"{LARGER} times as large", small)


def main() -> None:
    parser = argparse.ArgumentParser(description="Average precision by size, by engine, by reduced-size decoding.")
    parser.add_argument("sample", type=Path, help="a folder that `python -m benchmarks.photos` has made")
    parser.add_argument("--models", nargs="+", default=["starter"], help="installed models (default: starter)")
    parser.add_argument("--sizes", action="store_true", help="by size only")
    options = parser.parse_args()
    check_photos(options.sample / "images")
    models = [find(name, Settings().model_folders) for name in options.models]
    by_size(models, options.sample)
    if not options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            by_engine(models, options.sample, enlarged(options.sample, Path(folder)))


if __name__ == "__main__":
    main()
