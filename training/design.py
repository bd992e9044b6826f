"""The starter's architecture, written as a Darknet cfg: `python -m training.design models/starter.cfg`."""

import sys
from pathlib import Path

ANCHORS = "12,18, 37,49, 52,132, 115,73, 119,199, 242,238"  # pixels at 416; the teacher's, so that rows compare

# Where a stage of the student ends -> the layer of yolo-fastest-1.1-xl with the same grid and as many channels.
STAGES = {"s4": 21, "s8": 37, "s8 deep": 57, "s16": 60, "s16 deep": 80, "s32": 83}
STAGES |= {"s32 a": 88, "s32 b": 93, "s32 c": 98, "s32 d": 103, "s32 deep": 108, "pool": 115}


class Cfg:
    """The sections of a cfg, and the numbers of the layers where a stage ends."""

    def __init__(self, side: int):
        self.text = f"[net]\nwidth={side}\nheight={side}\nchannels=3\n"
        self.layers = 0
        self.stages: dict[str, int] = {}

    def add(self, kind: str, **options: object) -> int:
        """Append a section; its layer number."""
        lines = (f"{name}={value}" for name, value in options.items())
        self.text += "\n".join([f"\n[{kind}]", *lines, ""])
        self.layers += 1
        return self.layers - 1

    def conv(self, filters: int, size: int = 1, stride: int = 1, groups: int = 1, activation: str = "leaky") -> int:
        """A convolution with batch normalization."""
        grouped = {"groups": groups} if groups > 1 else {}
        return self.add("convolutional", batch_normalize=1, filters=filters, size=size, stride=stride, pad=1,
                        **grouped, activation=activation)  # fmt: skip

    def dense_block(self, filters: int, inner: int) -> None:
        """3x3 and 1x1 around a shortcut: where pictures are large and channels few, fast on every CPU."""
        self.conv(inner, 3)
        self.conv(filters, activation="linear")
        self.add("shortcut", **{"from": -3}, activation="linear")

    def depthwise_block(self, filters: int, inner: int, size: int) -> None:
        """An inverted residual (Sandler et al. 2018): where channels are many, a dense 3x3 costs too many weights."""
        self.conv(inner)
        self.conv(inner, size, groups=inner)
        self.conv(filters, activation="linear")
        self.add("shortcut", **{"from": -4}, activation="linear")

    def head(self, filters: int, mask: str) -> None:
        """Two depthwise-separable 5x5 convolutions and YOLOv3's output: 3 anchors of 4 + 1 + 80 numbers."""
        for _ in range(2):
            self.conv(filters, 5, groups=filters)
            self.conv(filters, activation="linear")
        self.add("convolutional", filters=255, size=1, stride=1, pad=1, activation="linear")
        self.add("yolo", mask=mask, anchors=ANCHORS, classes=80, num=6)

    def end(self, stage: str) -> int:
        """Note that `stage` ends with the last layer; its number."""
        self.stages[stage] = self.layers - 1
        return self.layers - 1


def starter(side: int = 416) -> Cfg:
    """The student: strides 2 to 32, a spatial pyramid, heads at strides 32 and 16; 0.97 million weights."""
    cfg = Cfg(side)
    cfg.conv(16, 3, 2)
    cfg.conv(48, 3, 2)
    cfg.conv(16, activation="linear")
    for _ in range(2):
        cfg.dense_block(16, 32)
    cfg.end("s4")
    cfg.conv(64, 3, 2)
    cfg.conv(32, activation="linear")
    for _ in range(2):
        cfg.dense_block(32, 64)
    cfg.end("s8")
    for _ in range(3):
        cfg.dense_block(32, 64)
    cfg.end("s8 deep")
    cfg.conv(128, 3, 2)
    cfg.conv(48, activation="linear")
    cfg.end("s16")
    for _ in range(4):
        cfg.dense_block(48, 72)
    fine = cfg.end("s16 deep")
    cfg.conv(288)
    cfg.conv(288, 3, 2, groups=288)
    cfg.conv(96, activation="linear")
    cfg.end("s32")
    for stage in ("s32 a", "s32 b", "s32 c", "s32 d", "s32 deep"):
        cfg.depthwise_block(96, 416, 3)
        deep = cfg.end(stage)
    for size in (3, 5):  # spatial pyramid pooling (He et al. 2014), as in YOLOv3-SPP
        cfg.add("maxpool", stride=1, size=size)
        cfg.add("route", layers=deep)
    cfg.add("maxpool", stride=1, size=9)
    cfg.add("route", layers=f"-1,-3,-5,{deep}")
    cfg.conv(96)
    coarse = cfg.end("pool")
    cfg.head(96, "3,4,5")
    cfg.add("route", layers=coarse)
    cfg.add("upsample", stride=2)
    cfg.add("route", layers=f"-1,{fine}")
    cfg.head(144, "0,1,2")
    return cfg


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(starter().text)
