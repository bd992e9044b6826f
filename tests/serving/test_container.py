"""2 GB of memory, as deploy/compose.yaml grants: the largest pictures at once cost no process and no answer."""

import sys

import pytest
import yaml
from helpers import IMAGES, PACKAGE, ROOT

from benchmarks.reliability.bench import Bench
from benchmarks.reliability.container import LIMIT, container, kept, limit

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")]


def test_the_limit_is_that_of_compose():
    assert yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]["api"]["mem_limit"] == "2g"
    assert LIMIT == 2 * 2**30
    with limit() as (prefix, by):
        assert prefix and by


@pytest.mark.timeout(600)
def test_the_largest_pictures_three_at_once_fit_the_container():
    (ROOT / "build").mkdir(exist_ok=True)
    photos = [(IMAGES / name).read_bytes() for name in ("apple.jpg", "fruit.jpg")]
    lines = container(Bench(PACKAGE / "starter.cfg", photos, []))
    assert kept(lines), lines


@pytest.mark.parametrize(
    "line",
    [("one process: answers by status", "3 of 200, 1 of lost"), ("one process: processes that ended", "1"),
     ("2 workers: peak memory of all processes", "2100 MiB"),
      ("2 workers: photos answered as before", "other answers")],
)  # fmt: skip
def test_a_broken_promise_is_seen(line):
    assert kept([("one process: answers by status", "3 of 200, 1 of 503")]) and not kept([line])
