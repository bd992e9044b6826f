"""The detectors of one process, loaded once each."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from .detector import Detector
from .models import Model, find

State = tuple[tuple[int, int] | None, ...]


class Detectors:
    """The detectors of one process: each model is loaded at its first use, and anew once its files have changed.

    A detector whose files are gone goes on. At most `most` are kept, those used last; one that is replaced or no longer
    kept lives until its last caller is done.
    """

    def __init__(
        self, folders: Sequence[Path], engine: str = "auto", threads: int | None = None, most: int | None = None
    ) -> None:
        self._folders, self._engine, self._threads, self._most = folders, engine, threads, most
        self._loaded: dict[str, tuple[Detector, State]] = {}
        self._locks: dict[str, Lock] = {}
        self._guard = Lock()

    def loaded(self, name: str) -> Detector | None:
        """The detector called `name` where it has been loaded."""
        return self._loaded[name][0] if name in self._loaded else None

    def is_outdated(self, name: str) -> bool:
        """Whether the detector called `name` is loaded, and its files have changed since."""
        return name in self._loaded and self._current(name) is None

    def __getitem__(self, name: str) -> Detector:
        """The detector called `name`; waits while another thread loads it. Raises as `Detector` does."""
        if detector := self._current(name):
            return self._used(name, detector)
        model = find(name, self._folders)  # before a lock is made: names come from strangers
        with self._guard:
            lock = self._locks.setdefault(name, Lock())
        with lock:
            if detector := self._current(name):
                return self._used(name, detector)
            # before it is read: what changes meanwhile is noticed at the next use
            state = _state(model, model.weight_files)
            detector = Detector(model, self._engine, threads=self._threads)
            self._loaded[name] = detector, state
            return self._used(name, detector)

    def _used(self, name: str, detector: Detector) -> Detector:
        """Note that it is the last one used; forget the one that was not for longest, if there are too many."""
        with self._guard:
            if name in self._loaded:
                self._loaded[name] = self._loaded.pop(name)
            while self._most and len(self._loaded) > self._most:
                del self._loaded[next(iter(self._loaded))]
        return detector

    def _current(self, name: str) -> Detector | None:
        """The detector that was loaded from the files as they are now."""
        detector, state = self._loaded.get(name, (None, ()))
        if detector is None:
            return None
        weights = detector.model.weight_files
        now = _state(detector.model, weights)
        gone = None in now[: 1 + len(weights)]
        return detector if now == state or gone else None


def _state(model: Model, weights: Sequence[Path]) -> State:
    """Size and time of a model's files, None for one that is not there: its network, its weights, the others."""
    own = (model.path, *weights, model.names, *(model.path.with_suffix(end) for end in (".names", ".toml")))
    state: list[tuple[int, int] | None] = []
    for path in own:
        try:
            found = path.stat()
            state.append((found.st_size, found.st_mtime_ns))
        except OSError:
            state.append(None)
    return tuple(state)
