"""How good the starter and other models are: python -m training.evaluate --sample FOLDER [more.cfg ...]

Average precision as COCO measures it, on photos that none of them was trained on, with the sizes that they may be fed.
"""

import argparse
import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tqdm import tqdm

from training import ROOT
from yololab.vision.detector import Detector
from yololab.vision.images import decode, decode_small

LEAST = 0.005  # confidence: below it nothing changes the third digit
STARTER = ROOT / "yololab/vision/starter.cfg"
SIZES = (320, 352, 416)  # pixels


@dataclass(frozen=True)
class Curve:
    """Precision and recall of all boxes at intersection over union 0.5, by falling confidence; arrays of (N,)."""

    confidence: np.ndarray
    right: np.ndarray  # bool: is it a true box's best match?
    photo: np.ndarray  # the photo that it is in
    true_boxes: int
    photos: int

    @property
    def precision(self) -> np.ndarray:
        return self.right.cumsum() / np.arange(1, len(self.right) + 1)

    @property
    def recall(self) -> np.ndarray:
        return self.right.cumsum() / self.true_boxes

    @property
    def f1(self) -> np.ndarray:
        """The harmonic mean of precision and recall."""
        return 2 * self.precision * self.recall / np.maximum(self.precision + self.recall, 1e-9)

    def best(self) -> float:
        """The confidence with the highest F1."""
        return float(self.confidence[self.f1.argmax()])

    def default(self) -> float:
        """The highest confidence, to a twentieth, with an F1 within 2 % of the best.

        The curve is flat around its top; there, fewer wrong boxes are worth more than a few right ones.
        """
        steps = np.arange(19, 0, -1) / 20
        counts = [int((self.confidence >= step).sum()) for step in steps]
        f1 = np.array([self.f1[count - 1] if count else 0.0 for count in counts])
        return float(steps[np.argmax(f1 >= 0.98 * self.f1.max())])

    def at(self, confidence: float) -> dict[str, float]:
        """Precision, recall, and the share of the photos that have at least one right box, at a confidence."""
        count = int((self.confidence >= confidence).sum())
        hit = len(np.unique(self.photo[:count][self.right[:count]])) / self.photos
        precision, recall = (self.precision[count - 1], self.recall[count - 1]) if count else (1.0, 0.0)
        return {"precision": float(precision), "recall": float(recall), "photos": hit}


@dataclass(frozen=True)
class Score:
    """What pycocotools says of one model on one set of photos."""

    ap: float
    ap50: float
    curve: Curve


def score(detector: Detector, sample: Path, small: bool = False) -> Score:
    """Judge a detector on a folder with annotations.json (COCO form) and images/.

    small: decode large photos at reduced size, as the API does.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(sample / "annotations.json")
        found = _detect(detector, truth, sample / "images", small)
        evaluation = COCOeval(truth, truth.loadRes(found) if found else COCO(), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return Score(float(evaluation.stats[0]), float(evaluation.stats[1]), _curve(evaluation))


def _detect(detector: Detector, truth: COCO, folder: Path, small: bool) -> list[dict]:
    """What a detector says about the photos in `folder`, in COCO's form for results."""
    found = []
    for photo in tqdm(truth.loadImgs(truth.getImgIds()), desc=detector.model.name, unit=" photos", leave=False):
        data = (folder / photo["file_name"]).read_bytes()
        picture, size = decode_small(data, max(detector.size)) if small else (decode(data), None)
        for detection in detector(picture, confidence=LEAST, original=size):
            x1, y1, x2, y2 = detection.box
            found.append({
                "image_id": photo["id"], "category_id": detector.labels.index(detection.label) + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1], "score": detection.confidence,
            })  # fmt: skip
    return found


def _curve(evaluation: COCOeval) -> Curve:
    everywhere = evaluation.params.areaRng[0]
    parts = [part for part in evaluation.evalImgs if part and part["aRng"] == everywhere]
    counted = [~part["dtIgnore"][0].astype(bool) for part in parts]  # row 0: intersection over union 0.5

    def column(values: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([np.asarray(value)[keep] for value, keep in zip(values, counted, strict=True)])

    confidence = column([part["dtScores"] for part in parts])
    right = column([part["dtMatches"][0] > 0 for part in parts])
    photo = column([np.full(len(part["dtScores"]), part["image_id"]) for part in parts])
    order = np.argsort(-confidence, kind="stable")
    true_boxes = sum(int((~part["gtIgnore"].astype(bool)).sum()) for part in parts)
    return Curve(confidence[order], right[order], photo[order], true_boxes, len(evaluation.params.imgIds))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the starter and other models.")
    parser.add_argument("models", type=Path, nargs="*", help="more cfg files, each beside its weights")
    parser.add_argument("--sample", type=Path, required=True, help="annotations.json (COCO form) and images/")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="pixels that they are fed")
    options = parser.parse_args()
    print(f"{'':26}{'size':>5}{'AP':>8}{'AP50':>8}{'best F1 at':>12}")
    for cfg in [STARTER, *options.models]:
        for size in options.sizes:
            result = score(Detector(cfg, size=size), options.sample)
            print(f"{cfg.stem:26}{size:5}{result.ap:8.3f}{result.ap50:8.3f}{result.curve.best():12.2f}", flush=True)


if __name__ == "__main__":
    main()
