"""`yololab doctor`: what is right and what is wrong on this machine, with the fix."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from requests.utils import should_bypass_proxies

from .api.settings import Settings, unknown_variables
from .api.uploads import writable
from .errors import LabError, WrongSetting
from .paths import repository, user_cache

BUILDS = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
Finding = tuple[bool, str]
"""Whether it is fine, and one sentence."""


def examine() -> int:
    """Print one line for each finding; 0 where nothing is wrong, else 1."""
    wrong = 0
    for fine, text in _findings():
        print(f"{'ok   ' if fine else 'WRONG'}  {text}", flush=True)
        wrong += not fine
    return 1 if wrong else 0


def _findings() -> Iterator[Finding]:
    yield from _python()
    yield from _packages()
    yield from _opencv()
    try:
        settings = Settings()
        yield True, "the settings are possible"
    except WrongSetting as error:
        yield False, f"{error} The checks below take the defaults."
        settings = Settings.model_construct()
    with suppress(WrongSetting):  # the file .env cannot be read, which is said above
        yield from ((False, sentence) for sentence in unknown_variables())
    yield from _models(settings)
    yield from _proxies()
    yield from _port(settings)
    yield from _folders(settings)


def _python() -> Iterator[Finding]:
    current = ".".join(map(str, sys.version_info[:3]))
    yield sys.version_info >= (3, 11), f"Python {current}; the lab needs 3.11 or newer"


def _packages() -> Iterator[Finding]:
    """In the repository the pins of requirements.txt, elsewhere what the package itself requires."""
    here = repository()
    if here:
        lines = (here / "requirements.txt").read_text(encoding="utf-8").splitlines()
        lines = [line for line in lines if "==" in line and not line.startswith("#")]
        source, fix = "requirements.txt pins them", "python -m pip install -r requirements.txt"
    else:
        lines = [line for line in requires("yololab") or [] if "extra ==" not in line]
        source, fix = "yololab requires them", "python -m pip install --upgrade yololab"
    wrong = []
    for requirement in map(Requirement, lines):
        installed = _version(requirement.name)
        if requirement.marker and not requirement.marker.evaluate():
            continue
        if installed is None or installed not in requirement.specifier:
            wrong.append(f"{requirement.name} {installed or 'missing'} (needs {requirement.specifier})")
    yield not wrong, f"packages as {source}" if not wrong else f"{', '.join(wrong)}; fix: {fix}"


def _opencv() -> Iterator[Finding]:
    builds = [f"{name} {found}" for name in BUILDS if (found := _version(name))]
    fix = "" if len(builds) == 1 else "; there must be exactly one: pip uninstall all of them, then install again"
    yield len(builds) == 1, f"OpenCV: {', '.join(builds) or 'none'}{fix}"


def _models(settings: Settings) -> Iterator[Finding]:
    """Each model is loaded and answers once; what lies in a folder and cannot be served is named."""
    import numpy as np

    from .vision.detector import Detector
    from .vision.models import find, installed
    from .vision.models.unusable import unusable

    for folder in settings.listed_folders:
        if not folder.is_dir():
            yield False, f"folder {folder} of YOLOLAB_MODEL_PATH does not exist. Create it, or correct the variable."
    models = installed(settings.model_folders)
    for name, model in models.items():
        try:
            detector = Detector(model, settings.chosen_engine)
            detector(np.zeros((64, 64, 3), np.uint8))
            width, height = detector.size
            engine = f"{width} x {height}, engine {detector.engine.name}"
            engine += f" ({detector.engine.why})" if detector.engine.why else ""
            note = f"; {model.note}" if model.note else ""
            yield True, f"model {name}: {model.bytes / 1e6:.1f} MB in {model.path.parent}, {engine}{note}"
        except (LabError, ValueError) as error:
            yield False, f"model {name}: {error}"
    yield from ((False, sentence) for sentence in unusable(settings.model_folders))
    if settings.model not in models:
        try:
            find(settings.model, settings.model_folders)
        except LabError as error:
            yield False, f"the default model: {error}"


def _proxies() -> Iterator[Finding]:
    """Programs that send requests to this machine must not send them to a proxy."""
    proxy = next((value for name in ("HTTP_PROXY", "http_proxy") if (value := os.environ.get(name))), "")
    if proxy and not should_bypass_proxies("http://127.0.0.1", no_proxy=None):
        yield (
            False,
            "HTTP_PROXY is set and NO_PROXY does not list this machine, so clients of the API would ask the proxy. "
            "Set NO_PROXY=127.0.0.1,localhost",
        )


def _port(settings: Settings) -> Iterator[Finding]:
    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", settings.port)) == 0 if settings.port else False
    fix = "is taken; stop the other server, or set YOLOLAB_PORT=8001 and YOLOLAB_URL=http://127.0.0.1:8001"
    yield not taken, f"port {settings.port} {fix if taken else 'is free'}"


def _folders(settings: Settings) -> Iterator[Finding]:
    here = repository()
    for folder in (settings.uploads, *([here / "build"] if here else []), user_cache("models")):
        usable = writable(folder)
        yield usable, f"folder {folder} can{'' if usable else 'not'} be written to"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
