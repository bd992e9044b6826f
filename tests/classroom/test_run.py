"""The HTML that `python -m classroom run` writes beside an executed notebook."""

import re

from nbformat.v4 import new_code_cell, new_notebook, new_output

from classroom.run import write


def test_a_cell_that_only_draws_is_folded_and_its_output_is_not(tmp_path):
    shown = new_code_cell("read = 1")
    folded = new_code_cell("draws = 2", metadata={"tags": ["hide-input"]})
    folded.outputs = [new_output("stream", text="a figure")]
    write(new_notebook(cells=[shown, folded]), tmp_path / "lesson.ipynb")
    html = (tmp_path / "lesson.html").read_text(encoding="utf-8")
    (details,) = re.findall(r"(?s)<details>.*?</details>", html)
    assert "draws" in details and "a figure" not in details and "a figure" in html
    assert "read" not in details and (tmp_path / "lesson.ipynb").exists()
