"""Keeps annotated results, as the classic lab does: under names of ours, written at once or not at all, in a quota."""

import logging
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from threading import Lock

logger = logging.getLogger(__name__)

SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png"}


class Uploads:
    """A folder of pictures that takes at most `quota` bytes; the oldest make room for the newest."""

    def __init__(self, folder: Path, quota: int):
        self._folder, self._quota = folder, quota
        self._lock = Lock()

    def keep(self, data: bytes, media_type: str) -> Path | None:
        """Write `data` (image/jpeg or image/png) to a new file and return its path.

        A full or read-only disk costs the copy, not the answer: None, and a warning in the log.
        """
        if len(data) > self._quota:
            return None
        name = f"{datetime.now():%Y%m%d-%H%M%S}-{token_hex(4)}{SUFFIXES[media_type]}"
        path, part = self._folder / name, self._folder / f".{name}.part"
        try:
            with self._lock:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._make_room(len(data))
                part.write_bytes(data)
                part.replace(path)  # nobody ever sees half a picture
        except OSError as error:
            logger.warning("the annotated picture was not kept in %s: %s", self._folder, error)
            with suppress(OSError):
                part.unlink(missing_ok=True)
            return None
        return path

    def _make_room(self, size: int) -> None:
        """Only our own names are ever deleted: a student's files in the folder stay."""
        kept = [path for path in self._folder.glob("[0-9]*-[0-9]*-*.*") if path.suffix in SUFFIXES.values()]
        sizes = {path: path.stat().st_size for path in sorted(kept)}  # names begin with the time: oldest first
        total = sum(sizes.values())
        for path, taken in sizes.items():
            if total + size <= self._quota:
                break
            path.unlink(missing_ok=True)
            total -= taken
