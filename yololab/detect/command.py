"""`yololab detect`, from its options to its exit status."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from itertools import groupby
from pathlib import Path
from time import perf_counter
from typing import TextIO

from tqdm import tqdm

from ..api.settings import Settings
from ..errors import LabError
from ..vision.detector import NMS_THRESHOLD, Detector
from ..vision.machine import cores
from .codecs import encoder
from .parallel import ordered_map
from .pictures import Job, detect_picture
from .results import Entry, Failure, Format, as_coco, as_csv, as_json, writing
from .sources import PICTURES, VIDEOS, Source, expand
from .video import detect_video

Input = Source | Failure


def detect(options: argparse.Namespace) -> int:
    """0 where all inputs were read, 1 where some could not be, 130 after Ctrl+C; that is the usual end of a camera.

    Raises LabError for a model that cannot be used and for a file that cannot be written or would replace an input.
    """
    settings = Settings()
    inputs = expand(options.paths, options.out)
    _check(options, inputs)
    try:
        detector = Detector(options.model or settings.model, settings.chosen_engine, folders=settings.model_folders)
    except ValueError as error:  # an engine whose package is not installed
        raise LabError(str(error)) from error
    nms_threshold = NMS_THRESHOLD if options.nms_threshold is None else options.nms_threshold
    job = Job(detector, options.confidence, nms_threshold, settings.max_pixels, options.out if options.save else None)
    formats = _formats(options, inputs, detector.labels)
    done, failed, objects, started, stopped = 0, 0, 0, perf_counter(), False
    try:
        with ExitStack() as stack:
            files = [stack.enter_context(writing(path, format)) for path, format in formats.items()]
            for entry in stack.enter_context(closing(_entries(job, inputs, options))):
                for file in files:
                    file.add(entry)
                if isinstance(entry, Failure):
                    failed += 1
                    _say(f"{entry.name}: {entry.error}", sys.stderr)
                else:
                    done += 1
                    objects += len(entry.detections)
    except KeyboardInterrupt:
        stopped = True
    unit = "picture" if all(_kind(each) == "picture" for each in inputs) else "image"
    places = [*([f"{options.out}{os.sep}"] if options.save and done else []), *map(str, formats)]
    summary = f"{_count(done, unit)}, {_count(objects, 'object')}, {failed} failed, {perf_counter() - started:.1f} s"
    _say(f"{summary}{' -> ' if places else ''}{', '.join(places)}", sys.stderr)
    if stopped and all(_kind(each) != "camera" for each in inputs):
        _say("Stopped by Ctrl+C; what was done until then is kept.", sys.stderr)
        return 130
    return 1 if failed else 0


def _check(options: argparse.Namespace, inputs: Sequence[Input]) -> None:
    """Raise LabError where a file to be written is an input, or looks like one: `--json *.jpg` takes a photo."""
    sources = [each for each in inputs if isinstance(each, Source) and each.kind != "camera"]
    identities = {_identity(Path(source.name)): source.name for source in sources}
    identities.pop(None, None)
    files = {name: path for name in ("json", "csv", "coco") if (path := getattr(options, name))}
    if len(set(files.values())) < len(files):
        raise LabError(f"{', '.join(f'--{name}' for name in files)} need a file each; some name the same.")
    for option, path in files.items():
        if path.suffix.lower() in PICTURES | VIDEOS or _identity(path) in identities:
            raise LabError(f"--{option} {path} would replace a picture or video. Name another file.")
        if not path.absolute().parent.is_dir():
            raise LabError(f"--{option} {path}: there is no folder {path.absolute().parent}. Create it first.")
    for source in sources if options.save else ():
        if name := identities.get(_identity(options.out / source.copy)):
            raise LabError(
                f"The annotated copy {options.out / source.copy} would replace {name}. Choose another --out."
            )


def _identity(path: Path) -> tuple[int, int] | None:
    """What two names of one file share; None for a file that is not there."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def _formats(options: argparse.Namespace, inputs: Sequence[Input], labels: list[str]) -> dict[Path, Format]:
    """The files of results that are asked for."""
    kinds = {_kind(each) for each in inputs}
    stems = [Path(each.name).stem for each in inputs if isinstance(each, Source)]
    numbered = kinds == {"picture"} and all(map(str.isdecimal, stems)) and len(set(map(int, stems))) == len(stems)
    formats = {
        options.json: as_json(),
        options.csv: as_csv(videos=kinds != {"picture"}),
        options.coco: as_coco(labels, numbered),
    }
    return {path: format for path, format in formats.items() if path}


def _entries(job: Job, inputs: Sequence[Input], options: argparse.Namespace) -> Generator[Entry, None, None]:
    """What comes of each input, in order; pictures that follow each other are done at once, on all cores."""
    for kind, group in groupby(inputs, _kind):
        if kind == "picture":
            yield from _pictures(job, list(group))
        else:
            for source in group:
                assert isinstance(source, Source)
                yield from _video(job, source, options)


def _kind(each: Input) -> str:
    return each.kind if isinstance(each, Source) else "picture"


def _pictures(job: Job, inputs: list[Input]) -> Generator[Entry, None, None]:
    def work(each: Input) -> Entry:
        return each if isinstance(each, Failure) else detect_picture(job, each)

    with closing(ordered_map(work, inputs, cores() + 1)) as entries:
        for entry in tqdm(entries, total=len(inputs), unit=" pictures", disable=None, leave=False):
            yield entry  # first into the files, then shown: Ctrl+C loses nothing that was shown
            if not isinstance(entry, Failure):
                counts = Counter(detection.label for detection in entry.detections)
                what = ", ".join(f"{count} {label}" for label, count in counts.most_common())
                _say(f"{entry.name}: {what or 'nothing'}", sys.stdout)


def _video(job: Job, source: Source, options: argparse.Namespace) -> Generator[Entry, None, None]:
    frames = objects = 0
    with closing(detect_video(job, source, options.stride, options.codec)) as entries:
        for entry in entries:
            if not isinstance(entry, Failure):
                frames, objects = frames + 1, objects + len(entry.detections)
            yield entry
    if frames:
        copy = f" -> {options.out / source.copy}, {encoder(options.codec)[0]}" if job.out else ""
        hint = " (for browsers: --codec vp9, which is slow)" if copy.endswith("mpeg4") and not options.codec else ""
        _say(f"{source.name}: {_count(frames, 'frame')}, {_count(objects, 'object')}{copy}{hint}", sys.stdout)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _say(text: str, stream: TextIO) -> None:
    """Print a line above the progress bar; what the encoding lacks is escaped, and a closed pipe is no error."""
    encoding = stream.encoding or "utf-8"
    try:
        tqdm.write(text.encode(encoding, "backslashreplace").decode(encoding), stream)
        stream.flush()
    except BrokenPipeError:  # `| head` has seen enough; the files are still to be written
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
