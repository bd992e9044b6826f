"""Models: which ones are installed, and where their files lie."""

from collections.abc import Sequence
from pathlib import Path

from ...errors import BrokenModel, NotInstalled, UnknownModel
from ...paths import repository, user_cache
from .entries import PACKAGE, Entry, registry, unknown
from .model import CONFIDENCE, Model

__all__ = ["CONFIDENCE", "PACKAGE", "Entry", "Model", "default_folders", "find", "from_path", "installed", "registry"]


def default_folders() -> list[Path]:
    """Where models are looked for: the repository's models/, the user's cache, the package itself."""
    here = repository()
    return [*([here / "models"] if here else []), user_cache("models"), PACKAGE]


def installed(folders: Sequence[Path]) -> dict[str, Model]:
    """The models in `folders`, by name. The first folder that has a name wins; a folder may be missing.

    Never raises: what cannot be read is left out, see `unusable`.
    """
    models: dict[str, Model] = {}
    for folder in folders:
        for suffix in (".cfg", ".onnx"):
            for path in listed(Path(folder), suffix):
                complete = suffix == ".onnx" or path.with_suffix(".weights").is_file()
                if path.stem not in models and complete and printable(path.stem):
                    models[path.stem] = model_at(path)
    return models


def listed(folder: Path, suffix: str) -> list[Path]:
    """The files with this suffix in a folder, sorted; none where it cannot be read."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == suffix and path.is_file())
    except (OSError, ValueError):  # ValueError: a path with a zero byte
        return []


def printable(name: str) -> bool:
    """Whether a file's name is UTF-8, so that it can be written into JSON."""
    return name.isprintable() and not any("\ud800" <= letter <= "\udfff" for letter in name)


def find(name: str, folders: Sequence[Path]) -> Model:
    """The installed model called `name`. Raises NotInstalled where the registry knows it, else UnknownModel.

    The name may come from a stranger: it is compared with known names, and never becomes part of a path.
    """
    here = installed(folders)
    if name in here:
        return here[name]
    if name in registry():
        command = registry()[name].command
        raise NotInstalled(f"The model {name!r} is known but not installed. Install it with: {command}")
    raise unknown(name, f"Installed: {', '.join(sorted(here)) or 'none'}; ")


def from_path(path: Path) -> Model:
    """The model whose .cfg or .onnx lies at `path`. Raises UnknownModel; BrokenModel where the weights are missing."""
    path = Path(path)
    if path.suffix in (".pt", ".pth") and path.is_file():
        raise UnknownModel(
            f"{path} is a PyTorch file, which is a program. Export it first; with Ultralytics: "
            f"yolo export model={path.name} format=onnx"
        )
    if path.suffix != path.suffix.lower() in (".cfg", ".onnx") and path.is_file():
        raise UnknownModel(f"{path} has its ending in capitals. Rename it to {path.stem}{path.suffix.lower()}.")
    if path.suffix not in (".cfg", ".onnx") or not path.is_file():
        raise UnknownModel(
            f"There is no Darknet cfg and no ONNX file at {path}. Give a path that ends in .cfg or .onnx."
        )
    model = model_at(path)
    if not model.weights.is_file():
        raise BrokenModel(f"{path} lacks its weights: put them beside it, as {model.weights.name}.")
    return model


def model_at(path: Path) -> Model:
    """The model of a .cfg or .onnx, whether its other files are there or not."""
    own, coco = path.with_suffix(".names"), path.with_name("coco.names")
    weights = path.with_suffix(".weights") if path.suffix == ".cfg" else path
    return Model(path.stem, path, weights, own if own.is_file() else coco)
