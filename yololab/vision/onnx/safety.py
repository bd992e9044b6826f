"""Checks of an ONNX file before any engine loads it: it is data, not code.

Operators of other domains than ONNX's own would need a library, and are refused; tensors in other files must lie in
the folder of the file itself; tensors that would take gigabytes are refused as far as their shapes are known.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from ...errors import BrokenModel

DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"}  # what ONNX Runtime has built in
MAX_NUMBERS = 2**28  # that one tensor of the graph has: 1 GiB of float32
MAX_CHECKED = 2**30  # bytes of a file whose tensors' shapes are inferred


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph and those inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    yield from _graphs(inner)


def _tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    for owner in (*_graphs(model.graph), *model.functions):
        yield from getattr(owner, "initializer", ())
        for sparse in getattr(owner, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
        for node in owner.node:
            for attribute in node.attribute:
                yield from (attribute.t, *attribute.tensors)


def checked_files(model: onnx.ModelProto, path: Path) -> tuple[str, ...]:
    """The names of the files that hold tensors, each checked to lie in the folder of the ONNX file."""
    seen: list[str] = []
    for tensor in _tensors(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        name = next((each.value for each in tensor.external_data if each.key == "location"), "")
        if name in seen:
            continue
        seen.append(name)
        pure = PurePosixPath(name.replace("\\", "/"))
        if not name or pure.is_absolute() or ".." in pure.parts or ":" in name or "\0" in name:
            raise BrokenModel(f"{path} keeps weights in {name[:80]!r}, which is not in its own folder. Export it anew.")
        file = path.parent / pure
        if not file.resolve().is_relative_to(path.parent.resolve()):
            raise BrokenModel(f"{path} keeps weights in {name[:80]!r}, which leads out of its folder. Export it anew.")
        if not file.is_file():
            raise BrokenModel(f"{path} keeps weights in {name[:80]!r}, which is missing. Put that file beside it.")
    return tuple(seen)


def check_operators(model: onnx.ModelProto, path: Path) -> None:
    """Refuse operators that no engine has built in. Raises BrokenModel."""
    own = {function.domain for function in model.functions}
    for owner in (*_graphs(model.graph), *model.functions):
        for node in owner.node:
            if node.domain not in DOMAINS | own or node.op_type == "EPContext":
                raise BrokenModel(
                    f"{path} has the operator {node.domain}::{node.op_type}"[:200]
                    + ", which needs a library; such files are not loaded. Export it with standard operators."
                )


def check_memory(model: onnx.ModelProto, path: Path, size: int) -> None:
    """Refuse a graph whose tensors, as far as their shapes are known, would take gigabytes."""
    if size > MAX_CHECKED:
        return
    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception:  # the engine says better what is wrong
        return
    for value in (*graph.value_info, *graph.output):
        numbers = np.prod([float(max(each.dim_value, 1)) for each in value.type.tensor_type.shape.dim])
        if numbers > MAX_NUMBERS:
            raise BrokenModel(f"{path} would need too much memory: {value.name[:80]} has {numbers:.0f} numbers.")


def check_standard(path: Path) -> None:
    """Refuse a file that does not keep to the standard: OpenCV's reader may crash on it. Raises BrokenModel."""
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:  # also what its parser raises
        raise BrokenModel(
            f"{path} does not keep to the ONNX standard: {' '.join(str(error).split())[:200]}."
        ) from error
