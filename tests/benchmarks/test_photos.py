"""The COCO sample: anyone can fetch the photos that the figures were measured on, and make its annotations."""

import csv
import hashlib
import json
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from helpers import IMAGES, ROOT

from benchmarks.photos import manifest, subset

NAMES = ("apple.jpg", "fruit.jpg")
COCO = {  # as in instances_val2017.json, where category ids have gaps
    "info": {},
    "images": [
        {"id": 7, "file_name": "apple.jpg", "width": 640, "height": 480, "license": 1},
        {"id": 8, "file_name": "other.jpg", "width": 640, "height": 480, "license": 1},
    ],
    "annotations": [
        {"id": 900, "image_id": 8, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0},
        {
            "id": 901,
            "image_id": 7,
            "category_id": 13,
            "bbox": [5, 6, 7, 8],
            "area": 56,
            "iscrowd": 0,
            "segmentation": [],
        },
    ],
    "categories": [{"id": 13, "name": "stop sign"}, {"id": 1, "name": "person"}],
}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def url():
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=IMAGES)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def fetch(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.photos", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )


def a_manifest(path, url, spoil=lambda sha256: sha256):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "url", "bytes", "sha256"])
        for name in NAMES:
            data = (IMAGES / name).read_bytes()
            writer.writerow([name, f"{url}/{name}", len(data), spoil(hashlib.sha256(data).hexdigest())])
    return path


def test_the_photos_are_fetched_and_verified_and_the_annotations_are_made(tmp_path, url):
    (tmp_path / "instances.json").write_text(json.dumps(COCO))
    listed = a_manifest(tmp_path / "two.csv", url)
    folder = tmp_path / "sample"
    done = fetch(folder, "--manifest", listed, "--annotations", tmp_path / "instances.json")
    assert done.returncode == 0, done.stderr
    assert [(folder / "images" / name).read_bytes() for name in NAMES] == [
        (IMAGES / name).read_bytes() for name in NAMES
    ]
    assert json.loads((folder / "annotations.json").read_text()) == subset(COCO, set(NAMES))


def test_another_photo_under_the_same_name_is_refused(tmp_path, url):
    done = fetch(tmp_path, "--manifest", a_manifest(tmp_path / "two.csv", url, spoil=lambda sha256: sha256[::-1]))
    assert done.returncode == 1 and "apple.jpg could not be downloaded" in done.stderr
    assert "Traceback" not in done.stderr and not list((tmp_path / "images").glob("*.jpg"))


def test_the_annotations_are_those_of_the_photos_with_classes_counted_from_1():
    assert subset(COCO, {"apple.jpg"}) == {
        "images": [{"id": 7, "file_name": "apple.jpg", "width": 640, "height": 480}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 2, "bbox": [5, 6, 7, 8], "area": 56, "iscrowd": 0},
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "stop sign"}],
    }


def test_the_manifest_lists_the_sample(coco_sample):
    files = manifest().files
    assert len(files) == 128
    assert all(each.matches(coco_sample / "images" / each.name) for each in files)
    assert {each.name for each in files} == {path.name for path in (coco_sample / "images").iterdir()}


def test_a_folder_without_photos_is_an_error_that_says_what_to_pass(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.run", "--photos", tmp_path], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1 and "python -m benchmarks.photos" in done.stderr and "Traceback" not in done.stderr
