"""Which engine and precision run a network fastest on this machine: measured once for each network, then kept.

ONNX Runtime in float32 is the reference. Another engine takes its place where it needs clearly less of the CPU and
finds the same objects.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import NamedTemporaryFile
from time import process_time
from typing import TYPE_CHECKING

from ...errors import BrokenModel
from ...paths import user_cache
from ..candidates import Candidates
from ..machine import cpu_name
from .agreement import agreement, best, scenes

if TYPE_CHECKING:
    from ..models import Model
    from . import Engine, Size

Make = Callable[[str], "Engine"]
"""An engine by its name, for one network."""

REFERENCE = "onnxruntime"
GAIN = 1.15  # times as fast at least: less may be noise, and is not worth loading a second package
AGREEMENT = 0.9  # the lowest that counts as the same answers: bf16 has 0.94 to 0.96, and costs at most 0.002 of AP50
ROUNDS = 2  # over all scenes, the engines in turn
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """An engine's name, and in words why this one."""

    engine: str
    why: str


def choose(model: "Model", size: "Size", threads: int, exact: bool, make: Make, folder: Path | None = None) -> Choice:
    """The engine for a network that is fed pictures of `size`, with so many threads.

    exact: only engines that compute in float32. folder: where choices are kept, by default in the user's cache. One
    that cannot be kept is the reference: another process could choose otherwise, and answer with other digits.
    """
    if not find_spec("openvino"):
        return Choice(REFERENCE, "the only fast one that is installed")
    path = (folder or user_cache("engines")) / f"{_key(model, size, threads, exact)}.json"
    if kept := _read(path):
        return kept
    choice = measure(make, rivals(exact))
    try:
        return _keep(path, choice)
    except OSError as error:
        logger.warning("the choice of the engine is not kept in %s: %s", path.parent, error)
        return Choice(REFERENCE, f"the choice of a faster one cannot be kept in {path.parent}")


def rivals(exact: bool) -> list[str]:
    """The engines that may be faster than the reference on this machine. exact: only those in float32."""
    import openvino

    has_bf16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ["openvino", *(["openvino-bf16"] if has_bf16 and not exact else [])]


def measure(make: Make, names: list[str]) -> Choice:
    """Let the reference and the engines `names` see the scenes in turn; choose by the CPU time of a picture."""
    engines = {REFERENCE: make(REFERENCE)}
    for name in names:
        try:
            engines[name] = make(name)
        except BrokenModel as error:
            logger.info("%s is no candidate: %s", name, error)
    found: dict[str, list[Candidates]] = {name: [] for name in engines}
    taken: dict[str, list[float]] = {name: [] for name in engines}
    for number in range(ROUNDS if len(engines) > 1 else 0):
        for scene in scenes():
            for name, engine in engines.items():
                began = process_time()  # not the clock: others may be at work on this machine
                (rows,) = engine([scene])
                taken[name].append(process_time() - began)
                if number == 0:
                    found[name].append(best(rows, engine.nms))
    if len(engines) == 1:
        return Choice(REFERENCE, "the only fast one that runs this network")
    cost = {name: min(values) for name, values in taken.items()}
    same = {name: agreement(found[REFERENCE], boxes) for name, boxes in found.items()}
    better = [name for name in engines if same[name] >= AGREEMENT and cost[name] * GAIN <= cost[REFERENCE]]
    words = [f"{name} {cost[name] * 1e3:.1f} ms" + _doubt(same[name]) for name in engines]
    chosen = min(better, key=cost.__getitem__, default=REFERENCE)
    return Choice(chosen, f"measured, CPU time of a picture: {', '.join(words)}")


def _doubt(same: float) -> str:
    return "" if same >= AGREEMENT else f" (but finds other objects: agreement {same:.2f}, not {AGREEMENT})"


def _key(model: "Model", size: "Size", threads: int, exact: bool) -> str:
    """What a choice depends on: the network, what it is fed, threads, allowed precision, the CPU, the packages."""
    cfg = "" if model.is_onnx else model.path.read_text(encoding="utf-8", errors="replace")
    packages = [version(name) for name in ("onnxruntime", "openvino")]
    facts = [model.sha256(), cfg, size, threads, exact, cpu_name(), packages, GAIN, AGREEMENT]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _read(path: Path) -> Choice | None:
    try:
        return Choice(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # missing, cut off, of another form
        return None


def _keep(path: Path, choice: Choice) -> Choice:
    """Keep a choice unless another process was first; what is kept then, so that all take the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False, encoding="utf-8") as file:
        json.dump(asdict(choice), file)
    try:
        if path.exists() and not _read(path):
            path.unlink()
        with suppress(FileExistsError):
            os.link(file.name, path)  # whole or not at all, and never over another's
    finally:
        os.unlink(file.name)
    if kept := _read(path):
        return kept
    raise FileNotFoundError(f"{path} is gone")
