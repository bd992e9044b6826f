"""The container's promise: 2 GB of memory, the largest pictures three at once, and what is not refused is answered."""

import os
import shutil
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from benchmarks.client import Connection, prepare
from benchmarks.contenders import Contender, own

from .bench import PATH, Bench, Lines
from .costly.files import png, saved

LIMIT = 2 * 2**30  # bytes: mem_limit of deploy/compose.yaml
SIDE = 8000  # pixels
AT_ONCE = 3
GROUPS = Path("/sys/fs/cgroup")
JOIN = "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); os.execv(sys.argv[2], sys.argv[2:])"
RESOURCE = f"import os, resource, sys; resource.setrlimit(resource.RLIMIT_DATA, ({LIMIT}, {LIMIT})); "


@dataclass(frozen=True)
class Limited(Contender):
    """A contender that may take LIMIT bytes. prefix: the command that sets this."""

    prefix: tuple[str, ...] = ()

    def command(self, port: int, cfg: Path) -> list[str]:
        return [*self.prefix, *super().command(port, cfg)]


@contextmanager
def limit() -> Iterator[tuple[tuple[str, ...], str]]:
    """The start of a command that may take LIMIT bytes, and by what: systemd, a control group of our own, an rlimit.

    The last one holds for each process alone, so that the sum is to be looked at.
    """
    scope = ("systemd-run", "--scope", "--quiet", "-p", f"MemoryMax={LIMIT}", "-p", "MemorySwapMax=0")
    if shutil.which(scope[0]) and subprocess.run([*scope, "true"], capture_output=True).returncode == 0:
        yield scope, "systemd-run"
        return
    why = "systemd-run: no systemd runs here"
    try:
        group = _own_group()
    except OSError as error:
        why += f"; cgroup v2: {error}"
    else:
        try:
            yield (sys.executable, "-c", JOIN, str(group / "cgroup.procs")), "a control group of its own"
        finally:
            group.rmdir()
        return
    code = RESOURCE + "os.execv(sys.argv[1], sys.argv[1:])"
    yield (sys.executable, "-c", code), f"RLIMIT_DATA of each process ({why})"


def _own_group() -> Path:
    """A new control group (version 2) with the limit, below the one of this process; OSError where none can be made."""
    if not (GROUPS / "cgroup.controllers").exists():
        raise OSError("version 1 is mounted")
    line = next(each for each in Path("/proc/self/cgroup").read_text().splitlines() if each.startswith("0::"))
    group = GROUPS / line[3:].lstrip("/") / f"yololab-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.max").write_text(str(LIMIT))
        (group / "memory.swap.max").write_text("0")
    except OSError:
        group.rmdir()
        raise
    return group


def worst() -> dict[str, bytes]:
    """64 megapixels in the forms that take most memory; small files all of them."""
    plain = Image.new("RGB", (SIDE, SIDE), "gray")
    clear = Image.new("RGBA", (SIDE, SIDE), (90, 90, 90, 90))
    return {
        "WebP, one color": saved(plain, "WEBP", lossless=True),
        "WebP, one color with alpha": saved(clear, "WEBP", lossless=True),
        "PNG, RGBA": png(SIDE, 6, 8, _rows(4 * SIDE)),
        "PNG, RGBA, 16 bits": png(SIDE, 6, 16, _rows(8 * SIDE)),
        "PNG, gray, 16 bits": png(SIDE, 0, 16, _rows(2 * SIDE)),
        "JPEG, progressive": saved(plain, "JPEG", progressive=True),
    }


def _rows(length: int) -> bytes:
    deflate, row = zlib.compressobj(1), b"\0" + bytes([90]) * length
    return b"".join([*(deflate.compress(row) for _ in range(SIDE)), deflate.flush()])


def container(bench: Bench) -> Lines:
    """Each of the largest pictures three at once, as JSON and drawn; with one process and with two workers."""
    files, lines = worst(), []
    with limit() as (prefix, by):
        lines.append(("limit", f"{LIMIT / 2**30:g} GiB by {by}"))
        contender = Limited(**{**vars(own), "prefix": prefix})
        for workers in (1, 2):
            lines += _tried(bench, files, contender, workers)
    return lines


def _tried(bench: Bench, files: dict[str, bytes], contender: Limited, workers: int) -> Lines:
    statuses: Counter[int | str] = Counter()
    with bench.serving(workers, contender=contender) as server:
        asked, expected = bench.requests(server.port)
        processes = {server.process.pid, *(each.pid for each in server.process.children(recursive=True))}

        def ask(request: bytes) -> int | str:
            try:
                with Connection(server.port) as connection:
                    return connection.ask(request)[0]
            except OSError:
                return "lost"

        for data in files.values():
            for path in (PATH, "/predict"):
                with ThreadPoolExecutor(AT_ONCE) as clients:
                    statuses.update(clients.map(ask, [prepare(server.port, path, data, form=True)] * AT_ONCE))
        peak = server.peak_memory()
        after = {server.process.pid, *(each.pid for each in server.process.children(recursive=True))}
        same = bench.requests(server.port)[1] == expected and bool(asked)
    name = "one process" if workers == 1 else f"{workers} workers"
    return [
        (f"{name}: answers by status", ", ".join(f"{count} of {status}" for status, count in statuses.items())),
        (f"{name}: processes that ended", str(len(processes - after))),
        (f"{name}: peak memory of all processes", f"{peak:.0f} MiB"),
        (f"{name}: photos answered as before", "all" if same else "other answers"),
    ]


def kept(lines: Lines) -> bool:
    """Whether the promise was kept: no answer but 200, 413 and 503, no process ended, at most LIMIT bytes."""
    for what, figure in lines:
        if "by status" in what and {each.split(" of ")[1] for each in figure.split(", ")} - {"200", "413", "503"}:
            return False
        if ("ended" in what and figure != "0") or ("photos" in what and figure != "all"):
            return False
        if "peak" in what and float(figure.split()[0]) * 2**20 > LIMIT:
            return False
    return True
