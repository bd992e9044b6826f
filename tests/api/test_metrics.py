"""What is counted, by one process and by several that share a folder."""

import os
import shutil

import pytest
from prometheus_client.parser import text_string_to_metric_families

from yololab.api.metrics import Metrics, server_timing


def values(metrics):
    """Each sample's value, by name and labels."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


@pytest.fixture
def pair(tmp_path):
    """Two that count together; both would be in one process each."""
    first, second = Metrics(), Metrics()
    for metrics in (first, second):
        metrics.share(tmp_path / "shared")
    first.requests.labels("/predict", 200).inc(3)
    second.requests.labels("/predict", 200).inc(4)
    second.stage.labels("decode").observe(0.3)
    first.waiting.set(2)
    second.waiting.set(5)
    for metrics in (first, second):
        metrics.save()
    return first, second


def test_each_answers_for_all(pair):
    for metrics in pair:
        found = values(metrics)
        assert found["yololab_requests_total", "/predict", "200"] == 7
        assert found["yololab_stage_seconds_bucket", "0.5", "decode"] == 1
        assert found["yololab_stage_seconds_bucket", "0.2", "decode"] == 0
        assert found["yololab_stage_seconds_count", "decode"] == 1
        assert found["yololab_waiting",] == 7


def test_the_text_of_one_that_shares_with_nobody_is_what_it_is_alone(tmp_path):
    metrics = Metrics()
    metrics.requests.labels("/predict", 200).inc(3)
    alone = {key: value for key, value in values(metrics).items() if not key[0].endswith("_created")}
    metrics.share(tmp_path)
    assert values(metrics) == alone


def test_of_a_process_that_has_ended_the_counters_stay_and_the_gauges_go(pair, tmp_path):
    for path in (tmp_path / "shared").glob("*.json"):
        os.utime(path, (1, 1))  # nothing has been written for long
    found = values(pair[0])
    assert found["yololab_requests_total", "/predict", "200"] == 7 and found["yololab_waiting",] == 2


def test_a_folder_that_is_removed_is_made_anew(pair, tmp_path):
    first, second = pair
    shutil.rmtree(tmp_path / "shared")
    assert values(first)["yololab_requests_total", "/predict", "200"] == 3  # what it has
    second.save()
    assert values(first)["yololab_requests_total", "/predict", "200"] == 7


def test_a_folder_that_cannot_be_written_costs_one_warning_and_no_request(tmp_path, caplog):
    (tmp_path / "file").touch()
    metrics = Metrics()
    metrics.share(tmp_path / "file" / "below")
    metrics.requests.labels("/predict", 200).inc()
    for _ in range(3):
        metrics.save()
        assert values(metrics)["yololab_requests_total", "/predict", "200"] == 1
    assert len(caplog.records) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[["])
def test_a_file_that_is_cut_off_is_left_out(pair, tmp_path, content):
    (tmp_path / "shared" / "1-00000000.json").write_bytes(content)
    assert values(pair[0])["yololab_requests_total", "/predict", "200"] == 7


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full, a disk without room")
def test_a_full_disk_costs_no_request(pair, tmp_path):
    first, _ = pair
    (first._shared._own.with_suffix(".part")).symlink_to("/dev/full")
    first.requests.labels("/predict", 200).inc()
    assert values(first)["yololab_requests_total", "/predict", "200"] == 8


def test_without_the_folder_of_prometheus_client_it_says_what_it_has(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "missing"))
    metrics = Metrics()
    metrics.requests.labels("/predict", 200).inc()
    assert values(metrics)["yololab_requests_total", "/predict", "200"] == 1
    assert "cannot be read" in caplog.text


def test_seconds_as_a_server_timing_header():
    assert server_timing({"decode": 0.0123, "detect": 1}) == "decode;dur=12.30, detect;dur=1000.00"
