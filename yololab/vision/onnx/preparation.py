"""How a picture becomes what a network is fed, and how boxes find the way back."""

from dataclasses import dataclass

import cv2
import numpy as np

Size = tuple[int, int]
"""Width and height, pixels."""


@dataclass(frozen=True)
class Frame:
    """Where the picture lies in what the network is fed, pixels of that."""

    left: int
    top: int
    width: int
    height: int

    def to_fractions(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (N, 4) as center x, center y, width, height in the network's pixels to fractions of the picture."""
        return (boxes - (self.left, self.top, 0, 0)) / (self.width, self.height, self.width, self.height)


@dataclass(frozen=True)
class Preparation:
    """What a network is fed: `size` (width, height), numbers of `dtype`, (1, 3, H, W) or with channels last.

    color: "rgb" or "bgr". resize: "letterbox" keeps the proportions, with the picture in the middle, "corner" with it
    at the upper left; "squeeze" does not keep them. pad: what fills the rest, 0 to 255.
    Numbers are (pixel * scale - mean) / std; those of uint8 stay as they are.
    """

    size: Size
    color: str = "rgb"
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0, 0, 0)
    std: tuple[float, float, float] = (1, 1, 1)
    resize: str = "letterbox"
    pad: int = 114
    dtype: type[np.generic] = np.float32
    channels_last: bool = False

    def __call__(self, picture: np.ndarray) -> tuple[np.ndarray, Frame]:
        """A BGR uint8 picture (H, W, 3) as the network's input, and where it lies in it."""
        canvas, frame = self._laid(picture)
        if self.dtype == np.uint8:
            small = canvas[..., ::-1] if self.color == "rgb" else canvas
            blob = small[None] if self.channels_last else small.transpose(2, 0, 1)[None]
            return np.ascontiguousarray(blob), frame
        blob = cv2.dnn.blobFromImage(canvas, self.scale, swapRB=self.color == "rgb")
        if any(self.mean) or self.std != (1, 1, 1):
            mean, std = (np.array(each, np.float32).reshape(1, 3, 1, 1) for each in (self.mean, self.std))
            blob = (blob - mean) / std
        if self.channels_last:
            blob = np.ascontiguousarray(blob.transpose(0, 2, 3, 1))
        return blob.astype(self.dtype, copy=False), frame

    def frame(self, width: int, height: int) -> Frame:
        """Where a picture of this size lies."""
        if self.resize == "squeeze":
            return Frame(0, 0, *self.size)
        ratio = min(self.size[0] / width, self.size[1] / height)
        corner = self.resize == "corner"
        whole = int if corner else round  # as YOLOX does, and as Ultralytics does
        inner = max(1, whole(width * ratio)), max(1, whole(height * ratio))
        left, top = (
            0 if corner else round((side - used) / 2 - 0.1) for side, used in zip(self.size, inner, strict=True)
        )
        return Frame(left, top, *inner)

    def _laid(self, picture: np.ndarray) -> tuple[np.ndarray, Frame]:
        frame = self.frame(picture.shape[1], picture.shape[0])
        small = cv2.resize(picture, (frame.width, frame.height))
        if (frame.width, frame.height) == self.size:
            return small, frame
        canvas = np.full((self.size[1], self.size[0], 3), self.pad, np.uint8)
        canvas[frame.top : frame.top + frame.height, frame.left : frame.left + frame.width] = small
        return canvas, frame
