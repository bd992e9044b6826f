"""The registry: models that anyone can download, with the size and SHA-256 of each file."""

import hashlib
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...errors import UnknownModel
from ...paths import repository

PACKAGE = Path(__file__).parents[1]  # the registry and the starter are package data
REGISTRY = PACKAGE / "registry.toml"


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
        return sha256(path) == self.sha256


@dataclass(frozen=True)
class Entry:
    """One model as the registry describes it; `confidence` is the lowest that counts, in [0, 1].

    files: the labels first, what completes the model (.weights or .onnx) last.
    """

    name: str
    confidence: float
    about: str
    licence: str
    files: tuple[RemoteFile, ...]

    @property
    def command(self) -> str:
        """What to type into a terminal to install it."""
        if not self.packaged:
            return f"python -m yololab fetch {self.name}"
        return "git checkout -- yololab/vision" if repository() else "pip install --force-reinstall yololab"

    @property
    def packaged(self) -> bool:
        """Whether it comes with the package, so that another file of its name is a damaged one."""
        return not any(file.mirrors for file in self.files)

    @property
    def weights(self) -> RemoteFile:
        """The file with its weights."""
        return self.files[-1]


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


def unknown(name: str, installed: str = "") -> UnknownModel:
    """The error for a name that nobody knows, with the names that there are."""
    return UnknownModel(f"There is no model {name[:80]!r}. {installed}known: {', '.join(sorted(registry()))}.")


def sha256(path: Path) -> str:
    """Of a file's content, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
