"""A small disk for uploads and temporary files, which fills and empties."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SIZE = 64  # MiB
MOUNTED = "_YOLOLAB_SOAK_DISK"  # the variable that names the folder, in a process that has one mounted
FULL_FOR, EMPTY_FOR = 5, 25  # seconds


def in_own_namespace() -> None:
    """Start this program anew where a small tmpfs is mounted for it alone; go on without where that cannot be had.

    Nothing stays mounted: the namespace ends with the process.
    """
    if MOUNTED in os.environ or sys.platform != "linux" or not shutil.which("unshare"):
        return
    folder = tempfile.mkdtemp(prefix="yololab-soak-")
    mount = f'mount -t tmpfs -o size={SIZE}m none "{folder}"'
    if subprocess.run(["unshare", "--mount", "sh", "-c", mount], capture_output=True).returncode:
        os.rmdir(folder)
        return
    command = ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh"]
    environment = os.environ | {MOUNTED: folder}
    done = subprocess.run([*command, sys.executable, "-m", "benchmarks.reliability", *sys.argv[1:]], env=environment)
    os.rmdir(folder)
    sys.exit(done.returncode)


@contextmanager
def small_disk() -> Iterator[tuple[Path, bool]]:
    """A folder, and whether it is a file system of its own; without one it is never full."""
    if MOUNTED in os.environ:
        yield Path(os.environ[MOUNTED]), True
        return
    with tempfile.TemporaryDirectory(prefix="yololab-soak-") as folder:
        yield Path(folder), False


def fill(folder: Path, stop: threading.Event, times: list[int]) -> None:
    """Fill the disk for some seconds now and then, until told to stop; counts in times[0]."""
    path = folder / "filler"
    while not stop.wait(EMPTY_FOR):
        with suppress(OSError), path.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(2**16))
        times[0] += 1
        stop.wait(FULL_FOR)
        path.unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def files(folder: Path) -> list[str]:
    """What lies in the folder, but for the pictures that are meant to be kept."""
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.parent.name != "uploads")
