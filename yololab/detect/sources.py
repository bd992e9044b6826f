"""What the arguments of `yololab detect` stand for: pictures, videos and cameras, each with a place for its copy."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from glob import glob, has_magic
from pathlib import Path
from time import strftime
from typing import Literal
from urllib.parse import urlsplit

from .results import Failure

PICTURES = set(".avif .bmp .gif .heic .heif .jfif .jpe .jpeg .jpg .png .tif .tiff .webp".split())  # noqa: SIM905
VIDEOS = set(".3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .webm .wmv".split())  # noqa: SIM905
STREAMS = ("rtsp", "rtsps", "http", "https")  # of cameras in a network
Kind = Literal["picture", "video", "camera"]


@dataclass(frozen=True)
class Source:
    """One input. name: as the user would type it. root: the folder that it was found under, absolute.

    copy: where its annotated copy goes, relative to the folder for copies.
    """

    name: str
    kind: Kind
    root: str = ""
    copy: Path = field(default=Path())


def expand(arguments: Iterable[str], out: Path) -> list[Source | Failure]:
    """The inputs in order, each once; what stands for none is a Failure.

    A folder gives the pictures and videos in it and in its folders, sorted, without hidden ones. A pattern that the
    shell has left as it is, is matched here; `**` stands for any folders. Neither looks into the folder `out`. A number
    that is no file's name is a camera.
    """
    found: dict[str, Source | Failure] = {}
    for argument in arguments:
        for source in _expand(argument, os.path.abspath(out)):
            found.setdefault(source.name if isinstance(source, Failure) else os.path.abspath(source.name), source)
    return _with_copies(list(found.values()))


def _expand(argument: str, out: str) -> Iterator[Source | Failure]:
    if os.path.isdir(argument):
        yield from _folder(argument, out)
    elif os.path.isfile(argument):
        yield _file(argument)
    elif os.path.exists(argument):
        yield Failure(argument, "This is neither a file nor a folder.")
    elif argument.isdecimal():
        yield Source(argument, "camera")
    elif has_magic(argument):
        matches = [path for path in sorted(glob(os.path.expanduser(argument), recursive=True)) if os.path.isfile(path)]
        matches = [path for path in matches if not os.path.abspath(path).startswith(out + os.sep)]
        yield from map(_file, matches)
        if not matches:
            yield Failure(argument, "No file matches this pattern.")
    elif urlsplit(argument).scheme in STREAMS:
        yield Source(argument, "camera")
    else:
        yield Failure(argument, "There is no such file or folder.")


def _file(path: str) -> Source:
    kind: Kind = "video" if Path(path).suffix.lower() in VIDEOS else "picture"
    return Source(path, kind, os.path.dirname(os.path.abspath(path)))


def _folder(folder: str, out: str) -> Iterator[Source | Failure]:
    unreadable: list[OSError] = []
    empty = True
    for path, folders, files in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(
            name for name in folders if name[0] != "." and os.path.abspath(os.path.join(path, name)) != out
        )
        for name in sorted(files):
            if name[0] != "." and Path(name).suffix.lower() in PICTURES | VIDEOS:
                empty = False
                kind: Kind = "video" if Path(name).suffix.lower() in VIDEOS else "picture"
                yield Source(os.path.join(path, name), kind, os.path.abspath(folder))
    for error in unreadable:
        yield Failure(str(error.filename), f"This folder cannot be read: {error.strerror}.")
    if empty and not unreadable:
        yield Failure(folder, "There is no picture or video in this folder.")


def _with_copies(sources: list[Source | Failure]) -> list[Source | Failure]:
    """Copies keep their folders below the one that all inputs share, so that equal names do not meet."""
    roots = {source.root for source in sources if isinstance(source, Source) and source.root}
    try:
        shared = os.path.commonpath(roots) if roots else ""
    except ValueError:  # several drives of Windows
        shared = ""
    taken: set[str] = set()
    placed: list[Source | Failure] = []
    for source in sources:
        if isinstance(source, Source):
            copy = _copy(source, shared)
            while str(copy).casefold() in taken:  # a.webp and a.webp.jpg
                copy = copy.with_stem(copy.stem + "_")
            taken.add(str(copy).casefold())
            source = Source(source.name, source.kind, source.root, copy)
        placed.append(source)
    return placed


def _copy(source: Source, shared: str) -> Path:
    if source.kind == "camera":
        name = source.name if source.name.isdecimal() else urlsplit(source.name).hostname  # without a password
        return Path(f"camera-{name}-{strftime('%Y%m%d-%H%M%S')}.mp4")  # the last recording stays
    path = Path(os.path.abspath(source.name))
    if shared:
        path = path.relative_to(shared)
    else:
        path = Path(path.drive.strip(":\\/").replace("\\", "-"), path.relative_to(path.anchor))
    writable = (".mp4",) if source.kind == "video" else (".jpg", ".jpeg", ".png")
    return path if path.suffix.lower() in writable else path.with_name(path.name + (writable[0]))
