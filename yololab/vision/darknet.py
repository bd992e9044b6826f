"""A Darknet cfg with its .weights becomes an ONNX model: what OpenCV 5 no longer reads, other engines can run.

The ONNX model is complete: pictures in, the rows of `engines.Engine` out. Colour order and scale lie in the weights
of the first convolution, batch normalization in those of each, and the arithmetic of the YOLO heads in the graph.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..errors import BrokenModel

OPSET = 18
EPSILON = 1e-6  # added to a variance; OpenCV's Darknet importer adds as much
# Options that change the arithmetic in ways that no model of the registry needs, and what they are without them.
PLAIN = {"dilation": "1", "antialiasing": "0", "new_coords": "0", "maxpool_depth": "0", "reverse": "0", "xnor": "0",
         "binary": "0", "share_index": "-1", "weights_type": "none", "deform": "0", "classfix": "0"}  # fmt: skip


def sections(cfg: str) -> list[dict[str, str]]:
    """The sections of a cfg text in order, each with its name under "type". Raises BrokenModel."""
    found: list[dict[str, str]] = []
    for line in cfg.splitlines():
        line = line.split("#")[0].split(";")[0].strip()
        if line.startswith("["):
            found.append({"type": line.strip("[]")})
        elif line and (not found or "=" not in line):
            raise BrokenModel(f"{line[:60]!r} is no line of a Darknet cfg. Fetch or copy the cfg anew.")
        elif line:
            name, value = line.split("=", 1)
            found[-1][name.strip()] = value.strip()
    return found


def to_onnx(cfg: str, weights: bytes, size: tuple[int, int] = (416, 416)) -> onnx.ModelProto:
    """The network of a cfg text and the content of its .weights file, for pictures of `size` (width, height), pixels.

    Input "pictures": uint8 (N, height, width, 3), BGR. Output "rows": float32 (N, R, 5 + C), see `engines.Engine`.
    Raises BrokenModel for a section, an option or an activation that it does not know, and for weights cut off.
    """
    try:
        return _Graph(sections(cfg), _numbers(weights), size).model()
    except (KeyError, ValueError, IndexError) as error:
        raise BrokenModel(f"This is no whole Darknet cfg ({error!r}). Fetch or copy it anew.") from error


def _numbers(weights: bytes) -> np.ndarray:
    """The float32 numbers behind the header, which counts the pictures seen in 64 bits since version 0.2."""
    major, minor = np.frombuffer(weights[:8].ljust(8, b"\0"), "<i4").tolist()
    body = weights[20 if 10 * major + minor >= 2 else 16 :]
    return np.frombuffer(body[: len(body) // 4 * 4], "<f4")


@dataclass(frozen=True)
class _Output:
    """What a layer gives: its name in the graph, its channels, the width and height of its grid."""

    name: str
    channels: int
    width: int
    height: int


class _Graph:
    def __init__(self, found: list[dict[str, str]], numbers: np.ndarray, size: tuple[int, int]) -> None:
        net, *self.layers = found
        if net["type"] not in ("net", "network") or int(net.get("channels", 3)) != 3:
            raise ValueError("it does not begin with a [net] of 3 channels")
        self.numbers, self.used, self.size = numbers, 0, size
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.outputs: list[_Output] = []
        self.heads: list[str] = []

    def model(self) -> onnx.ModelProto:
        floats = self.add("Cast", "pictures", to=TensorProto.FLOAT)
        last = _Output(self.add("Transpose", floats, perm=[0, 3, 1, 2]), 3, *self.size)
        for index, options in enumerate(self.layers):
            for name, plain in PLAIN.items():
                if options.get(name, plain) != plain:
                    raise BrokenModel(f"[{options['type']}] with {name}={options[name]} is not supported.")
            make = getattr(self, options["type"], None) if options["type"] in LAYERS else None
            if make is None:
                raise BrokenModel(f"A [{options['type']}] layer is not supported; these are: {', '.join(LAYERS)}.")
            last = make(options, last, index)
            self.outputs.append(last)
        if not self.heads:
            raise BrokenModel("This cfg has no [yolo] section, so it is no YOLO detector.")
        self.add("Concat", *self.heads, output="rows", axis=1)
        classes = int(self.layers[-1]["classes"])
        pictures = helper.make_tensor_value_info("pictures", TensorProto.UINT8, ["N", self.size[1], self.size[0], 3])
        rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["N", None, 5 + classes])
        graph = helper.make_graph(self.nodes, "darknet", [pictures], [rows], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append a node; the name of its output."""
        output = output or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, value: object, dtype: type = np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype), name))
        return name

    def take(self, *shape: int) -> np.ndarray:
        """The next numbers of the .weights file, float64 of this shape."""
        count = int(np.prod(shape))
        part = self.numbers[self.used : self.used + count]
        self.used += count
        if len(part) < count:
            raise BrokenModel(
                f"The weights hold {len(self.numbers)} numbers and the cfg needs more: they are cut off, or belong "
                "to another cfg. Fetch or copy them anew."
            )
        return part.astype(np.float64).reshape(shape)

    def activate(self, name: str, activation: str) -> str:
        match activation:
            case "linear":
                return name
            case "relu":
                return self.add("Relu", name)
            case "leaky":
                return self.add("LeakyRelu", name, alpha=0.1)
            case "logistic":
                return self.add("Sigmoid", name)
            case "swish":
                return self.add("Mul", name, self.add("Sigmoid", name))
            case "mish":  # Misra 2019
                return self.add("Mul", name, self.add("Tanh", self.add("Softplus", name)))
        raise BrokenModel(f"The activation {activation!r} is not supported.")

    # One method for each section: (its options, the layer before it, its number) -> what it gives.

    def convolutional(self, options: Mapping[str, str], last: _Output, index: int) -> _Output:
        filters, size, stride = int(options["filters"]), int(options["size"]), int(options.get("stride", 1))
        groups, normalized = int(options.get("groups", 1)), int(options.get("batch_normalize", 0))
        pad = size // 2 if int(options.get("pad", 0)) else int(options.get("padding", 0))
        bias = self.take(filters)
        scale, mean, variance = self.take(3, filters) if normalized else (np.ones(filters), 0, np.ones(filters))
        kernel = self.take(filters, last.channels // groups, size, size)
        if normalized:
            factor = scale / np.sqrt(variance + EPSILON)
            kernel, bias = kernel * factor[:, None, None, None], bias - mean * factor
        if index == 0:
            kernel = kernel[:, ::-1] / 255  # the network wants RGB in 0..1
        name = self.add(
            "Conv", last.name, self.constant(kernel), self.constant(bias),
            kernel_shape=[size, size], strides=[stride, stride], pads=[pad] * 4, group=groups,
        )  # fmt: skip
        width, height = ((side + 2 * pad - size) // stride + 1 for side in (last.width, last.height))
        return _Output(self.activate(name, options.get("activation", "linear")), filters, width, height)

    def maxpool(self, options: Mapping[str, str], last: _Output, index: int) -> _Output:
        stride = int(options.get("stride", 1))
        size = int(options.get("size", stride))
        padding = int(options.get("padding", size - 1))  # of both sides together
        pads = [padding // 2] * 2 + [padding - padding // 2] * 2
        name = self.add("MaxPool", last.name, kernel_shape=[size, size], strides=[stride, stride], pads=pads)
        width, height = ((side + padding - size) // stride + 1 for side in (last.width, last.height))
        return _Output(name, last.channels, width, height)

    def upsample(self, options: Mapping[str, str], last: _Output, index: int) -> _Output:
        stride = int(options["stride"])
        scales = self.constant([1, 1, stride, stride])
        name = self.add("Resize", last.name, "", scales, mode="nearest",
                        coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip
        return _Output(name, last.channels, last.width * stride, last.height * stride)

    def route(self, options: Mapping[str, str], last: _Output, index: int) -> _Output:
        sources = [self.outputs[number] for number in absolute(options["layers"], index)]
        groups = int(options.get("groups", 1))
        parts = []
        for source in sources:
            width = source.channels // groups
            first = int(options.get("group_id", 0)) * width
            bounds = (self.constant([number], np.int64) for number in (first, first + width, 1))
            parts.append(source.name if groups == 1 else self.add("Slice", source.name, *bounds))
        name = parts[0] if len(parts) == 1 else self.add("Concat", *parts, axis=1)
        channels = sum(source.channels // groups for source in sources)
        return _Output(name, channels, sources[0].width, sources[0].height)

    def shortcut(self, options: Mapping[str, str], last: _Output, index: int) -> _Output:
        for source in (self.outputs[number] for number in absolute(options["from"], index)):
            if replace(source, name=last.name) != last:
                raise BrokenModel("A [shortcut] between layers of different shapes is not supported.")
            last = replace(last, name=self.add("Add", last.name, source.name))
        return replace(last, name=self.activate(last.name, options.get("activation", "linear")))

    def dropout(self, options: Mapping[str, str], last: _Output, index: int) -> _Output:
        return last  # only training drops

    def yolo(self, options: Mapping[str, str], last: _Output, index: int) -> _Output:
        """Redmon and Farhadi 2018, section 2.1: what the last convolution of a head means."""
        columns, cells = 5 + int(options["classes"]), last.width * last.height
        mask = [int(number) for number in options["mask"].split(",")]
        anchors = np.array([float(number) for number in options["anchors"].split(",")]).reshape(-1, 2)[mask]
        if last.channels != len(mask) * columns:
            raise BrokenModel(
                f"A [yolo] with {len(mask)} anchors of {columns} numbers follows {last.channels} filters."
            )
        split = self.add("Reshape", last.name, self.constant([0, len(mask), columns, cells], np.int64))
        turned = self.add("Transpose", split, perm=[0, 3, 1, 2])  # cells first, then anchors, as Darknet counts
        rows = self.add("Reshape", turned, self.constant([0, cells * len(mask), columns], np.int64))
        names = [f"{each}_{index}" for each in ("center", "size", "objectness", "classes")]
        lengths = self.constant([2, 2, 1, columns - 5], np.int64)
        self.nodes.append(helper.make_node("Split", [rows, lengths], names, axis=2))
        center, size, objectness, classes = names
        sides = np.array([last.width, last.height])
        grid = np.stack(np.meshgrid(np.arange(last.width), np.arange(last.height)), -1).reshape(1, -1, 1, 2)
        stretch = float(options.get("scale_x_y", 1))
        shift = np.broadcast_to(grid - (stretch - 1) / 2, (1, cells, len(mask), 2)).reshape(1, -1, 2) / sides
        center = self.add("Mul", self.add("Sigmoid", center), self.constant(stretch / sides))
        center = self.add("Add", center, self.constant(shift))
        size = self.add(
            "Mul", self.add("Exp", size), self.constant(np.tile(anchors / np.array(self.size), (cells, 1))[None])
        )
        objectness = self.add("Sigmoid", objectness)
        scores = self.add("Mul", self.add("Sigmoid", classes), objectness)
        self.heads.append(self.add("Concat", center, size, objectness, scores, axis=2))
        return last


LAYERS = ("convolutional", "maxpool", "upsample", "route", "shortcut", "dropout", "yolo")


def absolute(numbers: str, index: int) -> Iterator[int]:
    """Layer numbers as in `layers=-1,8`: the negative ones count back from layer `index`."""
    for number in (int(part) for part in numbers.split(",") if part.strip()):
        yield number if number >= 0 else index + number
