"""What this process may use of the machine it runs on."""

import os
import platform
import socket
from math import ceil
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
CPUINFO = Path("/proc/cpuinfo")


def cores(cgroup: Path = CGROUP) -> int:
    """The CPU cores granted to this process, at least 1: its affinity, and a container's quota rounded up.

    cgroup: where Linux shows the control groups, of version 2 (cpu.max) or 1 (cpu/cpu.cfs_*).
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(affinity, ceil(_quota(cgroup) or affinity)))


def _quota(cgroup: Path) -> float | None:
    """The cores that a container's limit amounts to, None where it has none."""
    for files in ((cgroup / "cpu.max",), (cgroup / "cpu/cpu.cfs_quota_us", cgroup / "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join(file.read_text() for file in files).split()
            return float(quota) / float(period) if float(quota) > 0 else None
        except (OSError, ValueError):  # no such file; "max"
            continue
    return None


def cpu_name(cpuinfo: Path = CPUINFO) -> str:
    """The CPU's model as the system names it; its architecture where it names none.

    cpuinfo: where Linux describes it.
    """
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
