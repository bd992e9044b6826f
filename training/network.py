"""A Darknet cfg as a PyTorch module, and its .weights read and written."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from yololab.vision.darknet.convert import EPSILON, absolute, sections


class Convolution(nn.Module):
    """[convolutional]: convolution, batch normalization where asked for, linear or leaky activation."""

    def __init__(self, channels: int, options: Mapping[str, str]):
        super().__init__()
        filters, size, groups = int(options["filters"]), int(options["size"]), int(options.get("groups", 1))
        normalized = int(options.get("batch_normalize", 0)) == 1
        self.conv = nn.Conv2d(
            channels, filters, size, int(options["stride"]), size // 2, groups=groups, bias=not normalized
        )
        self.norm = nn.BatchNorm2d(filters, EPSILON, momentum=0.03) if normalized else None
        self.activation = options["activation"]
        if self.activation not in ("linear", "leaky"):
            raise ValueError(f"activation is {self.activation!r}; the training knows 'linear' and 'leaky'")
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_in", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x) if self.norm is None else self.norm(self.conv(x))
        return functional.leaky_relu(x, 0.1, inplace=True) if self.activation == "leaky" else x

    def stored(self) -> Iterator[Tensor]:
        """Its tensors in the order of a .weights file."""
        if self.norm is None:
            yield self.conv.bias
        else:
            yield from (self.norm.bias, self.norm.weight, self.norm.running_mean, self.norm.running_var)
        yield self.conv.weight


class Network(nn.Module):
    """The layers of a cfg text. Knows what the starter and its teacher use; ValueError for another section."""

    def __init__(self, cfg: str):
        super().__init__()
        _, *self.sections = sections(cfg)
        self.layers = nn.ModuleList()
        self.channels: list[int] = []
        self.anchors: list[np.ndarray] = []  # for each head (3, 2): width, height in pixels at 416
        channels = 3
        for index, options in enumerate(self.sections):
            layer: nn.Module = nn.Identity()
            match options["type"]:
                case "convolutional":
                    layer = Convolution(channels, options)
                    channels = int(options["filters"])
                case "maxpool":
                    layer = nn.MaxPool2d(int(options["size"]), 1, int(options["size"]) // 2)
                case "upsample":
                    layer = nn.Upsample(scale_factor=int(options["stride"]))
                case "route":
                    channels = sum(self.channels[source] for source in self.sources(index))
                case "yolo":
                    pairs = np.array(options["anchors"].split(","), float).reshape(-1, 2)
                    self.anchors.append(pairs[[int(number) for number in options["mask"].split(",")]])
                case "shortcut" | "dropout":
                    pass
                case other:
                    raise ValueError(f"[{other}] is not a section that the training knows")
            self.layers.append(layer)
            self.channels.append(channels)
        self._needed = {source for index in range(len(self.sections)) for source in self.sources(index)}

    def sources(self, index: int) -> list[int]:
        """The layers that a route or a shortcut reads besides the one before it."""
        named = self.sections[index].get("layers") or self.sections[index].get("from") or ""
        return list(absolute(named, index))

    def forward(
        self, x: Tensor, taps: tuple[int, ...] = (), instead: Mapping[int, Tensor] | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """x: (N, 3, H, W), RGB in 0..1. Returns the heads' raw maps (N, 255, h, w) and the outputs of the `taps`.

        instead: for a tapped layer, what the layers after it get in place of its output.
        """
        kept: dict[int, Tensor] = {}
        heads, tapped = [], {}
        for index, (options, layer) in enumerate(zip(self.sections, self.layers, strict=True)):
            match options["type"]:
                case "route":
                    x = torch.cat([kept[source] for source in self.sources(index)], 1)
                case "shortcut":
                    x = x + kept[self.sources(index)[0]]
                case "yolo":
                    heads.append(x)
                case _:
                    x = layer(x)
            if index in taps:
                tapped[index] = x
                x = instead[index] if instead else x
            if index in self._needed:
                kept[index] = x
        return heads, [tapped[index] for index in taps]

    def _stored(self) -> Iterator[Tensor]:
        for layer in self.layers:
            if isinstance(layer, Convolution):
                yield from layer.stored()

    def save(self, path: Path, seen: int = 0) -> None:
        """Write Darknet's .weights: version 0.2.0, the number of pictures seen, then float32."""
        with path.open("wb") as file:
            np.array([0, 2, 0], "<i4").tofile(file)
            np.array([seen], "<i8").tofile(file)
            for tensor in self._stored():
                tensor.detach().float().cpu().contiguous().numpy().astype("<f4").tofile(file)

    def load(self, path: Path) -> "Network":
        """Read a .weights file of version 0.2. ValueError where it holds more or fewer numbers than the cfg needs."""
        numbers = torch.from_numpy(np.fromfile(path, "<f4", offset=20))
        tensors = list(self._stored())
        if (needed := sum(tensor.numel() for tensor in tensors)) != len(numbers):
            raise ValueError(f"{path} holds {len(numbers)} numbers, its cfg needs {needed}")
        with torch.no_grad():
            for tensor, part in zip(tensors, numbers.split([tensor.numel() for tensor in tensors]), strict=True):
                tensor.copy_(part.view_as(tensor))
        return self
