"""Verified downloads: a file comes to its place when it is whole and right, and not before."""

import os
import re
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import requests
from filelock import FileLock, Timeout
from tqdm import tqdm

from ...errors import DownloadFailed
from ..models import Model, from_path
from .entries import Entry, RemoteFile, registry, unknown

TIMEOUT = (10.0, 30.0)  # seconds: to connect, and between two pieces of an answer
MAX_BYTES = 512 * 2**20  # of a file whose size the registry does not know
PIECE = 2**16  # bytes; what a cut connection loses at most


class _Refused(Exception):
    """The mirror sent something else; what has been downloaded so far is still good."""


class _Misfit(_Refused):
    """What has been downloaded so far is not, or not the beginning of, the right file."""


def fetch(name: str, folder: Path, progress: bool = True) -> Model:
    """Download what is missing or wrong of the model `name` in `folder`, verified; return the model.

    Raises UnknownModel for a name that the registry lacks, DownloadFailed as `fetch_entry` does.
    """
    if name not in registry():
        raise unknown(name)
    fetch_entry(registry()[name], Path(folder), progress)
    suffix = ".onnx" if registry()[name].weights.name.endswith(".onnx") else ".cfg"
    return from_path(Path(folder) / f"{name}{suffix}")


def fetch_entry(entry: Entry, folder: Path, progress: bool = True, timeout: tuple[float, float] = TIMEOUT) -> None:
    """Bring every file of `entry` that is missing or wrong into `folder`; right ones are not touched.

    A file grows as FILE.part, is compared with the registry's size and SHA-256, and only then takes its name:
    a kill at any moment leaves the old state or the verified file, and the next call resumes the .part.
    Of several processes that want one file, one downloads it and the others wait.

    progress: show a bar, and tell on stderr which mirrors fail.
    timeout: seconds to connect, and between two pieces of an answer.
    Raises DownloadFailed where no mirror has the right file, or the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in entry.files:
            if file.matches(folder / file.name):
                continue
            with _alone(folder / f"{file.name}.lock", progress):
                if not file.matches(folder / file.name):  # else another process brought it meanwhile
                    _fetch(file, folder, progress, timeout)
    except OSError as error:  # requests' own errors do not come this far
        raise DownloadFailed(
            f"{entry.name} cannot be stored in {folder}: {error.strerror or error}. "
            "Free some space there, or see that the folder can be written to; then fetch again."
        ) from error


def _fetch(file: RemoteFile, folder: Path, progress: bool, timeout: tuple[float, float]) -> None:
    part = folder / f"{file.name}.part"
    failures: list[str] = []
    for url in file.mirrors:
        if failures:
            _tell(f"{failures[-1]}; the next mirror is tried", progress)
        try:
            _complete(part, file, url, progress, timeout)
        except (requests.RequestException, _Refused) as error:
            failures.append(f"{url}: {_cause(error)}")
        else:
            os.replace(part, folder / file.name)
            return
    raise DownloadFailed(_why(file, folder, failures))


def _complete(part: Path, file: RemoteFile, url: str, progress: bool, timeout: tuple[float, float]) -> None:
    """Make `part` the right file, starting from what lies there."""
    if file.matches(part):  # a kill came between the last byte and the renaming
        return
    start = part.stat().st_size if part.exists() else 0
    try:
        _receive(part, file, url, start, progress, timeout)
        if not file.matches(part):
            raise _Misfit(f"sent another file: size ({part.stat().st_size} bytes) or SHA-256 is wrong")
    except _Misfit:
        part.unlink(missing_ok=True)
        if not start:
            raise
        _complete(part, file, url, progress, timeout)  # the fault may be in what lay there: from the first byte


def _receive(part: Path, file: RemoteFile, url: str, start: int, progress: bool, timeout: tuple[float, float]) -> None:
    """Append to `part` what the mirror has from byte `start` on; write it anew if it sends the whole file."""
    headers = {"Accept-Encoding": "identity"}  # offsets and sizes are those of the file itself
    if start:
        headers["Range"] = f"bytes={start}-"
    limit = file.bytes or MAX_BYTES
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as answer:
        resumed = answer.status_code == 206
        if answer.status_code == 416:
            raise _Misfit(f"has nothing after byte {start}")
        if answer.status_code not in (200, 206):
            raise _Refused(f"{answer.status_code} {answer.reason}")
        if "html" in answer.headers.get("Content-Type", "").lower():
            raise _Refused("sent a web page instead of the file")
        if resumed and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise _Misfit("sent another range than it was asked for")
        with part.open("ab" if resumed else "wb") as out, _bar(file, out.tell(), progress) as bar:
            for piece in answer.iter_content(PIECE):
                if out.tell() + len(piece) > limit:
                    raise _Misfit(f"sent more than the {limit} bytes that were expected")
                out.write(piece)
                bar.update(len(piece))
            out.flush()
            os.fsync(out.fileno())


def _alone(path: Path, progress: bool) -> AbstractContextManager[object]:
    """The lock at `path`, held."""
    lock = FileLock(path)
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        _tell(f"Waiting for another process that downloads {path.stem}.", progress)
        return lock.acquire()


def _bar(file: RemoteFile, done: int, progress: bool) -> tqdm:
    size = {"total": file.bytes, "initial": done, "unit": "B", "unit_scale": True}
    return tqdm(desc=file.name, disable=not progress, **size)


def _tell(text: str, progress: bool) -> None:
    if progress:
        tqdm.write(text, file=sys.stderr)


def _why(file: RemoteFile, folder: Path, failures: list[str]) -> str:
    if not file.mirrors:
        return (
            f"{file.name} comes with the repository and is not downloaded. Bring it back with "
            f"`git checkout -- yololab/vision`, or copy it to {folder / file.name}."
        )
    return (
        f"{file.name} could not be downloaded:\n  {'; '.join(failures)}\n"
        "  Behind a proxy, set HTTPS_PROXY=http://HOST:PORT. Or download the file elsewhere and put it there: "
        f"{folder / file.name}. Then fetch again: it is verified."
    )


def _cause(error: Exception) -> str:
    """Why a request failed, in a few words: requests and urllib3 wrap the reason in each other."""
    inner: object = error.args[0] if error.args else error
    inner = getattr(inner, "reason", None) or inner
    refusal = getattr(inner, "original_error", None)  # of a proxy
    text = str(refusal or (inner.args[0] if isinstance(inner, Exception) and inner.args else inner))
    text = re.sub(r"^\w+\(.*?\): ", "", text).removesuffix(".")
    return f"the proxy does not answer: {text}" if refusal else text
