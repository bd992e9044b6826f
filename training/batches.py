"""Altered photos, and what the teacher says of them."""

from concurrent.futures import ThreadPoolExecutor

import torch

from . import photos, truths
from .teacher import Teacher

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
