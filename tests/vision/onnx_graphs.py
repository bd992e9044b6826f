"""Tiny ONNX detectors whose answers are known: each writes a table, whatever picture it is fed."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TYPES = {np.float32: TensorProto.FLOAT, np.float16: TensorProto.FLOAT16, np.uint8: TensorProto.UINT8}
NAMES = "{0: 'a', 1: 'b', 2: 'c'}"


def table_graph(
    path: Path, tables: dict[str, np.ndarray], shape: tuple = (1, 3, 64, 64), dtype: type = np.float32, **metadata: str
) -> Path:
    """A file at `path` that answers `tables` by output name; `shape` of its input may have names for free sides."""
    nodes, constants, outputs = [], [], []
    nodes.append(helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT))
    nodes.append(helper.make_node("ReduceMean", ["floats"], ["mean"], keepdims=0))
    nodes.append(helper.make_node("Mul", ["mean", "zero"], ["nothing"]))
    constants.append(numpy_helper.from_array(np.float32(0), "zero"))
    for name, table in tables.items():
        constants.append(numpy_helper.from_array(np.asarray(table, np.float32), f"{name}_table"))
        nodes.append(helper.make_node("Add", [f"{name}_table", "nothing"], [f"{name}_floats"]))
        kind = TYPES.get(dtype, TensorProto.FLOAT) if dtype != np.uint8 else TensorProto.FLOAT
        nodes.append(helper.make_node("Cast", [f"{name}_floats"], [name], to=kind))
        outputs.append(helper.make_tensor_value_info(name, kind, np.shape(table)))
    return save(path, nodes, constants, outputs, shape, dtype, **metadata)


def pixel_graph(path: Path, x: int, y: int, factor: float, offset: float = 0, shape: tuple = (1, 3, 64, 64)) -> Path:
    """A YOLOv8-like network of 3 classes: one box, and as scores the 3 numbers of pixel (x, y), times `factor`."""
    nodes = [
        helper.make_node("Slice", ["images", "first", "last", "axes"], ["pixel"]),
        helper.make_node("Mul", ["pixel", "factor"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "column"], ["scores"]),
        helper.make_node("Concat", ["box", "scores"], ["output0"], axis=1),
    ]
    values = {"first": [y, x], "last": [y + 1, x + 1], "axes": [2, 3], "column": [1, 3, 1]}
    constants = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in values.items()]
    constants.append(numpy_helper.from_array(np.float32(factor), "factor"))
    constants.append(numpy_helper.from_array(np.float32([[[32], [32], [8], [8]]]), "box"))
    outputs = [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 7, 1])]
    return save(path, nodes, constants, outputs, shape, np.float32, names=NAMES)


def convolved_graph(path: Path, table: np.ndarray) -> Path:
    """A YOLOv8-like network (1, 4 + C, N) with convolutions, to be quantized: boxes and scores have one each."""
    _, rows, columns = table.shape
    nodes = [helper.make_node("GlobalAveragePool", ["images"], ["pooled"])]
    constants = []
    for name, part in (("boxes", table[0, :4]), ("scores", table[0, 4:])):
        kernel = np.zeros((part.size, 3, 1, 1), np.float32)
        values = {f"{name}_kernel": kernel + 1e-4, f"{name}_bias": part.ravel().astype(np.float32)}
        constants += [numpy_helper.from_array(value, key) for key, value in values.items()]
        constants.append(numpy_helper.from_array(np.array([1, len(part), columns], np.int64), f"{name}_shape"))
        nodes.append(helper.make_node("Conv", ["pooled", *values], [f"{name}_flat"]))
        nodes.append(helper.make_node("Reshape", [f"{name}_flat", f"{name}_shape"], [name]))
    nodes.append(helper.make_node("Concat", ["boxes", "scores"], ["output0"], axis=1))
    outputs = [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, rows, columns])]
    return save(path, nodes, constants, outputs, (1, 3, 64, 64), np.float32, names=NAMES)


def save(path: Path, nodes, constants, outputs, shape, dtype, domains=(), **metadata: str) -> Path:
    images = helper.make_tensor_value_info("images", TYPES[dtype], shape)
    graph = helper.make_graph(nodes, "detector", [images], outputs, constants)
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
    return path
