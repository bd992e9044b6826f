"""One installed model: its files, and what they say about it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...errors import BrokenModel
from ..darknet.cfg import read, sections
from ..darknet.plan import own_size
from .entries import registry, sha256
from .hints import Hints, read_hints

CONFIDENCE = 0.5  # of models that say nothing else
SIZE = (416, 416)  # of networks that say nothing else


@dataclass(frozen=True)
class Model:
    """One installed model: NAME.onnx, or NAME.cfg and NAME.weights in one folder, and the file with its labels.

    path: the .onnx or the .cfg. weights: the .weights, or the .onnx again. names: NAME.names, else coco.names there.
    """

    name: str
    path: Path
    weights: Path
    names: Path

    @property
    def cfg(self) -> Path:
        """The .cfg of a Darknet model."""
        return self.path

    @property
    def is_onnx(self) -> bool:
        return self.path.suffix == ".onnx"

    @property
    def hints(self) -> Hints:
        """What NAME.toml beside it says. Raises BrokenModel."""
        path = self.path.with_suffix(".toml")
        hints = read_hints(path)
        if not self.is_onnx and (surplus := sorted(hints.given().keys() - {"size", "confidence"})):
            raise BrokenModel(f"{path} says {surplus[0]}, which a Darknet cfg decides.")
        return hints

    def labels(self) -> list[str]:
        """The class names, in the network's order. Raises BrokenModel where they are missing or do not fit.

        From NAME.names, else from the ONNX file's metadata, else from coco.names in its folder.
        """
        inside: tuple[str, ...] = ()
        if self.is_onnx:
            from ..onnx.file import facts

            inside = facts(self.path).labels
            if inside and self.names.stem != self.name:
                return list(inside)
        if not self.names.is_file():
            raise BrokenModel(
                f"The model {self.name!r} has no labels: put {self.name}.names or coco.names, "
                f"one class name a line, into {self.path.parent}."
            )
        labels = [line.strip() for line in read(self.names).splitlines() if line.strip()]
        classes = len(inside or labels) if self.is_onnx else self._classes()
        if len(labels) != classes:
            raise BrokenModel(
                f"{self.names} has {len(labels)} labels, and {self.path.name} has {classes} classes. "
                f"Put the right labels, one class name a line, into {self.path.with_suffix('.names')}."
            )
        return labels

    @property
    def input_size(self) -> tuple[int, int]:
        """Width and height of the pictures that the network is fed, pixels. Raises BrokenModel.

        What NAME.toml says, else the network's own: width and height of the cfg, the input shape of the ONNX file.
        """
        if self.hints.size:
            return self.hints.size
        if self.is_onnx:
            from ..onnx.file import facts

            return facts(self.path).size or SIZE
        with self._named():
            if found := sections(read(self.path)):
                return own_size(found[0])
        raise self._no_cfg("width")

    @property
    def classes(self) -> int:
        """How many labels it has. Raises BrokenModel as `labels` does."""
        return len(self.labels())

    @property
    def weight_files(self) -> list[Path]:
        """The .weights, or the .onnx and the files beside it that hold its tensors."""
        external: tuple[str, ...] = ()
        if self.is_onnx:
            from ..onnx.file import facts

            with suppress(BrokenModel):  # whoever loads it says why
                external = facts(self.path).external
        return [self.weights, *(self.path.parent / name for name in external)]

    @property
    def bytes(self) -> int:
        """Size of the weights, 0 where they are gone."""
        try:
            return sum(path.stat().st_size for path in self.weight_files)
        except OSError:
            return 0

    def sha256(self) -> str:
        """Of the weights, of several files that of their digests; read once for each state of a file.

        Raises BrokenModel where one cannot be read.
        """
        digests = []
        for path in self.weight_files:
            try:
                state = path.stat()
                digests.append(_remembered_sha256(path, state.st_size, state.st_mtime_ns))
            except OSError as error:
                raise BrokenModel(f"{path} cannot be read: {error.strerror}.") from error
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()

    @property
    def confidence(self) -> float:
        """The lowest confidence that counts unless a caller says otherwise: NAME.toml's, the registry's, else 0.5."""
        if self.hints.confidence is not None:
            return self.hints.confidence
        entry = registry().get(self.name)
        return entry.confidence if entry else CONFIDENCE

    @property
    def note(self) -> str:
        """What to know about a file that has a name of the registry and is another; empty where all is right."""
        if (path := self._other_file()) is None:
            return ""
        return f"{path.name} is another file of this name than the registry's; it is served as your own"

    def verify(self) -> None:
        """Compare the files with the registry, where it knows the name. Raises BrokenModel for another file."""
        if path := self._other_file():
            raise BrokenModel(
                f"{path} is not the file that the registry describes: a file of your own, or a damaged one. "
                f"To get the registry's, move yours to another folder, then run: {registry()[self.name].command}"
            )

    def _other_file(self) -> Path | None:
        entry = registry().get(self.name)
        known = {file.name: file for file in entry.files} if entry else {}
        for path in (self.path, self.weights, self.names):
            if path.name in known and not known[path.name].matches(path):
                return path
        return None

    def _classes(self) -> int:
        with self._named():
            for section in sections(read(self.path)):
                if "classes" in section:
                    return section.number("classes", low=1)
        raise self._no_cfg("classes")

    @contextmanager
    def _named(self) -> Iterator[None]:
        """An error in the cfg gets its path."""
        try:
            yield
        except BrokenModel as error:
            raise BrokenModel(f"{self.path}: {error}") from error

    def _no_cfg(self, key: str) -> BrokenModel:
        return BrokenModel(f"{self.path} says no {key}, so it is not a Darknet cfg. Fetch or copy it anew.")


@lru_cache(maxsize=64)
def _remembered_sha256(path: Path, size: int, mtime_ns: int) -> str:
    return sha256(path)
