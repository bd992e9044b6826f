"""The counters of several processes in one folder: their sum, also of those that have ended."""

import os
import subprocess
import sys
import threading

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge

from yololab.api.shared_counters import ENDED, SharedCounters

COUNT = """
import sys
from pathlib import Path
from prometheus_client import CollectorRegistry, Counter, Gauge
from yololab.api.shared_counters import SharedCounters
registry = CollectorRegistry()
Counter("pictures", "Pictures", registry=registry).inc(int(sys.argv[2]))
Gauge("waiting", "Waiting", registry=registry).set(5)
SharedCounters(Path(sys.argv[1])).write(registry)
"""
needs_flock = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock: a file of each process stays")


def ended(folder, count: int) -> None:
    """A process that counts and ends."""
    subprocess.run([sys.executable, "-c", COUNT, str(folder), str(count)], check=True)


@pytest.fixture
def own():
    registry = CollectorRegistry()
    Counter("pictures", "Pictures", registry=registry).inc(1)
    Gauge("waiting", "Waiting", registry=registry).set(2)
    return registry


def test_what_ended_processes_have_counted_stays_in_the_sum_and_their_files_go(tmp_path, own):
    shared = SharedCounters(tmp_path)
    for number in range(1, 4):
        ended(tmp_path, 10 * number)
        for _ in range(2):
            assert (
                f"pictures_total {1 + sum(10 * each for each in range(1, number + 1))}.0" in shared.text(own).decode()
            )
        if sys.platform != "win32":
            assert len(list(tmp_path.iterdir())) == 2
            assert (tmp_path / ENDED).exists()
            assert "waiting 2.0" in shared.text(own).decode()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says when a process began")
def test_another_process_with_the_same_number_keeps_no_file(tmp_path, own):
    ended(tmp_path, 10)
    (path,) = tmp_path.glob("*.json")
    path.rename(tmp_path / f"{os.getpid()}-1-00000000.json")
    assert "pictures_total 11.0" in SharedCounters(tmp_path).text(own).decode()
    assert not list(tmp_path.glob("*-1-*"))


@needs_flock
def test_a_file_that_could_not_be_removed_is_not_counted_twice(tmp_path, own):
    ended(tmp_path, 10)
    (path,) = tmp_path.glob("*.json")
    kept, shared = path.read_bytes(), SharedCounters(tmp_path)
    shared.text(own)
    path.write_bytes(kept)
    assert "pictures_total 11.0" in shared.text(own).decode() and not path.exists()


@needs_flock
def test_a_full_disk_loses_no_count(tmp_path, own, monkeypatch):
    ended(tmp_path, 10)
    shared = SharedCounters(tmp_path)
    shared.write(own)

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.write_text", full)
        assert "pictures_total 11.0" in shared.text(own).decode()
        assert not (tmp_path / ENDED).exists()
    assert "pictures_total 11.0" in shared.text(own).decode() and (tmp_path / ENDED).exists()


def test_a_damaged_file_costs_only_what_was_in_it(tmp_path, own):
    shared = SharedCounters(tmp_path)
    for content in (b"", b"{", b"[["):
        (tmp_path / ENDED).write_bytes(content)
        assert "pictures_total 1.0" in shared.text(own).decode()


@needs_flock
def test_several_that_ask_at_once_see_one_sum(tmp_path, own):
    for _ in range(3):
        ended(tmp_path, 10)
    shared, found = [SharedCounters(tmp_path) for _ in range(4)], []
    for each in shared:
        each.write(CollectorRegistry())

    def ask(each):
        found.extend("pictures_total 31.0" in each.text(own).decode() for _ in range(20))

    shared[0].write(own)
    threads = [threading.Thread(target=ask, args=(shared[0],)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80 and all(found)
