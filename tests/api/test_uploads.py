"""Annotated results that are kept: names, quota, failures."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from yololab.api.uploads import Uploads


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_a_kept_file_holds_the_bytes_under_a_name_of_ours(tmp_path):
    path = Uploads(tmp_path / "new" / "folder", 100).keep(b"12345", "image/png")
    assert path.read_bytes() == b"12345" and path.suffix == ".png" and path.parent == tmp_path / "new" / "folder"


def test_the_oldest_make_room(tmp_path):
    uploads = Uploads(tmp_path, 30)
    for hour in range(3):  # as if kept earlier
        (tmp_path / f"20200101-0{hour}0000-00000000.jpg").write_bytes(b"x" * 10)
    path = uploads.keep(b"y" * 15, "image/jpeg")
    assert names(tmp_path) == {"20200101-020000-00000000.jpg", path.name}


def test_what_is_not_ours_stays(tmp_path):
    theirs = {"holiday.jpg", ".gitkeep", "2024-05-12-holiday.jpg", "20240512-120000-0123456z.jpg", "1-2-3.png",
              "20240512-120000-01234567.jpg.txt", "x20240512-120000-01234567.jpg"}  # fmt: skip
    for name in theirs:
        (tmp_path / name).write_bytes(b"x" * 100)
    uploads = Uploads(tmp_path, 30)
    uploads.keep(b"x" * 25, "image/jpeg")
    path = uploads.keep(b"y" * 25, "image/jpeg")
    assert names(tmp_path) == theirs | {path.name}


def test_what_can_never_fit_is_not_kept_and_costs_nothing(tmp_path):
    uploads = Uploads(tmp_path, 30)
    path = uploads.keep(b"y" * 25, "image/jpeg")
    assert uploads.keep(b"z" * 31, "image/jpeg") is None
    assert names(tmp_path) == {path.name}


def test_a_full_disk_costs_the_copy_not_the_answer(tmp_path, monkeypatch, caplog):
    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    assert Uploads(tmp_path, 100).keep(b"12345", "image/jpeg") is None
    assert "No space left" in caplog.text and names(tmp_path) == set()


def test_a_folder_that_cannot_be_made_is_said(tmp_path, caplog):
    (tmp_path / "file").touch()
    assert Uploads(tmp_path / "file", 100).keep(b"12345", "image/jpeg") is None
    assert "was not kept" in caplog.text


@pytest.mark.parametrize("quota", [0, 40])
def test_many_threads_stay_in_the_quota(tmp_path, quota):
    uploads = Uploads(tmp_path, quota)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: uploads.keep(b"0123456789", "image/jpeg"), range(20)))
    assert quota // 10 - 1 <= len(names(tmp_path)) + (quota == 0) <= max(1, quota // 10)


def test_several_processes_stay_near_the_quota_and_lose_nothing(tmp_path, caplog):
    """As two workers would: each with a memory of its own, both in one folder."""
    quota = 4000
    workers = [Uploads(tmp_path, quota) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        kept = list(pool.map(lambda number: workers[number % 4].keep(b"x" * 10, "image/jpeg"), range(1200)))
    assert all(kept) and not caplog.records
    assert 0.7 * quota <= 10 * len(names(tmp_path)) <= 1.1 * quota


def test_a_full_folder_is_not_listed_for_each_picture(tmp_path, monkeypatch):
    uploads, listed = Uploads(tmp_path, 10_000), []
    original = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: listed.append(folder) or original(folder))
    for _ in range(3000):
        uploads.keep(b"0123456789", "image/jpeg")
    assert len(listed) < 300
