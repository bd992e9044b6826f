"""One training run: the student, its average over time, the state that outlives a stop, one step of learning."""

import argparse
import copy
import json
import os
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import distributed
from tqdm import tqdm

from training import ROOT

from . import alone, losses
from .batches import Batches
from .design import starter
from .network import Network
from .teacher import Teacher

PHOTOS = 448  # of which cells are kept for the stages while they learn alone
STEPS = {"convolution": 800, "heads": 300}  # that these learn alone


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
