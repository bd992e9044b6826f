"""A Darknet cfg with its .weights becomes an ONNX model: what OpenCV 5 no longer reads, other engines can run.

The ONNX model is complete: pictures in, the rows of `engines.Engine` out. Color order and scale lie in the weights
of the first convolution, batch normalization in those of each, and the arithmetic of the YOLO heads in the graph.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from ...errors import BrokenModel
from . import heads
from .cfg import Section, absolute, sections
from .layers import Layer, padding, strides
from .nodes import Nodes
from .plan import Plan, header, plan

__all__ = ["EPSILON", "absolute", "sections", "to_onnx"]  # what others take from here

OPSET = 18
EPSILON = 1e-6  # added to a variance; OpenCV's Darknet importer adds as much


def to_onnx(cfg: str, weights: bytes, size: tuple[int, int] = (416, 416)) -> onnx.ModelProto:
    """The network of a cfg text and the content of its .weights file, for pictures of `size` (width, height), pixels.

    Input "pictures": uint8 (N, height, width, 3), BGR. Output "rows": float32 (N, R, 5 + C), see `engines.Engine`.
    Raises BrokenModel for a section, an option or an activation that it does not know, and for weights of another size.
    """
    network, start = plan(cfg, size), header(weights[:8])
    if len(weights) != start + 4 * network.weights:
        raise BrokenModel(
            f"The weights hold {(len(weights) - start) / 4:g} numbers and the cfg needs {network.weights}: they are "
            "cut off, or belong to another cfg. Fetch or copy them anew."
        )
    return Graph(network, np.frombuffer(weights, "<f4", offset=start)).model()


@dataclass(frozen=True)
class _Output:
    """What a layer gives: its name in the graph, its channels, the width and height of its grid."""

    name: str
    channels: int
    width: int
    height: int


class Graph(Nodes):
    """The nodes of a whole network."""

    def __init__(self, network: Plan, numbers: np.ndarray) -> None:
        super().__init__(network.size)
        self.plan, self.numbers, self.used = network, numbers, 0
        self.outputs: list[_Output] = []
        self.heads: list[str] = []

    def model(self) -> onnx.ModelProto:
        floats = self.add("Cast", "pictures", to=TensorProto.FLOAT)
        last = _Output(self.add("Transpose", floats, perm=[0, 3, 1, 2]), 3, *self.size)
        if self.plan.layers[0].options.type != "convolutional":
            raise BrokenModel("A network whose first layer is no [convolutional] is not supported.")
        for layer in self.plan.layers:
            last = _Output(getattr(self, layer.options.type)(layer, layer.options, last), *layer.shape)
            self.outputs.append(last)
        self.add("Concat", *self.heads, output="rows", axis=1)
        pictures = helper.make_tensor_value_info("pictures", TensorProto.UINT8, ["N", self.size[1], self.size[0], 3])
        rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["N", None, 5 + self.plan.classes])
        graph = helper.make_graph(self.nodes, "darknet", [pictures], [rows], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)

    def take(self, *shape: int) -> np.ndarray:
        """The next numbers of the .weights file, float64 of this shape."""
        count = int(np.prod(shape))
        part = self.numbers[self.used : self.used + count]
        self.used += count
        return part.astype(np.float64).reshape(shape)

    # One method for each section: (what it gives, its options, the layer before it) -> its name in the graph

    def convolutional(self, layer: Layer, options: Section, last: _Output) -> str:
        filters, size, groups = layer.channels, options.number("size", 1), options.number("groups", 1)
        across, down = strides(options)
        dilation = options.number("dilation", 1)
        pad, normalized = padding(options) * dilation, options.number("batch_normalize", 0)
        bias = self.take(filters)
        scale, mean, variance = self.take(3, filters) if normalized else (np.ones(filters), 0, np.ones(filters))
        kernel = self.take(filters, last.channels // groups, size, size)
        if normalized:
            factor = scale / np.sqrt(variance + EPSILON)
            kernel, bias = kernel * factor[:, None, None, None], bias - mean * factor
        if not self.outputs:
            kernel = kernel[:, ::-1] / 255  # the network wants RGB in 0..1
        name = self.add(
            "Conv", last.name, self.constant(kernel), self.constant(bias),
            kernel_shape=[size, size], strides=[down, across], pads=[pad] * 4, group=groups, dilations=[dilation] * 2,
        )  # fmt: skip
        return heads.activate(self, name, options)

    def maxpool(self, layer: Layer, options: Section, last: _Output) -> str:
        stride = options.number("stride", 1)
        size = options.number("size", stride)
        around = options.number("padding", size - 1)  # of both sides together
        pads = [around // 2] * 2 + [around - around // 2] * 2
        return self.add("MaxPool", last.name, kernel_shape=[size, size], strides=[stride, stride], pads=pads)

    def avgpool(self, layer: Layer, options: Section, last: _Output) -> str:
        return self.add("GlobalAveragePool", last.name)

    def upsample(self, layer: Layer, options: Section, last: _Output) -> str:
        stride, scale = options.number("stride", 2), options.decimal("scale", 1)
        scales = self.constant([1, 1, stride, stride])
        name = self.add("Resize", last.name, "", scales, mode="nearest",
                        coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip
        return name if scale == 1 else self.add("Mul", name, self.constant(scale))

    def channels(self, source: _Output, first: int, last: int) -> str:
        """The channels from `first` up to but without `last`."""
        if (first, last) == (0, source.channels):
            return source.name
        bounds = (self.constant([number], np.int64) for number in (first, last, 1))
        return self.add("Slice", source.name, *bounds)

    def route(self, layer: Layer, options: Section, last: _Output) -> str:
        groups, part = options.number("groups", 1), options.number("group_id", 0)
        sources = [self.outputs[number] for number in options.layers("layers")]
        widths = [source.channels // groups for source in sources]
        parts = [
            self.channels(source, part * width, (part + 1) * width)
            for source, width in zip(sources, widths, strict=True)
        ]
        return parts[0] if len(parts) == 1 else self.add("Concat", *parts, axis=1)

    def shortcut(self, layer: Layer, options: Section, last: _Output) -> str:
        sources = [last, *(self.outputs[number] for number in options.layers("from"))]
        terms = [source.name for source in sources]
        for number, source in enumerate(sources):
            if source.channels > last.channels:
                terms[number] = self.channels(source, 0, last.channels)
            elif source.channels < last.channels:  # nothing is added to the other channels
                pads = self.constant([0, 0, 0, 0, 0, last.channels - source.channels, 0, 0], np.int64)
                terms[number] = self.add("Pad", source.name, pads)
        if layer.weights:
            factors = self.take(len(sources), layer.weights // len(sources))
            match options.get("weights_normalization", "none"):
                case "relu":
                    factors = np.maximum(factors, 0)
                    factors = factors / (factors.sum(0) + 1e-4)  # Darknet's own epsilon
                case "softmax":
                    factors = np.exp(factors - factors.max(0))
                    factors = factors / (factors.sum(0) + 1e-4)
            terms = [
                self.add("Mul", term, self.constant(factor.reshape(1, -1, 1, 1)))
                for term, factor in zip(terms, factors, strict=True)
            ]
        name = terms[0]
        for term in terms[1:]:
            name = self.add("Add", name, term)
        return heads.activate(self, name, options)

    def scale_channels(self, layer: Layer, options: Section, last: _Output) -> str:
        source = self.outputs[options.layers("from")[0]]
        return heads.activate(self, self.add("Mul", source.name, last.name), options)

    sam = scale_channels

    def dropout(self, layer: Layer, options: Section, last: _Output) -> str:
        return last.name  # only training drops

    def reorg(self, layer: Layer, options: Section, last: _Output) -> str:
        """Darknet reads the channels as if they were the finer grid, see its reorg_cpu."""
        stride, channels = options.number("stride", 2), last.channels
        fine = [-1, channels // stride**2, last.height, stride, last.width, stride]
        split = self.add("Reshape", last.name, self.constant(fine, np.int64))
        turned = self.add("Transpose", split, perm=[0, 3, 5, 1, 2, 4])
        return self.add("Reshape", turned, self.constant([-1, layer.channels, layer.height, layer.width], np.int64))

    def yolo(self, layer: Layer, options: Section, last: _Output) -> str:
        self.heads.append((heads.yolo if options.type == "yolo" else heads.region)(self, layer, last.name))
        return last.name

    region = yolo
