"""What comes of each picture or frame, and the files that programs read: JSON, CSV, COCO results."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..detections import Detection
from ..errors import LabError
from .files import replacing


@dataclass(frozen=True, slots=True)
class Found:
    """The detections of one picture, or of one frame of a video.

    width, height: of the upright picture, pixels. frame: its number in the video, from 0. time: seconds from the start.
    """

    name: str
    width: int
    height: int
    detections: list[Detection]
    frame: int | None = None
    time: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """{"file", "image": {"width", "height"}, "detections"}; of a video with "frame" and "time" after "file"."""
        place = {} if self.frame is None else {"frame": self.frame, "time": self.time}
        size = {"width": self.width, "height": self.height}
        return {"file": self.name, **place, "image": size, "detections": [each.as_dict() for each in self.detections]}


@dataclass(frozen=True, slots=True)
class Failure:
    """An input that could not be used, and the sentence that says why."""

    name: str
    error: str

    def as_dict(self) -> dict[str, Any]:
        return {"file": self.name, "error": self.error}


Entry = Found | Failure


@dataclass(frozen=True, slots=True)
class Format:
    """How a file of results is put together. rows: an entry and its place in the list, from 1, to lines of text."""

    rows: Callable[[Entry, int], list[str]]
    start: str
    between: str
    end: str


def as_json() -> Format:
    """A list with one object for each picture, frame or failure."""
    return Format(lambda entry, _: [json.dumps(entry.as_dict())], "[\n", ",\n", "\n]\n")


def as_csv(videos: bool) -> Format:
    """A line for each box; with `videos` each has frame and time at its end."""
    header = ["file", "label", "confidence", "x1", "y1", "x2", "y2", *(["frame", "time"] if videos else [])]

    def rows(entry: Entry, _: int) -> list[str]:
        if isinstance(entry, Failure):
            return []
        place = [entry.frame, entry.time] if videos else []
        return [_line([entry.name, each.label, each.confidence, *each.box, *place]) for each in entry.detections]

    return Format(rows, _line(header), "", "")


def as_coco(labels: list[str], numbered: bool) -> Format:
    """COCO's results format, as pycocotools' `loadRes` reads it: https://cocodataset.org/#format-results

    category_id: the class's number, from 1. numbered: image_id is the number that the file's name is, else the place
    in the list. Nothing is rounded.
    """
    category = {label: number for number, label in reversed(list(enumerate(labels, 1)))}

    def rows(entry: Entry, place: int) -> list[str]:
        if isinstance(entry, Failure):
            return []
        image = int(Path(entry.name).stem) if numbered else place
        return [json.dumps(_coco(image, category[each.label], each)) for each in entry.detections]

    return Format(rows, "[\n", ",\n", "\n]\n")


def _coco(image: int, category: int, detection: Detection) -> dict[str, Any]:
    x1, y1, x2, y2 = detection.box
    bbox = [x1, y1, x2 - x1, y2 - y1]
    return {"image_id": image, "category_id": category, "bbox": bbox, "score": detection.confidence}


def _line(values: list[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


class ResultsFile:
    """Writes entries as they come, so that a long video needs no memory; use it in `writing`."""

    def __init__(self, file: BinaryIO, format: Format) -> None:
        self._file, self._format = file, format
        self._entries, self._any = 0, False
        self._file.write(format.start.encode())
        self._whole = file.tell()

    def add(self, entry: Entry) -> None:
        self._entries += 1
        for row in self._format.rows(entry, self._entries):
            text = self._format.between + row if self._any else row
            self._file.write(text.encode(errors="surrogateescape"))
            self._any = True
        self._whole = self._file.tell()

    def finish(self) -> None:
        """End the file after the last whole entry: Ctrl+C may have come in the middle of one."""
        if self._file.seekable():
            self._file.seek(self._whole)
            self._file.truncate()
        self._file.write(self._format.end.encode())
        self._file.flush()


@contextmanager
def writing(path: Path, format: Format) -> Iterator[ResultsFile]:
    """A results file that is at `path` whole in the end, also after Ctrl+C, or not at all. Raises LabError."""
    try:
        with replacing(path) as part, part.path.open("wb") as file:
            results = ResultsFile(file, format)
            try:
                yield results
            except KeyboardInterrupt:
                results.finish()
                part.keep = True
                raise
            results.finish()
            part.keep = True
    except OSError as error:
        raise LabError(f"{path} cannot be written: {error.strerror or error}.") from error
