"""Makes a trained student the lab's starter, and writes its model card: python -m training.publish --sample FOLDER

Copies build/training/student.* to yololab/vision/starter.*, brings registry.toml there up to date, and measures the
starter and other models for docs/starter-model.md. With --card only the card is written anew; its account of the
training stays.
"""

import argparse
import contextlib
import hashlib
import io
import json
import re
import shutil
from pathlib import Path

from pycocotools.coco import COCO
from pycocotools.mask import iou

from training import ROOT
from yololab.detections import Detection
from yololab.vision.detector import Detector
from yololab.vision.images import decode
from yololab.vision.models import registry

from .evaluate import SIZES, STARTER, Score, score

CARD = ROOT / "docs/starter-model.md"
REGISTRY = ROOT / "yololab/vision/registry.toml"
HISTORY = "<!-- training -->"
AUTHORS = "the photos belong to their authors"
TERMS = {  # folder of a set: what it is, its terms
    "coco": ("COCO train2017", f"Creative Commons licences of several kinds, on Flickr; {AUTHORS}"),
    "flickr8k": ("Flickr8k", f"for research and teaching; {AUTHORS}"),
    "fruit": ("photos of fruit", f"a public research set; {AUTHORS}"),
    "imagenet": ("ImageNet", f"for non-commercial research and teaching; {AUTHORS}"),
    "renders": ("other views of the scenes in `images/`", "this project's own, by `training/render/variants.py`"),
    "voc": ("PASCAL VOC", f"Flickr's terms of use; {AUTHORS}"),
}


def install(run: Path) -> None:
    """Copy the student of a run into the package, and note sizes and SHA-256 in the registry."""
    text = REGISTRY.read_text()
    for suffix in ("cfg", "weights", "names"):
        name = f"starter.{suffix}"
        shutil.copy(run / f"student.{suffix}", REGISTRY.parent / name)
        data = (REGISTRY.parent / name).read_bytes()
        entry = f'[files."{name}"]\nbytes = {len(data)}\nsha256 = "{hashlib.sha256(data).hexdigest()}"'
        text = re.sub(rf'\[files\."{re.escape(name)}"\]\nbytes = .*\nsha256 = .*', entry, text)
    REGISTRY.write_text(text)
    registry.cache_clear()


def choose(confidence: float) -> None:
    """Note the starter's default confidence in the registry."""
    text = REGISTRY.read_text()
    REGISTRY.write_text(re.sub(r"(\[models\.starter\][^\[]*?confidence = )\S+", rf"\g<1>{confidence}", text))
    registry.cache_clear()


def history(run: Path) -> str:
    """What the log of a run says: how long, how good after how many photos, and which photos."""
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    judged = [entry for entry in entries if "ap50" in entry]
    sets = [entry["sets"] for entry in entries if "sets" in entry][-1]
    last = judged[-1]
    runs = last.get("mean of", 1)
    what = f"{runs} runs, of whose last weights these are the mean," if runs > 1 else "run behind these weights"
    lines = [
        f"The {what} showed {last['photos']:,} altered photos in {last['steps']:,} steps, in "
        f"{last['seconds'] / 60:.0f} minutes. On the way:",
        "",
        "| photos shown | minutes | AP | AP50 |",
        "|---|---|---|---|",
        *(
            f"| {entry['photos']:,} | {entry['seconds'] / 60:.0f} | {entry['ap']:.3f} | {entry['ap50']:.3f} |"
            for entry in judged
        ),
        "",
        "| photos | how many | terms |",
        "|---|---|---|",
        *(
            f"| {kind} | {count:,} | {terms} |"
            for (kind, terms), count in ((TERMS.get(name, (name, "?")), count) for name, count in sets.items())
        ),
    ]
    return "\n".join(lines)


def measured(scores: dict[tuple[str, int], Score], starter: Detector) -> str:
    """Tables of AP and AP50, and of the starter's precision and recall."""
    size = starter.size[0]
    curve = scores["starter", size].curve
    lines = ["| model | fed | AP | AP50 | best F1 at |", "|---|---|---|---|---|"]
    for (name, fed), result in scores.items():
        best = result.curve.best()
        lines.append(f"| {name} | {fed} | {result.ap:.3f} | {result.ap50:.3f} | {best:.2f} |")
    lines += ["", f"The starter at {size}, by confidence (the default is {starter.model.confidence}):", ""]
    lines += ["| confidence | boxes that are right | objects found | photos with a right box |", "|---|---|---|---|"]
    for confidence in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
        at = curve.at(confidence)
        lines.append(f"| {confidence} | {at['precision']:.2f} | {at['recall']:.2f} | {at['photos']:.2f} |")
    return "\n".join(lines)


