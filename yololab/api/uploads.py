"""Keeps annotated results, as the classic lab does: under names of our own, whole or not at all, within a quota."""

import logging
import os
import re
import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from threading import Lock

logger = logging.getLogger(__name__)

SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png"}
OWN = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}\.(jpg|png)")  # the names that `keep` gives: nothing else is ever deleted
FULL, LEFT = 0.95, 0.9  # shares of the quota: when room is made, and what is left then, so that it is made seldom
UNSEEN = 8  # processes that may write to the folder: what each adds before it lists the folder again


class Uploads:
    """A folder of pictures that takes about `quota` bytes; the oldest make room for the newest.

    Listing a folder of thousands of files takes longer than detecting, so it is done only when the room that the last
    listing found may be used up.
    """

    def __init__(self, folder: Path, quota: int) -> None:
        self._folder, self._quota = folder, quota
        self._room = 0  # bytes until the folder must be listed
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
                if len(data) > self._room:
                    self._make_room(len(data))
                part.write_bytes(data)
                part.replace(path)  # nobody ever sees half a picture
                self._room -= len(data)
        except OSError as error:
            logger.warning("the annotated picture was not kept in %s: %s", self._folder, error)
            with suppress(OSError):
                part.unlink(missing_ok=True)
            return None
        return path

    def _make_room(self, size: int) -> None:
        """Delete the oldest of our own files where the quota needs it; a student's files in the folder stay."""
        sizes: dict[str, int] = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if OWN.fullmatch(entry.name):
                    with suppress(FileNotFoundError):  # another worker has just deleted it
                        sizes[entry.name] = entry.stat().st_size
        total = sum(sizes.values())
        if total + size > FULL * self._quota:
            for name in sorted(sizes):  # names begin with the time: oldest first
                if total + size <= LEFT * self._quota:
                    break
                (self._folder / name).unlink(missing_ok=True)
                total -= sizes[name]
        self._room = max(size, (self._quota - total) // UNSEEN)


def writable(folder: Path) -> bool:
    """Whether a file can be made there; for a folder that does not exist yet, in the nearest one that does."""
    folder = folder.absolute()
    try:
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            return os.access(folder, os.W_OK)
    except OSError:
        return False
