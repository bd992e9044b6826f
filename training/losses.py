"""What the student is asked for: the teacher's answers, and the teacher's inner features."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from .design import REACH

FEW = 4.0  # objects: keeps the loss of a batch without any finite


def answers(students: Sequence[Tensor], teachers: Sequence[Tensor]) -> dict[str, Tensor]:
    """How far the student's heads are from the teacher's, each (N, 85, h, w), per object that the teacher sees.

    Each cell of the one has its cell in the other. Objectness and classes are compared as distributions (what cross
    entropy has over the teacher's own entropy), centres and sizes in relation to the size of the teacher's box, which
    is what intersection over union measures. All but the objectness are weighted with the teacher's objectness.
    """
    heads = zip(students, teachers, strict=True)
    parts = [_head(_rows(student.float()), _rows(teacher)) for student, teacher in heads]
    objects = sum(part.pop("objects") for part in parts) + FEW
    return {name: sum(part[name] for part in parts) / objects for name in parts[0]}


def _rows(head: Tensor) -> Tensor:
    return head.permute(0, 2, 3, 1).reshape(-1, 85)


def _head(student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
    seen = torch.sigmoid(teacher[:, 4])
    parts = {"objects": seen.sum(), "objectness": (_divergence(student[:, 4], teacher[:, 4]) * (1 + 2 * seen)).sum()}
    rows = torch.nonzero(seen > 0.01).squeeze(1)
    student, teacher, weight = student[rows], teacher[rows], seen[rows, None]
    parts["classes"] = (_divergence(student[:, 5:], teacher[:, 5:]) * weight).sum()
    centre = torch.sigmoid(student[:, :2]) * REACH - (REACH - 1) / 2  # in cells from the cell's corner, as [yolo]
    parts["centre"] = (_far((centre - teacher[:, :2]) / teacher[:, 2:4].exp()) * weight).sum()
    parts["size"] = (_far(student[:, 2:4] - teacher[:, 2:4]) * weight).sum()
    return parts


def _far(difference: Tensor) -> Tensor:
    return functional.smooth_l1_loss(difference, torch.zeros_like(difference), beta=0.05, reduction="none")


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Kullback-Leibler divergence of two Bernoulli distributions given as logits."""
    target = torch.sigmoid(teacher)
    return functional.softplus(student) - functional.softplus(teacher) - (student - teacher) * target


def features(students: Sequence[Tensor], teachers: Sequence[Tensor], variances: Sequence[Tensor]) -> Tensor:
    """The share of the teacher's variance that each stage of the student misses: 0 where they agree.

    variances: of each channel of each of the teacher's features.
    """
    stages = zip(students, teachers, variances, strict=True)
    return torch.stack([_Missed.apply(student, teacher, variance) for student, teacher, variance in stages])


class _Missed(torch.autograd.Function):
    """The mean over all channels of their squared error over their variance, with few passes through memory."""

    @staticmethod
    def forward(context, student: Tensor, teacher: Tensor, variance: Tensor) -> Tensor:
        difference = student.float() - teacher
        share = 1 / (variance * difference.numel())
        context.save_for_backward(difference, share)
        return (torch.linalg.vector_norm(difference, dim=(0, 2, 3)) ** 2 * share).sum()

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor, None, None]:
        difference, share = context.saved_tensors
        return difference * (2 * gradient * share)[:, None, None], None, None
