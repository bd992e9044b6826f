"""Models: which ones the registry knows, which ones are installed, and where their files lie."""

import hashlib
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..errors import BrokenModel, NotInstalled, UnknownModel
from ..paths import repository, user_cache

PACKAGE = Path(__file__).parent  # the registry and the starter are package data
REGISTRY = PACKAGE / "registry.toml"
CONFIDENCE = 0.5  # of models that the registry does not know


@dataclass(frozen=True)
class RemoteFile:
    """One file as the registry describes it.

    bytes: its size, None where nobody has noted it. mirrors: where it can be downloaded, the best one first;
        none for a file that comes with the repository.
    """

    name: str
    bytes: int | None
    sha256: str
    mirrors: tuple[str, ...] = ()

    def matches(self, path: Path) -> bool:
        """Whether this very file lies at `path`."""
        if not path.is_file() or self.bytes not in (None, path.stat().st_size):
            return False
        return _sha256(path) == self.sha256


@dataclass(frozen=True)
class Entry:
    """One model as the registry describes it; `confidence` is the lowest that counts, in [0, 1]."""

    name: str
    confidence: float
    about: str
    licence: str
    files: tuple[RemoteFile, ...]

    @property
    def command(self) -> str:
        """What to type into a terminal to install it."""
        fetched = any(file.mirrors for file in self.files)
        if fetched:
            return f"python -m yololab fetch {self.name}"
        return "git checkout -- yololab/vision" if repository() else "pip install --force-reinstall yololab"


@dataclass(frozen=True)
class Model:
    """One installed model: `name`.cfg and `name`.weights in one folder, and the file with its labels."""

    name: str
    cfg: Path
    weights: Path
    names: Path

    def labels(self) -> list[str]:
        """The class names, in the network's order. Raises BrokenModel where they are missing or do not fit."""
        if not self.names.is_file():
            raise BrokenModel(
                f"The model {self.name!r} has no labels: put {self.name}.names or coco.names, "
                f"one class name a line, into {self.cfg.parent}."
            )
        labels = [line.strip() for line in _text(self.names).splitlines() if line.strip()]
        if len(labels) != (classes := self._number("classes")):
            raise BrokenModel(
                f"{self.names} has {len(labels)} labels, and {self.cfg.name} has {classes} classes. "
                f"Put the right labels, one class name a line, into {self.cfg.with_suffix('.names')}."
            )
        return labels

    @property
    def input_size(self) -> tuple[int, int]:
        """Width and height that the cfg asks for, pixels. Raises BrokenModel."""
        return self._number("width"), self._number("height")

    @property
    def classes(self) -> int:
        """How many labels it has. Raises BrokenModel as `labels` does."""
        return len(self.labels())

    @property
    def bytes(self) -> int:
        """Size of the weights."""
        return self.weights.stat().st_size

    def sha256(self) -> str:
        """Of the weights; read once for each state of the file."""
        state = self.weights.stat()
        return _remembered_sha256(self.weights, state.st_size, state.st_mtime_ns)

    @property
    def confidence(self) -> float:
        """The lowest confidence that counts unless a caller says otherwise: the registry's, else 0.5."""
        entry = registry().get(self.name)
        return entry.confidence if entry else CONFIDENCE

    def verify(self) -> None:
        """Compare the files with the registry, where it knows the name. Raises BrokenModel."""
        entry = registry().get(self.name)
        if entry is None:
            return
        known = {file.name: file for file in entry.files}
        for path in (self.cfg, self.weights, self.names):
            if path.name in known and not known[path.name].matches(path):
                raise BrokenModel(
                    f"{path} is missing, or not the file that the registry describes. Delete it, then run: "
                    f"{entry.command} (a network of your own needs another name than {self.name!r})."
                )

    def _number(self, key: str) -> int:
        """What the cfg first says for `key`: width and height stand in [net], classes in each [yolo] alike."""
        found = re.search(rf"(?m)^\s*{key}\s*=\s*(\d+)", _text(self.cfg))
        if not found:
            raise BrokenModel(f"{self.cfg} says no {key}, so it is not a Darknet cfg. Fetch or copy it anew.")
        return int(found[1])


@lru_cache
def registry() -> dict[str, Entry]:
    """Every model that registry.toml knows, by name."""
    table = tomllib.loads(REGISTRY.read_text(encoding="utf-8"))
    files = {
        name: RemoteFile(name, each.get("bytes"), each["sha256"], tuple(each.get("mirrors", ())))
        for name, each in table["files"].items()
    }
    return {
        name: Entry(name, **{**table["defaults"], **each, "files": tuple(files[file] for file in each["files"])})
        for name, each in table["models"].items()
    }


def default_folders() -> list[Path]:
    """Where models are looked for: the repository's models/, the user's cache, the package itself."""
    here = repository()
    return [*([here / "models"] if here else []), user_cache("models"), PACKAGE]


def installed(folders: Sequence[Path]) -> dict[str, Model]:
    """The models in `folders`, by name. The first folder that has a name wins; a folder may be missing."""
    models: dict[str, Model] = {}
    for folder in folders:
        for cfg in sorted(Path(folder).glob("*.cfg")):
            if cfg.stem not in models and cfg.is_file() and cfg.with_suffix(".weights").is_file():
                models[cfg.stem] = _at(cfg)
    return models


def unusable(folders: Sequence[Path]) -> list[str]:
    """One sentence for each file in `folders` that looks like a part of a model and is none."""
    sentences = []
    for folder in folders:
        cfgs = {path.stem: path for path in sorted(Path(folder).glob("*.cfg")) if path.is_file()}
        weights = {path.stem: path for path in sorted(Path(folder).glob("*.weights")) if path.is_file()}
        for name, path in cfgs.items():
            if name not in weights:
                sentences.append(f"{path} has no weights beside it: {path.with_suffix('.weights').name} is missing.")
        for name, path in weights.items():
            if name not in cfgs:
                sentences.append(f"{path} has no cfg beside it: {path.with_suffix('.cfg').name} is missing.")
    return sentences


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


def from_cfg(path: Path) -> Model:
    """The model whose cfg lies at `path`. Raises UnknownModel, or BrokenModel where the weights are missing."""
    cfg = Path(path)
    if cfg.suffix != ".cfg" or not cfg.is_file():
        raise UnknownModel(f"There is no Darknet cfg at {cfg}. Give the path of a file that ends in .cfg.")
    model = _at(cfg)
    if not model.weights.is_file():
        raise BrokenModel(f"{cfg} lacks its weights: put them beside it, as {model.weights.name}.")
    return model


def _at(cfg: Path) -> Model:
    own, coco = cfg.with_suffix(".names"), cfg.with_name("coco.names")
    return Model(cfg.stem, cfg, cfg.with_suffix(".weights"), own if own.is_file() else coco)


def unknown(name: str, installed: str = "") -> UnknownModel:
    """The error for a name that nobody knows, with the names that there are."""
    return UnknownModel(f"There is no model {name[:80]!r}. {installed}known: {', '.join(sorted(registry()))}.")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig", errors="replace")  # old cfgs have comments in any encoding


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=64)
def _remembered_sha256(path: Path, size: int, mtime_ns: int) -> str:
    return _sha256(path)
