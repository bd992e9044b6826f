"""The figures as benchmarks/RESULTS.md and a plot."""

from pathlib import Path

HERE = Path(__file__).parent
BASELINE = "in-process baseline"
MARK = "<!-- figures -->"
Table = dict[str, dict[tuple[str, str, int], dict[str, float]]]


def write(table: Table, facts: dict[str, str], start_ups: dict[str, float], memory: dict[str, float]) -> None:
    """Replace what stands between the marks of RESULTS.md, and the plot."""
    parts = ["\n".join(f"- {name}: {value}" for name, value in facts.items())]
    for kind, size in dict.fromkeys(cell[:2] for cell in table[BASELINE]):
        parts += [f"### {kind}, {size} photos", _rates(table, kind, size)]
    parts += ["### Start-up and memory", _start(start_ups, memory)]
    path = HERE / "RESULTS.md"
    before, _, after = path.read_text().split(MARK)
    path.write_text(f"{before}{MARK}\n" + "\n\n".join(parts) + f"\n{MARK}{after}")
    _plot(table)


def _rates(table: Table, kind: str, size: str) -> str:
    lines = ["| | clients | requests/s | of the baseline | p50 ms | p99 ms | wrong | errors | client's CPU |"]
    lines.append("|---" * 9 + "|")
    for name, row in table.items():
        for (its_kind, its_size, clients), values in row.items():
            if (its_kind, its_size) != (kind, size):
                continue
            base = table[BASELINE][kind, size, clients]["rate"]
            share = "" if name == BASELINE else f"{values['client']:.0%}"
            lines.append(
                f"| {name} | {clients} | {values['rate']:.0f} | {values['rate'] / base:.2f} | {values['p50']:.1f} "
                f"| {values['p99']:.1f} | {values['wrong']:.1%} | {values['errors']:.0f} | {share} |"
            )
    return "\n".join(lines)


def _start(start_ups: dict[str, float], memory: dict[str, float]) -> str:
    lines = ["| | first answer after, s | peak memory with medium photos (VmHWM, all processes), MB |", "|---|---|---|"]
    lines += [f"| {name} | {start_ups[name]:.1f} | {memory[name]:.0f} |" for name in start_ups]
    return "\n".join(lines)


def _plot(table: Table) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(table)[::-1]
    figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
    for offset, (clients, color) in enumerate(zip((1, 8, 32), ("#56B4E9", "#0072B2", "#003A5D"), strict=True)):
        rates = [table[name]["json", "medium", clients]["rate"] for name in names]
        places = [place + 0.27 * (1 - offset) for place in range(len(names))]
        axes.barh(places, rates, 0.25, color=color, label=f"{clients} client" + "s" * (clients > 1))
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("JSON answers a second, 640 px photos")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside upper right", ncols=3)
    figure.savefig(HERE / "results.png", dpi=110)
