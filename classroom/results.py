"""What checks found, kept as lines of JSON: `progress` shows a student's own, `grade` those of a whole class."""

import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from classroom import ROOT

VARIABLE = "CLASSROOM_RESULTS"  # the file; empty: keep nothing


@dataclass(frozen=True)
class Result:
    """One exercise as one check saw it. hint: of the first comparison that failed."""

    exercise: str
    right: int
    lines: int
    hint: str
    time: str

    @property
    def solved(self) -> bool:
        return self.right == self.lines > 0


def path() -> Path | None:
    """The file that results go to: build/results.jsonl, or what the environment variable names."""
    name = os.environ.get(VARIABLE, str(ROOT / "build/results.jsonl"))
    return Path(name) if name else None


def record(exercise: str, lines: list[tuple[bool, str]]) -> None:
    """Keep what a check of an exercise found. A folder that cannot be written to spoils no check."""
    file = path()
    if file is None or not lines:
        return
    failed = next((text for right, text in lines if not right), "")
    now = datetime.now().isoformat(timespec="seconds")
    result = Result(exercise, sum(right for right, _ in lines), len(lines), failed, now)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(asdict(result)) + "\n")
    except OSError:
        pass


def read(file: Path) -> list[Result]:
    """All results in a file, the oldest first; none where there is no such file. A line cut short is left out."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        try:
            found.append(Result(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


def best(results: list[Result]) -> dict[str, Result]:
    """For each exercise the result with the largest share of right lines, of equal ones the first."""
    found: dict[str, Result] = {}
    for each in results:
        known = found.get(each.exercise)
        if known is None or each.right * known.lines > known.right * each.lines:
            found[each.exercise] = each
    return found
