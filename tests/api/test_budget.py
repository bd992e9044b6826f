"""The budget of memory for decoded pictures."""

import threading

import pytest
from helpers import IMAGES, ready_client, wait_for, wait_ready

from yololab.api.budget import Budget


def test_work_waits_for_its_share_and_in_turn():
    budget, done, release = Budget(100), [], threading.Event()

    def work(name, count):
        with budget.share(count):
            done.append((name, budget.used))
            release.wait(60)

    threads = []
    for name, count in (("first", 60), ("large", 90), ("small", 10)):
        waiting = len(threads)
        threads.append(threading.Thread(target=work, args=(name, count)))
        threads[-1].start()
        if waiting:
            wait_for(lambda waiting=waiting: len(budget._waiting) == waiting, "the place in the line")
        else:
            wait_for(lambda: done, "the first one's turn")
    assert done == [("first", 60)], "the small one would fit, and waits: it came after the large one"
    release.set()
    for thread in threads:
        thread.join(60)
    assert [name for name, _ in done] == ["first", "large", "small"]
    assert max(used for _, used in done) <= 100 and budget.used == 0


def test_more_than_all_is_all():
    budget = Budget(100)
    with budget.share(10**9):
        assert budget.used == 100
    with pytest.raises(ValueError), budget.share(50):
        raise ValueError
    assert budget.used == 0


def test_requests_take_their_share_of_it(monkeypatch):
    with ready_client(keep=False, decoded_mb=64) as client:
        budget = wait_ready(client).app.state.service.budget
        assert budget.total == 64 * 2**20
        taken, share = [], budget.share
        monkeypatch.setattr(budget, "share", lambda count: taken.append(count) or share(count))
        data = (IMAGES / "fruit.jpg").read_bytes()
        for path in ("/v1/detections", "/predict"):
            assert client.post(path, files={"file": data}).status_code == 200
        assert taken[0] >= 640 * 480 * 3 and taken[1] > taken[0], "a drawn picture takes more"
        assert client.post("/v1/detections", files={"file": b"\xff\xd8\xff broken"}).status_code == 400
        assert budget.used == 0
