"""A Darknet cfg as a PyTorch module, and its .weights read and written."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from yololab.vision.darknet.convert import absolute, sections

LEAST = 0.04  # of the mean variance: added to that of each principal component


class Convolution(nn.Module):
    """[convolutional]: a convolution with a bias, then x * sigmoid(x) where asked for.

    What is learned are not its weights but coefficients of the principal components of its input, each scaled to
    variance 1: neighbouring pixels and channels resemble each other, and plain gradients would be slow for that.
    `principal` finds the components; before it, they are the inputs themselves.
    """

    def __init__(self, channels: int, options: Mapping[str, str]):
        super().__init__()
        filters, self.size, self.groups = int(options["filters"]), int(options["size"]), int(options.get("groups", 1))
        self.stride, self.padding = int(options["stride"]), int(options.get("padding", 0))
        if options.get("batch_normalize", "0") != "0" or options["activation"] not in ("linear", "swish"):
            raise ValueError(f"{dict(options)}: the training knows 'linear' and 'swish', and no normalization")
        self.swish = options["activation"] == "swish"
        inputs = channels // self.groups * self.size**2
        first = 1 if self.groups > 1 else 0.3 if self.swish else 0.05  # the deviation of its first answers
        self.coefficients = nn.Parameter(first * torch.randn(self.groups, filters // self.groups, inputs) / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(filters))
        self.register_buffer("mean", torch.zeros(self.groups, inputs, 1))
        self.register_buffer("components", torch.eye(inputs).repeat(self.groups, 1, 1))  # (G, I, I), a row each
        self.register_buffer("found", torch.tensor(False))

    def weights(self) -> tuple[Tensor, Tensor]:
        """Weights and bias of the plain convolution that this is."""
        with torch.autocast(self.bias.device.type, enabled=False):  # small differences of large numbers
            weight = torch.bmm(self.coefficients, self.components)
            bias = self.bias - torch.bmm(weight, self.mean).flatten()
        return weight.view(len(bias), -1, self.size, self.size), bias

    def plain(self, weight: Tensor, bias: Tensor) -> None:
        """Be the plain convolution with these."""
        self.mean.zero_()
        self.components.copy_(torch.eye(self.mean.shape[1], device=self.mean.device))
        self.coefficients.copy_(weight.view_as(self.coefficients))
        self.bias.copy_(bias)
        self.found.fill_(True)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weights()
        x = functional.conv2d(x, weight, bias, self.stride, self.padding, 1, self.groups)
        return functional.silu(x) if self.swish else x

    def cells(self, x: Tensor, photo: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """What it looks at for some cells of its answer, (cells, G, I)."""
        x = functional.pad(x, [self.padding] * 4)
        x = x.unfold(2, self.size, self.stride).unfold(3, self.size, self.stride)  # (N, C, h, w, size, size), a view
        return x[photo, :, row, column].reshape(len(photo), self.groups, -1)

    @torch.no_grad()
    def principal(self, x: Tensor) -> None:
        """Take the principal components of what it looks at, `x`: (cells, G, I). What it answers stays the same.

        The first time the coefficients stay instead, so that random ones give answers of a known variance.
        """
        weight, bias = self.weights()
        x = x.transpose(0, 1)
        mean = x.mean(1)[:, :, None]
        self.mean.copy_(mean)
        x = x - self.mean.transpose(1, 2)
        covariance = torch.bmm(x.transpose(1, 2), x) / x.shape[1]
        values, vectors = (found.float() for found in torch.linalg.eigh(covariance.double()))
        values = values.clamp(min=0)
        scale = (values + LEAST * values.mean(1, keepdim=True) + 1e-8).sqrt()[:, :, None]
        self.components.copy_(vectors.transpose(1, 2) / scale)
        if self.found:
            flat = weight.view(self.groups, -1, self.mean.shape[1])
            self.coefficients.copy_(torch.bmm(flat, vectors * scale.transpose(1, 2)))
            self.bias.copy_(bias + torch.bmm(flat, self.mean).flatten())
        self.found.fill_(True)


class Network(nn.Module):
    """The layers of a cfg text. Knows what the starter uses; ValueError for another section."""

    def __init__(self, cfg: str):
        super().__init__()
        _, *self.sections = sections(cfg)
        self.layers = nn.ModuleList()
        self.channels: list[int] = []
        self.anchors: list[np.ndarray] = []  # for each head (A, 2): width, height in pixels
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
        self,
        x: Tensor,
        taps: tuple[int, ...] = (),
        instead: Mapping[int, Tensor] | None = None,
        visit: Callable[[int, Tensor], Tensor] | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """x: (N, 3, H, W), RGB in 0..1. Returns the heads' raw maps (N, 85, h, w) and the outputs of the `taps`.

        instead: for a tapped layer, what the layers after it get in place of its output.
        visit: is called instead of each convolution, with the number of its layer and its input.
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
                case "convolutional" if visit:
                    x = visit(index, x)
                case _:
                    x = layer(x)
            if index in taps:
                tapped[index] = x
                x = instead[index] if instead else x
            if index in self._needed:
                kept[index] = x
        return heads, [tapped[index] for index in taps]

    @torch.no_grad()
    def start(self, box: Sequence[float], classes: float) -> None:
        """Let the heads begin with these answers (logits): boxes of moderate size, and nothing seen."""
        for layer in self._convolutions():
            if not layer.swish:
                layer.bias.copy_(torch.tensor(box) if len(layer.bias) == len(box) else classes)

    @staticmethod
    def share(parameter: Tensor) -> float:
        """Of the learning rate: the more inputs a convolution has, the more of their coefficients add up."""
        return min(1.0, (32 / parameter.shape[-1]) ** 0.5) if parameter.ndim > 1 else 0.5

    def _convolutions(self) -> Iterator[Convolution]:
        yield from (layer for layer in self.layers if isinstance(layer, Convolution))

    @torch.no_grad()
    def save(self, path: Path, seen: int = 0) -> None:
        """Write Darknet's .weights: version 0.2.0, the number of pictures seen, then float32: biases, weights."""
        with path.open("wb") as file:
            np.array([0, 2, 0], "<i4").tofile(file)
            np.array([seen], "<i8").tofile(file)
            for layer in self._convolutions():
                weight, bias = layer.weights()
                for tensor in (bias, weight):
                    tensor.float().cpu().contiguous().numpy().astype("<f4").tofile(file)

    @torch.no_grad()
    def load(self, path: Path) -> "Network":
        """Read a .weights file of version 0.2. ValueError where it holds more or fewer numbers than the cfg needs."""
        numbers = torch.from_numpy(np.fromfile(path, "<f4", offset=20))
        needed = sum(layer.coefficients.numel() + layer.bias.numel() for layer in self._convolutions())
        if needed != len(numbers):
            raise ValueError(f"{path} holds {len(numbers)} numbers, its cfg needs {needed}")
        for layer in self._convolutions():
            counts = layer.bias.numel(), layer.coefficients.numel()
            bias, weight, numbers = numbers.split([*counts, len(numbers) - sum(counts)])
            layer.plain(weight, bias)
        return self
