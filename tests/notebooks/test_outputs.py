"""The outputs in the notebooks, for those who only read: they belong to the sources, and tell of no one machine."""

import base64
import io
import re

import nbformat
import numpy as np
import pytest
from helpers import ROOT
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from classroom import outputs

NOTEBOOKS = [path.relative_to(ROOT).as_posix() for path in outputs.notebooks()]
SHOWS = re.compile(r"^(?:print|show|show_figure|display)\(|^[a-z]\w*\Z", re.MULTILINE)  # or a name in the last line


def read(name):
    return nbformat.read(ROOT / name, as_version=4)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_its_outputs_are_of_these_cells_and_of_no_one_machine(name):
    assert outputs.problems(read(name)) == []


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if "solutions" not in name])
def test_who_only_reads_sees_what_comes_out(name):
    notebook = read(name)
    assert any(cell.id == outputs.NOTE for cell in notebook.cells), "nothing says on which machine it was measured"
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and SHOWS.search(cell.source)]
    shown = [cell for cell in cells if cell.outputs]
    assert len(shown) >= 0.9 * len(cells), [cell.source for cell in cells if not cell.outputs]


@pytest.mark.parametrize("name", ["server.ipynb", "client.ipynb"])
def test_a_code_host_shows_all_of_it(name):
    """As hosts render the committed file: nothing is run."""
    given = [output for cell in read(name).cells for output in cell.get("outputs", [])]
    html = HTMLExporter().from_filename(str(ROOT / name))[0]
    assert html.count('class="jp-OutputArea-child') == len(given) > 10
    assert len(re.findall(r'<img[^>]*src="data:image/(?:png|jpeg);', html)) >= sum(
        bool(outputs.pictures(output)) for output in given
    )


def test_all_pictures_together_are_small():
    every = [output for name in NOTEBOOKS for cell in read(name).cells for output in cell.get("outputs", [])]
    assert sum(size for output in every for size in outputs.pictures(output)) <= outputs.TOTAL_BYTES


def png(width, height):
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def test_what_only_one_run_has_is_taken_out():
    text = f"<A at 0x7f12345678>\n{ROOT}/images\n/tmp/tmpab12/x on http://127.0.0.1:43567/docs\n"
    text += " 10%|#\r100%|##\rdone\n"
    drawing = new_output("display_data", {"image/png": png(900, 600)}, metadata={"image/png": {"alt": "a cat"}})
    ran = [new_output("stream", name="stderr", text="noise"), new_output("stream", name="stdout", text=text),
           drawing]  # fmt: skip
    printed, drawn = outputs.tidied(ran)
    assert printed.text == "<A at 0x…>\n…/images\n/tmp/…/x on http://127.0.0.1:PORT/docs\ndone\n"
    assert drawn.metadata == {"image/jpeg": {"alt": "a cat"}}
    assert outputs.pictures(drawn)[0] <= outputs.PICTURE_BYTES


def test_outputs_that_a_reader_should_not_see_are_named():
    good, stale, failed, where = (new_code_cell(f"print({number})") for number in range(4))
    for cell in (good, failed, where):
        cell.metadata["source_sha256"] = outputs.source_hash(cell.source)
    stale.metadata["source_sha256"] = outputs.source_hash("print('before')")
    failed.outputs = [new_output("error", ename="ValueError", evalue="no", traceback=[])]
    where.outputs = [new_output("stream", name="stdout", text="/home/me/x")]
    first, second, third = outputs.problems(new_notebook(cells=[good, stale, failed, where]))
    assert first.startswith("cell 1: its outputs belong to another source")
    assert second == "cell 2: an error that was not announced: no" and third == "cell 3: holds a folder of one machine"


def test_outputs_are_kept_beside_their_sources(tmp_path):
    path = tmp_path / "lesson.ipynb"
    cells = [nbformat.v4.new_markdown_cell("# A"), new_code_cell("import sys\nsys.stderr.write('x')\nprint(6 * 7)")]
    nbformat.write(new_notebook(cells=cells), path)
    for _ in range(2):  # the second time nothing is added
        with outputs.executed(path, tmp_path / "out") as ran:
            outputs.keep(path, ran)
    title, note, code = nbformat.read(path, as_version=4).cells
    assert title.source == "# A" and "cores" in note.source
    assert [output.text for output in code.outputs] == ["42\n"] and code.execution_count is None
    assert outputs.problems(nbformat.read(path, as_version=4)) == []
