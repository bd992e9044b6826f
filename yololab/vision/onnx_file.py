"""What an ONNX file says about itself, read without running it, and checked before any engine loads it.

The file is data, not code: operators of other domains than ONNX's own would need a library, and are refused; tensors
in other files must lie in the folder of the file itself.
"""

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from ..errors import BrokenModel

DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"}  # what ONNX Runtime has built in
DTYPES: dict[int, type[np.generic]] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.FLOAT16: np.float16,
    TensorProto.UINT8: np.uint8,
}
MAX_SIDE = 4096  # of the pictures, pixels
MAX_NUMBERS = 2**28  # that one tensor of the graph has: 1 GiB of float32
MAX_CHECKED = 2**30  # bytes of a file whose tensors' shapes are inferred


@dataclass(frozen=True)
class OnnxFacts:
    """Of one ONNX file. input: the name of its input. dtype: what it takes: float32, float16 or uint8.

    channels_last: (1, H, W, 3) instead of (1, 3, H, W). size: width and height that it asks for, None where any will
    do. fixed: whether it takes that size only. outputs: their names, in order. labels: from the metadata.
    """

    input: str
    dtype: type[np.generic]
    channels_last: bool
    size: tuple[int, int] | None
    fixed: bool
    outputs: tuple[str, ...]
    metadata: dict[str, str]
    labels: tuple[str, ...]
    external: tuple[str, ...]


def facts(path: Path) -> OnnxFacts:
    """What the ONNX file at `path` says about itself; read once for each state of the file. Raises BrokenModel."""
    try:
        state = path.stat()
        return _facts(path, state.st_size, state.st_mtime_ns)
    except OSError as error:
        raise BrokenModel(f"{path} cannot be read: {error.strerror}.") from error


@lru_cache(maxsize=64)
def _facts(path: Path, size: int, mtime_ns: int) -> OnnxFacts:
    with path.open("rb") as file:
        start = file.read(64).lstrip()
    if start.startswith((b"<", b"version https://git-lfs")):
        kind = "a web page" if start.startswith(b"<") else "a pointer of Git LFS"
        raise BrokenModel(f"{path} is {kind}, not an ONNX file. Fetch or copy it anew.")
    try:
        model = onnx.load(str(path), load_external_data=False)
        if not model.graph.node or not model.opset_import:
            raise ValueError("it holds no graph")
    except Exception as error:  # protobuf's DecodeError and whatever a damaged file leads to
        raise BrokenModel(f"{path} is no whole ONNX file ({str(error)[:80]}). Fetch or export it anew.") from error
    external = tuple(_external(model, path))
    _check_operators(model, path)
    _check_memory(model, path, size)
    metadata = {each.key: each.value for each in model.metadata_props}
    return _of_graph(model.graph, path, metadata, external)


def _of_graph(graph: Any, path: Path, metadata: dict[str, str], external: tuple[str, ...]) -> OnnxFacts:
    constants = {each.name for each in graph.initializer}
    inputs = [each for each in graph.input if each.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(each.name for each in inputs)
        raise BrokenModel(f"{path} takes {len(inputs)} inputs ({names}); a network that takes one picture is needed.")
    tensor = inputs[0].type.tensor_type
    shape = [each.dim_value if each.dim_value > 0 else 0 for each in tensor.shape.dim]  # 0: any
    if len(shape) != 4 or 3 not in (shape[1], shape[3]) or shape[0] > 1 or tensor.elem_type not in DTYPES:
        dims = ", ".join(str(each) if each else "?" for each in shape)
        dtype = TensorProto.DataType.Name(tensor.elem_type).lower()
        raise BrokenModel(
            f"{path} takes {dtype} ({dims}); one picture as (1, 3, height, width) or (1, height, width, 3) of float, "
            "float16 or uint8 is needed."
        )
    channels_last = shape[1] != 3
    height, width = (shape[1], shape[2]) if channels_last else (shape[2], shape[3])
    fixed = bool(width and height)
    size = (width, height) if fixed else _exported_size(metadata)
    if size and max(size) > MAX_SIDE:
        raise BrokenModel(f"{path} takes pictures of {size[0]} x {size[1]} pixels; {MAX_SIDE} a side are supported.")
    outputs = tuple(each.name for each in graph.output)
    return OnnxFacts(inputs[0].name, DTYPES[tensor.elem_type], channels_last, size, fixed, outputs, metadata,
                     _labels(metadata), external)  # fmt: skip


def _exported_size(metadata: dict[str, str]) -> tuple[int, int] | None:
    """Width and height in the metadata that Ultralytics writes: imgsz, as [height, width]."""
    match literal(metadata.get("imgsz", "")):
        case [int(height), int(width)] if min(height, width) > 0:
            return width, height
        case int(side) if side > 0:
            return side, side
    return None


def _labels(metadata: dict[str, str]) -> tuple[str, ...]:
    """The class names in the metadata: a list, or a dictionary by number, as JSON or as Python writes it."""
    for key in ("names", "classes", "labels"):
        found = literal(metadata.get(key, ""))
        if isinstance(found, dict):
            try:
                found = [found[key] for key in sorted(found, key=int)]
            except (TypeError, ValueError):
                continue
        if isinstance(found, list) and found:
            return tuple(" ".join(str(each).split()) for each in found)
    return ()


def literal(text: str) -> Any:
    """The value that a text of Python or JSON stands for, None where it is none."""
    if len(text) > 10**6:
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    return None


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


def _external(model: onnx.ModelProto, path: Path) -> Iterator[str]:
    """The names of the files that hold tensors, each checked to lie in the folder of the ONNX file."""
    seen = set()
    for tensor in _tensors(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        name = next((each.value for each in tensor.external_data if each.key == "location"), "")
        if name in seen:
            continue
        seen.add(name)
        pure = PurePosixPath(name.replace("\\", "/"))
        if not name or pure.is_absolute() or ".." in pure.parts or ":" in name or "\0" in name:
            raise BrokenModel(f"{path} keeps weights in {name[:80]!r}, which is not in its own folder. Export it anew.")
        file = path.parent / pure
        if not file.resolve().is_relative_to(path.parent.resolve()):
            raise BrokenModel(f"{path} keeps weights in {name[:80]!r}, which leads out of its folder. Export it anew.")
        if not file.is_file():
            raise BrokenModel(f"{path} keeps weights in {name[:80]!r}, which is missing. Put that file beside it.")
        yield str(pure)


def _check_operators(model: onnx.ModelProto, path: Path) -> None:
    own = {function.domain for function in model.functions}
    for owner in (*_graphs(model.graph), *model.functions):
        for node in owner.node:
            if node.domain not in DOMAINS | own or node.op_type == "EPContext":
                raise BrokenModel(
                    f"{path} has the operator {node.domain}::{node.op_type}"[:200]
                    + ", which needs a library; such files are not loaded. Export it with standard operators."
                )


def _check_memory(model: onnx.ModelProto, path: Path, size: int) -> None:
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
