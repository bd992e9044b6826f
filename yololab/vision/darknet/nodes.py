"""The nodes and constants of an ONNX graph, appended one by one."""

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


class Nodes:
    """size: width and height of the pictures that the network takes, pixels."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append a node; the name of its output."""
        output = output or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def split(self, source: str, lengths: str, names: list[str]) -> list[str]:
        """Cut the last of three axes into parts; `names`, which they get."""
        self.nodes.append(helper.make_node("Split", [source, lengths], names, axis=2))
        return names

    def constant(self, value: object, dtype: type = np.float32) -> str:
        """Append an array; its name."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype), name))
        return name
