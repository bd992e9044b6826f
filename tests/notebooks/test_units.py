"""What every unit of the course keeps to: one sitting, the same parts, links that lead somewhere, all topics told."""

import re
import tomllib
from urllib.parse import unquote

import nbformat
import pytest
from helpers import ROOT

from classroom.checks import exercises, lessons
from classroom.times import minutes

NOTEBOOKS = ROOT / "notebooks"
UNITS = sorted(path.name for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
ALL = [ROOT / "server.ipynb", ROOT / "client.ipynb", *sorted(NOTEBOOKS.rglob("[0-9][0-9]_*.ipynb"))]
TOPICS = tomllib.loads((ROOT / "tests/notebooks/topics.toml").read_text(encoding="utf-8"))


def cells(name):
    return nbformat.read(NOTEBOOKS / name, as_version=4).cells


def text(name):
    return "\n".join(cell.source for cell in cells(name))


def test_there_are_17():
    assert [name[:2] for name in UNITS] == [f"{number:02}" for number in range(1, 18)]
    assert set(lessons()) == {"server", "client", *(name[:2] for name in UNITS)}


@pytest.mark.parametrize("name", UNITS)
def test_it_is_one_sitting(name):
    assert len(cells(name)) <= 135
    if name != "17_capstone.ipynb":  # a project for an afternoon
        assert minutes(NOTEBOOKS / name, len(exercises(name[:2]))) <= 40.5


@pytest.mark.parametrize("name", UNITS)
def test_it_has_the_parts_of_a_unit(name):
    said = text(name)
    assert "In a hurry?" in said
    assert said.count("<details") == said.count("</details>") >= 7, "questions with folded answers, and a quiz of five"
    assert re.search(r"(?i)\bquiz\b|five questions", said)
    assert len(exercises(name[:2])) >= 1 and f'check("{name[:2]}.1"' in said


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_its_code_is_narrow(path):
    code = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [line for source in code for line in source.splitlines() if len(line) > 100] == []


def anchors(path):
    """The anchors of a notebook's headings as JupyterLab makes them."""
    found = set()
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            found |= {line.lstrip("#").strip().replace(" ", "-") for line in re.findall(r"(?m)^#+ .*$", cell.source)}
    return found | {re.sub(r"[`*]", "", anchor) for anchor in found}


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_its_links_lead_somewhere(path):
    dead = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            for link in re.findall(r"(?<!`)\]\(([^)\s]+)\)", re.sub(r"(?s)```.*?```", "", cell.source)):
                name, _, anchor = unquote(link).partition("#")
                if re.match(r"[a-z]+:", name):
                    continue
                target = (path.parent / name).resolve() if name else path
                if not target.exists() or (anchor and target.suffix == ".ipynb" and anchor not in anchors(target)):
                    dead.append(link)
    assert dead == []


@pytest.mark.parametrize("name", UNITS)
def test_its_topics_are_where_the_list_says(name):
    said = text(name)
    for topic, place in TOPICS.get(name.removesuffix(".ipynb"), {}).items():
        file, _, phrase = place.partition("#")
        assert file == name and phrase and phrase in said, topic


def test_the_list_of_topics_knows_only_these_units():
    assert set(TOPICS) <= {name.removesuffix(".ipynb") for name in [*UNITS, "server.ipynb", "client.ipynb"]}
    assert sum(map(len, TOPICS.values())) >= 100
