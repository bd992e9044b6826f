"""`yololab models add FILE`: a model of one's own is checked, run once, and put where it is served from."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from ...errors import LabError
from ..detector import Detector
from ..models import Model, from_path, printable

RUNS = 5  # the median counts


class CannotAdd(LabError):
    """The model is fine, and cannot be put into the folder."""


@dataclass(frozen=True)
class Checked:
    """A model that has been run. milliseconds: for one picture, preparation and suppression too."""

    model: Model
    detector: Detector
    milliseconds: float

    def __str__(self) -> str:
        engine, labels = self.detector.engine, self.detector.labels
        width, height = self.detector.size
        shown = ", ".join(labels[:5]) + (", ..." if len(labels) > 5 else "")
        return (
            f"{self.model.name}: {engine.about}\n"
            f"  fed        {width} x {height} pixels, {engine.fed}\n"
            f"  classes    {len(labels)}: {shown}\n"
            f"  time       {self.milliseconds:.0f} ms a picture with the engine {engine.name}\n"
            f"  confidence {self.model.confidence:g} by default"
        )


def check(path: Path, engine: str = "auto") -> Checked:
    """Load the model of a .onnx, or of a .cfg beside its .weights, and run it. Raises UnknownModel, BrokenModel."""
    model = from_path(path)
    detector = Detector(model, engine)
    picture = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    seconds = []
    for _ in range(RUNS):
        started = perf_counter()
        detector(picture)
        seconds.append(perf_counter() - started)
    return Checked(model, detector, 1000 * sorted(seconds)[RUNS // 2])


def copy(model: Model, folder: Path) -> Path:
    """Copy the files of a model into `folder`, what completes it last; where it lies then.

    Nothing that lies there is overwritten. Raises CannotAdd.
    """
    if not printable(model.name):
        raise CannotAdd(f"{model.name!r} is no readable name. Rename the file first.")
    files = dict(_files(model, folder))
    for source, target in files.items():
        if target.exists() and not os.path.samefile(source, target):
            if source in model.weight_files[1:]:
                fix = (
                    "It holds the tensors of another model: export this one with its tensors in a file of another name"
                )
            else:
                fix = f"Move it away, or rename {source.name} first"
            raise CannotAdd(f"{target} is there already. {fix}.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source, target in files.items():
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                part = target.with_name(f"{target.name}.part")
                shutil.copyfile(source, part)
                os.replace(part, target)
    except OSError as error:
        raise CannotAdd(f"{model.name} cannot be copied into {folder}: {error.strerror or error}.") from error
    return folder / model.path.name


def _files(model: Model, folder: Path) -> Iterator[tuple[Path, Path]]:
    """The files of a model, and where each goes."""
    if model.is_onnx:
        from ..onnx.file import facts

        known = facts(model.path)
        for name in known.external:
            yield model.path.parent / name, folder / name
        names = model.names if model.names.stem == model.name or not known.labels else None
    else:
        names = model.names
    if names is not None:
        yield names, folder / f"{model.name}.names"
    if (toml := model.path.with_suffix(".toml")).is_file():
        yield toml, folder / toml.name
    yield model.path, folder / model.path.name
    if model.weights != model.path:
        yield model.weights, folder / model.weights.name
