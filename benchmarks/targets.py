"""What was asked of the speed, beside what one run has reached."""

from statistics import median

from benchmarks.contenders import CONTENDERS, EQUAL, LOCKED, OWN, OWN_EQUAL, OWN_EQUAL_WORKERS, OWN_WORKERS
from benchmarks.limit import limit_name

Rows = dict[str, dict[tuple[str, str, int], dict[str, float]]]
PEERS = [each.name for each in CONTENDERS if each.group == EQUAL and each.package]


def targets(rows: Rows, start_up: dict[str, list[float]], memory: dict[str, list[float]]) -> str:
    """A table of targets, each with this run's figures for one process and for a worker on each core."""

    def rate(name: str, kind: str = "json", photos: str = "medium", clients: int = 8) -> float:
        return rows.get(name, {}).get((kind, photos, clients), {}).get("rate", 0.0)

    own, equal = limit_name("limit", None), limit_name("limit", 416)
    alone = rows[limit_name("alone", None)]["json", "medium", 0]
    one_core = rows[own]["json", "medium", 0]
    lines = ["| asked | one process | a worker for each core |", "|---|---|---|"]

    def row(asked: str, *reached: str) -> None:
        lines.append(f"| {asked} | {' | '.join(reached)} |")

    def ratio(name: str, other: str, *cell: str | int, over: int | None = None) -> str:
        most = rate(other, *cell[:2], *([over] if over is not None else cell[2:]))  # type: ignore[arg-type]
        return f"{rate(name, *cell) / most:.2f}" if most and rate(name, *cell) else "not measured"  # type: ignore[arg-type]

    both, both_equal = (OWN, OWN_WORKERS), (OWN_EQUAL, OWN_EQUAL_WORKERS)
    locked = [ratio(name, LOCKED, "json", "medium", 8) for name in both]
    row("as it comes: 6 times the classic handler with a lock, 8 with bf16 (8 clients)", *locked)
    for clients in (8, 32):
        best = max((name for name in PEERS if name in rows), key=lambda name: rate(name, clients=clients), default=None)
        said = [f"{ratio(name, best, 'json', 'medium', clients)} of {best}" if best else "none" for name in both_equal]
        row(f"equal footing: ahead of every peer, {clients} clients", *said)
    row("equal footing: 0.93 of the limit", *(ratio(name, equal, "json", "medium", 8, over=0) for name in both_equal))
    for name, base, what in (("p50", 1.15, "median"), ("cost", 1.2, "CPU a request")):
        reached = []
        for contender, reference in zip(both, (alone, one_core), strict=True):
            mine = rows.get(contender, {}).get(("json", "medium", 1))
            reached.append(f"{mine[name] / reference[name]:.2f}" if mine else "not measured")
        row(f"one client: {what} at most {base} times that in a loop without HTTP", *reached)
    row("large photos, JSON: 0.85 of the limit", *(ratio(name, own, "json", "large", 8, over=0) for name in both))
    pictures = [ratio(name, LOCKED, "picture", "large", 8) for name in both]
    row("large photos, annotated: 1.5 times the classic handler with a lock", *pictures)
    wrong = [sum(values["wrong"] for values in rows.get(name, {}).values()) for name in both]
    answers = [sum(values["answers"] for values in rows.get(name, {}).values()) for name in both]
    row("no wrong answer, 1 to 200 clients", *(f"{w:.0f} of {a:.0f}" for w, a in zip(wrong, answers, strict=True)))
    row("ready within 2 s", *(f"{median(start_up.get(name, [0])):.1f} s" for name in both))
    row("memory, all processes together", *(f"{median(memory.get(name, [0])):.0f} MB" for name in both))
    return "\n".join(lines)
