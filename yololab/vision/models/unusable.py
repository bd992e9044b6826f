"""What lies in a folder of models and cannot be served, with the fix."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..models import listed, printable

OTHER_FORMATS = {  # suffix: what it is
    ".pt": "a PyTorch checkpoint", ".pth": "a PyTorch checkpoint", ".safetensors": "weights without a network",
    ".tflite": "a TensorFlow Lite model", ".engine": "a TensorRT engine", ".trt": "a TensorRT engine",
    ".h5": "a Keras model", ".keras": "a Keras model", ".pb": "a TensorFlow graph", ".xml": "an OpenVINO network",
    ".torchscript": "a TorchScript model", ".mlmodel": "a Core ML model",
}  # fmt: skip


def unusable(folders: Sequence[Path]) -> list[str]:
    """One sentence for each file in `folders` that looks like a part of a model and is none."""
    return [sentence for folder in folders for sentence in _of_folder(Path(folder))]


def _of_folder(folder: Path) -> Iterator[str]:
    cfgs, weights = ({path.stem: path for path in listed(folder, suffix)} for suffix in (".cfg", ".weights"))
    onnx = {path.stem: path for path in listed(folder, ".onnx")}
    alone = [path for name, path in weights.items() if name not in cfgs]
    for name in {**cfgs, **onnx}:
        if not printable(name):
            yield f"{folder} has a model whose file name is not readable text: {name!r}. Rename it."
    for name, path in cfgs.items():
        if name not in weights and name not in onnx:
            yield f"{path} has no weights beside it: {name}.weights is missing.{_rename(path, alone)}"
        elif name in weights and name in onnx:
            yield f"{onnx[name]} is not served: {path.name} beside it has the same name. Rename one of the two."
    for path in alone:
        if not any(path.stem.startswith(f"{name}_") for name in cfgs):  # else it is named above
            yield f"{path} has no cfg beside it: {path.with_suffix('.cfg').name} is missing."
    for suffix in (".ONNX", ".CFG", ".WEIGHTS"):
        for path in listed(folder, suffix):
            yield f"{path} has its ending in capitals, and is not served. Rename it to {path.stem}{suffix.lower()}."
    for suffix, kind in OTHER_FORMATS.items():
        for path in listed(folder, suffix):
            if path.stem not in onnx:
                hint = f"; for one of Ultralytics: yolo export model={path.name} format=onnx" if suffix == ".pt" else ""
                yield f"{path} is {kind}, which is not served. Export it to ONNX, as {path.stem}.onnx{hint}."


def _rename(cfg: Path, alone: list[Path]) -> str:
    """What to rename, where the weights of a training lie beside the cfg under Darknet's names for them."""
    own = [path for path in alone if path.stem.startswith(f"{cfg.stem}_")] or alone
    best = next((path for path in own if path.stem.endswith("_best")), own[0] if own else None)
    if best is None:
        return ""
    fix = f" If {best.name} belongs to it, rename it to {cfg.stem}.weights"
    names = [path for path in listed(cfg.parent, ".names") if path.stem not in ("coco", cfg.stem)]
    if names and not cfg.with_suffix(".names").exists():
        fix += f", and {names[0].name} to {cfg.stem}.names"
    return f"{fix}."
