"""What a server holds while nothing is asked of it, before and after."""

from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from benchmarks.contenders import Running
from benchmarks.reliability.bench import metric

from .disk import files

MEMORY = 30  # MB that may be added
SETTLED = 60  # seconds at most


@dataclass(frozen=True)
class State:
    """What a server holds while nothing is asked of it. memory: MB, of all its processes."""

    memory: float
    descriptors: int
    threads: int
    files: list[str]
    metric_files: int


def settled(server: Running, folder: Path, before: State | None = None) -> State:
    """What the server holds once its connections have ended, and its descriptors and files are as few as before."""
    deadline = monotonic() + SETTLED
    while True:
        sleep(1)
        idle = metric(server.port, "yololab_live_connections") == 0  # asking also puts counters of the ended together
        found = look(server, folder)
        if monotonic() > deadline or (idle and (before is None or not left(before, found))):
            return found


def look(server: Running, folder: Path) -> State:
    family = [server.process, *server.process.children(recursive=True)]
    names = files(folder)
    shared = [name for name in names if "yololab-metrics-" in name and name.endswith(".json")]
    shared = [name for name in shared if not name.endswith("ended.json")]
    return State(
        sum(each.memory_info().rss for each in family) / 1e6,
        sum(each.num_fds() for each in family),
        sum(each.num_threads() for each in family),
        [name for name in names if "yololab-metrics-" not in name],
        len(shared),
    )


def left(before: State, after: State, steady: bool = True) -> list[str]:
    """What there is more of than before, a line each.

    steady: the server has run long enough for its memory, descriptors and threads to count, too.
    """
    lines = [f"left: {name}" for name in sorted(set(after.files) - set(before.files))]
    if steady and after.memory > before.memory + MEMORY:
        lines.append(f"memory: {before.memory:.0f} MB before, {after.memory:.0f} MB after")
    for name in ("descriptors", "threads", "metric_files") if steady else ("metric_files",):
        was, now = getattr(before, name), getattr(after, name)
        if now > was:
            lines.append(f"{name.replace('_', ' ')}: {was} before, {now} after")
    return lines
