"""mp4 files that players open, with what the installed OpenCV can write."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from ..errors import LabError
from .options import CODECS

BACKENDS = (cv2.CAP_FFMPEG, cv2.CAP_AVFOUNDATION, cv2.CAP_MSMF)  # the last two are macOS's and Windows's own


class Copy:
    """An mp4 file; it is opened for the first frame, whose size all frames get.

    codec: one of CODECS, None for the best that works here.
    """

    def __init__(self, path: Path, fps: float, codec: str | None) -> None:
        self._path, self._fps, self._codec = path, fps, codec
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._written = 0

    def write(self, picture: np.ndarray) -> None:
        """Add a BGR uint8 frame (H, W, 3). An odd last row or column is left out: video has even sides.

        Raises LabError where no encoder takes it.
        """
        if self._writer is None:
            self._size = picture.shape[1], picture.shape[0]
            codec, backend = encoder(self._codec)
            self._writer = _open(self._path, codec, backend, self._fps, self._size)
            if not self._writer.isOpened():
                raise LabError(f"OpenCV writes no {codec} video of {self._size[0]}x{self._size[1]} pixels here.")
        if picture.shape[1::-1] != self._size:
            picture = cv2.resize(picture, self._size)
        self._writer.write(picture)
        self._written += 1

    def close(self) -> bool:
        """End the file; False where nothing was written. Raises LabError where it cannot be read to its end."""
        if self._writer is None:
            return False
        self._writer.release()
        if self._written and _frames(self._path) < self._written:  # OpenCV does not say when a disk is full
            raise LabError("The annotated video could not be written whole, and was removed. Is the disk full?")
        return self._written > 0


@lru_cache
def encoder(codec: str | None) -> tuple[str, int]:
    """The first of CODECS, or this one, that OpenCV writes and reads here, and its backend. Raises LabError."""
    there = set(cv2.videoio_registry.getWriterBackends())
    with TemporaryDirectory() as folder:
        path = Path(folder) / "probe.mp4"
        for name in [codec] if codec else CODECS:
            for backend in BACKENDS:
                if backend in there and _works(path, name, backend):
                    return name, backend
    raise LabError(f"OpenCV writes no {codec or 'mp4'} video here. Try --codec mpeg4, or --no-save.")


def _works(path: Path, codec: str, backend: int) -> bool:
    writer = _open(path, codec, backend, 25, (128, 128))
    for shade in (0, 128, 255):
        writer.write(np.full((128, 128, 3), shade, np.uint8))
    writer.release()
    return _frames(path) == 3


def _open(path: Path, codec: str, backend: int, fps: float, size: tuple[int, int]) -> cv2.VideoWriter:
    with quiet():
        return cv2.VideoWriter(str(path), backend, cv2.VideoWriter.fourcc(*CODECS[codec]), fps, size)


def _frames(path: Path) -> int:
    with quiet():
        capture = cv2.VideoCapture(str(path))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    capture.release()
    return count


@contextmanager
def quiet() -> Iterator[None]:
    """What OpenCV and FFmpeg print about files and encoders that they do not open, this program says itself."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
