"""Trains the starter from random weights, by asking a trained network about photos that nobody has labelled.

    nice python -m training.train --teacher yolox-nano.onnx --photos photos.tar --minutes 60
    python -m training.train ... --resume          goes on where it stopped

At first each stage, of one or two convolutions, learns alone from the TEACHER's features to the teacher's next (see
`alone`). Then they are put together: each step shows one altered batch to the teacher and to the student, and pulls the
student's answers (Hinton et al. 2015) and the features at the end of each stage (Romero et al. 2015) to the teacher's.
The schedule follows the time used, so that it ends when the minutes are up.
"""

import argparse
import copy
import json
import math
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import distributed
from tqdm import tqdm

from training import ROOT
from yololab.vision.detector import Detector

from . import alone, losses, photos, truths
from .design import starter
from .evaluate import score
from .network import Network
from .teacher import Teacher

PHOTOS = 448  # of which cells are kept for the stages while they learn alone
STEPS = {"convolution": 800, "heads": 300}  # that these learn alone
RATE = 2e-3  # highest learning rate afterwards
SIDES = [(0.0, (224, 256, 320)), (0.7, (256, 288, 320, 352))]  # from which part of the time
PIXELS = {"cpu": 3 * 224**2, "cuda": 48 * 224**2}  # of a batch: small steps suit a student that gets so many targets
SHARES = {"coco": 4.0, "voc": 1.5, "flickr8k": 1.2, "fruit": 1.2, "renders": 16.0}  # how often one of a set is drawn


class Batches:
    """Altered photos with the teacher's answers; the next ones are made in a second thread."""

    def __init__(self, sets: dict, teacher: Teacher, device: str, seed: int, workers: int):
        self._stream, self._shape = photos.stream(sets, SHARES, seed, workers)
        self._chance = torch.Generator().manual_seed(seed)
        self._teacher, self._device = teacher, device
        self._thread = ThreadPoolExecutor(1)
        self._next = None

    def _make(self, count: int, side: int) -> tuple:
        self._shape[:] = count, side
        altered, boxes = next(self._stream)
        batch = photos.recolour(altered.to(self._device), self._chance)
        heads, features = self._teacher(batch)
        truths.correct(heads, boxes)
        return batch, heads, features

    def take(self, count: int, side: int) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        """Photos, the teacher's heads, its features. The batch after this one will have this shape."""
        ready = self._next or self._thread.submit(self._make, count, side)
        ready = ready.result()
        self._next = self._thread.submit(self._make, count, side)
        return ready


