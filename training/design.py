"""The starter's architecture, written as a Darknet cfg: `python -m training.design models/starter.cfg`.

It is that of YOLOX-Nano (Ge et al. 2021), its teacher: cross-stage partial blocks of depthwise convolutions, a feature
pyramid that goes up and down again, and three grids with one anchor for each cell.
"""

import sys
from pathlib import Path

STRIDES = (8, 16, 32)  # pixels between the cells of the three grids
REACH = 6  # a box's centre lies up to (REACH - 1) / 2 cells outside the cell that tells of it (Darknet's scale_x_y)


class Cfg:
    """The sections of a cfg, and which of the teacher's features each stage is to give."""

    def __init__(self, side: int):
        self.text = f"[net]\nwidth={side}\nheight={side}\nchannels=3\n"
        self.layers = self.convolutions = self.additions = 0
        self.stages: dict[int, str] = {}  # layer -> the teacher's feature: of its 7th convolution "Conv 7", "Add 2"

    def add(self, kind: str, **options: object) -> int:
        """Append a section; its layer number."""
        lines = (f"{name}={value}" for name, value in options.items())
        self.text += "\n".join([f"\n[{kind}]", *lines, ""])
        self.layers += 1
        return self.layers - 1

    def conv(self, filters: int, size: int = 1, stride: int = 1, groups: int = 1, stage: bool = True) -> int:
        """A convolution with the activation x * sigmoid(x); the same number of it as in the teacher."""
        grouped = {"groups": groups} if groups > 1 else {}
        layer = self.add("convolutional", filters=filters, size=size, stride=stride, padding=(size - 1) // 2,
                         **grouped, activation="swish")  # fmt: skip
        if stage:
            self.stages[layer] = f"Conv {self.convolutions}"
        self.convolutions += 1
        return layer

    def route(self, *layers: int) -> int:
        """The features of other layers, one after another."""
        return self.add("route", layers=",".join(map(str, layers)))

    def depthwise(self, channels: int, filters: int, stride: int = 1, stage: bool = True) -> int:
        """3x3 within each channel, then 1x1 across them: far fewer weights than a dense 3x3 (Howard et al. 2017)."""
        self.conv(channels, 3, stride, groups=channels, stage=False)
        return self.conv(filters, stage=stage)

    def partial(self, filters: int, blocks: int, shortcut: bool = True) -> int:
        """A cross-stage partial block (Wang et al. 2020): half of the channels pass, half go through `blocks`."""
        half, source = filters // 2, self.layers - 1
        begin = self.conv(half)
        self.route(source)
        passed = self.conv(half)
        self.route(begin)
        for _ in range(blocks):
            self.conv(half)
            self.depthwise(half, half, stage=not shortcut)
            if shortcut:
                layer = self.add("shortcut", **{"from": -4}, activation="linear")
                self.stages[layer] = f"Add {self.additions}"
                self.additions += 1
        self.route(self.layers - 1, passed)
        return self.conv(filters)

    def head(self, source: int, stride: int) -> None:
        """For each cell of a grid 4 + 1 + 80 numbers: classes by one branch, box and objectness by another."""
        self.route(source)
        stem = self.conv(64)
        for _ in range(2):
            self.depthwise(64, 64)
        classes = self.add("convolutional", filters=80, size=1, stride=1, activation="linear")
        self.route(stem)
        for _ in range(2):
            self.depthwise(64, 64)
        box = self.add("convolutional", filters=5, size=1, stride=1, activation="linear")
        self.convolutions += 3  # the teacher has one for the box and one for the objectness
        self.route(box, classes)
        self.add("yolo", mask=0, anchors=f"{stride},{stride}", classes=80, num=1, scale_x_y=REACH)


def starter(side: int = 416) -> Cfg:
    """The student: 0.91 million weights."""
    cfg = Cfg(side)
    cfg.conv(16, 6, 2)  # as the teacher's, which puts 2x2 pixels into 12 channels before a 3x3 convolution
    cfg.depthwise(16, 32, 2)
    cfg.partial(32, 1)
    cfg.depthwise(32, 64, 2)
    fine = cfg.partial(64, 3)
    cfg.depthwise(64, 128, 2)
    middle = cfg.partial(128, 3)
    cfg.depthwise(128, 256, 2)
    pooled = cfg.conv(128)
    for size in (5, 9, 13):  # spatial pyramid pooling (He et al. 2014), as in YOLOv3-SPP
        cfg.route(pooled)
        cfg.add("maxpool", stride=1, size=size)
    cfg.route(pooled, -5, -3, -1)
    cfg.conv(256)
    cfg.partial(256, 1, shortcut=False)
    coarse = cfg.conv(128)  # the pyramid upwards: what is seen in large, beside finer features
    cfg.add("upsample", stride=2)
    cfg.route(-1, middle)
    cfg.partial(128, 1, shortcut=False)
    between = cfg.conv(64)
    cfg.add("upsample", stride=2)
    cfg.route(-1, fine)
    fine = cfg.partial(64, 1, shortcut=False)
    cfg.depthwise(64, 64, 2)  # and downwards again
    cfg.route(-1, between)
    middle = cfg.partial(128, 1, shortcut=False)
    cfg.depthwise(128, 128, 2)
    cfg.route(-1, coarse)
    coarse = cfg.partial(256, 1, shortcut=False)
    for source, stride in zip((fine, middle, coarse), STRIDES, strict=True):
        cfg.head(source, stride)
    return cfg


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(starter().text)
