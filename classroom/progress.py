"""`python -m classroom progress`: which exercises have been solved here, and after the last one a page to print."""

from datetime import date
from html import escape
from pathlib import Path

from classroom import ROOT

from .checks import exercises, lessons
from .results import Result, best, path, read

PAGE = ROOT / "build/course-completed.html"


def progress() -> str:
    """A line for each lesson with its exercises: solved, tried (right of all comparisons), or not yet."""
    file = path()
    found = best(read(file)) if file else {}
    rows, solved, total = [], 0, 0
    for lesson in lessons():
        names = exercises(lesson)
        cells = [_cell(name.rpartition(".")[2], found.get(name)) for name in names]
        solved += sum(name in found and found[name].solved for name in names)
        total += len(names)
        rows.append(f"{title(lesson):<44} {'   '.join(cells)}")
    lines = [*rows, "", f"{solved} of {total} exercises solved. A check that passes is what counts as solved."]
    if solved == total:
        lines.append(f"All of them: {_page(found)} is a page to print.")
    return "\n".join(lines)


def title(lesson: str) -> str:
    """What a lesson's notebook is called, "04 crud with a database"; for the lab's two, its name."""
    found = sorted((ROOT / "notebooks").glob(f"{lesson}_*.ipynb"))
    return found[0].stem.replace("_", " ") if found else f"{lesson}.ipynb"


def _cell(number: str, result: Result | None) -> str:
    if result is None:
        return f"{number} -"
    return f"{number} solved" if result.solved else f"{number} {result.right}/{result.lines}"


def _page(found: dict[str, Result]) -> Path:
    rows = "".join(
        f"<tr><td>{escape(title(name.partition('.')[0]))}<td>{escape(name)}<td>{result.time[:10]}"
        for name, result in sorted(found.items())
    )
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(
        "<!doctype html><html lang=en><meta charset=utf-8><title>YOLO lab: all exercises solved</title>"
        "<style>body{font:16px system-ui,sans-serif;max-width:42em;margin:3em auto}table{border-collapse:collapse}"
        "td,th{padding:.2em 1em .2em 0;text-align:left;border-bottom:1px solid #ccc}</style>"
        "<h1>YOLO lab</h1><p>All exercises of the lab and of its course were solved and checked on a running API."
        f"<p>Name: ______________________ &nbsp; Date: {date.today().isoformat()}"
        f"<table><tr><th>unit<th>exercise<th>solved on{rows}</table></html>\n",
        encoding="utf-8",
    )
    return PAGE
