"""The network on an NVIDIA GPU, with and without dynamic batching: python -m benchmarks.gpu [--model starter]

Needs onnxruntime-gpu and CUDA; without them it says what it would do. At most 8 minutes. First the GPU's detections
are compared with the CPU's; then clients, each a thread, send one picture after the other, without HTTP.
"""

import argparse
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks import ROOT
from yololab.api.settings import Settings
from yololab.errors import LabError
from yololab.vision.candidates import every_class
from yololab.vision.detector import NMS_THRESHOLD, Detector
from yololab.vision.engines.fast import onnxruntime_runs
from yololab.vision.images import decode
from yololab.vision.machine import cores
from yololab.vision.models import find
from yololab.vision.onnx.network import network_of
from yololab.vision.suppression import suppress

CLIENTS = (1, 8, 32, 128)
LARGEST = 32  # pictures in a batch
TOLERANCE = 1e-3  # of confidences, and of boxes as fractions of the picture
PROVIDERS = {"cuda": "CUDAExecutionProvider", "onnxruntime": "CPUExecutionProvider"}
CONFIDENCE = 0.3

Run = Callable[[np.ndarray], np.ndarray]
"""Pictures uint8 (N, H, W, 3) to rows float32 (N, R, 5 + C)."""
Ask = Callable[[np.ndarray], np.ndarray]
"""One picture to its rows."""


def disagreements(one: Detector, other: Detector, pictures: dict[str, np.ndarray]) -> list[str]:
    """A sentence for each picture in which two engines find other labels, or numbers further apart than TOLERANCE."""
    found = []
    for name, picture in pictures.items():
        first, second = one(picture, CONFIDENCE), other(picture, CONFIDENCE)
        scale = np.array(picture.shape[1::-1] * 2)
        if [each.label for each in first] != [each.label for each in second]:
            found.append(f"{name}: {[each.label for each in first]} and {[each.label for each in second]}")
            continue
        apart = [abs(a.confidence - b.confidence) for a, b in zip(first, second, strict=True)]
        apart += [(np.abs(np.subtract(a.box, b.box)) / scale).max() for a, b in zip(first, second, strict=True)]
        if max(apart, default=0) > TOLERANCE:
            found.append(f"{name}: numbers differ by {max(apart):.5f}")
    return found


def session(detector: Detector, engine: str) -> Run:
    """The network of a Darknet model for batches of any length."""
    run, _ = onnxruntime_runs(network_of(detector.model, detector.size), cores(), PROVIDERS[engine])
    return lambda pictures: run(pictures)[0]


@contextmanager
def one_by_one(run: Run):
    """Each picture is a call of its own."""
    yield lambda picture: run(picture[None])[0]


@contextmanager
def batched(run: Run):
    """What waits when the network comes free is its next batch: nobody waits for a batch to fill."""
    waiting: SimpleQueue[tuple[np.ndarray, Future] | None] = SimpleQueue()

    def work() -> None:
        while (first := waiting.get()) is not None:
            batch = [first]
            while len(batch) < LARGEST:
                try:
                    following = waiting.get_nowait()
                except Empty:
                    break
                if following is None:
                    waiting.put(None)
                    break
                batch.append(following)
            try:
                rows = run(np.stack([picture for picture, _ in batch]))
            except Exception as error:
                for _, result in batch:
                    result.set_exception(error)
            else:
                for (_, result), its_rows in zip(batch, rows, strict=True):
                    result.set_result(its_rows)

    def ask(picture: np.ndarray) -> np.ndarray:
        result: Future = Future()
        waiting.put((picture, result))
        return result.result()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield ask
    finally:
        waiting.put(None)
        thread.join()


def rate(ask: Ask, pictures: list[np.ndarray], clients: int, seconds: float) -> tuple[float, float]:
    """Answers a second, and the median seconds of one: rows, then suppression, in each client's own thread."""
    spent: list[float] = []
    end = perf_counter() + seconds

    def client(number: int) -> None:
        while perf_counter() < end:
            began = perf_counter()
            number = (number + 1) % len(pictures)
            found = every_class(ask(pictures[number]), CONFIDENCE, (640, 480))
            suppress(found.boxes, found.scores, found.classes, NMS_THRESHOLD)
            spent.append(perf_counter() - began)

    began = perf_counter()
    threads = [threading.Thread(target=client, args=(3 * number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(spent) / (perf_counter() - began), median(spent)


def ladder(run: Run, pictures: list[np.ndarray], seconds: float, rounds: int) -> str:
    """A table: requests a second with and without batching for each number of clients, medians over the rounds."""
    lines = ["| clients | one by one, requests/s | p50 ms | batches, requests/s | p50 ms | batches are faster by |"]
    lines.append("|---" * 6 + "|")
    for size in (1, LARGEST):
        run(np.stack((pictures * LARGEST)[:size]))  # the first call for each size is slower
    for clients in CLIENTS:
        taken: dict[Callable, list[tuple[float, float]]] = {one_by_one: [], batched: []}
        for _ in range(rounds):
            for way, results in taken.items():
                with way(run) as ask:
                    results.append(rate(ask, pictures, clients, seconds))
        (alone, alone_p50), (many, many_p50) = (
            (median(each[0] for each in results), median(each[1] for each in results)) for results in taken.values()
        )
        lines.append(
            f"| {clients} | {alone:.0f} | {alone_p50 * 1e3:.1f} | {many:.0f} | {many_p50 * 1e3:.1f} "
            f"| {many / alone:.2f} times |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Print the agreement and the ladder; 1 where the engines disagree."""
    import onnxruntime

    parser = argparse.ArgumentParser(description="Measure a Darknet model on a GPU, with and without batches.")
    parser.add_argument("--model", default="starter", help="an installed Darknet model (default: %(default)s)")
    parser.add_argument("--engine", default="cuda", choices=list(PROVIDERS), help="onnxruntime: on the CPU, to try it")
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    there = onnxruntime.get_available_providers()
    if PROVIDERS[options.engine] not in there:
        total = options.seconds * options.rounds * len(CLIENTS) * 2
        print(
            f"There is no GPU that ONNX Runtime can use here, only {', '.join(there)}: install onnxruntime-gpu where "
            f"there is one. This would compare the detections of {options.model} on it with the CPU's in "
            f"{len(list((ROOT / 'images').glob('*.jpg')))} pictures (labels equal, numbers within {TOLERANCE}), then "
            f"measure {', '.join(map(str, CLIENTS))} clients with and without batches of up to {LARGEST}, "
            f"{total:.0f} s in all. `--engine onnxruntime` runs the same on the CPU."
        )
        return 0
    try:
        model = find(options.model, Settings().model_folders)
        if model.is_onnx:
            sys.exit(f"error: {options.model} is an ONNX file; take a Darknet model, whose network takes batches")
        reference, detector = Detector(model, "onnxruntime"), Detector(model, options.engine)
    except LabError as error:
        sys.exit(f"error: {error}")
    pictures = {path.name: decode(path.read_bytes()) for path in sorted((ROOT / "images").glob("*.jpg"))}
    wrong = disagreements(reference, detector, pictures)
    print(f"{len(pictures) - len(wrong)} of {len(pictures)} pictures agree with the CPU's float32", *wrong, sep="\n")
    prepared = [network_of(model, detector.size).preparation(picture)[0][0] for picture in pictures.values()]
    print(ladder(session(detector, options.engine), prepared, options.seconds, options.rounds))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
