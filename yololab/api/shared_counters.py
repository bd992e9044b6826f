"""The counters of several processes in one folder: each writes its own, and any of them adds them up."""

import json
import logging
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from threading import Lock
from time import time
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

LIVE = 10  # seconds: the gauges of a process that has written nothing for longer are left out, its counters stay

ENDED = "ended.json"  # the counters of all processes that have ended, and which files they were in
REMEMBERED = 100  # names of such files

Family = list[Any]
"""Name, documentation, type, and a list of samples: [name, labels, value]."""


class SharedCounters:
    """One process's place among those that share `folder`.

    Counting itself touches no file, so a full disk or a folder that somebody has removed never stops a request: the
    folder is made anew, and until then `text` says what this process has counted.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = (
            folder / f"{os.getpid()}-{_began(os.getpid())}-{token_hex(4)}.json"
        )  # never the name of a process that has ended
        self._lock, self._failing = Lock(), False

    def write(self, registry: CollectorRegistry) -> None:
        """Replace this process's file; a failure is logged once."""
        part = self._own.with_suffix(".part")
        try:
            with self._lock:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                part.write_text(json.dumps(_families(registry)), encoding="utf-8")
                part.replace(self._own)
            self._failing = False
        except OSError as error:
            if not self._failing:
                logger.warning("the counters of process %d are not shared in %s: %s", os.getpid(), self._folder, error)
            self._failing = True

    def text(self, registry: CollectorRegistry) -> bytes:
        """The sums over all processes in the Prometheus text format; of this one, what it has counted until now."""
        self.write(registry)
        self._fold()
        total = CollectorRegistry()
        total.register(_Sum([*self._others(), *_families(registry)]))
        return generate_latest(total)

    def _others(self) -> list[Family]:
        """What the other processes have counted. Those that have ended come last: `_fold` may be at work meanwhile."""
        found = {path.name: families for path in self._folder.glob("*.json") if (families := self._read(path))}
        ended, names = _ended(self._folder / ENDED)
        return [*ended, *(each for name, families in found.items() if name not in names for each in families)]

    def _read(self, path: Path) -> list[Family]:
        try:
            if path.name in (self._own.name, ENDED):
                return []
            live = time() - path.stat().st_mtime < LIVE
            families: list[Family] = json.loads(path.read_bytes())
        except (OSError, ValueError):  # removed, or cut off by a full disk
            return []
        return [family for family in families if live or family[2] != "gauge"]

    def _fold(self) -> None:
        """Put the counters of processes that have ended into one file, so that there is no file for each of them."""
        if fcntl is None:
            return
        try:
            dead = [path for path in self._folder.glob("*.json") if path.name != ENDED and not _lives(path)]
            if not dead:
                return
            place = os.open(self._folder, os.O_RDONLY)
            try:
                fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)  # one process at a time
                ended, names = _ended(self._folder / ENDED)
                new = [path for path in dead if path.name not in names]
                counted = [each for path in new for each in self._read(path) if each[2] != "gauge"]
                total = _families(_Sum([*ended, *counted]))
                part = self._own.with_suffix(".ended.part")
                part.write_text(json.dumps([[*names, *(path.name for path in new)][-REMEMBERED:], total]))
                part.replace(self._folder / ENDED)
                for path in dead:
                    path.unlink(missing_ok=True)
            finally:
                os.close(place)  # which unlocks it
        except OSError:  # another process is at it, or the disk is full: next time
            return


def _ended(path: Path) -> tuple[list[Family], list[str]]:
    """The counters of processes that have ended, and the names of the files that they were in."""
    try:
        names, families = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return [], []
    return families, names


def _lives(path: Path) -> bool:
    """Whether the process that wrote a file is still there, and not another one that has got its number."""
    try:
        pid, began = path.name.split("-")[:2]
        os.kill(int(pid), 0)
        return not began.isdigit() or _began(int(pid)) in (began, "")
    except ProcessLookupError:
        return False
    except (OSError, ValueError):
        return True


def _began(pid: int) -> str:
    """When a process began, in ticks since the machine did (Linux's proc(5)); nothing where that is not told."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


class _Sum:
    """Families of the same name as one metric, its samples added up."""

    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        kinds: dict[str, Metric] = {}
        sums: dict[str, dict[tuple[Any, ...], float]] = defaultdict(lambda: defaultdict(float))
        for name, documentation, kind, samples in self._families:
            kinds.setdefault(name, Metric(name, documentation, kind))
            for sample, labels, value in samples:
                sums[name][sample, *labels.items()] += value
        for name, metric in kinds.items():
            for (sample, *labels), value in sums[name].items():
                metric.add_sample(sample, dict(labels), value)
            yield metric


def _families(registry: "CollectorRegistry | _Sum") -> list[Family]:
    return [
        [
            metric.name,
            metric.documentation,
            metric.type,
            [[each.name, each.labels, each.value] for each in metric.samples if not each.name.endswith("_created")],
        ]
        for metric in registry.collect()
    ]