def recognised(detectors: list[Detector]) -> str:
    """For each sample picture and model: what it says of the main class, at the model's default confidence.

    The main class is the one in the file's name, else the one with the most objects.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(ROOT / "images/truth.json")
    lines = ["| picture | what it shows | " + " | ".join(detector.model.name for detector in detectors) + " |"]
    lines.append("|---" * (len(detectors) + 2) + "|")
    for photo in truth.loadImgs(truth.getImgIds()):
        objects = truth.loadAnns(truth.getAnnIds(photo["id"]))
        names = [truth.cats[each["category_id"]]["name"].split()[-1] for each in objects]
        named = [each for each, name in zip(objects, names, strict=True) if name in photo["file_name"]] or objects
        kinds = [each["category_id"] for each in named]
        main = max(kinds, key=kinds.count)
        label = truth.cats[main]["name"]
        boxes = [each["bbox"] for each in objects if each["category_id"] == main]
        picture = decode((ROOT / "images" / photo["file_name"]).read_bytes())
        cells = (_said(detector(picture), label, boxes) for detector in detectors)
        lines.append(f"| {photo['file_name']} | {len(boxes)} {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _said(found: list[Detection], label: str, true_boxes: list[list[float]]) -> str:
    """The confidence with which each of the true boxes is found, and what else is said of these objects.

    Found: the most confident box of this label with an intersection over union of at least 0.5. More: each other box
    that lies on one of them like this, whatever its label.
    """
    best, more = [0.0] * len(true_boxes), []
    for each in found:
        x1, y1, x2, y2 = each.box
        overlap = iou([[x1, y1, x2 - x1, y2 - y1]], true_boxes, [0] * len(true_boxes))[0]
        place = int(overlap.argmax())
        if overlap[place] >= 0.5 and each.label == label and not best[place]:
            best[place] = each.confidence
        elif overlap[place] >= 0.5:
            more.append(f"{each.label} {each.confidence:.2f}")
    seen = " ".join(f"{confidence:.2f}" for confidence in sorted(best, reverse=True) if confidence)
    missed = best.count(0.0)
    parts = [seen, f"{missed} missed" if missed else "", f"more: {', '.join(more)}" if more else ""]
    return "; ".join(part for part in parts if part)


def sizes(path: Path) -> tuple[int, ...]:
    """The sizes that a model is measured at: an ONNX file has its own."""
    return SIZES if path.suffix == ".cfg" else (Detector(path).size[0],)


def main() -> None:
    parser = argparse.ArgumentParser(description="Install a trained student as the starter; write its card.")
    parser.add_argument("--sample", type=Path, required=True, help="annotations.json (COCO form) and images/")
    parser.add_argument("--compare", type=Path, nargs="*", default=[], help="cfg files of other models for the card")
    parser.add_argument("--run", type=Path, default=ROOT / "build/training")
    parser.add_argument("--card", action="store_true", help="only measure and write the card")
    options = parser.parse_args()
    if options.card:
        account = CARD.read_text().split(HISTORY)[1].strip()
    else:
        install(options.run)
        account = history(options.run)
    models = [STARTER, *options.compare]
    scores = {
        (cfg.stem, size): score(Detector(cfg, size=size), options.sample) for cfg in models for size in sizes(cfg)
    }
    if not options.card:
        choose(scores["starter", Detector(STARTER).size[0]].curve.default())
    starter, *others = [Detector(cfg) for cfg in models]
    template = (Path(__file__).parent / "card.md").read_text()
    CARD.write_text(template.format(
        bytes=f"{starter.model.bytes:,}", size=starter.size[0], confidence=starter.model.confidence, photos=128,
        measured=measured(scores, starter), recognised=recognised([starter, *others]),
        history=f"{HISTORY}\n{account}\n{HISTORY}",
    ))  # fmt: skip


if __name__ == "__main__":
    main()
