"""The 128 photos of COCO val2017 that the published figures were measured on.

    python -m benchmarks.photos FOLDER                                            # FOLDER/images, 20 MB, verified
    python -m benchmarks.photos FOLDER --annotations instances_val2017.json       # and FOLDER/annotations.json

coco_val_sample.csv lists each photo with its URL, size and SHA-256: the 128 lowest ids of val2017. The boxes come from
COCO's own file, inside http://images.cocodataset.org/annotations/annotations_trainval2017.zip.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

from yololab.errors import DownloadFailed
from yololab.vision.models.download import fetch_entry
from yololab.vision.models.entries import Entry, RemoteFile

MANIFEST = Path(__file__).with_name("coco_val_sample.csv")


def manifest(path: Path = MANIFEST) -> Entry:
    """The photos that a CSV file with the columns name, url, bytes and sha256 lists."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    files = (RemoteFile(row["name"], int(row["bytes"]), row["sha256"], (row["url"],)) for row in rows)
    return Entry("the sample of COCO", 0, "", "of each photo, on Flickr", tuple(files))


def subset(annotations: dict, names: set[str]) -> dict:
    """The part of COCO's annotations that is about the photos in `names`.

    category_id becomes the class's place in coco.names, from 1: COCO's own ids have gaps.
    """
    images = [image for image in annotations["images"] if image["file_name"] in names]
    chosen = {image["id"] for image in images}
    categories = sorted(annotations["categories"], key=lambda each: each["id"])
    place = {each["id"]: number for number, each in enumerate(categories, 1)}
    boxes = [each for each in annotations["annotations"] if each["image_id"] in chosen]
    keys = ("image_id", "bbox", "area", "iscrowd")
    return {
        "images": [{key: image[key] for key in ("id", "file_name", "width", "height")} for image in images],
        "annotations": [
            {"id": number, "category_id": place[each["category_id"]], **{key: each[key] for key in keys}}
            for number, each in enumerate(boxes, 1)
        ],
        "categories": [{"id": place[each["id"]], "name": each["name"]} for each in categories],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Download and verify the photos that the figures were measured on.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--annotations", type=Path, metavar="FILE", help="COCO's instances_val2017.json")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, help="another list of photos")
    options = parser.parse_args()
    photos = manifest(options.manifest)
    try:
        fetch_entry(photos, options.folder / "images", progress=False)
    except DownloadFailed as error:
        sys.exit(f"error: {error}")
    print(f"{len(photos.files)} photos, verified: {options.folder / 'images'}")
    if options.annotations:
        whole = json.loads(options.annotations.read_text(encoding="utf-8"))
        target = options.folder / "annotations.json"
        target.write_text(json.dumps(subset(whole, {each.name for each in photos.files})), encoding="utf-8")
        print(f"boxes: {target}")


if __name__ == "__main__":
    main()
