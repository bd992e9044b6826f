"""The frozen teacher, YOLOX-Nano as an ONNX file: run by PyTorch on a GPU, by OpenVINO on a CPU.

Its heads are asked for before the sigmoid and before they are put into rows, so pictures may have any size.
"""

from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor
from torch.nn import functional


class Teacher:
    """A trained network that only answers. features: names as in `design.Cfg.stages`, which it gives, too."""

    def __init__(self, path: Path, features: Sequence[str], device: str):
        model = onnx.load(path)
        self.device = device
        constants = {
            each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in model.graph.initializer
        }
        self._constants = {name: each.to(device) if each.is_floating_point() else each
                           for name, each in constants.items()}  # fmt: skip
        self._nodes = list(model.graph.node)
        named = self._named()
        self._outputs = [*_predictions(self._nodes), *(named[feature] for feature in features)]
        if device == "cpu":
            import openvino

            self._core, self._compiled = openvino.Core(), {}
            self._content = _cut(model, self._outputs).SerializeToString()

    def __call__(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """x: float32 (N, 3, S, S), RGB in 0..1.

        Returns for each grid, finest first, its raw answers (N, 85, h, w), not squashed; and the features.
        """
        pictures = x.flip(1) * 255
        answers = self._openvino(pictures) if self.device == "cpu" else self._torch(pictures)
        heads = [torch.cat(answers[first : first + 3], 1) for first in (0, 3, 6)]
        return heads, answers[9:]

    def _named(self) -> dict[str, str]:
        """The tensors of the graph by number of their operator: "Conv 7" is the activated 7th convolution."""
        named, counts = {}, {"Conv": 0, "Add": 0}
        readers: dict[str, list] = {}
        for node in self._nodes:
            for name in node.input:
                readers.setdefault(name, []).append(node)
        for node in self._nodes:
            if node.op_type in counts:
                output = node.output[0]
                multiplied = [each.output[0] for each in readers.get(output, []) if each.op_type == "Mul"]
                named[f"{node.op_type} {counts[node.op_type]}"] = (multiplied or [output])[0]
                counts[node.op_type] += 1
        return named

    def _openvino(self, pictures: Tensor) -> list[Tensor]:
        shape = tuple(pictures.shape)
        if shape not in self._compiled:  # a fixed shape is faster than a free one
            model = self._core.read_model(self._content)
            model.reshape(list(shape))
            self._compiled[shape] = self._core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": 1})
        found = self._compiled[shape](pictures.contiguous().numpy())
        return [torch.from_numpy(found[index]) for index in range(len(self._outputs))]

    @torch.no_grad()
    def _torch(self, pictures: Tensor) -> list[Tensor]:
        """The few operators that the graph has, one after another."""
        known = dict(self._constants, images=pictures)
        for node in self._nodes:
            options = {each.name: helper.get_attribute_value(each) for each in node.attribute}
            inputs = [known[name] for name in node.input if name]
            match node.op_type:
                case "Conv":
                    found = functional.conv2d(*inputs, options["strides"], options["pads"][:2], 1, options["group"])
                case "Sigmoid":
                    found = torch.sigmoid(inputs[0])
                case "Mul":
                    found = inputs[0] * inputs[1]
                case "Add":
                    found = inputs[0] + inputs[1]
                case "Concat":
                    found = torch.cat(inputs, options["axis"])
                case "MaxPool":
                    found = functional.max_pool2d(inputs[0], options["kernel_shape"], 1, options["pads"][:2])
                case "Resize":
                    found = functional.interpolate(inputs[0], scale_factor=2)
                case "Slice":
                    begin, _, axis, step = (int(each) for each in inputs[1:])
                    found = inputs[0].narrow(axis, begin, inputs[0].shape[axis] - begin)
                    found = found[:, :, ::step] if axis == 2 else found[:, :, :, ::step]
                case "Reshape":
                    break  # from here on it only puts its answers into rows
                case other:
                    raise ValueError(f"the teacher has a {other}, which is not known here")
            known[node.output[0]] = found
        return [known[name] for name in self._outputs]


def _predictions(nodes: Sequence[onnx.NodeProto]) -> list[str]:
    """For each grid the outputs of its last convolutions: box, objectness, classes."""
    makers = {node.output[0]: node for node in nodes}
    found = []
    for node in nodes:
        if node.op_type == "Reshape":
            for name in makers[node.input[0]].input:
                maker = makers[name]
                found.append(maker.input[0] if maker.op_type == "Sigmoid" else name)
    return found


def _cut(model: onnx.ModelProto, outputs: Sequence[str]) -> onnx.ModelProto:
    """The graph up to these outputs."""
    last = next(index for index, node in enumerate(model.graph.node) if node.op_type == "Reshape")
    infos = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs]
    image = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["N", 3, "H", "W"])
    graph = helper.make_graph(list(model.graph.node)[:last], "teacher", [image], infos, model.graph.initializer)
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
