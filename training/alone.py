"""The first part of the training: each stage of the student alone, from the teacher's features to the teacher's next.

A stage is a 1x1 convolution, or a depthwise one and a 1x1, so what it answers for a cell depends on a few cells of its
input. So photos are not needed each time: cells of many photos are kept, and each stage learns from them in any order.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from . import losses
from .network import Convolution, Network

CELLS = 40  # of each photo and stage
TOGETHER = 512  # cells that a step sees
RATE = 1e-2  # highest learning rate


@dataclass
class Stage:
    """What is known of one stage; lists have an entry for each batch of photos."""

    name: str
    convolutions: list[Convolution]
    inputs: list[Tensor] = field(default_factory=list)  # (cells, groups, inputs) of the first convolution
    answers: list[Tensor] = field(default_factory=list)  # (cells, filters) of the last one, activated

    def learn(self, steps: int, chance: torch.Generator) -> float:
        """Learn from the cells; which share of the variance is missed in cells not learned from."""
        inputs, answers = torch.cat(self.inputs), torch.cat(self.answers)
        count = len(inputs) * 15 // 16
        variance = answers.var(0)
        variance += 0.01 * variance.mean()
        first, *second = self.convolutions
        first.principal(inputs[:count])
        inputs = torch.bmm((inputs.transpose(0, 1) - first.mean.transpose(1, 2)), first.components.transpose(1, 2))
        optimizer = torch.optim.Adam([each for layer in self.convolutions for each in layer.parameters()],
                                     betas=(0.9, 0.98))  # fmt: skip

        def begin(cells: slice | Tensor) -> Tensor:
            found = torch.bmm(inputs[:, cells], first.coefficients.transpose(1, 2))  # (groups, cells, filters)
            return functional.silu(found.transpose(0, 1).flatten(1) + first.bias)

        def answer(cells: slice | Tensor) -> Tensor:
            found = begin(cells)
            for layer in second:
                weight, bias = layer.weights()
                found = functional.silu(functional.linear(found, weight.flatten(1), bias))
            return found

        for step in range(steps):
            if second and step in (0, steps // 8):
                second[0].principal(begin(slice(0, 8 * TOGETHER)).detach()[:, None])
                optimizer.state.clear()
            warm = min(1.0, (step + 1) / 50)
            optimizer.param_groups[0]["lr"] = RATE * warm * (0.005 + 0.995 * (1 + math.cos(math.pi * step / steps)) / 2)
            cells = torch.randint(count, (TOGETHER,), generator=chance)
            missed = ((answer(cells) - answers[cells]) ** 2 / variance).mean()
            optimizer.zero_grad()
            missed.backward()
            optimizer.step()
        with torch.no_grad():
            rest = slice(count, None)
            return ((answer(rest) - answers[rest]) ** 2 / variance).mean().item()


def stages(student: Network, names: dict[int, str]) -> Iterator[tuple[int, int | None, Stage]]:
    """For each stage the layer it begins with, the layer that is added to its answer, and the stage."""
    for layer, name in names.items():
        added = student.sources(layer)[0] if student.sections[layer]["type"] == "shortcut" else None
        last = layer if added is None else layer - 1
        begin = last - 1 if last and getattr(student.layers[last - 1], "groups", 1) > 1 else last
        yield begin, added, Stage(name, [student.layers[number] for number in range(begin, last + 1)])


class Cells:
    """Cells of the teacher's features for each stage, and whole maps of those that the heads begin with."""

    def __init__(self, student: Network, names: dict[int, str], own: Sequence[str]):
        """own: the stages whose cells are kept."""
        self.student, self.names, self.own = student, names, own
        self.stages = list(stages(student, names))
        self.variances = [torch.zeros(1) for _ in names]  # of each channel of each stage
        self.heads: list[tuple[dict[int, Tensor], list[Tensor]]] = []  # inputs of the last convolutions; answers

    @torch.no_grad()
    def add(self, batch: Tensor, heads: list[Tensor], features: list[Tensor], chance: torch.Generator) -> None:
        """Keep cells of a batch of photos and of what the teacher says of it."""
        given = dict(zip(self.names, features, strict=True))
        inputs: dict[int, Tensor] = {}

        def visit(layer: int, x: Tensor) -> Tensor:
            inputs[layer] = x
            return x  # whatever it is: each stage is given the teacher's features in its place

        self.student(batch, tuple(self.names), given, visit)
        for (begin, added, stage), feature in zip(self.stages, features, strict=True):
            if stage.name not in self.own:
                continue
            count, _, height, width = feature.shape
            number = min(CELLS, height * width) * count
            photo, y, x = (torch.randint(most, (number,), generator=chance) for most in (count, height, width))
            stage.inputs.append(stage.convolutions[0].cells(inputs[begin], photo, y, x))
            answer = feature[photo, :, y, x]
            stage.answers.append(answer if added is None else answer - inputs[added + 1][photo, :, y, x])
        self.variances = [
            known + (feature.var((0, 2, 3)) - known) / (len(self.heads) + 1)
            for known, feature in zip([each.to(batch.device) for each in self.variances], features, strict=True)
        ]
        last = {layer: inputs[layer] for layer in inputs if not self.student.layers[layer].swish}
        self.heads.append((last, heads))

    def learn_heads(self, steps: int, chance: torch.Generator) -> dict[str, float]:
        """The last convolutions of the three heads learn the teacher's answers; what they missed at the end."""
        layers = {number: self.student.layers[number] for number in self.heads[0][0]}
        for number, layer in layers.items():
            maps = [inputs[number].permute(0, 2, 3, 1).flatten(0, 2) for inputs, _ in self.heads[:8]]
            layer.principal(torch.cat(maps)[:, None])
        optimizer = torch.optim.Adam([each for layer in layers.values() for each in layer.parameters()],
                                     betas=(0.9, 0.98))  # fmt: skip
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = RATE * (0.005 + 0.995 * (1 + math.cos(math.pi * step / steps)) / 2)
            inputs, answers = self.heads[int(torch.randint(len(self.heads), (), generator=chance))]
            found = [layer(inputs[number]) for number, layer in layers.items()]
            heads = [torch.cat([box, classes], 1) for classes, box in zip(found[::2], found[1::2], strict=True)]
            missed = losses.answers(heads, answers)
            optimizer.zero_grad()
            sum(missed.values()).backward()
            optimizer.step()
        return {name: round(part.item(), 4) for name, part in missed.items()}
