"""`python -m yololab doctor`: what is right and what is wrong on this machine, with the mend."""

import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

from .errors import LabError
from .settings import ROOT, Settings, user_cache

BUILDS = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")


def examine() -> int:
    """Print one line for each finding; 0 where nothing is wrong, else 1."""
    findings = [finding for look in (_python, _packages, _opencv, _models, _port, _folders) for finding in look()]
    for fine, text in findings:
        print(f"{'ok   ' if fine else 'WRONG'}  {text}")
    return 0 if all(fine for fine, _ in findings) else 1


def _python() -> Iterator[tuple[bool, str]]:
    current = ".".join(map(str, sys.version_info[:3]))
    yield sys.version_info >= (3, 11), f"Python {current}; the lab wants 3.11 or newer"


def _packages() -> Iterator[tuple[bool, str]]:
    wrong = []
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if "==" not in line:
            continue
        wanted = Requirement(line)
        found = _version(wanted.name)
        if (not wanted.marker or wanted.marker.evaluate()) and (found is None or found not in wanted.specifier):
            wrong.append(f"{wanted.name} {found or 'missing'} (wants {wanted.specifier})")
    mend = "; mend: python -m pip install -r requirements.txt"
    yield not wrong, "packages as requirements.txt pins them" if not wrong else ", ".join(wrong) + mend


def _opencv() -> Iterator[tuple[bool, str]]:
    builds = [f"{name} {found}" for name in BUILDS if (found := _version(name))]
    mend = "" if len(builds) == 1 else "; there must be exactly one: pip uninstall all of them, then install again"
    yield len(builds) == 1, f"OpenCV: {', '.join(builds) or 'none'}{mend}"


def _models() -> Iterator[tuple[bool, str]]:
    from .models import find, installed

    settings = Settings()
    here = installed(settings.model_folders)
    for name, model in here.items():
        try:
            model.verify()
            model.labels()
            yield True, f"model {name}: {model.bytes / 1e6:.1f} MB in {model.cfg.parent}"
        except LabError as error:
            yield False, f"model {name}: {error}"
    if settings.model not in here:
        try:
            find(settings.model, settings.model_folders)
        except LabError as error:
            yield False, f"the default model: {error}"


def _port() -> Iterator[tuple[bool, str]]:
    settings = Settings()
    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", settings.port)) == 0 if settings.port else False
    mend = "is taken; stop the other server, or set YOLOLAB_PORT=8001 and YOLOLAB_URL=http://127.0.0.1:8001"
    yield not taken, f"port {settings.port} {mend if taken else 'is free'}"


def _folders() -> Iterator[tuple[bool, str]]:
    for folder in (Settings().uploads, ROOT / "build", user_cache("models")):
        yield _writable(folder), f"folder {folder} can{'' if _writable(folder) else 'not'} be written to"


def _writable(folder: Path) -> bool:
    """Whether a file can be made there; for a folder that is not there yet, in the nearest one that is."""
    while not folder.exists():
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return os.access(folder, os.W_OK)
    except OSError:
        return False


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