class Run:
    """One training run and its folder: the state, the checkpoints, the log."""

    def __init__(self, options: argparse.Namespace):
        self.folder: Path = options.run
        self.folder.mkdir(parents=True, exist_ok=True)
        self.device = options.device
        self.design = starter(options.size)
        (self.folder / "student.cfg").write_text(self.design.text)
        (self.folder / "student.names").write_text((ROOT / "yololab/vision/starter.names").read_text())
        self.stages = tuple(self.design.stages)
        self.teacher = Teacher(options.teacher, tuple(self.design.stages.values()), self.device)
        self.student = Network(self.design.text).to(self.device)
        self.student.start([0.0, 0.0, 1.0, 1.0, -4.0], -4.0)
        self.average = copy.deepcopy(self.student).requires_grad_(False)  # of the weights over time
        self.variances: list[torch.Tensor] = []
        groups = [{"params": [each], "share": self.student.share(each)} for each in self.student.parameters()]
        self.optimizer = torch.optim.Adam(groups, betas=(0.9, 0.98), fused=True)
        self.counts = {"steps": 0, "photos": 0, "seconds": 0.0}

    def save(self) -> None:
        """Keep the state, and the averaged weights as a model that the lab can load; all or nothing."""
        state = {"student": self.student.state_dict(), "average": self.average.state_dict(), "counts": self.counts,
                 "adam": self.optimizer.state_dict(), "variances": self.variances}  # fmt: skip
        torch.save(state, self.folder / "state.new")
        os.replace(self.folder / "state.new", self.folder / "state.pt")
        self.average.save(self.folder / "student.weights", self.counts["photos"])

    def load(self) -> None:
        state = torch.load(self.folder / "state.pt", map_location=self.device)
        self.counts, self.variances = state["counts"], state["variances"]
        self.student.load_state_dict(state["student"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["adam"])

    def log(self, **entries: object) -> None:
        with (self.folder / "log.jsonl").open("a") as file:
            print(json.dumps(self.counts | entries), file=file)

    def learn_alone(self, batches: Batches) -> None:
        """Let each stage learn alone; where several processes train, each has a part of the stages."""
        rank, processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        stages = [stage for _, _, stage in alone.stages(self.student, self.design.stages)]
        names = [stage.name for stage in sorted(stages, key=lambda stage: len(stage.convolutions))]  # a fair part
        cells = alone.Cells(self.student, self.design.stages, names[rank::processes])
        chance = torch.Generator().manual_seed(rank)
        while len(cells.heads) * 8 < PHOTOS:
            cells.add(*batches.take(8, (224, 256, 288)[len(cells.heads) % 3]), chance)
        for _, _, stage in tqdm(cells.stages, disable=rank > 0, unit=" stages"):
            if stage.name in cells.own:
                missed = stage.learn(STEPS["convolution"] * len(stage.convolutions), chance)
                self.log(stage=stage.name, missed=round(missed, 4))
        self.log(heads=cells.learn_heads(STEPS["heads"], chance))
        for stage in stages:
            for layer in stage.convolutions:
                agree(layer.state_dict().values(), names.index(stage.name) % processes)
        agree(cells.variances)
        agree(self.student.state_dict().values())
        self.variances = [channels + 0.01 * channels.mean() for channels in cells.variances]
        self.average.load_state_dict(self.student.state_dict())
        self.counts["photos"] += 8 * len(cells.heads) * processes

    @torch.no_grad()
    def begin_with(self, weights: Path, batches: Batches) -> None:
        """Go on from the weights of an earlier run, instead of random ones that learn alone.

        A file holds plain weights, so each convolution finds the principal components of its input anew.
        """
        self.student.load(weights)
        known = alone.Cells(self.student, self.design.stages, [])
        chance = torch.Generator().manual_seed(0)
        inputs: dict[int, list[torch.Tensor]] = {}

        def visit(number: int, x: torch.Tensor) -> torch.Tensor:
            layer = self.student.layers[number]
            answer = layer(x)
            count, _, height, width = answer.shape
            places = (torch.randint(most, (400,), generator=chance) for most in (count, height, width))
            inputs.setdefault(number, []).append(layer.cells(x, *places))
            return answer

        for _ in range(16):
            batch, heads, features = batches.take(8, 256)
            self.student(batch, visit=visit)
            known.add(batch, heads, features, chance)
        for number, found in inputs.items():
            self.student.layers[number].principal(torch.cat(found))
        self.variances = [channels + 0.01 * channels.mean() for channels in known.variances]
        self.average.load_state_dict(self.student.state_dict())
        self.counts["photos"] += 8 * len(known.heads)

    def step(self, batch: torch.Tensor, heads: list, features: list, progress: float, rate: float) -> dict:
        """Learn from one batch, float32 (N, 3, S, S), and what the teacher says of it; what the student missed."""
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device != "cpu"):
            answers, stages = self.student(batch, self.stages)
        missed = losses.answers(answers, heads)
        stagewise = losses.features(stages, features, self.variances)
        loss = sum(missed.values()) + (1 - 0.7 * progress) * stagewise.sum()
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self.optimizer.zero_grad()
        loss.backward()
        together(self.student)
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 50.0)
        self.optimizer.step()
        self.counts["steps"] += 1
        self.counts["photos"] += len(batch) * int(os.environ.get("WORLD_SIZE", 1))
        keep = min(0.995, (1 + self.counts["steps"]) / (20 + self.counts["steps"]))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.student.parameters()), 1 - keep)
        return {name: round(part.item(), 4) for name, part in missed.items()} | {
            "features": round(stagewise.mean().item(), 4), "worst": round(stagewise.max().item(), 4)}  # fmt: skip


def together(network: torch.nn.Module) -> None:
    """Where several processes train (torchrun): each learns from the mean of their gradients."""
    if distributed.is_initialized():
        gradients = [each.grad for each in network.parameters()]
        flat = torch.cat([each.flatten() for each in gradients])
        distributed.all_reduce(flat)
        for each, part in zip(gradients, flat.split([each.numel() for each in gradients]), strict=True):
            each.copy_(part.view_as(each) / distributed.get_world_size())


def agree(tensors: Iterable[torch.Tensor], owner: int = 0) -> None:
    """Give all processes the numbers of one of them."""
    if distributed.is_initialized():
        for tensor in tensors:
            if tensor.is_floating_point():
                distributed.broadcast(tensor, owner)


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
