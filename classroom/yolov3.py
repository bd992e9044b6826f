"""YOLOv3's architecture as published, as numbers to count with; no weights.

Source: Redmon and Farhadi, "YOLOv3: An Incremental Improvement" (2018), and its implementation in Darknet.
"""

from collections.abc import Iterator
from typing import NamedTuple

STAGES = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))  # Darknet-53: channels, residual blocks; each halves
HEADS = (512, 256, 128)  # channels of the narrow convolutions in the heads for large, middle and small objects
STRIDES = (32, 16, 8)  # pixels of the input for a cell's side, in the order of HEADS
ANCHORS = (  # for each head, in the order of HEADS: (width, height), pixels, for an input of 416 x 416
    ((116, 90), (156, 198), (373, 326)),
    ((30, 61), (62, 45), (59, 119)),
    ((10, 13), (16, 30), (33, 23)),
)
CLASSES = 80
VALUES = 4 + 1 + CLASSES  # of each candidate: box, objectness, classes


class Convolution(NamedTuple):
    """A convolution: its channels, the side of its kernel, and whether a batch normalization follows."""

    inputs: int
    outputs: int
    kernel: int
    normalized: bool = True

    @property
    def numbers(self) -> int:
        """How many numbers it has learned: weights and biases, or the four numbers a channel of a normalization."""
        return self.inputs * self.outputs * self.kernel**2 + self.outputs * (4 if self.normalized else 1)


def backbone() -> Iterator[Convolution]:
    """The 52 convolutions of Darknet-53 that look for features."""
    yield Convolution(3, 32, 3)
    before = 32
    for channels, blocks in STAGES:
        yield Convolution(before, channels, 3)  # stride 2: half as many rows and columns
        for _ in range(blocks):
            yield Convolution(channels, channels // 2, 1)
            yield Convolution(channels // 2, channels, 3)
        before = channels


def heads() -> Iterator[Convolution]:
    """The convolutions of the three heads, with those before the two upsampling layers."""
    before = 1024
    for narrow, anchors, skip in zip(HEADS, ANCHORS, (512, 256, 0), strict=True):
        for inputs, outputs, kernel in (
            (before, narrow, 1),
            (narrow, 2 * narrow, 3),
            (2 * narrow, narrow, 1),
            (narrow, 2 * narrow, 3),
            (2 * narrow, narrow, 1),
            (narrow, 2 * narrow, 3),
        ):
            yield Convolution(inputs, outputs, kernel)
        yield Convolution(2 * narrow, len(anchors) * VALUES, 1, normalized=False)
        if skip:  # to the next head: half the channels, twice the size, joined with features of the backbone
            yield Convolution(narrow, narrow // 2, 1)
            before = narrow // 2 + skip
