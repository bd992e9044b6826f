"""Trains the starter from random weights, by asking a trained network about photos that nobody has labelled.

    nice python -m training.train --photos ../shared/photos/photos.tar --minutes 120
    python -m training.train --photos ... --resume          goes on where it stopped

Each step shows one altered batch to the teacher and to the student, and pulls the student's answers (Hinton et al.
2015) and the features at the end of each stage (Romero et al. 2015) to the teacher's. At first each stage gets the
TEACHER's features as its input, so that all stages learn at once, each a short network of its own; then they are
put together. The schedule follows the time used, so that it ends when the minutes are up.
"""

import argparse
import copy
import json
import math
import os
import time
from pathlib import Path

import torch
from tqdm import tqdm

from training import ROOT
from yololab.vision.detector import Detector

from . import losses, photos
from .design import STAGES, starter
from .evaluate import score
from .network import Network
from .teacher import Teacher

ALONE = 0.2  # part of the time in which the stages learn alone
RATES = {True: 1e-2, False: 2e-3}  # highest learning rate while they do, and afterwards
SIDES = [(0.0, (192, 224, 256)), (0.4, (224, 256, 320)), (0.75, (256, 320, 416))]  # from which part of the time
PIXELS = 8 * 256**2  # of a batch: small steps suit a student that gets so many targets from each photo
SHARES = {"coco": 4.0, "voc": 1.5, "flickr8k": 1.2, "fruit": 1.2, "renders": 6.0}  # how often one of a set is drawn


