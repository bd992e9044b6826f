"""Videos and cameras through OpenCV: frames read ahead, detected on all cores, written as mp4."""

import os
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
from tqdm import tqdm

from ..errors import BadImage, LabError
from ..vision.drawing import annotate
from ..vision.machine import cores
from .codecs import Copy, quiet
from .files import replacing
from .parallel import ahead, ordered_map
from .pictures import Job, sentence
from .results import Entry, Failure, Found
from .sources import Source

AHEAD = 4  # frames; one of 3840 x 2160 takes 25 MB
THREADS = 8  # one thread decodes and one encodes; more than this many would only hold frames in memory
PATIENCE = 10_000  # milliseconds without an answer from a camera in the network
FPS = 25.0  # where a video or camera does not say


@dataclass(frozen=True, slots=True)
class Frame:
    """picture: BGR uint8 (H, W, 3), upright. number: in the video, from 0. time: seconds from its start."""

    number: int
    time: float
    picture: np.ndarray


class Video:
    """A video file or a camera that is open. Raises BadImage where it cannot be opened."""

    def __init__(self, source: Source) -> None:
        self.camera = source.kind == "camera"
        with quiet():
            self._capture = _capture(source)
        if not self._capture.isOpened():
            raise BadImage(
                f"The camera {source.name} cannot be opened. Is it connected, is its address right, and does no other "
                "program use it?"
                if self.camera
                else "The video cannot be opened: it is damaged, cut off, or of a kind that OpenCV does not read. "
                "Play it in a video player, or convert it to mp4."
            )
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps = fps if 0 < fps <= 1000 else FPS
        self.count = 0 if self.camera else max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self.read = 0

    def frames(self, stride: int) -> Generator[Frame, None, None]:
        """Each frame whose number is a multiple of `stride`, until the end; then the video is closed."""
        started = perf_counter()
        try:
            while self._capture.grab():
                number, self.read = self.read, self.read + 1
                if number % stride:
                    continue
                whole, picture = self._capture.retrieve()
                if whole:
                    yield Frame(number, self._time(number, started), picture)
        finally:
            self._capture.release()

    def _time(self, number: int, started: float) -> float:
        if self.camera:
            return perf_counter() - started
        seconds = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
        return seconds if seconds > 0 else number / self.fps

    def broken_off(self) -> str | None:
        """Once all frames are read: a sentence where they ended too early.

        Some files count a few frames more than they have: a tenth and up to a second may be missing.
        """
        if self.camera:
            return f"The camera gave no more frames after {self.read}."
        if not self.read:
            return "The video has no frame that can be decoded."
        if self.count - self.read > max(1, min(self.fps, self.count / 10)):
            return f"The video breaks off after {self.read} of {self.count} frames; these were used."
        return None


def _capture(source: Source) -> cv2.VideoCapture:
    if source.kind != "camera":
        return cv2.VideoCapture(os.path.abspath(source.name))
    if source.name.isdecimal():
        return cv2.VideoCapture(int(source.name))
    patience = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, PATIENCE, cv2.CAP_PROP_READ_TIMEOUT_MSEC, PATIENCE]
    return cv2.VideoCapture(source.name, cv2.CAP_FFMPEG, patience)


def detect_video(job: Job, source: Source, stride: int, codec: str | None) -> Generator[Entry, None, None]:
    """What is in each frame, in order; the annotated video is written meanwhile, and is whole whenever this is closed.

    The last entry is a Failure where something went wrong; what came before stays.
    """
    try:
        video = Video(source)
        place = job.place(source)

        def work(frame: Frame) -> tuple[Found, np.ndarray | None]:
            height, width = frame.picture.shape[:2]
            detections = job.detect(frame.picture)
            drawn = annotate(frame.picture, detections) if place else None
            return Found(source.name, width, height, detections, frame.number, frame.time), drawn

        bar = {"total": ceil(video.count / stride) or None, "unit": " frames", "desc": source.name}
        with (
            closing(ahead(video.frames(stride), AHEAD)) as frames,
            _copy(place, video.fps / stride, codec) as copy,
            closing(ordered_map(work, frames, min(cores() + 1, THREADS))) as results,
        ):
            for found, drawn in tqdm(results, **bar, disable=None, leave=False):
                if copy and drawn is not None:
                    copy.write(drawn)
                yield found
        if reason := video.broken_off():
            yield Failure(source.name, reason)
    except Exception as error:
        yield Failure(source.name, sentence(error))


@contextmanager
def _copy(place: Path | None, fps: float, codec: str | None) -> Iterator[Copy | None]:
    """The annotated video, which takes the place of `place` when it ends, however that is."""
    if place is None:
        yield None
        return
    with replacing(place) as part:
        copy = Copy(part.path, fps, codec)
        try:
            yield copy
        except BaseException:  # Ctrl+C among them: what has been written is kept, where it can be read
            with suppress(LabError):
                part.keep = copy.close()
            raise
        part.keep = copy.close()
