"""Trains the starter from random weights, by asking a trained network about photos that nobody has labelled.

    nice python -m training.train --teacher yolox-nano.onnx --photos photos.tar --minutes 60
    python -m training.train ... --resume          goes on where it stopped

At first each stage, of one or two convolutions, learns alone from the TEACHER's features to the teacher's next (see
`alone`). Then they are put together: each step shows one altered batch to the teacher and to the student, and pulls the
student's answers (Hinton et al. 2015) and the features at the end of each stage (Romero et al. 2015) to the teacher's.
The schedule follows the time used, so that it ends when the minutes are up.
"""

import argparse
import math
import os
import time
from pathlib import Path

import torch
from torch import distributed
from tqdm import tqdm

from training import ROOT
from yololab.vision.detector import Detector

from . import photos
from .batches import Batches
from .evaluate import score
from .run import Run, agree

RATE = 2e-3  # highest learning rate after the stages have learned alone
SIDES = [(0.0, (224, 256, 320)), (0.7, (256, 288, 320, 352))]  # from which part of the time
PIXELS = {"cpu": 3 * 224**2, "cuda": 48 * 224**2}  # of a batch: small steps suit a student that gets so many targets


def train(options: argparse.Namespace) -> None:
    first = int(os.environ.get("RANK", 0)) == 0  # the process that keeps the log and the checkpoints
    if "WORLD_SIZE" in os.environ:
        distributed.init_process_group("gloo")
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    torch.set_num_threads(options.threads)
    run = Run(options)
    if options.resume:
        run.load()
    sets = photos.load(options.photos)
    if first:
        run.log(sets={name: len(found) for name, found in sets.items()})
    counts, total = run.counts, options.minutes * 60
    seed = counts["photos"] + int(os.environ.get("RANK", 0)) * 1_000_003
    batches = Batches(sets, run.teacher, run.device, seed, options.workers)
    chance = torch.Generator().manual_seed(counts["photos"])
    if not counts["photos"]:
        started = time.monotonic()
        if options.start:
            run.begin_with(options.start, batches)
        else:
            run.learn_alone(batches)
        counts["seconds"] += time.monotonic() - started
        if first:
            run.save()
    saved = judged = counts["seconds"]
    bar = tqdm(disable=not first, total=round(total), initial=round(counts["seconds"]), unit=" s", mininterval=10)
    while True:
        started = time.monotonic()
        agree([clock := torch.tensor(counts["seconds"], dtype=torch.float64)])
        counts["seconds"] = clock.item()
        if counts["seconds"] >= total:
            break
        progress = counts["seconds"] / total
        warm = min(1.0, (counts["steps"] + 1) / 40)
        rate = options.rate * warm * (0.02 + 0.98 * (1 + math.cos(math.pi * progress)) / 2)
        sides = [sides for since, sides in SIDES if since <= progress][-1]
        side = sides[torch.randint(len(sides), (), generator=chance)]
        shape = max(1, round(PIXELS[run.device] / side**2)), side
        batch, heads, features = batches.take(*shape)
        missed = run.step(batch, heads, features, progress, rate)
        counts["seconds"] += time.monotonic() - started
        bar.update(round(counts["seconds"]) - bar.n)
        if not first:
            continue
        if counts["steps"] % options.log_steps == 0:
            run.log(rate=round(rate, 6), **missed)
        if counts["seconds"] - saved > options.save * 60 or counts["seconds"] >= total:
            run.save()
            saved = counts["seconds"]
        if options.judge and (counts["seconds"] - judged > options.judge_minutes * 60 or counts["seconds"] >= total):
            run.average.save(run.folder / "student.weights", counts["photos"])
            judged = counts["seconds"]
            result = score(Detector(run.folder / "student.cfg", size=options.size), options.judge)
            run.log(ap=result.ap, ap50=result.ap50)
            bar.write(f"{counts['seconds'] / 60:.0f} min, {counts['photos']} photos: AP50 {result.ap50:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the starter model.")
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="folders or tar files of photos")
    parser.add_argument("--teacher", type=Path, required=True, help="YOLOX-Nano as an ONNX file")
    parser.add_argument("--judge", type=Path, help="COCO photos (annotations.json, images/) to measure AP on")
    parser.add_argument("--judge-minutes", type=float, default=12)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--size", type=int, default=320, help="side of the squares that it is to be fed, pixels")
    parser.add_argument("--save", type=float, default=4, help="minutes between checkpoints")
    parser.add_argument("--log-steps", type=int, default=25, help="steps between lines of the log")
    parser.add_argument("--workers", type=int, default=0, help="processes that prepare photos; 0: a thread")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch; more are slower where others compute, too")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--run", type=Path, default=ROOT / "build/training", help="where state and log are kept")
    parser.add_argument(
        "--rate", type=float, default=RATE, help="highest learning rate, after the stages learned alone"
    )
    parser.add_argument("--start", type=Path, help="the .weights of an earlier run to go on from")
    parser.add_argument("--resume", action="store_true")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
