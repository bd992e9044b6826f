import threading

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
    (tmp_path / "holiday.jpg").write_bytes(b"x" * 100)
    (tmp_path / ".gitkeep").touch()
    path = Uploads(tmp_path, 30).keep(b"y" * 25, "image/jpeg")
    assert names(tmp_path) == {"holiday.jpg", ".gitkeep", path.name}


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
    threads = [threading.Thread(target=uploads.keep, args=(b"0123456789", "image/jpeg")) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(tmp_path)) == quota // 10
