"""The frozen teacher: PyTorch on a GPU, OpenVINO on a CPU, where it is two to three times as fast."""

from pathlib import Path

import torch
from torch import Tensor

from .network import Network


class Teacher:
    """A trained network that only answers. cfg: beside its .weights. taps: the layers whose outputs it gives, too."""

    def __init__(self, cfg: Path, taps: tuple[int, ...], device: str):
        self.network = Network(cfg.read_text()).load(cfg.with_suffix(".weights")).eval().requires_grad_(False)
        self.taps, self.device = taps, device
        self._compiled: dict[tuple[int, ...], object] = {}
        if device == "cpu":
            import openvino

            self._openvino, self._core = openvino, openvino.Core()
        else:
            self.network.to(device, memory_format=torch.channels_last)

    def __call__(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """x: float32 (N, 3, S, S), RGB in 0..1. Returns what `Network` returns, in float32."""
        if self.device != "cpu":
            with torch.no_grad(), torch.autocast(self.device, torch.bfloat16):
                heads, tapped = self.network(x, self.taps)
            return [head.float() for head in heads], [tap.float() for tap in tapped]
        shape = tuple(x.shape)
        if shape not in self._compiled:  # a fixed shape is faster than a free one
            exported = torch.export.export(_Flat(self.network, self.taps), (x,))
            model = self._openvino.convert_model(exported)
            self._compiled[shape] = self._core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
        answers = [torch.from_numpy(array) for array in self._compiled[shape](x.contiguous().numpy()).to_tuple()]
        heads = len(self.network.anchors)
        return answers[:heads], answers[heads:]


class _Flat(torch.nn.Module):
    """`Network` with one flat tuple of outputs, which is what converters can follow."""

    def __init__(self, network: Network, taps: tuple[int, ...]):
        super().__init__()
        self.network, self.taps = network, taps

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        heads, tapped = self.network(x, self.taps)
        return (*heads, *tapped)
