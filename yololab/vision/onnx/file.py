"""What an ONNX file says about itself, read without running it, and checked before any engine loads it."""

import ast
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from ...errors import BrokenModel
from .safety import check_memory, check_operators, checked_files

DTYPES: dict[int, type[np.generic]] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.FLOAT16: np.float16,
    TensorProto.UINT8: np.uint8,
}
MAX_SIDE = 4096  # of the pictures, pixels
MAX_CLASSES = 100_000


@dataclass(frozen=True)
class OnnxFacts:
    """Of one ONNX file. input: the name of its input. dtype: what it takes: float32, float16 or uint8.

    channels_last: (1, H, W, 3) instead of (1, 3, H, W). size: width and height that it asks for, None where any will
    do. fixed: whether it takes that size only. outputs: their names, in order. labels: from the metadata.
    external: the files beside it that hold its tensors.
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
    external = checked_files(model, path)
    check_operators(model, path)
    check_memory(model, path, size)
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
    if len(shape) == 4 and shape[1] == 0 and shape[3] != 3:
        shape[1] = 3  # exporters may leave even the number of channels free
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
    """The class names in the metadata: a list, or a dictionary by number, as JSON or as Python writes it.

    A number that the dictionary lacks is its own name.
    """
    for key in ("names", "classes", "labels"):
        found = literal(metadata.get(key, ""))
        if isinstance(found, dict):
            try:
                numbered = {int(key): name for key, name in found.items()}
            except (TypeError, ValueError):
                continue
            if not numbered or min(numbered) < 0 or max(numbered) >= MAX_CLASSES:
                continue
            found = [numbered.get(number, number) for number in range(max(numbered) + 1)]
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
