"""The mean of the weights with which several runs ended, each of which went on from the one before.

    python -m training.average build/first build/second build/third --judge COCO_SAMPLE --run build/mean

Such a mean is often better than each of them (Wortsman et al. 2022, Model soups). The log of the new folder holds
those of all runs, one after the other, so `publish` can tell the whole history.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np

from yololab.vision.darknet.plan import header
from yololab.vision.detector import Detector

from .evaluate import score

COUNTS = ("steps", "photos", "seconds")


def mean(files: list[bytes]) -> bytes:
    """The mean of .weights files of one network, with the header of the last. Raises ValueError for other sizes."""
    start = header(files[-1][:8])
    numbers = [np.frombuffer(each, "<f4", offset=header(each[:8])) for each in files]
    if len({len(each) for each in numbers}) > 1:
        raise ValueError("The runs have networks of other sizes: average those of one design.")
    return files[-1][:start] + np.mean(numbers, 0, dtype=np.float64).astype("<f4").tobytes()


def joined(logs: list[list[dict]]) -> list[dict]:
    """The entries of all logs, with counts that go on from one log to the next."""
    before, entries = dict.fromkeys(COUNTS, 0), []
    for log in logs:
        entries += [each | {name: each[name] + before[name] for name in COUNTS} for each in log]
        before = {name: entries[-1][name] for name in COUNTS}
    return entries


def main() -> None:
    parser = argparse.ArgumentParser(description="Average the weights of several runs.")
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs, the last one last")
    parser.add_argument("--judge", type=Path, help="COCO photos (annotations.json, images/) to measure AP on")
    parser.add_argument("--run", type=Path, required=True, help="folder for the result")
    options = parser.parse_args()
    options.run.mkdir(parents=True, exist_ok=True)
    for suffix in ("cfg", "names"):
        shutil.copy(options.runs[-1] / f"student.{suffix}", options.run)
    weights = mean([(run / "student.weights").read_bytes() for run in options.runs])
    (options.run / "student.weights").write_bytes(weights)
    entries = joined(
        [[json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()] for run in options.runs]
    )
    if options.judge:
        result = score(Detector(options.run / "student.cfg"), options.judge)
        last = {name: entries[-1][name] for name in COUNTS}
        entries.append(last | {"ap": result.ap, "ap50": result.ap50, "mean of": len(options.runs)})
    with (options.run / "log.jsonl").open("w") as log:
        log.writelines(f"{json.dumps(each)}\n" for each in entries)


if __name__ == "__main__":
    main()
