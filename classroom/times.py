"""How long a reader takes for a notebook, by a rule: 200 words and 20 lines of code a minute, 5 minutes an exercise."""

import re
from pathlib import Path

import nbformat

from classroom import ROOT

from .outputs import NOTE

WORDS, LINES, EXERCISE = 200, 20, 5  # a minute, a minute, minutes


def minutes(path: Path, exercises: int) -> float:
    """The minutes for a notebook with so many exercises. Folded cells and folded text are not read by everybody."""
    words = lines = 0
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.id == NOTE:
            continue
        if cell.cell_type == "markdown":
            words += len(re.sub(r"(?s)<details>.*?</details>", "", cell.source).split())
        elif "hide-input" not in cell.metadata.get("tags", []):
            lines += sum(bool(line.strip()) for line in cell.source.splitlines())
    return words / WORDS + lines / LINES + EXERCISE * exercises


def table() -> str:
    """A line for each unit."""
    from .checks import exercises, lessons
    from .progress import title

    rows = []
    for lesson in lessons():
        for path in sorted(ROOT.glob(f"{lesson}.ipynb")) + sorted((ROOT / "notebooks").glob(f"{lesson}_*.ipynb")):
            rows.append(f"{title(lesson):<44} {minutes(path, len(exercises(lesson))):4.0f} min")
    return "\n".join(rows)
