"""Where the true boxes of a picture are known, they correct the teacher's answers before the student sees them.

A teacher that takes a rendered apple for a vase would teach that, too. What it says of where things are is kept: only
what it calls them, and boxes that it misses, are put right.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .design import STRIDES

SURE, NOT = 3.0, -6.0  # logits of the true class and of the others
OVERLAP = 0.5  # least intersection over union of an answer with the true box that it is about
CELLS = 5.0  # side of a box, in cells, on the grid that is to tell of it


def correct(heads: Sequence[Tensor], boxes: Tensor) -> None:
    """Put the teacher's answers right, in place.

    heads: for each stride in `STRIDES` its raw answers (N, 85, h, w).
    boxes: (M, 6): number of the picture in the batch, class, x1, y1, x2, y2 in pixels of the batch.
    """
    for number, label, *corners in boxes.tolist():
        box = torch.tensor(corners)
        side = float((box[2:] - box[:2]).prod().sqrt())
        best = min(STRIDES, key=lambda stride: abs(torch.tensor(side / stride / CELLS).log().item()))
        for head, stride in zip(heads, STRIDES, strict=True):
            _correct(head[int(number)], stride, int(label), box.to(head.device), stride == best)


def _correct(head: Tensor, stride: int, label: int, box: Tensor, best: bool) -> None:
    """One true box in one grid, (85, h, w); `best` where this grid has to tell of it."""
    height, width = head.shape[1:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    cells = torch.stack([x, y]).to(head)
    about = _overlap(head, cells, stride, box) >= OVERLAP
    if best:
        centre = ((box[:2] + box[2:]) / 2 / stride).long()
        near = (cells - centre[:, None, None]).abs().sum(0) <= 1  # the cell of its centre, and its four neighbours
        head[4] = torch.where(near, head[4].clamp(min=1.0), head[4])
        about |= near
    middle, extent = (box[:2] + box[2:]) / 2 / stride, (box[2:] - box[:2]) / stride
    exact = torch.cat([middle[:, None, None] - cells, extent.log()[:, None, None].expand(-1, height, width)])
    head[:4] = torch.where(about, exact, head[:4])
    classes = torch.full_like(head[5:, 0, 0], NOT)
    classes[label] = SURE
    head[5:] = torch.where(about, classes[:, None, None], head[5:])


def _overlap(head: Tensor, cells: Tensor, stride: int, box: Tensor) -> Tensor:
    """Intersection over union of the box that each cell tells of with this one, (h, w)."""
    middle, extent = (head[:2] + cells) * stride, head[2:4].exp() * stride
    first, last = middle - extent / 2, middle + extent / 2
    shared = torch.minimum(last, box[2:, None, None]) - torch.maximum(first, box[:2, None, None])
    common = shared.clamp(min=0).prod(0)
    return common / (extent.prod(0) + (box[2:] - box[:2]).prod() - common)