class Run:
    """One training run and its folder: the state, the checkpoints, the log."""

    def __init__(self, options: argparse.Namespace):
        self.folder: Path = options.run
        self.folder.mkdir(parents=True, exist_ok=True)
        self.device = options.device
        self.design = starter()
        (self.folder / "student.cfg").write_text(self.design.text)
        (self.folder / "student.names").write_text((ROOT / "yololab/vision/starter.names").read_text())
        self.taps = tuple(self.design.stages.values())
        self.teacher = Teacher(options.teacher, tuple(STAGES[name] for name in self.design.stages), self.device)
        self.student = Network(self.design.text)
        for head in [layer for layer in self.student.layers if getattr(layer, "norm", 0) is None]:
            torch.nn.init.normal_(head.conv.weight, 0, 0.01)
            torch.nn.init.constant_(head.conv.bias, 0)
            torch.nn.init.constant_(head.conv.bias.view(3, 85)[:, 4:], -4)  # starts by seeing nothing
        self.average = copy.deepcopy(self.student).requires_grad_(False).to(self.device)  # of the weights over time
        self.student.to(self.device, memory_format=torch.channels_last)
        self.features = losses.Features([self.student.channels[tap] for tap in self.taps]).to(self.device)
        decayed = [parameter for parameter in self.student.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in self.student.parameters() if parameter.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 0.02}, {"params": others, "weight_decay": 0}]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
        self.counts = {"steps": 0, "photos": 0, "seconds": 0.0}

    def parts(self) -> dict[str, object]:
        return {"student": self.student, "average": self.average, "features": self.features, "adam": self.optimizer}

    def save(self) -> None:
        """Keep the state, and the averaged weights as a model that the lab can load; all or nothing."""
        state = {name: part.state_dict() for name, part in self.parts().items()} | {"counts": self.counts}
        torch.save(state, self.folder / "state.new")
        os.replace(self.folder / "state.new", self.folder / "state.pt")
        self.average.save(self.folder / "student.weights", self.counts["photos"])

    def load(self) -> None:
        state = torch.load(self.folder / "state.pt", map_location=self.device)
        self.counts = state["counts"]
        for name, part in self.parts().items():
            part.load_state_dict(state[name])

    def log(self, **entries: object) -> None:
        with (self.folder / "log.jsonl").open("a") as file:
            print(json.dumps(self.counts | entries), file=file)

    def step(self, batch: torch.Tensor, progress: float, rate: float, alone: bool) -> dict[str, float]:
        """Learn from one batch, float32 (N, 3, S, S); what it missed."""
        answers, features = self.teacher(batch)
        batch = batch.contiguous(memory_format=torch.channels_last)
        instead = dict(zip(self.taps, features, strict=True)) if alone else None
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device != "cpu"):
            heads, stages = self.student(batch, self.taps, instead)
        missed = losses.answers(heads, answers)
        stagewise = self.features(stages, features)
        loss = sum(missed.values()) + (4 - 3 * progress) * stagewise.sum()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 50.0)
        self.optimizer.step()
        self.counts["steps"] += 1
        self.counts["photos"] += len(batch)
        keep = min(0.999, (1 + self.counts["steps"]) / (20 + self.counts["steps"]))
        with torch.no_grad():
            means, latest = (
                [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
                for network in (self.average, self.student)
            )
            torch._foreach_lerp_(means, latest, 1 - keep)
        return {name: part.item() for name, part in missed.items()} | {
            name: round(part, 4) for name, part in zip(self.design.stages, stagewise.tolist(), strict=True)
        }


def train(options: argparse.Namespace) -> None:
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    run = Run(options)
    if options.resume:
        run.load()
    sets = photos.load(options.photos)
    run.log(sets={name: len(found) for name, found in sets.items()})
    counts, total = run.counts, options.minutes * 60
    batches, shape = photos.stream(sets, SHARES, counts["photos"], options.workers)
    chance = torch.Generator().manual_seed(counts["photos"])
    saved = judged = counts["seconds"]
    bar = tqdm(total=round(total), initial=round(counts["seconds"]), unit=" s", mininterval=5)
    while counts["seconds"] < total:
        started = time.monotonic()
        progress = counts["seconds"] / total
        alone = progress < ALONE
        part = progress / ALONE if alone else (progress - ALONE) / (1 - ALONE)
        warm = min(1.0, (counts["steps"] + 1) / 100)
        rate = RATES[alone] * warm * (0.02 + 0.98 * (1 + math.cos(math.pi * part)) / 2)
        sides = [sides for since, sides in SIDES if since <= progress][-1]
        side = sides[torch.randint(len(sides), (), generator=chance)]
        shape[:] = round(PIXELS / side**2), side
        missed = run.step(photos.recolour(next(batches).to(run.device), chance), progress, rate, alone)
        counts["seconds"] += time.monotonic() - started
        bar.update(round(counts["seconds"]) - bar.n)
        if counts["steps"] % 200 == 0:
            run.log(alone=alone, rate=round(rate, 6), **missed)
            bar.set_postfix(photos=counts["photos"], missed=f"{sum(missed.values()):.2f}")
        if counts["seconds"] - saved > options.save * 60 or counts["seconds"] >= total:
            run.save()
            saved = counts["seconds"]
        if options.judge and (counts["seconds"] - judged > options.judge_minutes * 60 or counts["seconds"] >= total):
            run.average.save(run.folder / "student.weights", counts["photos"])
            judged = counts["seconds"]
            result = score(Detector(run.folder / "student.cfg"), options.judge)
            run.log(ap=result.ap, ap50=result.ap50)
            bar.write(f"{counts['seconds'] / 60:.0f} min, {counts['photos']} photos: AP50 {result.ap50:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the starter model.")
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="folders or tar files of photos")
    parser.add_argument("--teacher", type=Path, default=ROOT / "../shared/weights/yolo-fastest-1.1-xl.cfg")
    parser.add_argument("--judge", type=Path, help="COCO photos (annotations.json, images/) to measure AP on")
    parser.add_argument("--judge-minutes", type=float, default=10)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--save", type=float, default=4, help="minutes between checkpoints")
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare photos")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--run", type=Path, default=ROOT / "build/training", help="where state and log are kept")
    parser.add_argument("--resume", action="store_true")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
