"""What the student is asked for: the teacher's answers, and the teacher's inner features."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

FEW = 8.0  # objects: keeps the loss of a batch without any finite


def answers(students: Sequence[Tensor], teachers: Sequence[Tensor]) -> dict[str, Tensor]:
    """How far the student's heads are from the teacher's, each (N, 255, h, w), per object that the teacher sees.

    Both have the same grids and anchors, so each row of the one has its row in the other. Objectness, classes and
    centres are compared as distributions (what cross entropy has over the teacher's own entropy), the logarithms
    of width and height by smooth L1. All but the objectness are weighted with the teacher's objectness.
    """
    parts = [_head(_rows(student.float()), _rows(teacher)) for student, teacher in zip(students, teachers, strict=True)]
    objects = sum(part.pop("objects") for part in parts) + FEW
    return {name: sum(part[name] for part in parts) / objects for name in parts[0]}


def _rows(head: Tensor) -> Tensor:
    return head.permute(0, 2, 3, 1).reshape(-1, 85)


def _head(student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
    seen = torch.sigmoid(teacher[:, 4])
    parts = {"objects": seen.sum(), "objectness": (_divergence(student[:, 4], teacher[:, 4]) * (1 + 3 * seen)).sum()}
    rows = torch.nonzero(seen > 0.01).squeeze(1)
    student, teacher, weight = student[rows], teacher[rows], seen[rows, None]
    parts["classes"] = (_divergence(student[:, 5:], teacher[:, 5:]) * weight).sum()
    parts["centre"] = (_divergence(student[:, :2], teacher[:, :2].clamp(-5, 5)) * weight).sum()
    sizes = functional.smooth_l1_loss(student[:, 2:4], teacher[:, 2:4].clamp(-4, 4), beta=0.1, reduction="none")
    parts["size"] = (sizes * weight).sum()
    return parts


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Kullback-Leibler divergence of two Bernoulli distributions given as logits."""
    target = torch.sigmoid(teacher)
    return functional.softplus(student) - functional.softplus(teacher) - (student - teacher) * target


class Features(nn.Module):
    """The share of the teacher's variance that the student's stages miss: one number each, 0 where they agree."""

    def __init__(self, channels: Sequence[int]):
        super().__init__()
        self.scales = nn.ModuleList(nn.BatchNorm2d(count, affine=False, momentum=0.02) for count in channels)

    def forward(self, students: Sequence[Tensor], teachers: Sequence[Tensor]) -> Tensor:
        missed = []
        for scale, student, teacher in zip(self.scales, students, teachers, strict=True):
            with torch.no_grad():
                scale(teacher)  # keeps the running variance of each channel
            difference = (student.float() - teacher) ** 2
            missed.append((difference / (scale.running_var[:, None, None] + 1e-4)).mean())
        return torch.stack(missed)
